"""One tile behind its wires: conductances from the ends of its lines, and what its sources give.

An array with wires is a linear network, so for fixed cells a read is a product again (`dbpsim.crossbar.wires`):

    I = G_eff^T V      currents sensed, one matrix a direction
    J = Y V            currents that the driven lines take;    power of the sources = V^T Y V = cells + wires + drivers

Both come from one solve with each driven line at 1 V.  Layout: `dbpsim.crossbar.wire_resistance`.

Noise.  A cell's sigma counts as what the cell itself counts, G_eff / G of its own place, at most 1:

    dI_k / dG_ij = (voltage across the cell) x (share of its current that reaches sense k)  ~  V_i G_eff_ij / G_ij,  k = j

which leaves out that other inputs raise the bit line below a cell, and the current of a cell that strays to other senses:
both are of the order of the loss squared for inputs of random sign.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, reference_S
from dbpsim.crossbar.wires import Wires, end_currents

_PROBE = 32  # driven lines that are timed
_WORTH_A_PROBE = 20  # times the work of the probe: less than that is not worth an estimate


@dataclass(frozen=True)
class Ends:
    """What a tile is from the ends of its lines, float64.

    Attributes
    ----------
    plus, minus : arrays, shape (rows, columns)
        Conductances (S) between the ends; `minus` of an offset column has shape (rows, 1).
    admittance : array, shape (driven, driven)
        Currents (A) into the driven lines for 1 V on one of them: rows, or columns (pairs) when transposed.
    """

    plus: np.ndarray
    minus: np.ndarray
    admittance: np.ndarray


def between_ends(plus: np.ndarray, minus: np.ndarray, wires: Wires, transposed: bool) -> Ends:
    """Return what the cells `plus`, `minus` (rows, columns) S of a tile come to; `minus` (rows, 1) for a reference column.

    Examples
    --------
    >>> found = between_ends(np.array([[1e-3]]), np.array([[5e-4]]), Wires(1, 1, 499, 499), False)
    >>> found.plus.round(6).tolist(), found.admittance.shape
    ([[0.000453]], (1, 1))
    """
    rows, columns = plus.shape
    paired = minus.shape[1] == columns
    if paired:
        cells = np.stack([plus, minus], axis=2).reshape(rows, 2 * columns)
    else:
        cells = np.concatenate([plus, minus], axis=1)
    cells = np.maximum(cells, 0, dtype=np.float64)  # frozen read noise may push what reads see of a small one below zero
    if transposed:  # the array turned over: its bit lines come in from the left
        turned = Wires(wires.r_segment_column_ohm, wires.r_segment_row_ohm, wires.r_driver_ohm, wires.r_sense_ohm)
        sensed, taken = end_currents(np.ascontiguousarray(cells[::-1, ::-1].T), np.eye(cells.shape[1]), turned)
        seen, taken = sensed[::-1, ::-1].T, taken[::-1, ::-1]
    else:
        seen, taken = end_currents(cells, np.eye(rows), wires)
    split = (seen[:, 0::2], seen[:, 1::2]) if paired else (seen[:, :columns], seen[:, columns:])
    return Ends(*split, _of_pairs(taken, paired) if transposed else taken)


def _of_pairs(taken: np.ndarray, paired: bool) -> np.ndarray:
    # V^T Y V in terms of what drives a pair with +V, -V, or columns with V and their reference with minus the sum.
    if paired:
        return taken[0::2, 0::2] - taken[0::2, 1::2] - taken[1::2, 0::2] + taken[1::2, 1::2]
    return taken[:-1, :-1] - taken[:-1, -1:] - taken[-1:, :-1] + taken[-1, -1]


def noise_share(seen: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return what the sigma of cells that hold `held` S and are seen as `seen` S is multiplied by."""
    return np.clip(np.divide(seen, held, out=np.ones_like(seen), where=held > 0), 0, 1)


def solve_seconds(shapes: Iterable[tuple[int, int]], hardware: Hardware) -> tuple[int, float]:
    """Return how many tiles matrices of `shapes` (rows, columns) take and the time (s) that solving their wires takes here.

    The time is 0 where there are no wires or few cells; else a part of the largest tile, its cells at a quarter of the
    window, is solved and timed, and the rest goes as cells times driven lines.
    """
    if hardware.wires is None or not hardware.wired:
        return 0, 0.0
    tile, window, scheme = hardware.tile, hardware.device.conductance, hardware.mapping.scheme
    slices = hardware.mapping.slices if scheme == "bit_sliced" else 1
    sizes = []
    for shape in shapes:
        down, across = (blocks(size, step) for size, step in zip(shape, (tile.rows, tile.columns), strict=True))
        lines = [c.stop - c.start + 1 if scheme == "offset_column" else 2 * (c.stop - c.start) for c in across]
        sizes += [(r.stop - r.start, n) for r in down for n in lines] * slices
    work = sum(rows * lines * (rows + lines) for rows, lines in sizes)
    rows, lines = max(sizes, key=lambda size: size[0] * size[1])
    probe = rows * lines * min(rows, _PROBE)
    if work < _WORTH_A_PROBE * probe:
        return len(sizes), 0.0
    cells, resistances = np.full((rows, lines), 0.5 * (window.g_min_S + reference_S(window))), hardware.wires.resistances
    end_currents(cells[:2, :2], np.eye(2)[:, : min(rows, 2)], resistances)  # compiles
    start = time.perf_counter()
    end_currents(cells, np.eye(rows)[:_PROBE], resistances)
    return len(sizes), (time.perf_counter() - start) * work / probe
