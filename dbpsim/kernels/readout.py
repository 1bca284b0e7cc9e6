"""What happens to a matrix product on its way through converters, in one pass over the numbers.

A row of the arrays here is one sample (all positions of one image): it has its own range and its own run
of random numbers, so a result does not depend on how a batch was cut up, nor on threads.

    digitise     a -> q(a)                   the converter in front of the array (DAC)
    read_out     x -> q(x + sqrt(v) z)       noise of the read, then the converter behind it (ADC)
    weighted_squares    sum over samples of w a^2, for V^2 G

A converter with b bits has the 2^b - 1 codes -L..L, L = 2^(b-1) - 1, a code at zero, and step limit / L;
L = 0 stands for no converter.  A limit of 0 asks for the sample's own largest magnitude.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numba.extending import overload

from dbpsim.kernels.memory import empty
from dbpsim.kernels.normals import BLOCK, fill_normals
from dbpsim.kernels.policy import kernel, parallel_kernel, serial_twin

_COLUMNS = 1024
# Adding and subtracting 1.5 x 2^mantissa rounds to the nearest integer (ties to even), and vectorises.
ROUNDER = {np.dtype(np.float32): np.float32(1.5 * 2**23), np.dtype(np.float64): np.float64(1.5 * 2**52)}


def _as_words(x):
    # Floats as unsigned integers of their size: without the sign these are in the order of the magnitudes.
    return x.view(np.uint32 if x.dtype.itemsize == 4 else np.uint64)


def _as_float(word):
    return word.view(np.float32 if word.dtype.itemsize == 4 else np.float64)


@overload(_as_words)
def _words_type(x):
    kind = np.uint32 if x.dtype.bitwidth == 32 else np.uint64
    return lambda x: x.view(kind)


@overload(_as_float)
def _float_type(word):
    if word.bitwidth == 32:
        return lambda word: np.uint32(word).view(np.float32)
    return lambda word: np.uint64(word).view(np.float64)


@kernel
def largest(x):
    """Return the largest magnitude of `x`, contiguous; nan where one of them is nan."""
    # A strict maximum of floats does not become vector code; one of integers does.
    words = _as_words(x)
    one = words.dtype.type(1)
    most = words.dtype.type(0)
    for i in range(words.shape[0]):
        magnitude = words.dtype.type(words[i] << one)
        most = magnitude if magnitude > most else most
    return _as_float(words.dtype.type(most >> one))


@kernel
def quantise(x, limit, levels, rounder, accumulate, out):
    """Convert `x` into `out`, or add it to `out`; return how many values were beyond the limit, and how many became zero."""
    step = limit / levels
    inverse = levels / limit if limit > 0 else levels - levels
    saturated, lost = 0, 0
    for i in range(x.shape[0]):
        code = (x[i] * inverse + rounder) - rounder
        saturated += (code > levels) | (code < -levels)
        lost += (code == 0) & (x[i] != 0)
        code = levels if code > levels else code
        code = -levels if code < -levels else code
        out[i] = out[i] + code * step if accumulate else code * step
    return saturated, lost


@kernel
def add_noise(x, variance, z):
    """Add to `x` the deviates `z` times the root of `variance`."""
    for i in range(x.shape[0]):
        x[i] += np.sqrt(variance[i]) * z[i]


@parallel_kernel
def _digitise(a, limit, levels, rounder, out, range_, counts):
    for s in prange(a.shape[0]):
        range_[s] = limit if limit > 0 else largest(a[s])
        if levels > 0:
            counts[s, 0], counts[s, 1] = quantise(a[s], range_[s], levels, rounder, False, out[s])


@parallel_kernel
def _read_out(x, variance, noisy, limit, levels, rounder, key, first, accumulate, out, counts):
    samples, size = x.shape
    for s in prange(samples):
        if noisy:
            z = np.empty(BLOCK, np.float32)
            start = (first + s) * (size // 2 + 1)
            for i in range(0, size, BLOCK):
                count = min(BLOCK, size - i)
                fill_normals(key, start + i // 2, z[: count + count % 2])
                add_noise(x[s, i : i + count], variance[s, i : i + count], z)
        if levels > 0:
            reach = limit if limit > 0 else largest(x[s])
            counts[s, 0], counts[s, 1] = quantise(x[s], reach, levels, rounder, accumulate, out[s])
        elif accumulate:
            out[s] += x[s]
        else:
            out[s] = x[s]


@parallel_kernel
def _weighted_squares(a, weight, out):
    samples, size = a.shape
    for block in prange((size + _COLUMNS - 1) // _COLUMNS):
        first, last = block * _COLUMNS, min(size, (block + 1) * _COLUMNS)
        for s in range(samples):
            for i in range(first, last):
                v = np.float64(a[s, i])
                out[i] += weight[s] * v * v


# Waking threads for a small array costs more than the work, and far more on a busy machine; the numbers are the same.
_SMALL = 1 << 17
_serial = {parallel: serial_twin(parallel) for parallel in (_digitise, _read_out, _weighted_squares)}


def _sized(parallel: Any, size: int) -> Any:
    return parallel if size > _SMALL else _serial[parallel]


def digitise(a: np.ndarray, limit: float, levels: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return (`a` as the converter drives it, the range of each sample, how many values were clipped, how many became zero).

    Parameters
    ----------
    a : array, shape (samples, values)
    limit : float
        Largest magnitude the converter gives; 0 for each sample's own largest.
    levels : int
        L above; 0 returns `a` itself.

    Examples
    --------
    >>> digitise(np.array([[0.2, -1.0, 0.6]]), 0.0, 3)[0].round(3).tolist()
    [[0.333, -1.0, 0.667]]
    """
    kind = a.dtype.type
    range_, counts = np.zeros(len(a), a.dtype), np.zeros((len(a), 2), np.int64)
    out = empty(a.shape, a.dtype) if levels else a
    _sized(_digitise, a.size)(a, kind(limit), kind(levels), ROUNDER[a.dtype], out, range_, counts)
    return out, range_, int(counts[:, 0].sum()), int(counts[:, 1].sum())


def read_out(
    x: np.ndarray,
    variance: np.ndarray | None,
    key: np.uint64,
    first: int,
    limit: float,
    levels: int,
    out: np.ndarray,
    *,
    accumulate: bool,
) -> tuple[int, int]:
    """Add noise to `x` (in place), convert it and put it into `out`, or add it to `out`.

    Parameters
    ----------
    x, out : arrays, shape (samples, values)
    variance : array, shape of `x`, or None
        Variance of the read's noise.
    key : uint64
        Names the stream of this read.
    first : int
        Number of the first sample within the read, which numbers its random deviates.
    limit, levels
        As in `digitise`.

    Returns
    -------
    saturated, lost : int
        Values beyond the range, and values other than zero that were read as zero.
    """
    kind = x.dtype.type
    counts = np.zeros((len(x), 2), np.int64)
    noise = x if variance is None else variance
    _sized(_read_out, x.size)(
        x,
        noise,
        variance is not None,
        kind(limit),
        kind(levels),
        ROUNDER[x.dtype],
        key,
        first,
        accumulate,
        out,
        counts,
    )
    saturated, lost = counts.sum(axis=0)
    return int(saturated), int(lost)


def weighted_squares(a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return sum_s weight[s] a[s, i]^2, float64, shape (values,).

    Examples
    --------
    >>> weighted_squares(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0])).tolist()
    [19.0, 36.0]
    """
    out = np.zeros(a.shape[1])
    _sized(_weighted_squares, a.size)(a, np.ascontiguousarray(weight, np.float64), out)
    return out
