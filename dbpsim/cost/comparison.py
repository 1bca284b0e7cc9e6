"""The modes side by side: a training sample, a step, an epoch, a training; and what decides between them.

    TOPS/W      operations of the products read or formed, 2 a multiply-accumulate, over the energy without the update
    training    epochs x images x energy and latency of a sample: samples take turns

A chip that learns must survive it: endurance used = pulses a cell of the whole training / the cell's cycles.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbpsim.chip import Chip
from dbpsim.cost.components import Components, load_components
from dbpsim.cost.constants import Figure
from dbpsim.cost.digital import Accelerator, Processor, list_digital, load_digital
from dbpsim.cost.estimate import LEAST_PLAUSIBLE_J_PER_OP
from dbpsim.cost.limits import settling_time_s
from dbpsim.cost.modes import ModeCost, Setting, digital_cost, list_modes, mode_cost, planned
from dbpsim.cost.quantities import quantity
from dbpsim.cost.uncertainty import drawn, libraries, percentiles
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network


@dataclass(frozen=True)
class Comparison:
    """Training by several modes.

    Attributes
    ----------
    setting : Setting
        What they share.
    rows : tuple of ModeCost
        As asked.
    images, epochs : int
        Of the training that is added up.
    """

    setting: Setting
    rows: tuple[ModeCost, ...]
    images: int
    epochs: int

    def ranges(self, draws: int = 200, seed: int = 0) -> dict[str, tuple[float, float, float]]:
        """Return the 5th, 50th and 95th percentile of the energy of a sample (J) by mode.

        The analog modes see the same draws of component figures, a digital machine's utilisation is drawn from its own range.
        """
        s = self.setting
        drawn_parts = libraries(s.components, draws, seed)
        out = {}
        for row in self.rows:
            if row.name in list_digital():
                costs = [digital_cost(row.name, machine, s.network) for machine in _machines(row.name, draws, seed)]
            else:
                plan = planned(row.name, s)
                costs = [plan(parts) for parts in drawn_parts]
            out[row.name] = percentiles([cost.energy_J for cost in costs])
        return out

    @property
    def decisive(self) -> tuple[str, ...]:
        """What decides the answer, in words with numbers."""
        return tuple(_decisive(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data, SI units in the keys."""
        s = self.setting
        return {
            "network": s.network.name,
            "hardware": s.hardware.name,
            "components": s.components.name,
            "bits": s.bits,
            "eta": s.eta,
            "batch": s.batch,
            "pulses_per_weight": s.pulses_per_weight,
            "images": self.images,
            "epochs": self.epochs,
            "modes": [self._row(row) for row in self.rows],
            "decisive": list(self.decisive),
        }

    def _row(self, row: ModeCost) -> dict[str, Any]:
        table, samples = row.table, self.images * self.epochs
        return {
            "name": row.name,
            "label": row.label,
            "energy_per_sample_J": row.energy_J,
            "latency_per_sample_s": row.latency_s,
            "energy_per_step_J": row.energy_J * self.setting.batch,
            "latency_per_step_s": row.latency_s * self.setting.batch,
            "energy_per_epoch_J": row.energy_J * self.images,
            "latency_per_epoch_s": row.latency_s * self.images,
            "energy_per_training_J": row.energy_J * samples,
            "latency_per_training_s": row.latency_s * samples,
            "energy_delay_per_sample_Js": table.energy_delay_Js,
            "tops_per_W": table.tops_per_W,
            "tops_per_mm2": table.tops_per_mm2,
            "area_m2": table.total_area_m2,
            "energy_by_component_J": {name: value for name, value in table.by_component.items() if value > 0},
            "energy_by_phase_J": table.by_phase,
            "assumptions": list(row.assumptions),
        }

    def __str__(self) -> str:
        words = ("a sample", "", "update", "TOPS/W", "area mm2", "training", "")
        widths = (10, 10, 8, 8, 9, 10, 10)
        head = f"{'mode':38} " + " ".join(f"{word:>{width}}" for word, width in zip(words, widths, strict=True))
        lines = [f"One training sample of {self.setting.network.name} on {self.setting.hardware.name}; {self.epochs} epochs of "
                 f"{self.images} images", head]  # fmt: skip
        for row in self.rows:
            samples, table = self.images * self.epochs, row.table
            share = table.by_phase["update"] / table.total_J
            lines.append(
                f"{row.label:38} {quantity(row.energy_J, 'J'):>10} {quantity(row.latency_s, 's'):>10} {share:>8.0%} "
                f"{table.tops_per_W:>8.3g} {table.total_area_m2 * 1e6:>9.3g} "
                f"{quantity(row.energy_J * samples, 'J'):>10} {quantity(row.latency_s * samples, 's'):>10}"
            )
        return "\n".join([*lines, *(f"- {words}" for words in self.decisive)])


def compare(
    network: Network,
    hardware: str | os.PathLike[str] | Hardware | None = None,
    *,
    modes: Sequence[str] | None = None,
    components: str | os.PathLike[str] | Components = "default",
    bits: int = 8,
    eta: float = 1.0,
    batch: int = 64,
    pulses_per_weight: float = 1.0,
    images: int = 50_000,
    epochs: int = 20,
) -> Comparison:
    """Return what training `network` costs by each of `modes`.

    Parameters
    ----------
    network : Network or Chip
    hardware : str, path or Hardware, optional
        A chip's own by default.
    modes : sequence of str, optional
        All by default (`dbpsim.cost.modes.list_modes`).
    components : str, path or Components
    bits : int
        Resolution to which gradients settle, and of converters where the hardware has none and the mode needs some.
    eta : float
        Euler step of the clocked mode.
    batch : int
        Samples a step: pulses are written once a step.
    pulses_per_weight : float
        Pulses that a cell gets a step.
    images, epochs : int
        Of a training; by default CIFAR-10's 50,000 and 20.

    Raises
    ------
    ValueError
        For an unknown mode, a number that is not positive, or a network without hardware.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> found = compare(mlp(784, 256, 10), "ecram", modes=["dyadic-wavefront", "digital-gpu"])
    >>> [row.name for row in found.rows]
    ['dyadic-wavefront', 'digital-gpu']
    """
    if hardware is None:
        if not isinstance(network, Chip):
            raise ValueError("compare: a network needs hardware; accepted: a preset, a file, a Hardware, or a Chip.")
        hardware = network.hardware
    numbers = {"bits": bits, "batch": batch, "pulses_per_weight": pulses_per_weight, "images": images, "epochs": epochs}
    for what, value in numbers.items():
        if not value > 0 or math.isinf(value):
            raise ValueError(f"{what}: found {value!r}; accepted: more than 0.")
    if not 0 < eta <= 1:
        raise ValueError(f"eta: found {eta!r}; accepted: 0 < eta <= 1 (a clocked circuit cannot overshoot)")
    plain = network.digital() if isinstance(network, Chip) else network
    setting = Setting(
        plain, load_hardware(hardware), load_components(components), bits, eta, batch, pulses_per_weight
    )
    rows = tuple(mode_cost(name, setting) for name in (list_modes() if modes is None else modes))
    return Comparison(setting, rows, images, epochs)


def _machines(name: str, draws: int, seed: int) -> list[Processor | Accelerator]:
    machine = load_digital(name)
    quantiles = stream(seed, "digital machine", name).random((draws, len(machine.range)))
    figures = [Figure(key, getattr(machine, key), *ends, "1", 0.0, machine.source) for key, ends in machine.range.items()]
    values = {figure.path: drawn(figure, quantiles[:, place]) for place, figure in enumerate(figures)}
    return [machine.model_copy(update={key: float(column[draw]) for key, column in values.items()}) for draw in range(draws)]


def _decisive(comparison: Comparison) -> list[str]:
    setting = comparison.setting
    by_name = {row.name: row for row in comparison.rows}
    said = []
    for row in comparison.rows:
        if not row.name.startswith("digital"):
            parts = row.table.phase_J
            ways = ", ".join(
                f"{way} {quantity(parts[way]['array'] + parts[way]['regulation'], 'J')}" for way in ("forward", "transposed")
            )
            said.append(f"{row.label}: arrays on, a sample: {ways}; update {quantity(row.table.by_phase['update'], 'J')}")
            each = row.table.joules_per_multiply_accumulate / 2
            if 0 < each < LEAST_PLAUSIBLE_J_PER_OP:
                words = f"{quantity(each, 'J')} an operation without the update, below any designed core (5.5 fJ)"
                said.append(f"warning: {row.label}: {words}")
    free, gated = by_name.get("dyadic-free"), by_name.get("dyadic-wavefront")
    if free and gated:
        said.append(_free_against_gated(setting, free, gated))
    said += _pulses(comparison)
    return said


def _free_against_gated(setting: Setting, free: ModeCost, gated: ModeCost) -> str:
    tau = setting.hardware.clock.tau_s
    least = (setting.bits + 1) * math.log(2)
    on, clock = settling_time_s(setting.network.depth, setting.bits, tau), gated.table.period_s
    return (
        f"free-running keeps every array on for {on / tau:.1f} tau; gated, an array is on for its two reads, "
        f"{2 * clock / tau:.1f} tau at this clock ({2 * least:.1f} at the least for {setting.bits} bits)"
    )


def _pulses(comparison: Comparison) -> list[str]:
    setting = comparison.setting
    device, law = setting.hardware.device, setting.hardware.device.update
    steps = comparison.epochs * math.ceil(comparison.images / setting.batch)
    said = []
    if law is not None and law.energy_per_pulse_J is not None:
        pulse = quantity(law.energy_per_pulse_J, "J")
        often = f"{setting.pulses_per_weight:g} a cell and step of {setting.batch} samples assumed"
        said.append(f"a pulse of {device.name} takes {pulse}; {often}")
    else:
        said.append(f"device {device.name} does not know the energy of its pulses: updates lack it")
    if device.endurance is not None:
        used = steps * setting.pulses_per_weight / device.endurance.cycles
        of_cell = f", {used:.2g} of {device.endurance.cycles:.3g} cycles"
    else:
        of_cell = f"; that of {device.name} is not known"
    said.append(f"endurance: {steps * setting.pulses_per_weight:.3g} pulses a cell{of_cell}")
    where = "in the array, by pulses" if setting.hardware.update.in_place else "digitally: their arithmetic is in alu"
    said.append(f"the products of the update are formed {where}")
    return said
