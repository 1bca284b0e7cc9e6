"""Two-dimensional convolutions of NHWC images with weights (kh, kw, in, out), and their two adjoints.

    u[n, i, j, o] = sum over p, q, c of w[p, q, c, o] a[n, i s - pad + p, j s - pad + q, c]

3x3 kernels at stride 1 in float32 go by Winograd's algorithm, everything else by im2col.
"""

from __future__ import annotations

import numpy as np

from dbpsim.kernels import im2col, threads, winograd
from dbpsim.kernels.im2col import Pair, Shape4

threads.limit_scipy_blas()  # both algorithms multiply inside Numba's threads


def convolve(a: np.ndarray, w: np.ndarray, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> np.ndarray:
    """Return u = W * a, shape (N, OH, OW, out)."""
    if winograd.suits(a.shape, w.shape[:2], w.shape[3], stride, padding, a.dtype):
        return winograd.convolve(a, w, padding)
    return im2col.convolve(a, w, stride, padding)


def convolve_transposed(
    d: np.ndarray, w: np.ndarray, input_shape: Shape4, stride: Pair, padding: Pair
) -> np.ndarray:
    """Return W^T d, shape `input_shape`."""
    if winograd.suits(input_shape, w.shape[:2], w.shape[3], stride, padding, d.dtype):
        return winograd.convolve_transposed(d, w, padding)
    return im2col.convolve_transposed(d, w, input_shape, stride, padding)


def convolve_outer(d: np.ndarray, a: np.ndarray, kernel_shape: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return dC/dW, shape (kh, kw, in, out): the sum over the batch and all positions of d a^T."""
    if winograd.suits(a.shape, kernel_shape, d.shape[3], stride, padding, d.dtype):
        return winograd.convolve_outer(d, a, padding)
    return im2col.convolve_outer(d, a, kernel_shape, stride, padding)
