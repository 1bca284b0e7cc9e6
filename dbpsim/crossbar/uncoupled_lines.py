"""Wires to first order in the coupling of word lines and bit lines: closed form, without a solve.

A word line whose bit lines are at 0 V is a ladder of cells to ground, and so is a bit line whose word lines are at 0 V.  With

    alpha_ij    voltage at cell (i, j) of its word line, for 1 V of its driver
    beta_ij     share of a current that enters bit line j at cell (i, j) which reaches its sense
    Z_j(i, k)   voltage of bit line j at row k for 1 A that enters at row i

of those ladders the array is, when every current that a bit line turns back is counted once,

    G_eff_ij = alpha_ij G_ij beta_ij
    Y_ii     = 1 / (R_driver + R of the ladder),    less    sum_j alpha_ij G_ij Z_j(i, k) G_kj alpha_kj    from all Y_ik

Exact where word or bit lines have no resistance of their own; else the error is of the order of (loss along word lines) x
(loss along bit lines).  G_eff against the exact solve, |difference| / |G_eff| over the matrix, cells of 0 to 25 uS (uniform), by
ohm a segment, without resistance at the ends (`tests/crossbar/test_uncoupled_lines.py` holds it); the source power of inputs of
random sign is two orders closer or more:

    array        0.1 ohm    0.5 ohm      2 ohm      5 ohm     (loss of |G_eff| at 2 ohm)
    32 x 32       2.2e-7     5.5e-6     8.7e-5     5.2e-4      0.019
    64 x 64       3.4e-6     8.2e-5     1.2e-3     6.7e-3      0.070
    128 x 128     5.0e-5     1.2e-3     1.4e-2     5.6e-2      0.23
    256 x 256     7.2e-4     1.4e-2     9.8e-2     2.1e-1      0.53

Ladders: Kirchhoff's laws; the product is our own arrangement of them.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.wires import Wires, checked


def _ladder(cells: np.ndarray, segment_ohm: float, end_ohm: float) -> tuple[np.ndarray, np.ndarray]:
    # Lines along the second axis, driven from its start: voltages for 1 V, and what is seen from each node away from the end (S).
    away = np.array(cells, np.float64)
    for j in range(away.shape[1] - 2, -1, -1):
        away[:, j] += away[:, j + 1] / (1 + segment_ohm * away[:, j + 1])
    voltages = 1 / (1 + segment_ohm * away)
    voltages[:, 0] = 1 / (1 + (end_ohm + segment_ohm) * away[:, 0])
    return np.cumprod(voltages, axis=1), away


def _words(conductances: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray]:
    return _ladder(conductances, wires.r_segment_row_ohm, wires.r_driver_ohm)


def _bits(conductances: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray]:
    shares, away = _ladder(conductances[::-1].T, wires.r_segment_column_ohm, wires.r_sense_ohm)
    return shares.T[::-1], away.T[::-1]


def first_order_conductance(conductances: np.ndarray, wires: Wires, transposed: bool = False) -> np.ndarray:
    """Return G_eff (rows, columns) S to first order; like `dbpsim.crossbar.wires.effective_conductance`.

    Examples
    --------
    >>> float(first_order_conductance(np.array([[1e-3]]), Wires(100, 200, 300, 400))[0, 0].round(9))
    0.000446429
    """
    g = checked(conductances)
    if transposed:
        wires = Wires(wires.r_segment_row_ohm, wires.r_segment_column_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
    return _words(g, wires)[0] * g * _bits(g, wires)[0]


def first_order_admittance(conductances: np.ndarray, wires: Wires) -> np.ndarray:
    """Return Y (rows, rows) S to first order: currents into the rows for voltages of their drivers."""
    g = checked(conductances)
    alpha, away = _words(g, wires)
    into = away[:, 0] / (1 + (wires.r_driver_ohm + wires.r_segment_row_ohm) * away[:, 0])
    beta, upward = _bits(g, wires)
    segment, toward = wires.r_segment_column_ohm, np.empty_like(g)  # what a node sees on its side of the sense (S)
    toward[-1] = 1 / (segment + wires.r_sense_ohm)
    for i in range(len(g) - 2, -1, -1):
        below = toward[i + 1] + g[i + 1]
        toward[i] = below / (1 + segment * below)
    # Z(i, k) = Z(k, k) beta_i / beta_k for a row i above k
    entering = alpha * g
    turned_back = np.triu((entering * beta) @ (entering / (beta * (upward + toward))).T)
    return np.diag(into) - turned_back - np.triu(turned_back, 1).T
