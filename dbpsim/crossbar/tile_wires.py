"""One tile behind its wires: conductances from the ends of its lines, and what its sources give.

An array with wires is a linear network, so for fixed cells a read is a product again (`dbpsim.crossbar.wires`):

    I = G_eff^T V      currents sensed, one matrix a direction
    J = Y V            currents that the driven lines take;    power of the sources = V^T Y V = cells + wires + drivers

Both come from solves with one driven line, or pair, at 1 V; where drivers and senses are alike one G_eff does for both
directions, by reciprocity.  Layout: `dbpsim.crossbar.wire_resistance`.

Noise.  A cell's sigma counts as what the cell itself counts, G_eff / G of its own place, at most 1:

    dI_k / dG_ij = (voltage across the cell) x (share of its current that reaches sense k)  ~  V_i G_eff_ij / G_ij,  k = j

which leaves out that other inputs raise the bit line below a cell, and the current of a cell that strays to other senses:
both are of the order of the loss squared for inputs of random sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.uncoupled_lines import UncoupledLines
from dbpsim.crossbar.wires import Wires, effective_conductance, end_currents


@dataclass(frozen=True)
class Ends:
    """What a tile is from the ends of its lines, float64.

    Attributes
    ----------
    plus, minus : arrays, shape (rows, columns)
        Conductances (S) between the ends; `minus` of an offset column has shape (rows, 1).
    admittance : array, shape (driven, driven), or (driven,)
        Currents (A) into the driven lines for 1 V on one of them: rows, or columns (pairs) when transposed; to first order
        only into that one.
    """

    plus: np.ndarray
    minus: np.ndarray
    admittance: np.ndarray


def between_ends(
    plus: np.ndarray, minus: np.ndarray, wires: Wires, directions: Iterable[bool] = (False,), method: str = "exact"
) -> dict[bool, Ends]:
    """Return what the cells `plus`, `minus` (rows, columns) S of a tile come to, by direction: True where transposed.

    Of an offset column `minus` is (rows, 1), its reference.  Methods: those of `dbpsim.crossbar.wire_resistance`.

    Examples
    --------
    >>> found = between_ends(np.array([[1e-3]]), np.array([[5e-4]]), Wires(1, 1, 499, 499))[False]
    >>> found.plus.round(6).tolist(), found.admittance.shape
    ([[0.000435]], (1, 1))
    """
    columns = plus.shape[1]
    paired = minus.shape[1] == columns
    cells = np.stack([plus, minus], axis=2).reshape(len(plus), -1) if paired else np.concatenate([plus, minus], axis=1)
    cells = np.maximum(cells, 0, dtype=np.float64)  # frozen read noise may push what reads see of a small one below zero
    found, solve = {}, _first_order if method == "first_order" else _exact
    for transposed, (seen, admittance) in solve(cells, wires, tuple(directions), *_driven(cells.shape[1], paired)):
        sides = (seen[:, 0::2], seen[:, 1::2]) if paired else (seen[:, :columns], seen[:, columns:])
        found[transposed] = Ends(*sides, admittance)
    return found


def _driven(lines: int, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    # The bit lines that inputs of transposed reads put +V and -V on: those of a pair, or one and the reference.
    if paired:
        return np.arange(0, lines, 2), np.arange(1, lines, 2)
    return np.arange(lines - 1), np.full(lines - 1, lines - 1)


Solved = Iterator[tuple[bool, tuple[np.ndarray, np.ndarray]]]


def _exact(cells: np.ndarray, wires: Wires, directions: tuple[bool, ...], up: np.ndarray, down: np.ndarray) -> Solved:
    seen, reciprocal = None, wires.r_driver_ohm == wires.r_sense_ohm
    if False in directions:
        seen, admittance = end_currents(cells, np.eye(len(cells)), wires)
        yield False, (seen, admittance)
    if True in directions:  # the array turned over: its bit lines come in from the left
        drives = np.zeros((len(up), cells.shape[1]))
        drives[np.arange(len(up)), up], drives[np.arange(len(up)), down] = 1, -1
        turned = Wires(wires.r_segment_column_ohm, wires.r_segment_row_ohm, wires.r_driver_ohm, wires.r_sense_ohm)
        taken = end_currents(cells[::-1, ::-1].T, drives[:, ::-1], turned)[1][:, ::-1]
        known = seen if reciprocal and seen is not None else effective_conductance(cells, wires, transposed=True)
        yield True, (known, taken[:, up] - taken[:, down])


def _first_order(cells: np.ndarray, wires: Wires, directions: tuple[bool, ...], up: np.ndarray, down: np.ndarray) -> Solved:
    lines = UncoupledLines(cells, wires)
    for transposed in directions:
        yield transposed, (lines.conductance(transposed), lines.into_bits(up, down) if transposed else lines.into_words())


def noise_share(seen: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return what the sigma of cells that hold `held` S and are seen as `seen` S is multiplied by."""
    return np.clip(np.divide(seen, held, out=np.ones_like(seen), where=held > 0), 0, 1)
