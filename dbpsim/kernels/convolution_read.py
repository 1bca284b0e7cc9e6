"""Reads of a convolution's array, an image at a time, from driven inputs to converted results.

    forward      u = sum over tiles of ADC(P W + sqrt(P^2 S) z)             P: windows of the image, a row a position
    transposed   u = sum over tiles of fold(ADC(d W^T + sqrt(d^2 S^T) z))

One thread takes an image through both products, noise, conversion and folding, `_POSITIONS` positions at a time, so neither
windows nor results of a whole batch are ever held, and threads meet once a read.  The steps are those of
`dbpsim.kernels.readout`, image for sample, with the same random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numba import prange

from dbpsim.kernels.im2col import Pair, output_size, scatter_row
from dbpsim.kernels.memory import empty
from dbpsim.kernels.normals import BLOCK, fill_normals
from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.random import bits
from dbpsim.kernels.readout import ROUNDER, add_noise, largest, quantise

_POSITIONS = 128  # whose windows, squares, products and variances one core's cache holds


@kernel
def _copy_and_square(source, row, square):
    # Whole arrays: an index that might be negative would keep the loop from becoming vector code.
    for k in range(source.shape[0]):
        row[k] = source[k]
        square[k] = source[k] * source[k]


@kernel
def _window(image, top, left, kw, first, last, row, square):
    """Set `row` to numbers first..last of the window of `image` (H, W C) at (top, left), zero outside, and `square` to theirs."""
    height, width = image.shape
    for u in range(first // kw, (last - 1) // kw + 1):  # kw: numbers in a row of the window, which are one run of memory
        low, high, shift = max(first, u * kw), min(last, (u + 1) * kw), left - u * kw
        begin, end = min(max(low, -shift), high), max(min(high, width - shift), low)
        if top + u < 0 or top + u >= height:
            begin = end = high
        if begin > low:
            row[low - first : begin - first] = 0
            square[low - first : begin - first] = 0
        if high > end:
            row[end - first : high - first] = 0
            square[end - first : high - first] = 0
        if end > begin:
            inside = slice(begin - first, end - first)
            _copy_and_square(image[top + u, begin + shift : end + shift], row[inside], square[inside])


@kernel
def _add_noise_to(done, ready, mean, variance, key, start, z):
    """Add noise to numbers from `done` on, in whole blocks or to the end, as far as `ready`; return how far that is."""
    size = mean.shape[0]
    while done < size and (done + BLOCK <= ready or ready == size):
        count = min(BLOCK, size - done)
        fill_normals(key, start + done // 2, z[: count + count % 2])
        add_noise(mean[done : done + count], variance[done : done + count], z)
        done += count
    return done


@parallel_kernel
def _read_forward(a, weights, variance, noisy, step, geometry, limit, levels, rounder, key, scratch, sums, out, counts):
    lines, outputs = weights.shape
    run, sh, sw, ph, pw, ow = geometry
    samples, positions, workers = len(out), out.shape[1] // outputs, len(scratch)
    for worker in prange(workers):
        z = np.empty(BLOCK, np.float32)
        mean, spread = sums[worker, 0], sums[worker, 1]
        for s in range(worker, samples, workers):
            for number in range((lines + step - 1) // step):
                first, last = number * step, min(lines, (number + 1) * step)
                width, done, stream = last - first, 0, np.uint64(bits(key, number))
                for begin in range(0, positions, _POSITIONS):
                    end = min(positions, begin + _POSITIONS)
                    rows = scratch[worker, 0, : (end - begin) * width].reshape((end - begin, width))
                    squares = scratch[worker, 1, : (end - begin) * width].reshape((end - begin, width))
                    for p in range(begin, end):
                        top, left = (p // ow) * sh - ph, (p % ow) * sw - pw
                        _window(a[s], top, left, run, first, last, rows[p - begin], squares[p - begin])
                    cut = slice(begin * outputs, end * outputs)
                    np.dot(rows, weights[first:last], mean[cut].reshape((end - begin, outputs)))
                    if noisy:
                        np.dot(squares, variance[first:last], spread[cut].reshape((end - begin, outputs)))
                        start = s * (mean.shape[0] // 2 + 1)
                        done = _add_noise_to(done, end * outputs, mean, spread, stream, start, z)
                reach = limit if limit > 0 else largest(mean)
                over, under = quantise(mean, reach, levels, rounder, number > 0, out[s])
                counts[s, 0] += over
                counts[s, 1] += under


@parallel_kernel
def _read_transposed(d, weights, variance, noisy, step, geometry, limit, levels, rounder, key, scratch, sums, out, counts):
    lines, outputs = weights.shape
    kh, kw, sh, sw, ph, pw, ow = geometry
    samples, positions, workers = len(out), d.shape[1], len(scratch)
    for worker in prange(workers):
        z = np.empty(BLOCK, np.float32)
        mean, spread = sums[worker, 0], sums[worker, 1]
        windows = spread.reshape((positions // ow, ow, kh, kw, out.shape[3]))
        for s in range(worker, samples, workers):
            out[s] = 0
            for number in range((lines + step - 1) // step):
                first, last = number * step, min(lines, (number + 1) * step)
                width, done, stream = last - first, 0, np.uint64(bits(key, number))
                for begin in range(0, positions, _POSITIONS):
                    end = min(positions, begin + _POSITIONS)
                    rows = scratch[worker, 0, : (end - begin) * width].reshape((end - begin, width))
                    squares = scratch[worker, 1, : (end - begin) * width].reshape((end - begin, width))
                    for p in range(begin, end):
                        _copy_and_square(d[s, p, first:last], rows[p - begin], squares[p - begin])
                    cut = slice(begin * outputs, end * outputs)
                    np.dot(rows, weights[first:last], mean[cut].reshape((end - begin, outputs)))
                    if noisy:
                        np.dot(squares, variance[first:last], spread[cut].reshape((end - begin, outputs)))
                        start = s * (mean.shape[0] // 2 + 1)
                        done = _add_noise_to(done, end * outputs, mean, spread, stream, start, z)
                reach = limit if limit > 0 else largest(mean)
                over, under = quantise(mean, reach, levels, rounder, False, spread)  # in place it would not be vector code
                counts[s, 0] += over
                counts[s, 1] += under
                for i in range(positions // ow):
                    scatter_row(windows[i], i * sh - ph, sw, pw, out[s])


def _scratch(step: int, size: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    # Inputs and their squares of some positions, and products and their variances of an image: a pair a thread.
    threads = numba.get_num_threads()
    return empty((threads, 2, _POSITIONS * step), dtype), empty((threads, 2, size), dtype)


def read_convolution(
    a: np.ndarray,
    weights: np.ndarray,
    variance: np.ndarray | None,
    window: tuple[Pair, Pair, Pair],
    step: int,
    key: np.uint64,
    limit: float,
    levels: int,
) -> tuple[np.ndarray, int, int]:
    """Read the array of a convolution by images.

    Parameters
    ----------
    a : array, shape (images, height, width, channels), contiguous
        As the array is driven.
    weights, variance : arrays, shape (kernel height x width x channels, outputs), contiguous; variance None without noise
    window : pairs
        Size of the kernel, stride, padding.
    step : int
        Lines that are sensed together, those of a tile.
    key : uint64
        Names the stream of this read.
    limit, levels
        Of the converter, as in `readout.digitise`, levels above 0.

    Returns
    -------
    out : array, shape (images, positions down, positions across, outputs)
    saturated, lost : int
        As of `readout.read_out`.

    Examples
    --------
    >>> image = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> out, *_ = read_convolution(image, np.ones((4, 1)), None, ((2, 2), (1, 1), (0, 0)), 4, np.uint64(0), 0.0, 127)
    >>> out.tolist()
    [[[[10.0]]]]
    """
    n, h, w, channels = a.shape
    kernel_shape, stride, padding = window
    oh, ow = output_size((h, w), *window)
    kind, outputs, step = a.dtype.type, weights.shape[1], min(step, len(weights))
    out, counts = empty((n, oh * ow * outputs), a.dtype), np.zeros((n, 2), np.int64)
    along = kernel_shape[1] * channels, stride[0], stride[1] * channels, padding[0], padding[1] * channels, ow
    converter = kind(limit), kind(levels), ROUNDER[a.dtype], key
    noise = weights if variance is None else variance
    _read_forward(
        a.reshape(n, h, w * channels), weights, noise, variance is not None, step, along,
        *converter, *_scratch(step, oh * ow * outputs, a.dtype), out, counts,
    )  # fmt: skip
    return out.reshape(n, oh, ow, outputs), int(counts[:, 0].sum()), int(counts[:, 1].sum())


def read_convolution_transposed(
    d: np.ndarray,
    weights: np.ndarray,
    variance: np.ndarray | None,
    input_shape: Sequence[int],
    window: tuple[Pair, Pair, Pair],
    step: int,
    key: np.uint64,
    limit: float,
    levels: int,
) -> tuple[np.ndarray, int, int]:
    """Read the array of a convolution backwards, and add what belongs to the same pixel.

    Parameters
    ----------
    d : array, shape (images, positions down, positions across, outputs), contiguous
    input_shape : (height, width, channels)
    weights, variance, window, step, key, limit, levels
        As of `read_convolution`.

    Returns
    -------
    out : array, shape (images, *input_shape)
    saturated, lost : int

    Examples
    --------
    >>> out, *_ = read_convolution_transposed(
    ...     np.full((1, 1, 1, 1), 2.0), np.ones((4, 1)), None, (2, 2, 1), ((2, 2), (1, 1), (0, 0)), 4, np.uint64(0), 0.0, 127)
    >>> out.tolist()
    [[[[2.0], [2.0]], [[2.0], [2.0]]]]
    """
    n, oh, ow, lines = d.shape
    kernel_shape, stride, padding = window
    kind, step, size = d.dtype.type, min(step, lines), oh * ow * math.prod(kernel_shape) * input_shape[2]
    out, counts = empty((n, *input_shape), d.dtype), np.zeros((n, 2), np.int64)
    turned = np.ascontiguousarray(weights.T)
    noise = turned if variance is None else np.ascontiguousarray(variance.T)
    converter = kind(limit), kind(levels), ROUNDER[d.dtype], key
    _read_transposed(
        d.reshape(n, oh * ow, lines), turned, noise, variance is not None, step, (*kernel_shape, *stride, *padding, ow),
        *converter, *_scratch(step, size, d.dtype), out, counts,
    )  # fmt: skip
    return out, int(counts[:, 0].sum()), int(counts[:, 1].sum())
