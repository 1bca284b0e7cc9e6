"""Wires to first order in the coupling of word lines and bit lines: closed form, without a solve.

A word line whose bit lines are at 0 V is a ladder of cells to ground, and so is a bit line whose word lines are at 0 V.  With

    alpha_ij    voltage at cell (i, j) of its word line, for 1 V of its driver
    beta_ij     share of a current that enters bit line j at cell (i, j) which reaches its sense
    Z_j(i, k)   voltage of bit line j at row k for 1 A that enters at row i

of those ladders the array is, when every current that a line of the other family turns back is counted once,

    G_eff_ij = alpha_ij G_ij beta_ij
    Y_ii     = 1 / (R_driver + R of the ladder) - sum_j alpha_ij G_ij Z_j(i, i) G_ij alpha_ij

Exact where word or bit lines have no resistance of their own; else the error is of the order of (loss along word lines) x
(loss along bit lines).  G_eff against the exact solve, |difference| / |G_eff| over the matrix, cells of 0 to 25 uS (uniform), by
ohm a segment, without resistance at the ends (`tests/crossbar/test_uncoupled_lines.py` holds it):

    array        0.1 ohm    0.5 ohm      2 ohm      5 ohm     (loss of |G_eff| at 2 ohm)
    32 x 32       2.2e-7     5.5e-6     8.7e-5     5.2e-4      0.019
    64 x 64       3.4e-6     8.2e-5     1.2e-3     6.7e-3      0.070
    128 x 128     5.0e-5     1.2e-3     1.4e-2     5.6e-2      0.23
    256 x 256     7.2e-4     1.4e-2     9.8e-2     2.1e-1      0.53

Y_ii, the current into a line whose driver alone is at 1 V, is two orders closer or more.  Of the source power it gives the mean
over inputs of random sign; inputs of one sign take less, by up to the loss along the lines that are sensed.

Ladders: Kirchhoff's laws; the product is our own arrangement of them.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.wires import Wires, checked
from dbpsim.kernels.ladders import ladders, toward_end

_LEAST = 1e-200  # of a voltage: an end that far away neither gives nor takes


class UncoupledLines:
    """Word lines and bit lines of an array, each family with the other at 0 V.

    Parameters
    ----------
    conductances : array, shape (rows, columns)
        S.
    wires : Wires

    Examples
    --------
    >>> lines = UncoupledLines(np.array([[1e-3]]), Wires(100, 200, 300, 400))
    >>> float(lines.conductance()[0, 0].round(9)), float(lines.into_words()[0].round(9))
    (0.000446429, 0.000522959)
    """

    def __init__(self, conductances: np.ndarray, wires: Wires) -> None:
        self.g, self.wires = checked(conductances), wires
        word = ladders(np.ascontiguousarray(self.g.T), wires.r_segment_row_ohm)
        bit = ladders(np.ascontiguousarray(self.g[::-1]), wires.r_segment_column_ohm)
        self._word_away, self._word_fall = (x.T for x in word)
        self._bit_away, self._bit_fall = (x[::-1] for x in bit)

    def conductance(self, transposed: bool = False) -> np.ndarray:
        """Return G_eff (rows, columns) S; like `dbpsim.crossbar.wires.effective_conductance`."""
        return self._alpha(transposed) * self.g * self._beta(transposed)

    def into_words(self) -> np.ndarray:
        """Return Y_ii (rows,) S: the current into a word line for 1 V of its driver alone."""
        word_end, bit_end = self._ends(False)
        below = toward_end(np.ascontiguousarray(self.g[::-1]), self.wires.r_segment_column_ohm, bit_end)[::-1]
        away, entering = self._word_away[:, 0], self._alpha(False) * self.g
        return away / (1 + word_end * away) - (entering**2 / (self._bit_away + below)).sum(axis=1)

    def into_bits(self, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Return the power (W) of +1 V and -1 V on two bit lines alone, in transposed reads: `up` and, further right, `down`."""
        word_end, bit_end = self._ends(True)
        left = toward_end(np.ascontiguousarray(self.g.T), self.wires.r_segment_row_ohm, word_end).T
        away, entering = self._bit_away[-1], self._beta(True) * self.g
        raised = entering / (self._word_away + left)  # voltage of a word line where the current of one bit line enters
        alone = away / (1 + bit_end * away) - (entering * raised).sum(axis=0)
        further = self._word_fall[:, down] / np.maximum(self._word_fall[:, up], _LEAST)
        return alone[up] + alone[down] + 2 * (raised[:, up] * further * entering[:, down]).sum(axis=0)

    def _ends(self, transposed: bool) -> tuple[float, float]:
        # Resistance (ohm) of the ends of word lines and of bit lines, with the segment there.
        ends = self.wires.r_driver_ohm, self.wires.r_sense_ohm
        word, bit = ends[::-1] if transposed else ends
        return word + self.wires.r_segment_row_ohm, bit + self.wires.r_segment_column_ohm

    def _alpha(self, transposed: bool) -> np.ndarray:
        return self._word_fall / (1 + self._ends(transposed)[0] * self._word_away[:, :1])

    def _beta(self, transposed: bool) -> np.ndarray:
        return self._bit_fall / (1 + self._ends(transposed)[1] * self._bit_away[-1:])
