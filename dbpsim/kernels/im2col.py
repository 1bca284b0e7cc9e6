"""Patches of images as rows of a matrix, and the adjoint: convolution as one matrix product.

Row (n, i, j) of ``patches`` holds the window under output position (i, j) of image n, in the order
(kernel row, kernel column, channel), which is the order of a weight reshaped to (kh kw C, out).
``fold`` adds the rows back where they came from.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import parallel_kernel

Pair = tuple[int, int]


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Return the number of output positions, vertical and horizontal."""
    return (
        (size[0] + 2 * padding[0] - kernel[0]) // stride[0] + 1,
        (size[1] + 2 * padding[1] - kernel[1]) // stride[1] + 1,
    )


@parallel_kernel
def _gather(a, kh, kw, sh, sw, ph, pw, oh, ow, out):
    n, h, w, c = a.shape
    for row in prange(n * oh):
        image, i = row // oh, row % oh
        for j in range(ow):
            for u in range(kh):
                y = i * sh + u - ph
                for v in range(kw):
                    x = j * sw + v - pw
                    if 0 <= y < h and 0 <= x < w:
                        out[row, j, u, v, :] = a[image, y, x, :]
                    else:
                        out[row, j, u, v, :] = 0


@parallel_kernel
def _scatter(rows, kh, kw, sh, sw, ph, pw, oh, ow, out):
    n, h, w, c = out.shape
    for image in prange(n):
        out[image] = 0
        for i in range(oh):
            for j in range(ow):
                for u in range(kh):
                    y = i * sh + u - ph
                    for v in range(kw):
                        x = j * sw + v - pw
                        if 0 <= y < h and 0 <= x < w:
                            for k in range(c):
                                out[image, y, x, k] += rows[image * oh + i, j, u, v, k]


def patches(a: np.ndarray, kernel_shape: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return the windows of `a` (N, H, W, C) as rows, shape (N OH OW, kh kw C).

    Examples
    --------
    >>> patches(np.arange(4.0).reshape(1, 2, 2, 1), (2, 2), (1, 1), (0, 0)).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    n, h, w, c = a.shape
    oh, ow = output_size((h, w), kernel_shape, stride, padding)
    kh, kw = kernel_shape
    out = empty((n * oh, ow, kh, kw, c), a.dtype)
    _gather(a, kh, kw, *stride, *padding, oh, ow, out)
    return out.reshape(n * oh * ow, kh * kw * c)


def fold(
    rows: np.ndarray, input_shape: tuple[int, int, int, int], kernel_shape: Pair, stride: Pair, padding: Pair
) -> np.ndarray:
    """Return the adjoint of `patches`: rows (N OH OW, kh kw C) added into an array of `input_shape`."""
    n, h, w, c = input_shape
    oh, ow = output_size((h, w), kernel_shape, stride, padding)
    kh, kw = kernel_shape
    out = empty(input_shape, rows.dtype)
    _scatter(rows.reshape(n * oh, ow, kh, kw, c), kh, kw, *stride, *padding, oh, ow, out)
    return out
