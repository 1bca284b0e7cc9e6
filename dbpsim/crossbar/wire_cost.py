"""What solving the wires of a chip will take, in seconds and bytes, before it is done.

    seconds    work x time of a probe / its work;    work = cells x driven lines, of all solves of all tiles
    bytes      of the largest tile: nodes x lanes x 3 vectors a thread, its cells and what comes out

The steps that a solve takes are those of the probe: a part of the largest tile, cells at a quarter of the window.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numba
import numpy as np

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, reference_S
from dbpsim.crossbar.wires import end_currents
from dbpsim.kernels.nodal_lanes import LANES

_PROBE = 32  # driven lines that are timed
_WORTH_A_PROBE = 20  # times the work of the probe: less than that is not worth an estimate
_VECTORS = 3  # of all nodes, that `kernels.nodal` keeps a thread

Shapes = Iterable[tuple[int, int]]


def _sizes(shapes: Shapes, hardware: Hardware) -> list[tuple[int, int, int]]:
    # (rows, bit lines, outputs) of every tile that has to be solved.
    if hardware.wires is None or not hardware.wired or hardware.wires.method != "exact":
        return []
    tile, mapping = hardware.tile, hardware.mapping
    found = []
    for shape in shapes:
        down, across = (blocks(size, step) for size, step in zip(shape, (tile.rows, tile.columns), strict=True))
        widths = [c.stop - c.start for c in across]
        found += [(r.stop - r.start, n + 1 if mapping.scheme == "offset_column" else 2 * n, n) for r in down for n in widths]
    return found * (mapping.slices if mapping.scheme == "bit_sliced" else 1)


def solve_seconds(shapes: Shapes, hardware: Hardware) -> tuple[int, float]:
    """Return how many tiles matrices of `shapes` (rows, columns) take and the time (s) that solving their wires takes here.

    The time is 0 where there are no wires, few cells, or nothing to solve.
    """
    sizes = _sizes(shapes, hardware)
    if not sizes:
        return 0, 0.0
    assert hardware.wires is not None
    resistances, window = hardware.wires.resistances, hardware.device.conductance
    # driven lines of the two reads, and once more the rows for the effective matrix of the second
    shared = hardware.mapping.transpose == "same" and resistances.r_driver_ohm == resistances.r_sense_ohm
    work = sum(rows * lines * (rows + columns + (0 if shared else rows)) for rows, lines, columns in sizes)
    rows, lines, _ = max(sizes, key=lambda size: size[0] * size[1])
    probe = rows * lines * min(rows, _PROBE)
    if work < _WORTH_A_PROBE * probe:
        return len(sizes), 0.0
    cells = np.full((rows, lines), 0.5 * (window.g_min_S + reference_S(window)))
    end_currents(cells[:2, :2], np.eye(2)[:, : min(rows, 2)], resistances)  # compiles
    start = time.perf_counter()
    end_currents(cells, np.eye(rows)[:_PROBE], resistances)
    return len(sizes), (time.perf_counter() - start) * work / probe


def solve_bytes(shapes: Shapes, hardware: Hardware) -> int:
    """Return the memory (bytes) that solving the largest tile takes for a moment; 0 where nothing is solved."""
    vectors = _VECTORS * LANES * numba.get_num_threads() + 6  # six of one number a node: cells, matrices of either side
    return max((8 * (rows * lines * vectors + 2 * (rows + lines) ** 2) for rows, lines, _ in _sizes(shapes, hardware)), default=0)
