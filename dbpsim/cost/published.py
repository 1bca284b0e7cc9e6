"""Published chips, modelled from components: what tests and docs/validation.md hold against the literature.

    NeuRRAM     n = max(1, input bits - 1) magnitude bits, in phases (n, 0) up to 3 bits and (ceil n/2, floor n/2) above
                word lines  256 (C_fixed + 256 C_cell) V^2 n         inputs  3.8 fJ n an operation
                neurons     256 (1.2 n + 0.25 n_int + 0.4 n_adc) pJ  time    0.27 n_int + 0.3 n_adc + 0.3 phases us
                n_int = sum over phases of (2^p - 1); n_adc = conversion steps left, a phase after the other
    ISAAC       a bill: parts x power, summed through the lines of a `CostTable`
    HERMES      one 256 x 256 product through `estimate`, library "default" at the chip's node: nothing is fitted
    Marinella   forward, transposed and outer product of 1024 x 1024, likewise

Inputs and sources: `published.toml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dbpsim.cost.components import Components, load_components
from dbpsim.cost.estimate import estimate
from dbpsim.cost.parts import Driver
from dbpsim.cost.scaling import scaled
from dbpsim.cost.table import CostTable, Line
from dbpsim.crossbar.activity import Activity, Counts, StageActivity
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.devices.library import read_toml


@cache
def inputs() -> dict[str, Any]:
    """Return what is known of each chip, as `published.toml` has it."""
    return read_toml(Path(__file__).with_name("published.toml"))


@dataclass(frozen=True)
class OperatingPoint:
    """NeuRRAM at one pair of resolutions: joules an operation of a core, tera-operations a second of all cores."""

    out_bits: int
    in_bits: int
    word_line_J_per_op: float
    neuron_J_per_op: float
    input_J_per_op: float
    tops: float

    @property
    def total_J_per_op(self) -> float:
        """Of the three parts together."""
        return self.word_line_J_per_op + self.neuron_J_per_op + self.input_J_per_op


def neurram(out_bits: int, in_bits: int) -> OperatingPoint:
    """Return what one matrix-vector product costs on NeuRRAM, from its components.

    Examples
    --------
    >>> point = neurram(6, 4)
    >>> round(point.total_J_per_op * 1e15, 1), round(point.tops, 3)
    (63.9, 0.788)
    """
    chip = inputs()["neurram"]
    rows, columns = chip["rows"], chip["columns"]
    operations = rows * columns  # 128 signed columns: 2 x 256 x 128
    magnitude, integrations, conversions, phases = _neurram_counts(out_bits, in_bits)
    line = Driver(
        node_m=chip["node_m"], capacitance_per_cell_F=chip["word_line_per_cell_F"], area_m2=0.0, supply_V=chip["v_core_V"],
        fixed_capacitance_F=chip["word_line_fixed_F"], linear_share=0.0, source=chip["source"],
    )  # fmt: skip
    neuron_J = magnitude * chip["sample_J"] + integrations * chip["integrate_J"] + conversions * chip["convert_J"]
    seconds = integrations * chip["integrate_s"] + conversions * chip["convert_s"] + phases * chip["phase_s"]
    return OperatingPoint(
        out_bits=out_bits,
        in_bits=in_bits,
        word_line_J_per_op=rows * line.energy_J(columns, chip["v_core_V"]) * magnitude / operations,
        neuron_J_per_op=columns * neuron_J / operations,
        input_J_per_op=chip["input_J_per_op_and_bit"] * magnitude,
        tops=chip["cores"] * operations / seconds * 1e-12,
    )


def _neurram_counts(out_bits: int, in_bits: int) -> tuple[int, int, int, int]:
    # Magnitude bits, integration steps, conversion steps, phases.
    magnitude = max(1, in_bits - 1)
    phases = (magnitude,) if magnitude <= 3 else (-(-magnitude // 2), magnitude // 2)
    conversions = sum(out_bits - resolved for resolved in (0, phases[0])[: len(phases)])
    return magnitude, sum(2**bits - 1 for bits in phases), conversions, len(phases)


def neurram_from(out_bits: tuple[int, ...]) -> dict[int, float]:
    """Return what a fit to the published points of some output resolutions says of all of them: total, J an operation.

    Five coefficients (a word line's and an input's energy a bit; a neuron's a sample, integration and conversion step) by
    least squares of relative errors.  Points that are not in `out_bits` are predicted.

    Examples
    --------
    >>> round(neurram_from((4, 6, 10))[8] * 1e15, 1)  # published: 108.9
    109.9
    """
    points = neurram_published()
    counts = np.array([_neurram_counts(point.out_bits, point.in_bits)[:3] for point in points], np.float64)
    used = [place for place, point in enumerate(points) if point.out_bits in out_bits]
    totals = np.zeros(len(points))
    for part, columns in (("word_line", slice(0, 1)), ("input", slice(0, 1)), ("neuron", slice(0, 3))):
        published = np.array([getattr(point, f"{part}_J_per_op") for point in points])
        relative_counts = counts[used, columns] / published[used, None]
        totals += counts[:, columns] @ np.linalg.lstsq(relative_counts, np.ones(len(used)), rcond=None)[0]
    return {point.out_bits: float(total) for point, total in zip(points, totals, strict=True)}


def neurram_published() -> list[OperatingPoint]:
    """Return the published operating points."""
    table = inputs()["neurram"]["published"]
    keys = ("out_bits", "in_bits", "word_line_J_per_op", "neuron_J_per_op", "input_J_per_op", "tops")
    return [OperatingPoint(*row) for row in zip(*(table[key] for key in keys), strict=True)]


def isaac() -> dict[str, CostTable]:
    """Return energy of one cycle, and area, of an in-situ multiply-accumulate unit ("ima"), a tile and the chip."""
    chip = inputs()["isaac"]
    imas, tiles = chip["imas"], chip["tiles"]
    link = {"chip": {"edge": [1, chip["link_W"], chip["link_m2"]]}}
    return {
        "ima": _bill({"ima": chip["ima"]}, {"ima": 1}),
        "tile": _bill({"ima": chip["ima"], "tile": chip["tile"]}, {"ima": imas, "tile": 1}),
        "chip": _bill({"ima": chip["ima"], "tile": chip["tile"], **link}, {"ima": imas * tiles, "tile": tiles, "chip": 1}),
    }


def _bill(units: dict[str, dict[str, list[float]]], times: dict[str, int]) -> CostTable:
    # One cycle of `times` units of each kind, every part: how many, power, area.
    cycle_s = inputs()["isaac"]["cycle_s"]
    lines = [
        Line(unit, "forward", part, times[unit] * count * power * cycle_s)
        for unit, parts in units.items()
        for part, (count, power, _) in parts.items()
    ]
    area = {
        unit: {part: times[unit] * count * each for part, (count, _, each) in parts.items()} for unit, parts in units.items()
    }
    stages = dict.fromkeys(("ima", "tile", "chip"), 0)
    return CostTable("isaac", tuple(lines), stages, cycle_s, 0.0, cycle_s, "wavefront", area_m2=area)


def at_node_of(chip: str) -> Components:
    """Return the default library at the technology node of a published chip.

    Examples
    --------
    >>> at_node_of("hermes").adc.node_m
    1.4e-08
    """
    return scaled(load_components(), inputs()[chip]["node_m"])


def hermes(components: str | Components = "default") -> CostTable:
    """Return the cost of one 256 x 256 product on a core of IBM's 64-core chip, from generic components."""
    chip = inputs()["hermes"]
    hardware = load_hardware(
        "hermes", {"clock.period_s": chip["period_s"], "dac.bits": chip["bits"], "adc.bits": chip["bits"]}
    )
    read = _read(chip, chip["rows"], chip["columns"])
    return estimate(hardware, _activity(StageActivity(chip["rows"], chip["columns"], 1, read)), components=components, samples=1)


def marinella(components: str | Components = "default") -> CostTable:
    """Return the cost of one training step on Marinella's core: forward, transposed, outer product in the array."""
    chip = inputs()["marinella"]
    rows, columns = chip["rows"], chip["columns"]
    base = load_hardware("reram")
    update = {"energy_per_pulse_J": chip["pulse_J"], "pulse_s": chip["update_s"], "source": chip["source"]}
    window = {"g_min_S": 0.0, "g_max_S": 2 * chip["mean_conductance_S"], "source": chip["source"]}
    hardware: Hardware = load_hardware(
        base,
        {
            "name": "marinella", "tile.rows": rows, "tile.columns": columns, "clock.period_s": chip["read_s"], "links": "digital",
            "dac": {"bits": chip["bits"]}, "adc": {"bits": chip["bits"]},
            "device": base.device.model_dump() | {"conductance": window, "update": _constant_step(base, update)},
        },
    )  # fmt: skip
    cells = rows * columns * chip["cells_per_weight"]
    written = Counts(cells=cells, pulses=cells * chip["pulses_per_cell"], slots=1)
    stage = StageActivity(rows, columns, 1, _read(chip, rows, columns), _read(chip, columns, rows), written)
    return estimate(hardware, _activity(stage), components=components, samples=1)


def _constant_step(hardware: Hardware, figures: dict[str, Any]) -> dict[str, Any]:
    return {"polarity": "both", "step_S": 0.01 * hardware.device.conductance.span_S, "step_sigma": 0.0, **figures}


def _read(chip: dict[str, Any], driven: int, outputs: int) -> Counts:
    cells = driven * outputs * chip["cells_per_weight"]
    power_W = cells * chip["mean_conductance_S"] * chip["rms_V"] ** 2
    return Counts(vectors=1, outputs=outputs, sensed=outputs, dac=driven, adc=outputs, power_W=power_W)


def _activity(stage: StageActivity) -> Activity:
    return Activity(MappingProxyType({"array": stage}))


def relative(modelled: float, published: float) -> float:
    """Return modelled over published, less one."""
    return modelled / published - 1


def worst_and_mean(errors: list[float]) -> tuple[float, float]:
    """Return the largest and the mean magnitude."""
    return max(map(abs, errors)), math.fsum(map(abs, errors)) / len(errors)
