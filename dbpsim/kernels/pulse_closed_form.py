"""Where n pulses take a cell, in closed form, for steps that are affine in the state on the way: see `dbpsim.kernels.pulses`."""

from __future__ import annotations

import numpy as np

from dbpsim.kernels.policy import kernel
from dbpsim.kernels.pulse_cells import (
    AT_DOWN,
    AT_DOWN_SLOPE,
    AT_END,
    AT_MOVE,
    AT_UP,
    AT_UP_SLOPE,
    AT_Z,
    HIGH_Z,
    LOW_Z,
    SKEW_Z,
    STEP_Z,
)
from dbpsim.kernels.pulse_walk import (
    ASYMMETRY,
    ASYMMETRY_SPREAD,
    FIXED,
    HALF_WINDOW,
    LOWER_SPREAD,
    LOWEST,
    MIDDLE,
    SIGMA,
    STEP,
    STEP_SPREAD,
    UPPER_SPREAD,
)

_f = np.float32
_ZERO, _HALF, _ONE, _TWO, _TINY = _f(0), _f(0.5), _f(1), _f(2), _f(1e-12)
_NAN = _f(np.nan)
_FEW, _SLIGHT = _f(0.02), _f(0.05)  # of n e: where differences of near numbers, and terms of second order, are left out
_NEAR = _f(16.0)  # variances of its path within which a cell counts as near a bound


@kernel
def closed_form(x, ups, downs, step_up, step_down, least, most, up, up_slope, down, down_slope, move, walls, sigma, fixed, z):
    """Return (where state `x` ends, whether it has to be walked there), by the closed form above.

    `move` is how far the factors may be taken for affine; `walls` says whether a walk can get to the bounds.  Numbers only:
    an array as an argument costs more than the arithmetic here.
    """
    b_up, b_down = step_up * max(up, _ZERO), -step_down * max(down, _ZERO)
    if ups + downs == 1:  # one pulse cannot turn back
        mean = b_up if ups else b_down
        spread = (step_up if ups else step_down) if fixed else mean
        return min(max(x + mean + sigma * spread * z, least), most), False
    n = np.float32(ups + downs)
    share = np.float32(ups) / n
    rest = _ONE - share
    s_up, s_down = step_up * up_slope, -step_down * down_slope
    e, b = share * s_up + rest * s_down, share * b_up + rest * b_down
    square = sigma * sigma
    q0 = square * (share * b_up * b_up + rest * b_down * b_down)
    q1 = _TWO * square * (share * b_up * s_up + rest * b_down * s_down)
    q2 = square * (share * s_up * s_up + rest * s_down * s_down)
    if fixed:
        q0, q1, q2 = square * (share * step_up * step_up + rest * step_down * step_down), _ZERO, _ZERO
    # The path wanders more than its end, since directions alternate.
    path = share * rest * (b_up - b_down) * (b_up - b_down) + q0
    if n * abs(b) > _HALF * move or n * path > _HALF * move * move:
        return x, True
    if n * abs(e) < _SLIGHT * sigma:  # to first order in n e: the rest, also of the order's chance, is below 1 %
        mean = n * b * (_ONE + _HALF * (n - _ONE) * e)
        variance = n * (q0 * (_ONE + (n - _ONE) * e) + _HALF * (n - _ONE) * b * q1)
        mean -= _HALF * share * rest * n * (s_up - s_down) * (b_up - b_down)
    else:
        mean, variance, grown = _repeated(ups + downs, e, b, q0, q1, q2)
        if ups * downs > 0 and abs(e) > _TINY:
            first, second = grown / e, grown * (_TWO + grown) / (e * (_TWO + e))
            pairs = (n * (grown - e) / (_ONE + e) + n - grown / e) / e if abs(n * e) > _FEW else _HALF * n * (n - _ONE)
            mean -= share * rest / (n - _ONE) * pairs * (s_up - s_down) * (b_up - b_down)
            gap = b_up - b_down + (s_up - s_down) * mean
            variance += share * rest * n / (n - _ONE) * gap * gap * max(second - first * first / n, _ZERO)
    # Whether it has to be walked may not depend on z, or the draws that stay would be a selection.
    if walls:
        # Over 4 standard deviations of the path, n of them or as many as the pull of the step lets live: 1 / 2e.
        room = min(most - x - max(mean, _ZERO), min(mean, _ZERO) + x - least)
        square = room * room
        if room <= _ZERO or (square < _NEAR * n * path and _TWO * abs(e) * square < _NEAR * path):
            return x, True
    return min(max(x + mean + np.sqrt(max(variance, _ZERO)) * z, least), most), False


@kernel
def _repeated(pulses, e, b, q0, q1, q2):
    """Return (mean, variance, (1 + e)^n - 1) after n pulses from 0: the map applied, and itself doubled, by n's bits."""
    k = (_ONE + e) * (_ONE + e) + q2
    mean, variance, grown = _ZERO, _ZERO, _ZERO
    while True:
        if pulses & 1:
            variance = k * variance + (q2 * mean + q1) * mean + q0
            mean = mean + e * mean + b
            grown = grown + e + e * grown
        pulses >>= 1
        if pulses == 0:
            return mean, variance, grown
        q0 = (k + _ONE) * q0 + (q1 + q2 * b) * b
        q1 = k * q1 + (q1 + _TWO * q2 * b) * (_ONE + e)
        q2 = k * q2 + q2 * (_ONE + e) * (_ONE + e)
        k *= k
        b, e = b * (_TWO + e), e * (_TWO + e)


@kernel
def few_pulses(g, ups, downs, numbers, work):
    """Set work[AT_END] to how far every cell moves (half windows), or to nan where that takes a closer look.

    The closed form to second order, for cells whose step hardly changes under way and that stay clear of their bounds.
    There is no branch in it, and one array at constant offsets, so the loop becomes vector code.
    """
    step, sigma, skew, skew_spread = numbers[STEP], numbers[SIGMA], numbers[ASYMMETRY], numbers[ASYMMETRY_SPREAD]
    step_spread, upper_spread, lower_spread = numbers[STEP_SPREAD], numbers[UPPER_SPREAD], numbers[LOWER_SPREAD]
    lowest, fixed, middle = numbers[LOWEST], numbers[FIXED] > 0, numbers[MIDDLE]
    per_half, square, slight = _ONE / numbers[HALF_WINDOW], sigma * sigma, _SLIGHT * sigma
    for c in range(g.shape[0]):
        count = ups[c] + downs[c]
        n = np.float32(count)
        share = np.float32(ups[c]) / max(n, _ONE)
        rest, more = _ONE - share, _HALF * (n - _ONE)
        own_step, own_skew = step * abs(_ONE + step_spread * work[STEP_Z + c]), skew + skew_spread * work[SKEW_Z + c]
        high, low = _ONE + upper_spread * work[HIGH_Z + c], max(-_ONE + lower_spread * work[LOW_Z + c], lowest)
        x = (np.float32(g[c]) - middle) * per_half
        step_up, step_down = own_step * max(_ONE + own_skew, _ZERO), own_step * max(_ONE - own_skew, _ZERO)
        b_up, b_down = step_up * max(work[AT_UP + c], _ZERO), -step_down * max(work[AT_DOWN + c], _ZERO)
        s_up, s_down = step_up * work[AT_UP_SLOPE + c], -step_down * work[AT_DOWN_SLOPE + c]
        e, b = share * s_up + rest * s_down, share * b_up + rest * b_down
        a_up, a_down = step_up if fixed else b_up, step_down if fixed else b_down
        t_up, t_down = _ZERO if fixed else s_up, _ZERO if fixed else s_down
        q0 = square * (share * a_up * a_up + rest * a_down * a_down)
        q1 = _TWO * square * (share * a_up * t_up + rest * a_down * t_down)
        mean = n * b * (_ONE + more * e) - _HALF * share * rest * n * (s_up - s_down) * (b_up - b_down)
        variance = n * (q0 * (_ONE + _TWO * more * e) + more * b * q1)
        path = n * (share * rest * (b_up - b_down) * (b_up - b_down) + q0)
        room = min(high - x - max(mean, _ZERO), min(mean, _ZERO) + x - low)
        move = _HALF * work[AT_MOVE + c]
        straight = (n * abs(b) <= move) & (path <= _TWO * move * move) & (n * abs(e) < slight)
        clear = (room > _ZERO) & (room * room >= _NEAR * path) & (straight | (count == 1))
        work[AT_END + c] = mean + np.sqrt(max(variance, _ZERO)) * work[AT_Z + c] if clear else _NAN
