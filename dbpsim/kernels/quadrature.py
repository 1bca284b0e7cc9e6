"""Many times of v' = -v + g at once: sums over the nodes of a step, for every element of a state.

    out_k = decay_k v + q_k0 g_0 + sum_j q_kj g_j          error = sum_j estimate_j g_j

A product with a matrix of a handful of rows: bound by memory, and by the waking of threads where a library shares it out.
Here a block of elements is read once and stays in cache for all nodes.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import parallel_kernel, serial_twin

_BLOCK = 2048  # elements: all nodes of a block fit a core's cache
_SMALL = 1 << 21  # products, below which waking threads does not pay


@parallel_kernel
def _advance(q, decay, estimate, start, drive, drives, out, error):
    nodes, size = drives.shape
    for block in prange((size + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min(size, (block + 1) * _BLOCK)
        v, g, wrong = start[first:last], drive[first:last], error[first:last]
        for i in range(v.shape[0]):
            wrong[i] = estimate[0] * g[i]
        for k in range(nodes):
            at = out[k, first:last]
            for i in range(v.shape[0]):
                at[i] = decay[k] * v[i] + q[k, 0] * g[i]
        for j in range(nodes):
            known = drives[j, first:last]
            for i in range(v.shape[0]):
                wrong[i] += estimate[j + 1] * known[i]
            for k in range(nodes):
                at = out[k, first:last]
                for i in range(v.shape[0]):
                    at[i] += q[k, j + 1] * known[i]


_advance_serially = serial_twin(_advance)


def advance(
    q: np.ndarray, decay: np.ndarray, estimate: np.ndarray, start: np.ndarray, drive: np.ndarray, drives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (states at the nodes, error at the last).

    Parameters
    ----------
    q : array, shape (nodes, nodes + 1)
    decay : array, shape (nodes,)
    estimate : array, shape (nodes + 1,)
    start, drive : arrays, shape (...)
        State and drive at the beginning.
    drives : array, shape (nodes, ...)
        At the nodes; all of one dtype.

    Examples
    --------
    >>> states, error = advance(np.ones((1, 2)), np.zeros(1), np.array([1.0, -1.0]), np.ones(2), np.ones(2), np.ones((1, 2)))
    >>> states.tolist(), error.tolist()
    ([[2.0, 2.0]], [0.0, 0.0])
    """
    drives = np.ascontiguousarray(drives)
    flat = drives.reshape(len(drives), -1)
    out, error = empty(flat.shape, flat.dtype), empty(flat.shape[1:], flat.dtype)
    loops = _advance if flat.size * len(flat) > _SMALL else _advance_serially
    loops(q, decay, estimate, np.ascontiguousarray(start).reshape(-1), np.ascontiguousarray(drive).reshape(-1), flat, out, error)
    return out.reshape(drives.shape), error.reshape(start.shape)
