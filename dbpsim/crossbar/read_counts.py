"""What a number of reads of one matrix takes, from its shape and the hardware alone.

    outputs = vectors x sensed lines              sensed, adc: one an output and stack of tiles, with digital links
    dac     = vectors x driven lines x tiles beside one another: each has its own converters in front

A transposed product that is digital arithmetic (mapping.transpose = "digital") has vectors and outputs, and reads nothing.

Run and expectation both count by this function, so they cannot differ.
"""

from __future__ import annotations

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import tile_count


def read_counts(
    shape: tuple[int, int], hardware: Hardware, transposed: bool, vectors: int, power_W: float = 0.0, saturated: int = 0,
    lost: int = 0,
) -> Counts:  # fmt: skip
    """Return the counts of `vectors` reads in one direction of a matrix of `shape` (rows, columns).

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> counts = read_counts((600, 10), load_hardware("pcm"), False, 4)  # three tiles, one below another
    >>> counts.outputs, counts.sensed, counts.dac, counts.adc
    (40, 120, 2400, 120)
    """
    rows, columns = shape
    down, across = tile_count(shape, hardware.tile)
    driven, outputs = (columns, rows) if transposed else (rows, columns)
    beside, stacked = (down, across) if transposed else (across, down)
    if transposed and hardware.mapping.transpose == "digital":
        return Counts(vectors=vectors, outputs=vectors * outputs)
    return Counts(
        vectors=vectors,
        outputs=vectors * outputs,
        sensed=vectors * outputs * (stacked if hardware.links == "digital" else 1),
        dac=vectors * driven * beside if hardware.dac.levels else 0,
        adc=vectors * outputs * stacked if hardware.adc.levels else 0,
        power_W=power_W,
        saturated=saturated,
        lost=lost,
    )
