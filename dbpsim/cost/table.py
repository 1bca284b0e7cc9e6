"""The table of a cost: energy by stage, phase and component, latency, area, and the figures of merit that follow.

    sum over components = sum over stages = sum over phases = total

One line is what one component of one stage took in one phase, so every view of the table is a sum of the same lines.
An operation is a multiplication or an addition: a multiply-accumulate is two.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dbpsim.cost.quantities import quantity
from dbpsim.files import write_json, write_text

PHASES = ("forward", "transposed", "update")
COMPONENTS = (
    "array", "idle_array", "regulation", "driver", "dac", "adc", "sample_and_hold", "amplifier", "neuron", "adder", "alu",
    "buffer", "dram", "network_on_chip", "edge", "pulses", "pulse_generator", "control", "idle",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What `component` of `stage` took in `phase` (J)."""

    stage: str
    phase: str
    component: str
    energy_J: float


@dataclass(frozen=True)
class CostTable:
    """Energy, latency and area, and what they rest on.

    Attributes
    ----------
    hardware : str
    lines : tuple of Line
        Everything that took energy.
    multiply_accumulates : mapping
        By stage: products that the arrays formed while read.
    read_s, write_s : float
        Reads; pulses.
    period_s : float
        Duration of one read.
    schedule : {"synchronous", "wavefront"}
    samples : int
        Training samples this was for; 0 if not known.
    area_m2 : mapping of mappings
        ``area_m2[stage][component]``.
    notes : tuple of str
        Sources and assumptions, and warnings.
    """

    hardware: str
    lines: tuple[Line, ...]
    multiply_accumulates: Mapping[str, int]
    read_s: float
    write_s: float
    period_s: float
    schedule: str
    samples: int = 0
    area_m2: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def energy_J(self) -> dict[str, dict[str, float]]:
        """Energy by stage, then component; every stage has all components."""
        out = {stage: dict.fromkeys(COMPONENTS, 0.0) for stage in self.multiply_accumulates}
        for line in self.lines:
            out[line.stage][line.component] += line.energy_J
        return out

    @property
    def phase_J(self) -> dict[str, dict[str, float]]:
        """Energy by phase, then component."""
        out = {phase: dict.fromkeys(COMPONENTS, 0.0) for phase in PHASES}
        for line in self.lines:
            out[line.phase][line.component] += line.energy_J
        return out

    @property
    def by_stage(self) -> dict[str, float]:
        """Energy of each stage (J)."""
        return self._sums(lambda line: line.stage, self.multiply_accumulates)

    @property
    def by_component(self) -> dict[str, float]:
        """Energy of each component (J)."""
        return self._sums(lambda line: line.component, COMPONENTS)

    @property
    def by_phase(self) -> dict[str, float]:
        """Energy of each phase (J)."""
        return self._sums(lambda line: line.phase, PHASES)

    def _sums(self, key: Callable[[Line], str], names: Iterable[str]) -> dict[str, float]:
        found: dict[str, list[float]] = {name: [] for name in names}
        for line in self.lines:
            found[key(line)].append(line.energy_J)
        return {name: math.fsum(values) for name, values in found.items()}

    @property
    def total_J(self) -> float:
        """Energy of everything."""
        return math.fsum(line.energy_J for line in self.lines)

    @property
    def latency_s(self) -> float:
        """Reads and writes."""
        return self.read_s + self.write_s

    @property
    def operations(self) -> int:
        """Multiplications and additions of the arrays: two a multiply-accumulate; the update's are not counted."""
        return 2 * sum(self.multiply_accumulates.values())

    @property
    def joules_per_multiply_accumulate(self) -> float:
        """Energy without the update, a multiply-accumulate (2 operations); 0 where nothing was read."""
        return 2 * (self.total_J - self.by_phase["update"]) / self.operations if self.operations else 0.0

    @property
    def tops_per_W(self) -> float:
        """10^12 operations a joule, without the update; 0 where nothing was read."""
        each = self.joules_per_multiply_accumulate
        return 2e-12 / each if each else 0.0

    @property
    def area_by_component_m2(self) -> dict[str, float]:
        """Area of each component that takes some."""
        out: dict[str, float] = {}
        for row in self.area_m2.values():
            for component, value in row.items():
                out[component] = out.get(component, 0.0) + value
        return out

    @property
    def total_area_m2(self) -> float:
        """Area of everything."""
        return math.fsum(value for row in self.area_m2.values() for value in row.values())

    @property
    def tops_per_mm2(self) -> float:
        """10^12 operations a second and mm2 while reading; 0 where area or time is not known."""
        seconds_mm2 = self.read_s * self.total_area_m2 * 1e6
        return self.operations * 1e-12 / seconds_mm2 if seconds_mm2 else 0.0

    @property
    def energy_delay_Js(self) -> float:
        """Energy times latency."""
        return self.total_J * self.latency_s

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain data, SI units in the keys."""
        return {
            "hardware": self.hardware,
            "samples": self.samples,
            "energy_J": self.energy_J,
            "energy_by_phase_and_component_J": self.phase_J,
            "energy_by_stage_J": self.by_stage,
            "energy_by_component_J": self.by_component,
            "energy_by_phase_J": self.by_phase,
            "total_energy_J": self.total_J,
            "multiply_accumulates": dict(self.multiply_accumulates),
            "operations": self.operations,
            "energy_per_multiply_accumulate_J": self.joules_per_multiply_accumulate,
            "tops_per_W": self.tops_per_W,
            "tops_per_mm2": self.tops_per_mm2,
            "energy_delay_Js": self.energy_delay_Js,
            "read_s": self.read_s,
            "write_s": self.write_s,
            "latency_s": self.latency_s,
            "period_s": self.period_s,
            "schedule": self.schedule,
            "area_m2": {stage: dict(row) for stage, row in self.area_m2.items()},
            "area_by_component_m2": self.area_by_component_m2,
            "total_area_m2": self.total_area_m2,
            "notes": list(self.notes),
        }

    def to_json(self, path: str | Path) -> None:
        """Write the table as JSON."""
        write_json(path, self.to_dict())

    def to_csv(self, path: str | Path) -> None:
        """Write a row a stage and a column a component (J), and the totals."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["stage", *(f"{c}_J" for c in COMPONENTS), "total_J", "multiply_accumulates"])
        totals = self.by_stage
        for stage, row in self.energy_J.items():
            values = [repr(row[c]) for c in COMPONENTS]
            writer.writerow([stage, *values, repr(totals[stage]), self.multiply_accumulates[stage]])
        sums = [repr(v) for v in self.by_component.values()]
        writer.writerow(["total", *sums, repr(self.total_J), sum(self.multiply_accumulates.values())])
        write_text(path, text.getvalue())

    def __str__(self) -> str:
        return "\n".join([self._drawn(), *self._totals(), *(f"- {note}" for note in self.notes)])

    def _drawn(self) -> str:
        # Stages by components; a column a MAC is without the update.
        sums, totals, updates = self.by_component, self.by_stage, self._updates()
        used = [c for c in COMPONENTS if sums[c] > 0]
        table = Table(title=f"Energy on {self.hardware}", title_justify="left")
        table.add_column("stage")
        for name in (*used, "total", "a MAC"):
            table.add_column(name.replace("_", " "), justify="right")
        for stage, row in self.energy_J.items():
            done = self.multiply_accumulates[stage]
            each = (totals[stage] - updates[stage]) / done if done else 0.0
            table.add_row(stage, *(_cell(row[c]) for c in used), _cell(totals[stage]), _cell(each))
        table.add_section()
        values = (*(sums[c] for c in used), self.total_J, self.joules_per_multiply_accumulate)
        table.add_row("total", *map(_cell, values))
        text = io.StringIO()
        Console(file=text, width=max(120, 24 + 14 * len(used)), color_system=None).print(table)
        return text.getvalue().rstrip()

    def _updates(self) -> dict[str, float]:
        out = dict.fromkeys(self.multiply_accumulates, 0.0)
        for line in self.lines:
            if line.phase == "update":
                out[line.stage] += line.energy_J
        return out

    def _totals(self) -> list[str]:
        phases = ", ".join(f"{name} {quantity(value, 'J')}" for name, value in self.by_phase.items())
        parts = f"reads {quantity(self.read_s, 's')} ({self.schedule}), writes {quantity(self.write_s, 's')}"
        said = [f"energy {quantity(self.total_J, 'J')}: {phases}", f"latency {quantity(self.latency_s, 's')}: {parts}"]
        if self.samples:
            each = f"{quantity(self.total_J / self.samples, 'J')}, {quantity(self.latency_s / self.samples, 's')}"
            said.append(f"a sample, of {self.samples}: {each}")
        if self.total_area_m2:
            merits = f"{self.tops_per_W:.3g} TOPS/W, {self.tops_per_mm2:.3g} TOPS/mm2 (1 MAC = 2 operations)"
            said.append(f"area {self.total_area_m2 * 1e6:.3g} mm2; {merits}")
        return said


def _cell(value: float) -> str:
    return quantity(value, "J") if value else "-"
