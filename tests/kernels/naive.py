"""Plain twins of the kernels: a loop over the offsets of a window, float64, no cleverness."""

from __future__ import annotations

import numpy as np


def padded(a, padding):
    """Return `a` (N, H, W, C) with zeros around it."""
    return np.pad(a.astype(np.float64), ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))


def windows(a, kernel, stride, padding):
    """Yield (u, v, view): the element (u, v) of every window, shape (N, OH, OW, C)."""
    p = padded(a, padding)
    oh = (p.shape[1] - kernel[0]) // stride[0] + 1
    ow = (p.shape[2] - kernel[1]) // stride[1] + 1
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            yield u, v, p[:, u : u + oh * stride[0] : stride[0], v : v + ow * stride[1] : stride[1]][:, :oh, :ow]


def convolve(a, w, stride, padding):
    """Return W * a."""
    return sum(view @ w[u, v].astype(np.float64) for u, v, view in windows(a, w.shape[:2], stride, padding))


def convolve_transposed(d, w, input_shape, stride, padding):
    """Return W^T d."""
    n, h, width, c = input_shape
    out = np.zeros((n, h + 2 * padding[0], width + 2 * padding[1], c))
    oh, ow = d.shape[1:3]
    for u in range(w.shape[0]):
        for v in range(w.shape[1]):
            rows, columns = slice(u, u + oh * stride[0], stride[0]), slice(v, v + ow * stride[1], stride[1])
            out[:, rows, columns][:, :oh, :ow] += d.astype(np.float64) @ w[u, v].T.astype(np.float64)
    return out[:, padding[0] : padding[0] + h, padding[1] : padding[1] + width]


def convolve_outer(d, a, kernel, stride, padding):
    """Return dC/dW."""
    out = np.empty((*kernel, a.shape[3], d.shape[3]))
    for u, v, view in windows(a, kernel, stride, padding):
        out[u, v] = np.einsum("nijc,nijo->co", view, d.astype(np.float64))
    return out


def patches(a, kernel, stride, padding):
    """Return windows as rows, ordered (row, column, channel)."""
    views = [view for _, _, view in windows(a, kernel, stride, padding)]
    return np.stack(views, axis=3).reshape(-1, len(views) * a.shape[3])


def max_pool(a, size, stride):
    """Return maxima and the number of the first largest element of each window."""
    stack = np.stack([view for _, _, view in windows(a, size, stride, (0, 0))])
    return stack.max(axis=0), stack.argmax(axis=0)


def average_pool(a, size, stride):
    """Return means."""
    return np.mean([view for _, _, view in windows(a, size, stride, (0, 0))], axis=0)
