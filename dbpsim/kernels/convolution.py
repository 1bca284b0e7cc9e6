"""Two-dimensional convolutions of NHWC images with weights (kh, kw, in, out), and their two adjoints."""

from __future__ import annotations

import numpy as np

from dbpsim.kernels.im2col import Pair, fold, output_size, patches
from dbpsim.kernels.memory import empty


def convolve(a: np.ndarray, w: np.ndarray, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> np.ndarray:
    """Return u = W * a, shape (N, OH, OW, out)."""
    kh, kw, _, out = w.shape
    oh, ow = output_size(a.shape[1:3], (kh, kw), stride, padding)
    u = empty((len(a), oh, ow, out), a.dtype)
    np.matmul(patches(a, (kh, kw), stride, padding), w.reshape(-1, out), out=u.reshape(-1, out))
    return u


def convolve_transposed(
    d: np.ndarray, w: np.ndarray, input_shape: tuple[int, int, int, int], stride: Pair, padding: Pair
) -> np.ndarray:
    """Return W^T d, shape `input_shape`."""
    kh, kw, c, out = w.shape
    flat = d.reshape(-1, out)
    rows = empty((len(flat), kh * kw * c), d.dtype)
    np.matmul(flat, w.reshape(-1, out).T, out=rows)
    return fold(rows, input_shape, (kh, kw), stride, padding)


def convolve_outer(d: np.ndarray, a: np.ndarray, kernel_shape: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return dC/dW, shape (kh, kw, in, out)."""
    rows = patches(a, kernel_shape, stride, padding)
    return (rows.T @ d.reshape(len(rows), -1)).reshape(*kernel_shape, a.shape[-1], d.shape[-1])
