"""Activity to energy, latency and area.

    E = sum of the lines of every stage (`dbpsim.cost.lines`)
      + idle arrays: mean power x the time they are not read, where they are not gated
      + the chip's edge: a sample's inputs from DRAM, 8 bits each; with analog links a DAC an input, an ADC and a DAC an output

    t = T x (reads of the busiest stage)                 synchronous: all stages step together
      = T x (reads of all stages)                        wavefront: one stage after another
      = T x (reads of all stages for one sample + (samples - 1) x those of the busiest)      wavefront, pipelined
      + pulse length x (pulses one after another)        writes, all tiles together, row by row
      + outer products that are not formed in the array, on `alu.units` a stage, all stages together

Reads of a stage are its vectors, divided by its replicas.  A forward and a transposed read of one array take turns; with an array
for each direction a synchronous clock makes both at once.  The vectors already hold the steps and the batch.  At eta < 1 the
period is T = -tau ln(1 - eta); at eta = 1 it is the hardware's, times the columns that share a converter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbpsim.cost.area import area
from dbpsim.cost.components import Components, load_components
from dbpsim.cost.lines import Timing, stage_lines
from dbpsim.cost.quantities import quantity
from dbpsim.cost.table import CostTable, Line
from dbpsim.crossbar.activity import Activity, StageActivity
from dbpsim.crossbar.hardware import Hardware
from dbpsim.network.graph import INPUT, Network

_INPUT_BITS = 8  # of a pixel
LEAST_PLAUSIBLE_J_PER_OP = 5e-15  # the lowest figure of a designed training core: Marinella 2018, 5.5 fJ/op


def estimate(
    hardware: Hardware,
    activity: Activity,
    *,
    eta: float = 1.0,
    schedule: str = "synchronous",
    components: str | Path | Components = "default",
    samples: int = 0,
    states: Mapping[str, int] | None = None,
    in_flight: int = 0,
) -> CostTable:
    """Return what `activity` costs on `hardware`.

    Parameters
    ----------
    hardware : Hardware
        Its [architecture] says how arrays are copied and take turns.
    activity : Activity
        Counts of a chip, or of a run as the difference of two.
    eta : float
        Euler step of the run: below 1 it sets the clock period.
    schedule : {"synchronous", "wavefront"}
    components : str, path or Components
    samples : int
        Training samples the activity is of; 0 if not known.
    states : mapping of str to int, optional
        Neurons of every stage, all positions of one sample, and numbers of its "input": what storage and the chip's edge are for.

    in_flight : int
        Samples that follow each other through a pipeline, where more do than the activity is of; `samples` by default.

    Raises
    ------
    ValueError
        If `eta` or `schedule` is not one of those accepted, or [architecture] names a stage that is not there.
    """
    if not 0 < eta <= 1:
        raise ValueError(f"eta: found {eta!r}; accepted: 0 < eta <= 1 (a clocked circuit cannot overshoot)")
    if schedule not in ("synchronous", "wavefront"):
        raise ValueError(f"schedule: found {schedule!r}; accepted: 'synchronous', 'wavefront'")
    _known(hardware, activity)
    parts, states, stages = load_components(components), states or {}, activity.stages
    turns = hardware.architecture.columns_per_adc if hardware.adc.levels else 1
    period_s = turns * (hardware.clock.period_s if eta == 1 else -hardware.clock.tau_s * math.log1p(-eta))
    timing = Timing(period_s, eta < 1)
    read_s, write_s = _read_s(hardware, activity, schedule, in_flight or samples, period_s), _write_s(hardware, activity, parts)
    lines: list[Line] = []
    for name, stage in stages.items():
        lines += stage_lines(name, stage, hardware, parts, timing, states.get(name, 0), samples)
        if not hardware.architecture.power_gated:
            lines += _idle(name, stage, hardware, parts, timing, read_s + write_s)
    lines += _edge(hardware, list(stages), parts, states, samples)
    table = CostTable(
        hardware=hardware.name,
        lines=tuple(lines),
        multiply_accumulates={name: stage.multiply_accumulates for name, stage in stages.items()},
        read_s=read_s,
        write_s=write_s,
        period_s=period_s,
        schedule=schedule,
        samples=samples,
        area_m2=area(hardware, activity, parts, states, pipelined=hardware.architecture.pipelined and schedule == "wavefront"),
    )
    return replace(table, notes=tuple(_notes(table, hardware, parts, bool(states))))


def _known(hardware: Hardware, activity: Activity) -> None:
    copies = hardware.architecture.replicas
    unknown = sorted(set(copies) - set(activity.stages)) if isinstance(copies, dict) else []
    if unknown:
        raise ValueError(f"architecture.replicas: found stage {unknown[0]!r}; accepted: {', '.join(activity.stages)}")


def _read_s(hardware: Hardware, activity: Activity, schedule: str, samples: int, period_s: float) -> float:
    how, both = hardware.architecture, hardware.mapping.transpose == "replica" and schedule == "synchronous"
    reads = []
    for name, stage in activity.stages.items():
        digital = hardware.mapping.transpose == "digital"  # no read, but time of the arithmetic
        ways = (stage.forward.vectors, 0 if digital else stage.transposed.vectors)
        reads.append((max(ways) if both else sum(ways)) / how.replicas_of(name))
    most = max(reads, default=0.0)
    if schedule == "synchronous":
        return period_s * most
    if how.pipelined and samples:
        return period_s * (sum(reads) + (samples - 1) * most) / samples
    return period_s * sum(reads)


def _write_s(hardware: Hardware, activity: Activity, parts: Components) -> float:
    law = hardware.device.update
    slots = max((stage.write.slots for stage in activity.stages.values()), default=0)
    back = hardware.mapping.transpose == "digital"
    vectors = {name: s.write.vectors + back * s.transposed.vectors for name, s in activity.stages.items()}
    products = max((vectors[name] * s.rows * s.columns for name, s in activity.stages.items()), default=0)
    return slots * ((law.pulse_s or 0.0) if law else 0.0) + products / (parts.alu.units * parts.alu.rate_Hz)


def _edge(hardware: Hardware, names: list[str], parts: Components, states: Mapping[str, int], samples: int) -> list[Line]:
    if not samples or INPUT not in states or not names:
        return []
    inputs, outputs = samples * states[INPUT], samples * states.get(names[-1], 0)
    lines = [Line(names[0], "forward", "dram", inputs * _INPUT_BITS * parts.dram.energy_per_bit_J)]
    if hardware.links == "analog":
        bits = hardware.architecture.update_converter_bits
        lines.append(Line(names[0], "forward", "edge", inputs * parts.dac.energy_J(bits)))
        lines.append(Line(names[-1], "forward", "edge", outputs * parts.adc.energy_J(bits)))
        lines.append(Line(names[-1], "transposed", "edge", outputs * parts.dac.energy_J(bits)))
    return lines


def _idle(
    name: str, stage: StageActivity, hardware: Hardware, parts: Components, timing: Timing, latency_s: float
) -> list[Line]:
    # Arrays that stay biased: mean power of a read, with what is lost in supplying it, on every copy while it is not read.
    copies, supplied = hardware.architecture.replicas_of(name), 1 + parts.driver.regulation(hardware.read.v_read_V)
    out = []
    for phase, counts in (("forward", stage.forward), ("transposed", stage.transposed)):
        if counts.vectors:
            idle_s = max(0.0, copies * latency_s - counts.vectors * timing.period_s)
            out.append(Line(name, phase, "idle_array", supplied * counts.power_W / counts.vectors * idle_s))
    return out


def _notes(table: CostTable, hardware: Hardware, parts: Components, stored: bool) -> list[str]:
    clock, used = hardware.clock, {name for name, value in table.by_component.items() if value > 0}
    step = -math.expm1(-table.period_s / clock.tau_s)
    notes = [
        f"clock: {quantity(table.period_s, 's')} a read, tau {quantity(clock.tau_s, 's')}, so eta = {step:.6g}. {clock.source}",
        f"device {hardware.device.name}: {hardware.device.conductance.source}",
    ]
    if 0 < table.joules_per_multiply_accumulate < 2 * LEAST_PLAUSIBLE_J_PER_OP:
        notes.insert(
            0,
            "warning: below 5 fJ an operation, less than any designed training core (Marinella 2018: 5.5): "
            "check voltages and conductances",
        )
    asked_Hz = hardware.architecture.columns_per_adc / table.period_s if hardware.adc.levels else 0.0
    if asked_Hz > parts.adc.rate_Hz:
        made = f"{quantity(asked_Hz, 'Hz')} of its converters, which make {quantity(parts.adc.rate_Hz, 'Hz')} (adc.rate_Hz)"
        notes.insert(0, f"warning: this clock asks {made}: its latency is not reached")
    if hardware.wires is not None and hardware.wired:
        whole = "what the sources give" if hardware.wires.method == "exact" else "to first order, inputs of random sign"
        notes.append(f"array: cells, wires and drivers together, {whole}. {hardware.wires.source}".rstrip())
    notes += [f"{name}: {getattr(parts, name).source}" for name in type(parts).model_fields if name in used]
    update = hardware.device.update
    unknown = [key for key in ("energy_per_pulse_J", "pulse_s") if update is not None and getattr(update, key) is None]
    if unknown:
        notes.append(f"writes are not counted: device {hardware.device.name} does not know its {' and '.join(unknown)}")
    how = hardware.architecture
    notes.append(
        "latency: positions of a convolution and samples of a batch take turns, and so do the two directions of an array unless "
        "the mapping has a replica; writes go row by row, all tiles together; digital outer products on "
        f"{parts.alu.units} units a stage at {quantity(parts.alu.rate_Hz, 'Hz')}, all stages together"
    )
    notes.append(
        f"arrays are {'off' if how.power_gated else 'biased'} between reads; "
        + ("states of every position are in the area" if stored else "states of positions are not in the area: shapes not known")
    )
    notes.append("not counted: leakage, reads of a write-verify, half-selected cells, lines between arrays")
    return notes


def states_of(network: Network) -> dict[str, int]:
    """Return the neurons of every stage of `network`, all positions of one sample, and the numbers of its input."""
    return {INPUT: math.prod(network.input_shape)} | {stage.name: math.prod(stage.shape) for stage in network.stages}


def cost(chip: Any, run: Any = None, **options: Any) -> CostTable:
    """Return what `run` cost on `chip`; without a run, what the chip has done since it was programmed.

    Parameters
    ----------
    chip
        Has ``hardware`` and ``activity``.
    run : Activity or the result of a relaxation, optional
        A result's ``activity``, ``eta``, ``schedule`` and samples are used where it has them.
    **options
        Those of `estimate`; they go before the run's own.
    """
    activity = run if isinstance(run, Activity) else getattr(run, "activity", None)
    for name in ("eta", "schedule"):
        value = getattr(run, name, None)
        if value is not None:
            options.setdefault(name, value)
    if getattr(run, "output", None) is not None:
        options.setdefault("samples", len(run.output))
    if isinstance(chip, Network):
        options.setdefault("states", states_of(chip))
    return estimate(chip.hardware, chip.activity if activity is None else activity, **options)
