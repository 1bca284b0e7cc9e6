"""Pooling windows and the rectifier, with their adjoints.  Images are NHWC; windows start at the corner.

Comparisons are written so that NaN passes: a network whose weights have diverged must not look like one at chance.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.im2col import Pair, output_size
from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import parallel_kernel


@parallel_kernel
def _max_pool(a, kh, kw, sh, sw, out, code):
    n, oh, ow, c = out.shape
    for row in prange(n * oh):
        image, i = row // oh, row % oh
        for j in range(ow):
            for k in range(c):
                out[image, i, j, k] = a[image, i * sh, j * sw, k]
                code[image, i, j, k] = 0
            for u in range(kh):
                for v in range(kw):
                    for k in range(c):
                        value = a[image, i * sh + u, j * sw + v, k]
                        larger = (value > out[image, i, j, k]) | (value != value)
                        out[image, i, j, k] = value if larger else out[image, i, j, k]
                        code[image, i, j, k] = u * kw + v if larger else code[image, i, j, k]


@parallel_kernel
def _max_pool_pullback(d, code, kh, kw, sh, sw, out):
    n, oh, ow, c = d.shape
    for image in prange(n):
        out[image] = 0
        for i in range(oh):
            for j in range(ow):
                for u in range(kh):
                    for v in range(kw):
                        for k in range(c):
                            if code[image, i, j, k] == u * kw + v:
                                out[image, i * sh + u, j * sw + v, k] += d[image, i, j, k]


@parallel_kernel
def _average_pool(a, kh, kw, sh, sw, share, out):
    n, oh, ow, c = out.shape
    for row in prange(n * oh):
        image, i = row // oh, row % oh
        for j in range(ow):
            out[image, i, j, :] = 0
            for u in range(kh):
                for v in range(kw):
                    for k in range(c):
                        out[image, i, j, k] += share * a[image, i * sh + u, j * sw + v, k]


@parallel_kernel
def _average_pool_pullback(d, kh, kw, sh, sw, share, out):
    n, oh, ow, c = d.shape
    for image in prange(n):
        out[image] = 0
        for i in range(oh):
            for j in range(ow):
                for u in range(kh):
                    for v in range(kw):
                        for k in range(c):
                            out[image, i * sh + u, j * sw + v, k] += share * d[image, i, j, k]


@parallel_kernel
def _relu(u, zero, out):
    for i in prange(u.size):
        out[i] = zero if u[i] <= zero else u[i]


@parallel_kernel
def _gate(d, a, zero, out):
    for i in prange(d.size):
        out[i] = zero if a[i] <= zero else d[i]


def max_pool(a: np.ndarray, size: Pair, stride: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return the maxima, shape (N, OH, OW, C), and which element of each window it was (row-major number).

    A window with NaN in it gives NaN.
    """
    oh, ow = output_size(a.shape[1:3], size, stride, (0, 0))
    out = empty((len(a), oh, ow, a.shape[3]), a.dtype)
    code = empty(out.shape, np.uint8 if size[0] * size[1] <= 256 else np.uint16)
    _max_pool(a, *size, *stride, out, code)
    return out, code


def max_pool_pullback(
    d: np.ndarray, code: np.ndarray, input_shape: tuple[int, ...], size: Pair, stride: Pair
) -> np.ndarray:
    """Return d sent to the element each maximum came from."""
    out = empty(input_shape, d.dtype)
    _max_pool_pullback(d, code, *size, *stride, out)
    return out


def average_pool(a: np.ndarray, size: Pair, stride: Pair) -> np.ndarray:
    """Return the means, shape (N, OH, OW, C)."""
    oh, ow = output_size(a.shape[1:3], size, stride, (0, 0))
    out = empty((len(a), oh, ow, a.shape[3]), a.dtype)
    _average_pool(a, *size, *stride, a.dtype.type(1 / (size[0] * size[1])), out)
    return out


def average_pool_pullback(d: np.ndarray, input_shape: tuple[int, ...], size: Pair, stride: Pair) -> np.ndarray:
    """Return d spread evenly over each window."""
    out = empty(input_shape, d.dtype)
    _average_pool_pullback(d, *size, *stride, d.dtype.type(1 / (size[0] * size[1])), out)
    return out


def relu(u: np.ndarray) -> np.ndarray:
    """Return max(u, 0), and NaN for NaN."""
    out = empty(u.shape, u.dtype)
    _relu(u.reshape(-1), u.dtype.type(0), out.reshape(-1))
    return out


def relu_pullback(d: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return d where a > 0 or a is NaN, else 0."""
    out = empty(d.shape, d.dtype)
    _gate(d.reshape(-1), a.reshape(-1), d.dtype.type(0), out.reshape(-1))
    return out
