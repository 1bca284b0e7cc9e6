"""Patches of images as rows of a matrix, and the adjoint: convolution as one matrix product.

Row (n, i, j) of ``patches`` holds the window under output position (i, j) of image n, in the order
(kernel row, kernel column, channel), which is the order of a weight reshaped to (kh kw C, out).
``fold`` adds the rows back where they came from.

The convolutions never hold all patches (nine times the image for a 3x3 kernel): a thread cuts a few rows of
positions at a time into its own scratch and multiplies them there.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import kernel, parallel_kernel

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

_BLOCK_BYTES = 1 << 18  # patches a thread holds: a part of its own cache
_PARTIAL_BYTES = 32 << 20  # partial sums of a gradient alive at once


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Return the number of output positions, vertical and horizontal."""
    return (
        (size[0] + 2 * padding[0] - kernel[0]) // stride[0] + 1,
        (size[1] + 2 * padding[1] - kernel[1]) // stride[1] + 1,
    )


@kernel
def _gather_row(image, top, kh, kw, sw, pw, out):
    """Fill out (OW, kh, kw, C) with the windows whose first row is `top` of `image` (H, W, C)."""
    h, w, c = image.shape
    flat, target = image.reshape(-1), out.reshape(-1)
    run = kw * c
    for j in range(out.shape[0]):
        left = j * sw - pw
        for u in range(kh):
            y, place = top + u, (j * kh + u) * run
            if y < 0 or y >= h:
                for k in range(run):
                    target[place + k] = 0
            elif left >= 0 and left + kw <= w:  # a row of the window is one run of memory
                start = (y * w + left) * c
                for k in range(run):
                    target[place + k] = flat[start + k]
            else:
                for v in range(kw):
                    x = left + v
                    for k in range(c):
                        out[j, u, v, k] = image[y, x, k] if 0 <= x < w else 0


@kernel
def scatter_row(rows, top, sw, pw, image):
    """Add rows (OW, kh, kw, C) to the windows they stand for; the adjoint of `_gather_row`."""
    h, w, c = image.shape
    _, kh, kw, _ = rows.shape
    flat, source = image.reshape(-1), rows.reshape(-1)
    for j in range(rows.shape[0]):
        left = j * sw - pw
        first, last = max(0, -left), min(kw, w - left)
        for u in range(max(0, -top), min(kh, h - top)):
            start, place = ((top + u) * w + left + first) * c, ((j * kh + u) * kw + first) * c
            for k in range((last - first) * c):
                flat[start + k] += source[place + k]


@parallel_kernel
def _gather(a, sh, sw, ph, pw, oh, out):
    for row in prange(len(out)):
        _gather_row(a[row // oh], (row % oh) * sh - ph, out.shape[2], out.shape[3], sw, pw, out[row])


@parallel_kernel
def _scatter(rows, sh, sw, ph, pw, oh, out):
    for image in prange(len(out)):
        out[image] = 0
        for i in range(oh):
            scatter_row(rows[image * oh + i], i * sh - ph, sw, pw, out[image])


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
    _gather(np.ascontiguousarray(a), *stride, *padding, oh, out)
    return out.reshape(n * oh * ow, kh * kw * c)


def fold(
    rows: np.ndarray, input_shape: Shape4, kernel_shape: Pair, stride: Pair, padding: Pair
) -> np.ndarray:
    """Return the adjoint of `patches`: rows (N OH OW, kh kw C) added into an array of `input_shape`."""
    n, h, w, c = input_shape
    oh, ow = output_size((h, w), kernel_shape, stride, padding)
    kh, kw = kernel_shape
    out = empty(input_shape, rows.dtype)
    _scatter(np.ascontiguousarray(rows).reshape(n * oh, ow, kh, kw, c), *stride, *padding, oh, out)
    return out


@kernel
def add_matrix(part, total):
    """Add `part` into `total`, both (rows, columns); a plain loop compiles in a third of an array expression's time."""
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            total[i, j] += part[i, j]


@parallel_kernel
def _convolve(a, w, sh, sw, ph, pw, scratch, out):
    """Fill out (N OH, OW, K); `scratch` holds the patches of a block of rows, one block a thread."""
    workers, block, ow, kh, kw, c = scratch.shape
    oh, rows = out.shape[0] // len(a), out.shape[0]
    for worker in prange(workers):
        mine = scratch[worker]
        for first in range(worker * block, rows, workers * block):
            count = min(block, rows - first)
            for r in range(count):
                row = first + r
                _gather_row(a[row // oh], (row % oh) * sh - ph, kh, kw, sw, pw, mine[r])
            part = mine[:count].reshape((count * ow, kh * kw * c))
            np.dot(part, w, out[first : first + count].reshape((count * ow, out.shape[2])))


@parallel_kernel
def _convolve_transposed(d, wt, sh, sw, ph, pw, scratch, out):
    """Fill out (N, H, W, C) from d (N, OH, OW, K); an image belongs to one thread."""
    workers, block, ow, kh, kw, c = scratch.shape
    for worker in prange(workers):
        mine = scratch[worker]
        for image in range(worker, len(d), workers):
            out[image] = 0
            for first in range(0, d.shape[1], block):
                count = min(block, d.shape[1] - first)
                part = d[image, first : first + count].reshape((count * ow, d.shape[3]))
                np.dot(part, wt, mine[:count].reshape((count * ow, kh * kw * c)))
                for r in range(count):
                    scatter_row(mine[r], (first + r) * sh - ph, sw, pw, out[image])


@parallel_kernel
def _convolve_outer(d, a, sh, sw, ph, pw, scratch, products, partial):
    """Fill partial (parts, kh kw C, K): sums over equal shares of the blocks of rows of d (N OH, OW, K)."""
    workers, block, ow, kh, kw, c = scratch.shape
    rows, oh, parts = d.shape[0], d.shape[0] // len(a), len(partial)
    share = (rows + parts - 1) // parts
    for worker in prange(workers):
        mine, product = scratch[worker], products[worker]
        for p in range(worker, parts, workers):
            partial[p] = 0
            end = min(rows, (p + 1) * share)
            for first in range(p * share, end, block):
                count = min(block, end - first)
                for r in range(count):
                    row = first + r
                    _gather_row(a[row // oh], (row % oh) * sh - ph, kh, kw, sw, pw, mine[r])
                part = mine[:count].reshape((count * ow, kh * kw * c))
                np.dot(part.T, d[first : first + count].reshape((count * ow, d.shape[2])), product)
                add_matrix(product, partial[p])


def _scratch(ow: int, kernel_shape: Pair, channels: int, dtype: np.dtype) -> np.ndarray:
    shape = (ow, *kernel_shape, channels)
    block = max(1, _BLOCK_BYTES // (math.prod(shape) * dtype.itemsize))
    return empty((numba.get_num_threads(), block, *shape), dtype)


def convolve(a: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """Return W * a, shape (N, OH, OW, out)."""
    kh, kw, c, outputs = w.shape
    oh, ow = output_size(a.shape[1:3], (kh, kw), stride, padding)
    out = empty((len(a), oh, ow, outputs), a.dtype)
    rows = out.reshape(len(a) * oh, ow, outputs)
    flat = np.ascontiguousarray(w).reshape(-1, outputs)
    _convolve(np.ascontiguousarray(a), flat, *stride, *padding, _scratch(ow, (kh, kw), c, a.dtype), rows)
    return out


def convolve_transposed(d: np.ndarray, w: np.ndarray, input_shape: Shape4, stride: Pair, padding: Pair) -> np.ndarray:
    """Return W^T d, shape `input_shape`."""
    kh, kw, c, outputs = w.shape
    out = empty(input_shape, d.dtype)
    turned = np.ascontiguousarray(w.reshape(-1, outputs).T)
    scratch = _scratch(d.shape[2], (kh, kw), c, d.dtype)
    _convolve_transposed(np.ascontiguousarray(d), turned, *stride, *padding, scratch, out)
    return out


def convolve_outer(d: np.ndarray, a: np.ndarray, kernel_shape: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """Return dC/dW, shape (kh, kw, in, out).

    Partial sums over shares of the batch are added in their order; how many there are depends on shapes
    alone, so the result does not depend on the number of threads.
    """
    n, oh, ow, outputs = d.shape
    shape = (math.prod(kernel_shape) * a.shape[3], outputs)
    parts = max(2, min(64, _PARTIAL_BYTES // (math.prod(shape) * d.dtype.itemsize)))
    scratch = _scratch(ow, kernel_shape, a.shape[3], d.dtype)
    products, partial = np.empty((len(scratch), *shape), d.dtype), empty((parts, *shape), d.dtype)
    rows = np.ascontiguousarray(d).reshape(n * oh, ow, outputs)
    _convolve_outer(rows, np.ascontiguousarray(a), *stride, *padding, scratch, products, partial)
    return partial.sum(axis=0).reshape(*kernel_shape, a.shape[3], outputs)
