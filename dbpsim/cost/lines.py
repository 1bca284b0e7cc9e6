"""What every component of a stage takes: counts times the figures of the library.

Reads, for each direction (`driven` lines in, `outputs` out, on `tiles` of the hardware's size):

    array            sum V^2 G T; with wires V^T Y V T, what the sources give
    regulation       what linear drivers and amplifiers lose between supply and line: array x (V_supply / V_read - 1), a lower
                     bound, since the rms voltage lies below V_read
    driver           vectors x driven lines x tiles beside each other x (C of a line's cells) V_read^2: full swing, an upper bound
    dac, adc         conversions
    sample_and_hold  sensed values, where columns share a converter
    amplifier        sensed values x one settle
    neuron           analog links: outputs x (two capacitors, transconductors, the comparator that gates the stress)
    adder            digital links: partial sums
    alu              digital links: forward a bias and a rectifier an output; transposed a sum an output and a gate an input;
                     at eta < 1 the blend of x and z as well, 2 x (multiplication, 2 additions) an output
    buffer           digital links: inputs read; forward both states written, transposed a sum of positions read and written; at
                     eta < 1 both states read before.  Every position reads its inputs anew
    network_on_chip  digital links: outputs carried one hop

and with mapping.transpose = "digital" the way back is alu and buffer alone, as an outer product is.

Updates:

    pulses           pulses x the device's energy a pulse, for every replica
    pulse_generator  pulse times x (a row and the columns of every tile; trains that meet in the array: every line, an upper
                     bound), each charged to the programming voltage
    alu, buffer      outer products that are not formed in the array: a multiply-accumulate a weight and vector, m and s read once
                     a vector, the gradient written once
    edge             analog links: m and s of every state converted for such a product

and `control`, a share of all of these in their phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbpsim.cost.components import Components
from dbpsim.cost.table import Line
from dbpsim.crossbar.activity import Counts, StageActivity
from dbpsim.crossbar.hardware import Hardware

_GRADIENT_BITS = 32  # a gradient is summed over a batch before it is rounded


@dataclass(frozen=True)
class Timing:
    """Length of a read (s), and whether a clock blends (eta < 1) or replaces."""

    period_s: float
    blends: bool


def cells_per_weight(hardware: Hardware) -> int:
    """Cells that hold one weight: a pair, or one with an offset column, a slice each.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> cells_per_weight(load_hardware("pcm"))
    2
    """
    mapping = hardware.mapping
    if mapping.scheme == "offset_column":
        return 1
    return 2 * (mapping.slices if mapping.scheme == "bit_sliced" else 1)


def stage_lines(
    name: str, stage: StageActivity, hardware: Hardware, parts: Components, timing: Timing, states: int, samples: int
) -> Iterator[Line]:
    """Yield what each component of one stage takes, control included.

    Parameters
    ----------
    states : int
        Neurons of the stage, all positions, one sample; 0 if not known.
    samples : int
        Of the run; 0 if not known.
    """
    for phase, counts, transposed in (("forward", stage.forward, False), ("transposed", stage.transposed, True)):
        rows = _reads(stage, counts, transposed, hardware, parts, timing)
        yield from _with_control(name, phase, rows, parts)
    yield from _with_control(name, "update", _update(name, stage, hardware, parts, states * samples), parts)


def _with_control(stage: str, phase: str, rows: dict[str, float], parts: Components) -> Iterator[Line]:
    for component, energy in rows.items():
        if energy:
            yield Line(stage, phase, component, energy)
    control = parts.control.share * sum(rows.values())
    if control:
        yield Line(stage, phase, "control", control)


def _reads(
    stage: StageActivity, counts: Counts, transposed: bool, hardware: Hardware, parts: Components, timing: Timing
) -> dict[str, float]:
    driven, outputs = (stage.columns, stage.rows) if transposed else (stage.rows, stage.columns)
    tile_in, tile_out = (
        (hardware.tile.columns, hardware.tile.rows) if transposed else (hardware.tile.rows, hardware.tile.columns)
    )
    beside, cells = -(-outputs // tile_out), min(tile_out, outputs) * cells_per_weight(hardware)
    if transposed and hardware.mapping.transpose == "digital":
        return _digital_transpose(counts, driven, outputs, hardware, parts)
    shared = hardware.architecture.columns_per_adc > 1
    array_J = counts.power_W * timing.period_s
    rows = {
        "array": array_J,
        "regulation": array_J * parts.driver.regulation(hardware.read.v_read_V),
        "driver": counts.vectors * driven * beside * parts.driver.energy_J(cells, hardware.read.v_read_V),
        "dac": counts.dac * parts.dac.energy_J(int(hardware.dac.bits)) if hardware.dac.levels else 0.0,
        "adc": counts.adc * parts.adc.energy_J(int(hardware.adc.bits)) if hardware.adc.levels else 0.0,
        "sample_and_hold": counts.adc * parts.sample_and_hold.energy_J if shared else 0.0,
        "amplifier": counts.sensed * parts.amplifier.energy_J,
    }
    if hardware.links == "analog":
        rows["neuron"] = counts.outputs * (parts.neuron.energy_J + parts.comparator.energy_J)
        return rows
    return rows | _digital(counts, driven, transposed, hardware, parts, timing)


def _digital(
    counts: Counts, driven: int, transposed: bool, hardware: Hardware, parts: Components, timing: Timing
) -> dict[str, float]:
    how = hardware.architecture
    add, multiply = (parts.alu.energy_J(operation, how.precision) for operation in ("add", "multiply"))
    inputs = counts.vectors * driven
    arithmetic = counts.outputs * add + inputs * multiply if transposed else 2 * counts.outputs * add
    bits_in = inputs * (int(hardware.dac.bits) if hardware.dac.levels else how.state_bits)
    bits_out = 2 * counts.outputs * how.state_bits
    if timing.blends:
        arithmetic += counts.outputs * 2 * (multiply + 2 * add)
        bits_in += bits_out
    return {
        "adder": (counts.sensed - counts.outputs) * parts.adder.energy_J,
        "alu": arithmetic,
        "buffer": (bits_in + bits_out) * parts.buffer.energy_per_bit_J,
        "network_on_chip": counts.outputs * how.state_bits * parts.network_on_chip.energy_per_bit_J,
    }


def _digital_transpose(
    counts: Counts, driven: int, outputs: int, hardware: Hardware, parts: Components
) -> dict[str, float]:
    # No read: a multiply-accumulate a weight and vector, both ends of it through the buffer.
    how = hardware.architecture
    each = parts.alu.energy_J("multiply", how.precision) + parts.alu.energy_J("add", how.precision)
    bits = counts.vectors * (driven + outputs) * how.state_bits
    return {"alu": counts.vectors * driven * outputs * each, "buffer": bits * parts.buffer.energy_per_bit_J}


def _update(
    name: str, stage: StageActivity, hardware: Hardware, parts: Components, states: int
) -> dict[str, float]:
    how, written, law = hardware.architecture, stage.write, hardware.device.update
    copies = how.replicas_of(name)
    line_cells = max(hardware.tile.rows, hardware.tile.columns) * cells_per_weight(hardware)
    rows_at_once = min(hardware.tile.rows, stage.rows) if hardware.update.in_place else 1
    lines = copies * written.slots * stage.tiles * (rows_at_once + min(hardware.tile.columns, stage.columns))
    rows = {
        "pulses": copies * written.pulses * ((law.energy_per_pulse_J or 0.0) if law else 0.0),
        "pulse_generator": lines * parts.driver.energy_J(line_cells, parts.pulse_generator.voltage_V),
    }
    if not written.vectors:
        return rows
    each = parts.alu.energy_J("multiply", how.precision) + parts.alu.energy_J("add", how.precision)
    weights = stage.rows * stage.columns
    operands = written.vectors * (stage.rows + stage.columns) * how.state_bits
    rows["alu"] = written.vectors * weights * each
    rows["buffer"] = (operands + weights * _GRADIENT_BITS) * parts.buffer.energy_per_bit_J
    if hardware.links == "analog":
        rows["edge"] = 2 * states * parts.adc.energy_J(how.update_converter_bits)
    return rows
