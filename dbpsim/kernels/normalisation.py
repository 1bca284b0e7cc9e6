"""Per-channel sums and affine maps: biases, and the inner loops of batch normalisation.

Sums run over fixed blocks of rows, in float64, and the blocks are added in order: the result does not
depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.policy import parallel_kernel

_BLOCK_ROWS = 2048


@parallel_kernel
def _block_sums(a, b, rows):
    n, channels = a.shape
    blocks = (n + rows - 1) // rows
    sums = np.zeros((blocks, 2, channels))
    for block in prange(blocks):
        for i in range(block * rows, min((block + 1) * rows, n)):
            for c in range(channels):
                sums[block, 0, c] += a[i, c]
                sums[block, 1, c] += np.float64(a[i, c]) * b[i, c]
    return sums


@parallel_kernel
def _combine(a, b, alpha, beta, gamma, out):
    n, channels = a.shape
    for i in prange(n):
        for c in range(channels):
            out[i, c] = alpha[c] * a[i, c] + beta[c] * b[i, c] + gamma[c]


@parallel_kernel
def _add_bias(u, bias):
    n, channels = u.shape
    for i in prange(n):
        for c in range(channels):
            u[i, c] += bias[c]


def add_bias(u: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Add `bias` (channels,) to `u` (..., channels) in place and return it.

    Examples
    --------
    >>> add_bias(np.zeros((2, 2)), np.array([1.0, 2.0])).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    _add_bias(u.reshape(-1, u.shape[-1]), bias)
    return u


def channel_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (sum of a, sum of a b) over rows, shape (2, channels), float64.

    Examples
    --------
    >>> channel_sums(np.ones((3, 2)), np.full((3, 2), 2.0)).tolist()
    [[3.0, 3.0], [6.0, 6.0]]
    """
    return _block_sums(a, b, _BLOCK_ROWS).sum(axis=0)


def combine(
    a: np.ndarray, b: np.ndarray, alpha: np.ndarray, beta: np.ndarray, gamma: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Fill `out` with alpha a + beta b + gamma, the coefficients one a channel; return it."""
    _combine(a, b, alpha, beta, gamma, out)
    return out
