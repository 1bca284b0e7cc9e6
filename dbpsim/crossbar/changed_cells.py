"""Effective conductances after a few cells have changed: k solves, one for each changed cell, in place of one for each row.

A cell c that goes from g to g + d takes the current d w_c more, w_c the voltage across it then: a source of -d w_c beside the old
cell.  With Z[c, k] the voltage across c for 1 A beside k, and x[c, i] that for 1 V on row i, in the old array,

    w = x - Z D w,    G_eff'[i, :] = G_eff[i, :] - sum over c of d_c w[c, i] o[c, :],    D = diag(d)

(Woodbury's formula by its circuit).  o, the currents out of the columns for 1 A beside c, comes from the same solve as Z, and
x by reciprocity as minus the currents into the rows.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.wires import Wires, checked, effective_conductance, solve_network

_SHARE = 0.2  # of the shorter side; with more cells a solve anew is faster (measured: from 0.12 at 64 and 256 to 0.25 at 128)
_AT_ONCE = 16  # changed cells whose node voltages are held together


def updated_effective_conductance(
    conductances: np.ndarray, effective: np.ndarray, cells: tuple[np.ndarray, np.ndarray], values: np.ndarray, wires: Wires
) -> np.ndarray:
    """Return `effective_conductance` of the array whose `cells` have changed to `values`.

    Chips solve every tile they write anew: an update depends on what came before it by its rounding, and a resumed
    run has to give the same bits.

    Parameters
    ----------
    conductances : array (rows, columns), S
        Before the change.
    effective : array (rows, columns), S
        Their effective conductances behind `wires`.
    cells : two arrays of int, shape (changed,)
        Rows and columns of the changed cells, each cell once.
    values : array (changed,), S
        Their conductances now.
    wires : Wires

    Raises
    ------
    ValueError
        For shapes that do not match, cells outside the array or named twice, and conductances below 0.

    Examples
    --------
    >>> g, wires = np.full((2, 3), 1e-3), Wires(1, 1)
    >>> changed = updated_effective_conductance(g, np.zeros((2, 3)), ([0], [1]), [2e-3], wires)
    >>> changed.shape
    (2, 3)
    """
    g = checked(conductances)
    rows, columns = (np.asarray(where, dtype=np.int64) for where in cells)
    new = np.asarray(values, dtype=np.float64)
    if np.shape(effective) != g.shape or rows.shape != columns.shape or rows.shape != new.shape or new.ndim != 1:
        raise ValueError(
            f"wires: effective conductances {np.shape(effective)} of cells {g.shape}, changed rows {rows.shape}, columns "
            f"{columns.shape}, values {new.shape}: accepted are the shape of the cells, and three of (changed,)"
        )
    if not ((rows >= 0) & (rows < g.shape[0]) & (columns >= 0) & (columns < g.shape[1])).all():
        raise ValueError(f"wires: changed cells outside the array: accepted is below {len(g)}, {g.shape[1]}")
    if len(np.unique(rows * g.shape[1] + columns)) < len(rows):
        raise ValueError("wires: a changed cell is named twice")
    after = g.copy()
    after[rows, columns] = new
    checked(after)
    if len(new) > _SHARE * min(g.shape):
        return effective_conductance(after, wires)
    if not len(new):
        return np.array(effective, dtype=np.float64)
    across, out, into = np.empty((len(new), len(new))), np.empty((len(new), g.shape[1])), np.empty((len(new), g.shape[0]))
    for first in range(0, len(new), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        count = len(new[some])
        source = np.zeros((count, *g.shape))
        source[np.arange(count), rows[some], columns[some]] = 1
        found = solve_network(g, np.zeros((count, len(g))), wires, True, source)
        across[:, some] = (found.row_voltages - found.column_voltages)[:, rows, columns].T
        out[some], into[some] = found.currents, found.into
    change = new - g[rows, columns]
    voltages = np.linalg.solve(np.eye(len(new)) + across * change, -into)
    return np.asarray(effective - (change[:, None] * voltages).T @ out)
