"""n pulses on every cell of an array at once.

A cell at g0 moves by u (in half windows h).  One pulse of a step that is affine in the state makes, up and down,

    u <- u + b_k + s_k u   (1 + sigma z),      k = up, down

and n of them in random order, a share p up, have in closed form (m the mean, V the variance of u, p_k the shares)

    m <- (1 + e) m + b,                                     e = sum_k p_k s_k,  b = sum_k p_k b_k
    V <- ((1 + e)^2 + q2) V + q2 m^2 + q1 m + q0,           q2 m^2 + q1 m + q0 = sigma^2 sum_k p_k (b_k + s_k m)^2

Both lines are maps of a kind that is closed under composition, so n applications take log2(n) doublings: the exact
mean and variance of n equal pulses, without a loop over them.  With both directions their order matters too, where
the step depends on the state: the counts are kept, so a weighted sum is drawn without replacement.  To second order in the step
(D = b_up - b_down and s = s_up - s_down are the differences of the two maps, S1 = sum_k (1 + e)^k, S2 = sum_k (1 + e)^2k)

    m <- m - p_up p_down s D / (n - 1) dS1/de        V <- V + p_up p_down D^2 n / (n - 1) (S2 - S1^2 / n)

A bound is a wall: the walk is cut at every pulse, not at its end.  Cells that come near one are walked in stretches over which
the step hardly changes; a stretch is a Brownian bridge to its end s, whose maximum is drawn exactly,
M = (s + sqrt(s^2 - 2 v ln U)) / 2, less 0.5826 standard deviations of one pulse because the walk is looked at between pulses only
(Broadie, Glasserman and Kou, Math. Finance 7:325, 1997); what exceeds the bound is taken off (Lindley's recursion).
The same walk, with the step read from a table, serves laws that are not affine.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.random import bits, normal, uniform

_f = np.float32
_ZERO, _HALF, _ONE, _TWO, _TINY, _FEW = _f(0), _f(0.5), _f(1), _f(2), _f(1e-12), _f(0.02)
_NEAR = _f(4.0)  # standard deviations of its path within which a cell counts as near a bound
_CORRECTION = 0.5826  # -zeta(1/2) / sqrt(2 pi)
_TURN = 0.1

# What `numbers` holds, in this order.
STEP, SIGMA, FIXED, ASYMMETRY, STEP_SPREAD, ASYMMETRY_SPREAD, UPPER_SPREAD, LOWER_SPREAD = range(8)
UP_0, UP_1, DOWN_0, DOWN_1, OWN_BOUNDS, LOWEST, MIDDLE, HALF_WINDOW = range(8, 16)
NUMBERS = 16


@kernel
def _cell_steps(c, cell, numbers):
    # The steps up and down (in half windows) and the bounds (in half windows from the middle) of one cell.
    step_up = numbers[STEP] * abs(_ONE + numbers[STEP_SPREAD] * cell[0, c])
    skew = numbers[ASYMMETRY] + numbers[ASYMMETRY_SPREAD] * cell[1, c]
    high = _ONE + numbers[UPPER_SPREAD] * cell[2, c]
    low = max(-_ONE + numbers[LOWER_SPREAD] * cell[3, c], numbers[LOWEST])
    if low > high:
        low = high = _HALF * (low + high)
    return step_up * max(_ONE + skew, _ZERO), step_up * max(_ONE - skew, _ZERO), low, high


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
    slope = (table[row, k + 1] - table[row, k]) * (0.5 * sections)
    value = table[row, k] + (table[row, k + 1] - table[row, k]) * (t - k)
    return value, slope


@kernel
def _factors(table, numbers, x, low, high):
    # f_up, f_down and their slopes at state x.
    if table.shape[1] > 0:
        up, up_slope = _look_up(table, 0, x)
        down, down_slope = _look_up(table, 1, x)
        return up, up_slope, down, down_slope
    own = np.float64(numbers[OWN_BOUNDS])
    up = numbers[UP_0] + own * (high - 1.0) + numbers[UP_1] * x
    down = numbers[DOWN_0] - own * (low + 1.0) + numbers[DOWN_1] * x
    return up, np.float64(numbers[UP_1]), down, np.float64(numbers[DOWN_1])


@kernel
def _walk(x, ups, downs, c, cell, numbers, table, key, counter):
    """Return state `x` (half windows from the middle) after its pulses, cut at the cell's bounds on the way."""
    step_up, step_down, low, high = _cell_steps(c, cell, numbers)
    least, most = min(np.float64(low), x), max(np.float64(high), x)  # where programming left it outside, it goes no further
    sigma, fixed = np.float64(numbers[SIGMA]), numbers[FIXED] > 0
    key = np.uint64(bits(key, counter))
    drawn = 0
    while ups + downs > 0:
        n = ups + downs
        share = ups / n
        up, up_slope, down, down_slope = _factors(table, numbers, x, low, high)
        up, down = max(up, 0.0), max(down, 0.0)
        big = max(step_up * max(up, abs(up_slope)), step_down * max(down, abs(down_slope)))
        turn = share * step_up * abs(up_slope) + (1 - share) * step_down * abs(down_slope)
        stretch = np.float64(n)
        if turn * stretch > _TURN:
            stretch = _TURN / turn
        if table.shape[1] > 0 and big > 0:
            drift = abs(share * step_up * up - (1 - share) * step_down * down)
            jitter = big * np.sqrt(sigma * sigma + 4 * share * (1 - share))
            move, _ = _look_up(table, 2, x)
            if drift * stretch > move:
                stretch = move / drift
            if jitter * jitter * stretch > move * move:
                stretch = move * move / (jitter * jitter)
        m = int(stretch)
        if m < 4 or n <= 4:  # pulse by pulse
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
            up, up_slope, down, down_slope = _factors(table, numbers, min(max(x + middle, low), high), low, high)
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


@kernel
def _closed_form(x, ups, downs, c, cell, numbers, z):
    """Return (where state `x` ends, whether it may meet a bound on the way), by the closed form above."""
    step_up, step_down, low, high = _cell_steps(c, cell, numbers)
    least, most = min(low, x), max(high, x)
    sigma, fixed, own = numbers[SIGMA], numbers[FIXED] > 0, numbers[OWN_BOUNDS]
    pulses = ups + downs
    n = np.float32(pulses)
    share = np.float32(ups) / n
    rest = _ONE - share
    b_up = step_up * max(numbers[UP_0] + own * (high - _ONE) + numbers[UP_1] * x, _ZERO)
    b_down = -step_down * max(numbers[DOWN_0] - own * (low + _ONE) + numbers[DOWN_1] * x, _ZERO)
    s_up, s_down = step_up * numbers[UP_1], -step_down * numbers[DOWN_1]
    e, b = share * s_up + rest * s_down, share * b_up + rest * b_down
    square = sigma * sigma
    q0 = square * (share * b_up * b_up + rest * b_down * b_down)
    q1 = _TWO * square * (share * b_up * s_up + rest * b_down * s_down)
    q2 = square * (share * s_up * s_up + rest * s_down * s_down)
    if fixed:
        q0, q1, q2 = square * (share * step_up * step_up + rest * step_down * step_down), _ZERO, _ZERO
    # The path wanders more than its end, since directions alternate; a step that pulls back bounds it.
    path = share * rest * (b_up - b_down) * (b_up - b_down) + q0
    wander = _NEAR * np.sqrt(min(n, _HALF / max(abs(e), _TINY)) * path)
    mean, variance = n * b, n * q0
    if pulses > 1 and (s_up != 0 or s_down != 0):
        mean, variance, grown = _repeated(pulses, e, b, q0, q1, q2)
        if ups * downs > 0 and abs(e) > _TINY:
            first, second = grown / e, grown * (_TWO + grown) / (e * (_TWO + e))
            pairs = (n * (grown - e) / (_ONE + e) + n - grown / e) / e if abs(n * e) > _FEW else _HALF * n * (n - _ONE)
            mean -= share * rest / (n - _ONE) * pairs * (s_up - s_down) * (b_up - b_down)
            gap = b_up - b_down + (s_up - s_down) * mean
            variance += share * rest * n / (n - _ONE) * gap * gap * max(second - first * first / n, _ZERO)
    end = mean + np.sqrt(variance) * z
    if pulses == 1 or (own > 0 and not fixed and numbers[STEP] * (_ONE + _NEAR * sigma) < _HALF):
        # One pulse cannot turn back; where the step and its noise vanish at the bound no walk gets there.
        return min(max(x + end, least), most), False
    return x + end, (max(mean, end, _ZERO) + wander > most - x) | (min(mean, end, _ZERO) - wander < least - x)


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
def _pulse_row(g, ups, downs, row, numbers, table, pulse_key, device_key, cell, z):
    """Pulse one row of cells in place; return (cells that got any, pulses)."""
    columns = g.shape[0]
    cells, pulses = 0, 0
    for c in range(columns):
        cells += ups[c] + downs[c] > 0
        pulses += ups[c] + downs[c]
    if pulses == 0:
        return 0, 0
    even, affine = columns + columns % 2, table.shape[1] == 0
    for k in range(4):
        if numbers[STEP_SPREAD + k] > 0:
            fill_normals(device_key, (row * 4 + k) * (even // 2), cell[k, :even])
    if affine:
        fill_normals(pulse_key, row * (even // 2), z[:even])
    middle, half = numbers[MIDDLE], numbers[HALF_WINDOW]
    walk_key = bits(pulse_key, -1 - row)
    for c in range(columns):
        if ups[c] + downs[c] > 0:
            x = np.float32((g[c] - middle) / half)
            end, near = x, True
            if affine:
                end, near = _closed_form(x, ups[c], downs[c], c, cell, numbers, z[c])
            if near:
                end = np.float32(_walk(np.float64(x), ups[c], downs[c], c, cell, numbers, table, walk_key, c))
            g[c] += half * (end - x)
    return cells, pulses


@parallel_kernel
def pulse_counts(g, ups, downs, numbers, table, pulse_key, device_key, first_row, done):
    """Give every cell of `g` its `ups` and `downs` pulses, in place.

    Parameters
    ----------
    g : array, shape (rows, columns)
        Conductances (S), float32 or float64.
    ups, downs : int32 arrays, shape of `g`
    numbers : float32 array
        Of the law and its spreads, by the indices of this file.
    table : float64 array, shape (3, nodes), or (3, 0) for an affine law
        Factors up and down, and how far (half windows) a cell may go until they have to be looked up again.
    pulse_key, device_key : uint64
        The streams of this write, and of the devices' own steps and bounds.
    first_row : int
        Number of the first row in the array that `g` is a part of.
    done : int64 array, shape (rows, 2)
        Set to cells pulsed and pulses given, a row each.
    """
    columns = g.shape[1]
    for row in prange(g.shape[0]):
        cell = np.zeros((4, columns + 1), np.float32)
        z = np.empty(columns + 1, np.float32)
        done[row] = _pulse_row(g[row], ups[row], downs[row], first_row + row, numbers, table, pulse_key, device_key, cell, z)
