"""One cell's pulses in stretches: near a bound, and where the step has to be looked up on the way.

A bound is a wall: the walk is cut at every pulse, not at its end.  A stretch is as long as the step hardly changes; it
is a Brownian bridge to its end s, whose maximum is drawn exactly, M = (s + sqrt(s^2 - 2 v ln U)) / 2, less 0.5826
standard deviations of one pulse because the walk is looked at between pulses only (Broadie, Glasserman and Kou, Math. Finance
7:325, 1997); what exceeds the bound is taken off (Lindley's recursion).  Very few pulses are given one by one.
"""

from __future__ import annotations

import numpy as np

from dbpsim.kernels.policy import kernel
from dbpsim.kernels.random import bits, normal, uniform

_CORRECTION = 0.5826  # -zeta(1/2) / sqrt(2 pi)
_TURN, _TURN_AT_BOUND = 0.2, 0.1  # share by which a step may change over one stretch

# What `numbers` holds, in this order.
STEP, SIGMA, FIXED, ASYMMETRY, STEP_SPREAD, ASYMMETRY_SPREAD, UPPER_SPREAD, LOWER_SPREAD = range(8)
UP_0, UP_1, DOWN_0, DOWN_1, OWN_BOUNDS, LOWEST, MIDDLE, HALF_WINDOW, PORTION = range(8, 17)
EXPONENTIAL, UP_SIZE, UP_RATE, UP_SHIFT, DOWN_SIZE, DOWN_RATE, DOWN_SHIFT = range(17, 24)  # 1 - size 2^(rate u + shift)
NUMBERS = 24


@kernel
def _one(x, step_up, step_down, at_up, at_down, is_up, sigma, fixed, z):
    mean = step_up * at_up if is_up else -step_down * at_down
    spread = (step_up if is_up else step_down) if fixed else mean
    return x + mean + sigma * spread * z


@kernel
def _look_up(table, row, x):
    # Straight lines through nodes spread evenly over -1..1; returns value and slope.
    sections = table.shape[1] - 1
    t = (min(max(x, -1.0), 1.0) + 1.0) * 0.5 * sections
    k = min(int(t), sections - 1)
    rise = table[row, k + 1] - table[row, k]
    return table[row, k] + rise * (t - k), rise * 0.5 * sections


@kernel
def factors(table, numbers, x, low, high):
    """Return f_up, its slope, f_down and its slope at state `x`."""
    if table.shape[1] > 0:
        up, up_slope = _look_up(table, 0, x)
        down, down_slope = _look_up(table, 1, x)
        return up, up_slope, down, down_slope
    own = np.float64(numbers[OWN_BOUNDS])
    up = numbers[UP_0] + own * (high - 1.0) + numbers[UP_1] * x
    down = numbers[DOWN_0] - own * (low + 1.0) + numbers[DOWN_1] * x
    return up, np.float64(numbers[UP_1]), down, np.float64(numbers[DOWN_1])


@kernel
def walk(x, ups, downs, step_up, step_down, low, high, numbers, table, key, counter):
    """Return state `x` (half windows from the middle) after its pulses, cut at the cell's bounds on the way."""
    least, most = min(np.float64(low), x), max(np.float64(high), x)  # where programming left it outside, it goes no further
    sigma, fixed = np.float64(numbers[SIGMA]), numbers[FIXED] > 0
    key = np.uint64(bits(np.uint64(key), counter))
    drawn = 0
    while ups + downs > 0:
        n = ups + downs
        share = ups / n
        up, up_slope, down, down_slope = factors(table, numbers, x, low, high)
        up, down = max(up, 0.0), max(down, 0.0)
        a_up, a_down = step_up * up, step_down * down
        drift = abs(share * a_up - (1 - share) * a_down)
        turn = share * step_up * abs(up_slope) + (1 - share) * step_down * abs(down_slope)
        noise_up, noise_down = (step_up, step_down) if fixed else (a_up, a_down)
        wander = share * (1 - share) * (a_up + a_down) ** 2  # variance of the path, a pulse
        wander += sigma * sigma * (share * noise_up * noise_up + (1 - share) * noise_down * noise_down)
        stretch = np.float64(n)
        if turn * stretch > _TURN:
            stretch = _TURN / turn
        if table.shape[1] > 0:
            move, _ = _look_up(table, 2, x)
            if drift * stretch > move:
                stretch = move / drift
            if wander * stretch > move * move:
                stretch = move * move / wander
        room = min(most - x, x - least) - drift * stretch
        if turn * stretch > _TURN_AT_BOUND and (room <= 0 or room * room < 16 * wander * stretch):
            stretch = _TURN_AT_BOUND / turn
        m = int(stretch)
        if m < 10 or n <= 10:  # pulse by pulse
            is_up = uniform(key, drawn) * n < ups
            z = normal(key, drawn + 1)  # counters 2 drawn + 2 and + 3
            drawn += 4
            x = _one(x, step_up, step_down, up, down, is_up, sigma, fixed, z)
            x = min(max(x, least), most)
            ups -= is_up
            downs -= not is_up
            continue
        # How many of the ups fall into this stretch: hypergeometric, by its normal limit.
        chance = m * share * (1 - share) * (n - m) / (n - 1)
        m_up = int(np.floor(m * share + np.sqrt(chance) * normal(key, drawn + 3) + 0.5))
        m_up = min(max(m_up, m - downs, 0), m, ups)
        m_down = m - m_up
        if table.shape[1] > 0:  # the tangent in the middle of the stretch serves all of it
            middle = (m_up * up * step_up - m_down * down * step_down) * 0.5
            up, up_slope, down, down_slope = factors(table, numbers, min(max(x + middle, low), high), low, high)
            up, down = up - up_slope * middle, down - down_slope * middle
        e = (m_up * step_up * up_slope - m_down * step_down * down_slope) / m
        grow = np.expm1(m * np.log1p(e)) / e if abs(e) > 1e-12 else np.float64(m)
        mean = (m_up * up * step_up - m_down * down * step_down) / m * grow
        unlike = (step_up * up + step_down * down) * (step_up * up_slope + step_down * down_slope)
        mean -= 0.5 * m_up * m_down / m * unlike
        # The noise of a stretch is that of its middle: the step changes by a tenth at most.
        a_up = step_up * max(up + up_slope * mean * 0.5, 0.0)
        a_down = step_down * max(down + down_slope * mean * 0.5, 0.0)
        noise_up, noise_down = (step_up, step_down) if fixed else (a_up, a_down)
        noise = sigma * sigma * (m_up * noise_up * noise_up + m_down * noise_down * noise_down)
        factor = np.expm1(2 * m * np.log1p(e)) / (2 * m * e) if abs(e) > 1e-12 else 1.0
        s = mean + np.sqrt(noise * factor) * normal(key, drawn + 1)
        # The path wanders more than its end: directions alternate at random and cancel.
        path = noise + m * (m_up / m) * (m_down / m) * (a_up + a_down) ** 2
        pulse = _CORRECTION * np.sqrt(path / m)
        reach = np.sqrt(s * s - 2 * path * np.log(uniform(key, drawn)))
        drawn += 8
        over = max((s + reach) * 0.5 - pulse, max(s, 0.0)) - (most - x)
        under = max((reach - s) * 0.5 - pulse, max(-s, 0.0)) - (x - least)
        x = x + s
        if over > 0 and over >= under:
            x -= over
        elif under > 0:
            x += under
        x = min(max(x, least), most)
        ups -= m_up
        downs -= m_down
    return x
