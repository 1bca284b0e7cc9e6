"""The Gaussian error linear unit u Phi(u) and its derivative, by the vector, in float32 arithmetic without branches.

    Phi(-t) = e^(-t^2 / 2) Q(t)      Q(t) = erfcx(t / sqrt 2) / 2, a polynomial in 1 / (1 + 0.3 t)      t = |u|, at most 13
    gelu(u) = u Phi(u)               D(u) = Phi(u) + u e^(-u^2 / 2) / sqrt(2 pi)

(Hendrycks and Gimpel 2016, arXiv:1606.08415, exact form.)  Both fits (Q, and 2^f for the exponential) were made for this
file by reweighted least squares: relative errors 6e-8 and 2e-9 before rounding.  The tail is that of Phi, not of 1 - erf:
its relative error stays below 1e-5 down to u = -13.  NaN passes.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import kernel, parallel_kernel

_f = np.float32
_ZERO, _ONE, _LARGEST, _STRETCH = _f(0.0), _f(1.0), _f(13.0), _f(0.3)
_MINUS_HALF_LOG2_E, _DENSITY = _f(-0.5 / np.log(2.0)), _f(1.0 / np.sqrt(2.0 * np.pi))
_BIAS, _MANTISSA_BITS, _ONE_BELOW = np.int32(127), np.int32(23), np.int32(1)
_Q0, _Q1, _Q2, _Q3, _Q4 = _f(0.0000063829), _f(0.1195010003), _f(0.1218258619), _f(0.0950512039), _f(0.1416755176)
_Q5, _Q6, _Q7, _Q8 = _f(-0.0752652917), _f(0.2275778240), _f(-0.1686434607), _f(0.0382709901)
# 2^f on [0, 1]
_E1, _E2, _E3 = _f(0.6931469838), _f(0.2402298363), _f(0.0554833420)
_E4, _E5, _E6 = _f(0.0096788410), _f(0.0012439688), _f(0.0002170225)


@kernel
def _distribution(u):
    """Return Phi(u) and e^(-u^2 / 2)."""
    t = abs(u)
    t = t if t < _LARGEST else _LARGEST
    power = t * t * _MINUS_HALF_LOG2_E
    whole = np.int32(power) - _ONE_BELOW  # not floor, which is a call and keeps the loop from vectorising
    f = power - np.float32(whole)
    mantissa = _ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * _E6)))))
    bell = mantissa * np.int32((whole + _BIAS) << _MANTISSA_BITS).view(np.float32)
    s = _ONE / (_ONE + _STRETCH * t)
    tail = bell * (_Q0 + s * (_Q1 + s * (_Q2 + s * (_Q3 + s * (_Q4 + s * (_Q5 + s * (_Q6 + s * (_Q7 + s * _Q8))))))))
    return (tail if u < _ZERO else _ONE - tail), bell


@parallel_kernel
def _gelu(u, out):
    for i in prange(u.size):
        share, _ = _distribution(u[i])
        out[i] = u[i] * share


@parallel_kernel
def _gelu_pullback(d, u, out):
    for i in prange(u.size):
        share, bell = _distribution(u[i])
        out[i] = d[i] * (share + u[i] * (bell * _DENSITY))


def gelu(u: np.ndarray) -> np.ndarray:
    """Return u Phi(u) of a float32 array, and NaN for NaN.

    Examples
    --------
    >>> gelu(np.float32([-1, 0, 1])).round(3)
    array([-0.159,  0.   ,  0.841], dtype=float32)
    """
    out = empty(u.shape, np.float32)
    _gelu(np.ascontiguousarray(u).reshape(-1), out.reshape(-1))
    return out


def gelu_pullback(d: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return d (Phi(u) + u phi(u)) of float32 arrays."""
    out = empty(u.shape, np.float32)
    _gelu_pullback(np.ascontiguousarray(d).reshape(-1), np.ascontiguousarray(u).reshape(-1), out.reshape(-1))
    return out
