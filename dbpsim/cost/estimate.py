"""Activity to energy and latency.

    E = sum over stages of  [ sum V^2 G ] T                        array; with wires [ V^T Y V ] T, what the sources give
                          + conversions x E_dac, E_adc             converters
                          + sensed currents x E_amplifier          periphery
                          + outputs x E_neuron, partial sums x E_adder
                          + pulses x E_pulse                       writes

    t = T x (vectors read by the busiest stage)          synchronous: all stages step together
      = T x (vectors read by all stages)                 wavefront: one stage after another
      + pulse length x (pulses one after another)                  writes, all tiles together, row by row

A forward and a transposed read of one array take turns, and so do the positions of a convolution.  The
vectors already hold the steps and the batch.  At eta < 1 the period is T = -tau ln(1 - eta); at eta = 1 it
is the hardware's.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dbpsim.cost.components import Components, load_components
from dbpsim.crossbar.activity import Activity, Counts, StageActivity
from dbpsim.crossbar.hardware import Hardware
from dbpsim.files import write_json, write_text

COMPONENTS = ("array", "dac", "adc", "amplifier", "neuron", "adder", "write")
_LEAST_PLAUSIBLE_J_PER_OP = 5e-15  # the lowest figure of a designed training core: Marinella 2018, 5.5 fJ/op


@dataclass(frozen=True)
class CostTable:
    """Energy by stage and component, latency, and what they rest on.

    Attributes
    ----------
    hardware : str
    energy_J : dict of dict
        ``energy_J[stage][component]``.
    multiply_accumulates : dict
        By stage.
    read_s, write_s : float
    period_s : float
        Duration of one read.
    schedule : {"synchronous", "wavefront"}
    notes : tuple of str
        Sources and assumptions, and warnings.
    """

    hardware: str
    energy_J: dict[str, dict[str, float]]
    multiply_accumulates: dict[str, int]
    read_s: float
    write_s: float
    period_s: float
    schedule: str
    notes: tuple[str, ...]

    @property
    def by_stage(self) -> dict[str, float]:
        """Energy of each stage (J)."""
        return {stage: math.fsum(row.values()) for stage, row in self.energy_J.items()}

    @property
    def by_component(self) -> dict[str, float]:
        """Energy of each component (J)."""
        return {c: math.fsum(row[c] for row in self.energy_J.values()) for c in COMPONENTS}

    @property
    def total_J(self) -> float:
        """Energy of everything."""
        return math.fsum(value for row in self.energy_J.values() for value in row.values())

    @property
    def latency_s(self) -> float:
        """Reads and writes."""
        return self.read_s + self.write_s

    @property
    def joules_per_multiply_accumulate(self) -> float:
        """Energy without writes, a multiply-accumulate (2 operations); 0 where nothing was read."""
        done = sum(self.multiply_accumulates.values())
        return (self.total_J - self.by_component["write"]) / done if done else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain data, SI units in the keys."""
        return {
            "hardware": self.hardware,
            "energy_J": {stage: dict(row) for stage, row in self.energy_J.items()},
            "energy_by_stage_J": self.by_stage,
            "energy_by_component_J": self.by_component,
            "total_energy_J": self.total_J,
            "multiply_accumulates": dict(self.multiply_accumulates),
            "energy_per_multiply_accumulate_J": self.joules_per_multiply_accumulate,
            "read_s": self.read_s,
            "write_s": self.write_s,
            "latency_s": self.latency_s,
            "period_s": self.period_s,
            "schedule": self.schedule,
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
        for stage, row in self.energy_J.items():
            values = [repr(row[c]) for c in COMPONENTS]
            writer.writerow([stage, *values, repr(self.by_stage[stage]), self.multiply_accumulates[stage]])
        totals = [repr(v) for v in self.by_component.values()]
        writer.writerow(["total", *totals, repr(self.total_J), sum(self.multiply_accumulates.values())])
        write_text(path, text.getvalue())

    def __str__(self) -> str:
        used = [c for c in COMPONENTS if self.by_component[c] > 0]
        table = Table(title=f"Energy on {self.hardware}", title_justify="left")
        table.add_column("stage")
        for name in (*used, "total", "a MAC"):
            table.add_column(name, justify="right")
        for stage, row in self.energy_J.items():
            done = self.multiply_accumulates[stage]
            each = (self.by_stage[stage] - row["write"]) / done if done else 0.0
            table.add_row(
                stage, *(_si(row[c], "J") for c in used), _si(self.by_stage[stage], "J"), _si(each, "J")
            )
        table.add_section()
        totals = [_si(self.by_component[c], "J") for c in used]
        table.add_row("total", *totals, _si(self.total_J, "J"), _si(self.joules_per_multiply_accumulate, "J"))
        text = io.StringIO()
        Console(file=text, width=120, color_system=None).print(table)
        parts = f"reads {_si(self.read_s, 's')} ({self.schedule}), writes {_si(self.write_s, 's')}"
        times = f"latency {_si(self.latency_s, 's')}: {parts}"
        return "\n".join([text.getvalue().rstrip(), times, *(f"- {note}" for note in self.notes)])


def _si(value: float, unit: str) -> str:
    """Return `value` with three digits and an SI prefix."""
    if value == 0:
        return "-"
    power = max(-18, min(9, 3 * math.floor(math.log10(abs(value) * (1 + 1e-12)) / 3)))
    prefix = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}[power]
    return f"{value / 10.0**power:.3g} {prefix}{unit}"


def _stage_energy(
    stage: StageActivity, hardware: Hardware, parts: Components, period_s: float
) -> dict[str, float]:
    reads: Counts = stage.forward + stage.transposed
    analog = hardware.links == "analog"
    update = hardware.device.update
    dac, adc = hardware.dac, hardware.adc
    return {
        "array": reads.power_W * period_s,
        "dac": reads.dac * parts.dac.energy_J(int(dac.bits)) if dac.levels else 0.0,
        "adc": reads.adc * parts.adc.energy_J(int(adc.bits)) if adc.levels else 0.0,
        "amplifier": reads.sensed * parts.amplifier.energy_J,
        "neuron": reads.outputs * parts.neuron.energy_J if analog else 0.0,
        "adder": 0.0 if analog else (reads.sensed - reads.outputs) * parts.adder.energy_J,
        "write": stage.write.pulses * (update.energy_per_pulse_J or 0.0) if update else 0.0,
    }


def _notes(hardware: Hardware, parts: Components, period_s: float, used: dict[str, float]) -> list[str]:
    clock = hardware.clock
    step = -math.expm1(-period_s / clock.tau_s)
    notes = [
        f"clock: {_si(period_s, 's')} a read, tau {_si(clock.tau_s, 's')}, so eta = {step:.6g}. "
        f"{clock.source}",
        f"device {hardware.device.name}: {hardware.device.conductance.source}",
    ]
    notes += [f"{name}: {getattr(parts, name).source}" for name, energy in used.items() if energy > 0]
    if hardware.wires is not None and hardware.wired:
        whole = "what the sources give" if hardware.wires.method == "exact" else "to first order, inputs of random sign"
        notes.append(f"array: cells, wires and drivers together, {whole}. {hardware.wires.source}".rstrip())
    update = hardware.device.update
    unknown = [key for key in ("energy_per_pulse_J", "pulse_s") if update is not None and getattr(update, key) is None]
    if unknown:
        notes.append(f"writes are not counted: device {hardware.device.name} does not know its {' and '.join(unknown)}")
    notes.append(
        "latency: positions of a convolution and the two directions of an array take turns; "
        "writes go row by row, all tiles together"
    )
    notes.append(
        "not counted: memory and data movement, control, leakage, line charging, "
        "digital activations and gradients"
    )
    return notes


def estimate(
    hardware: Hardware,
    activity: Activity,
    *,
    eta: float = 1.0,
    schedule: str = "synchronous",
    components: str | Path | Components = "default",
) -> CostTable:
    """Return what `activity` costs on `hardware`.

    Parameters
    ----------
    hardware : Hardware
    activity : Activity
        Counts of a chip, or of a run as the difference of two.
    eta : float
        Euler step of the run: below 1 it sets the clock period.
    schedule : {"synchronous", "wavefront"}
    components : str, path or Components

    Raises
    ------
    ValueError
        If `eta` or `schedule` is not one of those accepted.
    """
    if not 0 < eta <= 1:
        raise ValueError(f"eta: found {eta!r}; accepted: 0 < eta <= 1 (a clocked circuit cannot overshoot)")
    if schedule not in ("synchronous", "wavefront"):
        raise ValueError(f"schedule: found {schedule!r}; accepted: 'synchronous', 'wavefront'")
    parts = load_components(components)
    period_s = hardware.clock.period_s if eta == 1 else -hardware.clock.tau_s * math.log1p(-eta)
    stages = activity.stages
    energy = {name: _stage_energy(stage, hardware, parts, period_s) for name, stage in stages.items()}
    vectors = [stage.forward.vectors + stage.transposed.vectors for stage in stages.values()]
    busy = sum(vectors) if schedule == "wavefront" else max(vectors, default=0)
    update = hardware.device.update
    slots = max((stage.write.slots for stage in stages.values()), default=0)
    table = CostTable(
        hardware=hardware.name,
        energy_J=energy,
        multiply_accumulates={name: stage.multiply_accumulates for name, stage in stages.items()},
        read_s=busy * period_s,
        write_s=slots * (update.pulse_s or 0.0) if update else 0.0,
        period_s=period_s,
        schedule=schedule,
        notes=(),
    )
    notes = _notes(hardware, parts, period_s, table.by_component)
    if 0 < table.joules_per_multiply_accumulate < 2 * _LEAST_PLAUSIBLE_J_PER_OP:
        notes.insert(
            0,
            "warning: below 5 fJ an operation, less than any designed training core (Marinella 2018: 5.5): "
            "check voltages and conductances",
        )
    return replace(table, notes=tuple(notes))


def cost(chip: Any, run: Any = None, **options: Any) -> CostTable:
    """Return what `run` cost on `chip`; without a run, what the chip has done since it was programmed.

    Parameters
    ----------
    chip
        Has ``hardware`` and ``activity``.
    run : Activity or the result of a relaxation, optional
        A result's ``activity``, ``eta`` and ``schedule`` are used where it has them.
    **options
        Those of `estimate`; they go before the run's own.
    """
    activity = run if isinstance(run, Activity) else getattr(run, "activity", None)
    for name in ("eta", "schedule"):
        value = getattr(run, name, None)
        if value is not None:
            options.setdefault(name, value)
    return estimate(chip.hardware, chip.activity if activity is None else activity, **options)
