"""Sums over the rows and over the columns of an array, in one pass, in float64.

`ROWS` rows at a time make one partial sum of the columns, which are then added in order: the same on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.policy import kernel, parallel_kernel, serial_twin

ROWS = 32
_LANES = 16
_SMALL = 1 << 16  # elements up to which one thread is quicker


@kernel
def _add_row(x, column_sums):
    # Sums in a strict order do not vectorise; 16 of them side by side do.
    lanes, total = np.zeros(_LANES), 0.0
    whole = x.shape[0] - x.shape[0] % _LANES
    for i in range(0, whole, _LANES):
        for k in range(_LANES):
            lanes[k] += x[i + k]
    for i in range(whole, x.shape[0]):
        total += x[i]
    for i in range(x.shape[0]):
        column_sums[i] += x[i]
    return total + lanes.sum()


@parallel_kernel
def _sums(x, row_sums, part_sums):
    for block in prange(part_sums.shape[0]):
        for i in range(block * ROWS, min(x.shape[0], (block + 1) * ROWS)):
            row_sums[i] = _add_row(x[i], part_sums[block])


_serial = serial_twin(_sums)


def line_sums(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of every row and of every column of `x`, float64.

    Examples
    --------
    >>> [sums.tolist() for sums in line_sums(np.array([[1.0, 2.0], [3.0, 4.0]]))]
    [[3.0, 7.0], [4.0, 6.0]]
    """
    row_sums, part_sums = np.zeros(len(x)), np.zeros((-(-len(x) // ROWS), x.shape[1]))
    (_sums if x.size > _SMALL else _serial)(x, row_sums, part_sums)
    return row_sums, part_sums.sum(axis=0)
