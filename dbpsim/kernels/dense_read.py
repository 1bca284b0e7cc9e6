"""A read of one array by a batch of vectors, from numbers to numbers, in one pass.

    v = DAC(a),    u = W v,    S v^2,    ADC(u + sqrt(S v^2) z)

`BLOCK_ROWS` vectors at a time, all of it by one thread: digitising, both products, noise and conversion stay in that core's
cache, and the threads meet once a read instead of once a step of it.  The steps are those of `dbpsim.kernels.readout`,
with the same random numbers and every range the vector's own.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.normals import BLOCK, fill_normals
from dbpsim.kernels.policy import parallel_kernel
from dbpsim.kernels.readout import ROUNDER, add_noise, largest, quantise

BLOCK_ROWS = 64


@parallel_kernel
def _read_dense(a, weights, variance, noisy, dac_levels, adc_levels, rounder, key, out, squares, lost):
    samples, lines = a.shape
    outputs = weights.shape[1]
    for block in prange((samples + BLOCK_ROWS - 1) // BLOCK_ROWS):
        first = block * BLOCK_ROWS
        last = min(samples, first + BLOCK_ROWS)
        v = np.empty((last - first, lines), a.dtype)
        v2 = np.empty((last - first, lines), a.dtype)
        for s in range(first, last):
            row, square = v[s - first], v2[s - first]
            reach = np.float64(largest(a[s]))
            quantise(a[s], a.dtype.type(reach), dac_levels, rounder, False, row)
            share = 1.0 / (reach * reach) if reach > 0 else 0.0
            for i in range(lines):
                square[i] = row[i] * row[i]
                squares[block, i] += share * np.float64(row[i]) * np.float64(row[i])
        mean = np.dot(v, weights)
        spread = np.dot(v2, variance) if noisy else mean
        z = np.empty(BLOCK, np.float32)
        for s in range(first, last):
            u = mean[s - first]
            if noisy:
                start = s * (outputs // 2 + 1)
                for i in range(0, outputs, BLOCK):
                    count = min(BLOCK, outputs - i)
                    fill_normals(key, start + i // 2, z[: count + count % 2])
                    add_noise(u[i : i + count], spread[s - first, i : i + count], z)
            _, lost[s] = quantise(u, largest(u), adc_levels, rounder, False, out[s])


def read_dense(
    a: np.ndarray, weights: np.ndarray, variance: np.ndarray | None, key: np.uint64, dac_levels: int, adc_levels: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Read `weights` by the vectors `a`.

    Parameters
    ----------
    a : array, shape (vectors, lines), contiguous
    weights, variance : arrays, shape (lines, outputs), contiguous either way; variance None without noise
    key : uint64
        Names the stream of this read.
    dac_levels, adc_levels : int
        As in `readout.digitise`, above 0.

    Returns
    -------
    out : array, shape (vectors, outputs)
    squares : array, shape (lines,)
        Sum over vectors of (input / full scale)^2, float64.
    lost : int
        Results other than zero that were read as zero.

    Examples
    --------
    >>> out, squares, lost = read_dense(np.array([[1.0, -2.0]]), np.array([[3.0], [1.0]]), None, np.uint64(0), 2, 7)
    >>> out.tolist(), squares.tolist(), lost
    ([[1.0]], [0.25, 1.0], 0)
    """
    kind, blocks = a.dtype.type, -(-len(a) // BLOCK_ROWS)
    squares, lost = np.zeros((blocks, a.shape[1])), np.zeros(len(a), np.int64)
    out = empty((len(a), weights.shape[1]), a.dtype)
    noisy = variance is not None
    levels = kind(dac_levels), kind(adc_levels)
    _read_dense(a, weights, variance if noisy else weights, noisy, *levels, ROUNDER[a.dtype], key, out, squares, lost)
    return out, squares.sum(axis=0), int(lost.sum())
