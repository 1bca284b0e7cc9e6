"""Random numbers that belong to cells: the same for a cell whoever asks, in whatever order, and never stored.

Number `call` of cell `i` in a stream is a hash of (key, call, i).  `CellRandom` looks like a NumPy generator to the
functions of `dbpsim.devices`, so a million cells can be drawn block by block, and again later, without a change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.policy import parallel_kernel
from dbpsim.kernels.random import bits, uniform


@parallel_kernel
def _normals_at(key, at, out):
    for i in prange(at.shape[0]):
        z = np.empty(2, np.float32)
        fill_normals(key, at[i] // 2, z)
        out[i] = z[at[i] % 2]


@parallel_kernel
def _uniforms_at(key, at, out):
    for i in prange(at.shape[0]):
        out[i] = uniform(key, at[i])


class CellRandom:
    """The random numbers of some cells.

    Parameters
    ----------
    key : uint64
        Names the stream.
    at : array of int
        Numbers of the cells.

    Examples
    --------
    >>> all_cells = CellRandom(np.uint64(3), np.arange(6)).standard_normal((2, 3))
    >>> one = CellRandom(np.uint64(3), np.array([4])).standard_normal(1)
    >>> bool(one[0] == all_cells[1, 1])
    True
    """

    def __init__(self, key: np.uint64, at: np.ndarray) -> None:
        self.key, self.at, self.calls = key, np.ascontiguousarray(at, np.int64).ravel(), 0

    def _next(self) -> np.uint64:
        self.calls += 1
        return np.uint64(bits(self.key, self.calls))

    def standard_normal(self, shape: Any = None, dtype: Any = np.float32) -> np.ndarray:
        """Return one standard normal number a cell, of `shape`, which has as many entries as there are cells."""
        out = empty(self.at.size, np.float32)
        _normals_at(self._next(), self.at, out)
        return out.reshape(self.at.size if shape is None else shape).astype(dtype, copy=False)

    def random(self, shape: Any = None, dtype: Any = np.float64) -> np.ndarray:
        """Return one number from (0, 1) a cell, of `shape`."""
        out = empty(self.at.size, np.float64)
        _uniforms_at(self._next(), self.at, out)
        return out.reshape(self.at.size if shape is None else shape).astype(dtype, copy=False)
