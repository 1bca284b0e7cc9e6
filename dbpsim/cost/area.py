"""Square metres of silicon, by stage and component.

A stage is its tiles, `replicas` times, each with

    array              rows x columns x cells a weight x area of a cell
    driver             a line driver for every row and every column: both are driven, one in each direction
    dac                a converter a line
    adc                one for `columns_per_adc` of the longer side: a read in either direction uses the same ones
    sample_and_hold    one a sensed line, where converters are shared
    amplifier          one for every line of the longer side
    neuron             analog links: the circuit, one a line of the longer side; positions take turns on it
    adder, alu         digital links: an adder a line and tile; `units` multiply-accumulators a stage where products are digital
    pulse_generator    one a line
    network_on_chip    its share for a tile

and what holds the states x and z of every position of the samples in flight (one; with a pipeline, one a stage):

    states             analog links: two capacitors a neuron and position;  digital links: 2 x state_bits of buffer; half of
                       that for a number of the input, which is clamped

and `control`, a share of it all.  DRAM is another chip.  Nothing here is a floor plan: no routing, no pads, no utilisation.
"""

from __future__ import annotations

from collections.abc import Mapping

from dbpsim.cost.components import Components
from dbpsim.crossbar.activity import Activity, StageActivity
from dbpsim.crossbar.hardware import Hardware
from dbpsim.network.graph import INPUT


def area(
    hardware: Hardware, activity: Activity, parts: Components, states: Mapping[str, int], *, pipelined: bool = False
) -> dict[str, dict[str, float]]:
    """Return ``area[stage][component]`` (m2).

    Parameters
    ----------
    states : mapping of str to int
        Neurons of every stage, all positions of one sample; stages without an array have states too.
    pipelined : bool
        Whether there is a sample in flight for every stage.
    """
    out = {name: _tiles(name, stage, hardware, parts) for name, stage in activity.stages.items()}
    flights = max(1, len(activity.stages)) if pipelined else 1
    for name, count in states.items():
        held = count / 2 if name == INPUT else count
        out.setdefault(name, {})["states"] = flights * held * state_area_m2(hardware, parts)
    for row in out.values():
        control = parts.control.share * sum(row.values())
        if control:
            row["control"] = control
    return out


def state_area_m2(hardware: Hardware, parts: Components) -> float:
    """Area of the two states of one neuron and position (m2)."""
    if hardware.links == "analog":
        return 2 * parts.neuron.capacitor_area_m2
    return 2 * hardware.architecture.state_bits * parts.buffer.area_per_bit_m2


def _tiles(name: str, stage: StageActivity, hardware: Hardware, parts: Components) -> dict[str, float]:
    how, tile = hardware.architecture, hardware.tile
    tiles = stage.tiles * how.replicas_of(name)
    rows, columns = min(tile.rows, stage.rows), min(tile.columns, stage.columns)
    lines, longer = rows + columns, max(rows, columns)
    # slices of a weight and a replica for the way back are tiles of their own in `stage.tiles`
    cells = rows * columns * (1 if hardware.mapping.scheme == "offset_column" else 2)
    each = {
        "array": cells * parts.array.area_m2,
        "driver": lines * parts.driver.area_m2,
        "amplifier": longer * parts.amplifier.area_m2,
        "pulse_generator": lines * parts.pulse_generator.area_m2,
    }
    if hardware.dac.levels:
        each["dac"] = lines * parts.dac.area_m2(int(hardware.dac.bits))
    if hardware.adc.levels:
        each["adc"] = -(-longer // how.columns_per_adc) * parts.adc.area_m2(int(hardware.adc.bits))
        if how.columns_per_adc > 1:
            each["sample_and_hold"] = longer * parts.sample_and_hold.area_m2
    if hardware.links == "analog":
        each["neuron"] = longer * (parts.neuron.area_m2 + parts.comparator.area_m2)
    else:
        each["adder"] = longer * parts.adder.area_m2
        each["network_on_chip"] = parts.network_on_chip.area_m2
    out = {component: tiles * value for component, value in each.items()}
    if hardware.links == "digital" or stage.write.vectors:
        out["alu"] = parts.alu.units * parts.alu.area_m2
    return out
