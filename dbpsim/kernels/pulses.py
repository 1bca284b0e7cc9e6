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
_ZERO, _HALF, _ONE, _TWO, _TINY, _FAR = _f(0), _f(0.5), _f(1), _f(2), _f(1e-12), _f(1e12)
_FEW, _SLIGHT = _f(0.02), _f(0.05)  # of n e: where differences of near numbers, and terms of second order, are left out
_NEAR = _f(16.0)  # variances of its path within which a cell counts as near a bound
_CORRECTION = 0.5826  # -zeta(1/2) / sqrt(2 pi)
_TURN = 0.1

# What `numbers` holds, in this order.
STEP, SIGMA, FIXED, ASYMMETRY, STEP_SPREAD, ASYMMETRY_SPREAD, UPPER_SPREAD, LOWER_SPREAD = range(8)
UP_0, UP_1, DOWN_0, DOWN_1, OWN_BOUNDS, LOWEST, MIDDLE, HALF_WINDOW = range(8, 16)
NUMBERS = 16


@kernel
def _own(step, asymmetry, high, low, least):
    # The steps up and down (half windows) and the bounds (half windows from the middle) of one cell.
    low = max(low, least)
    if low > high:
        low = high = _HALF * (low + high)
    return step * max(_ONE + asymmetry, _ZERO), step * max(_ONE - asymmetry, _ZERO), low, high


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
def _walk(x, ups, downs, step_up, step_down, low, high, numbers, table, key, counter):
    """Return state `x` (half windows from the middle) after its pulses, cut at the cell's bounds on the way."""
    least, most = min(np.float64(low), x), max(np.float64(high), x)  # where programming left it outside, it goes no further
    sigma, fixed = np.float64(numbers[SIGMA]), numbers[FIXED] > 0
    key = np.uint64(bits(np.uint64(key), counter))
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
def _closed_form(x, ups, downs, step_up, step_down, least, most, up, up_slope, down, down_slope, move, walls, sigma, fixed, z):
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
    if n * abs(b) > _HALF * move or n * path > _HALF * _HALF * move * move:
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
def _few_pulses_row(g, ups, downs, step_z, skew_z, high_z, low_z, z, numbers, left):
    """Pulse the cells of a row whose step hardly changes under way and that stay clear of their bounds; mark those `left`.

    The closed form to second order for affine laws, without a branch: the loop becomes vector code.
    """
    step, sigma, skew, skew_spread = numbers[STEP], numbers[SIGMA], numbers[ASYMMETRY], numbers[ASYMMETRY_SPREAD]
    step_spread, upper_spread, lower_spread = numbers[STEP_SPREAD], numbers[UPPER_SPREAD], numbers[LOWER_SPREAD]
    up_0, up_1, down_0, down_1 = numbers[UP_0], numbers[UP_1], numbers[DOWN_0], numbers[DOWN_1]
    lowest, own, fixed = numbers[LOWEST], numbers[OWN_BOUNDS], numbers[FIXED] > 0
    middle, half = numbers[MIDDLE], numbers[HALF_WINDOW]
    per_half, square, slight = _ONE / half, sigma * sigma, _SLIGHT * sigma
    for c in range(g.shape[0]):
        count = ups[c] + downs[c]
        n = np.float32(count)
        share = np.float32(ups[c]) / max(n, _ONE)
        rest, more = _ONE - share, _HALF * (n - _ONE)
        own_step, own_skew = step * abs(_ONE + step_spread * step_z[c]), skew + skew_spread * skew_z[c]
        high, low = _ONE + upper_spread * high_z[c], max(-_ONE + lower_spread * low_z[c], lowest)
        x = (np.float32(g[c]) - middle) * per_half
        step_up, step_down = own_step * max(_ONE + own_skew, _ZERO), own_step * max(_ONE - own_skew, _ZERO)
        b_up = step_up * max(up_0 + own * (high - _ONE) + up_1 * x, _ZERO)
        b_down = -step_down * max(down_0 - own * (low + _ONE) + down_1 * x, _ZERO)
        s_up, s_down = step_up * up_1, -step_down * down_1
        e, b = share * s_up + rest * s_down, share * b_up + rest * b_down
        a_up, a_down = step_up if fixed else b_up, step_down if fixed else b_down
        t_up, t_down = _ZERO if fixed else s_up, _ZERO if fixed else s_down
        q0 = square * (share * a_up * a_up + rest * a_down * a_down)
        q1 = _TWO * square * (share * a_up * t_up + rest * a_down * t_down)
        mean = n * b * (_ONE + more * e) - _HALF * share * rest * n * (s_up - s_down) * (b_up - b_down)
        variance = n * (q0 * (_ONE + _TWO * more * e) + more * b * q1)
        path = n * (share * rest * (b_up - b_down) * (b_up - b_down) + q0)
        room = min(high - x - max(mean, _ZERO), min(mean, _ZERO) + x - low)
        clear = (room > _ZERO) & (room * room >= _NEAR * path) & ((n * abs(e) < slight) | (count == 1))
        left[c] = (count > 0) & (not clear)
        move = mean + np.sqrt(max(variance, _ZERO)) * z[c]
        g[c] += half * move if clear & (count > 0) else _ZERO


@kernel
def _pulse_row(g, ups, downs, row, numbers, table, pulse_key, device_key, cell, z, walked):
    """Pulse one row of cells in place; return (cells that got any, pulses)."""
    columns = g.shape[0]
    cells, pulses = 0, 0
    for c in range(columns):
        cells += ups[c] + downs[c] > 0
        pulses += ups[c] + downs[c]
    if pulses == 0:
        return 0, 0
    even = columns + columns % 2
    for k in range(4):
        if numbers[STEP_SPREAD + k] > 0:
            fill_normals(device_key, (row * 4 + k) * (even // 2), cell[k, :even])
    fill_normals(pulse_key, row * (even // 2), z[:even])
    step, sigma, fixed, asymmetry = numbers[STEP], numbers[SIGMA], numbers[FIXED] > 0, numbers[ASYMMETRY]
    step_spread, asymmetry_spread = numbers[STEP_SPREAD], numbers[ASYMMETRY_SPREAD]
    upper_spread, lower_spread, lowest, own = numbers[UPPER_SPREAD], numbers[LOWER_SPREAD], numbers[LOWEST], numbers[OWN_BOUNDS]
    up_0, up_slope, down_0, down_slope = numbers[UP_0], numbers[UP_1], numbers[DOWN_0], numbers[DOWN_1]
    middle, half = numbers[MIDDLE], numbers[HALF_WINDOW]
    per_half, move, sections = _ONE / half, _FAR, table.shape[1] - 1
    # Where the step and its noise vanish at the bound, no walk gets there.
    walls = own == 0 or fixed or step * (_ONE + _TWO * _TWO * sigma) > _HALF
    if sections < 0:
        _few_pulses_row(g, ups, downs, cell[0], cell[1], cell[2], cell[3], z, numbers, walked)
    else:
        for c in range(columns):
            walked[c] = ups[c] + downs[c] > 0
    for c in range(columns):
        if walked[c]:
            x = np.float32(g[c] - middle) * per_half
            step_up, step_down, low, high = _own(
                step * abs(_ONE + step_spread * cell[0, c]), asymmetry + asymmetry_spread * cell[1, c],
                _ONE + upper_spread * cell[2, c], -_ONE + lower_spread * cell[3, c], lowest,
            )  # fmt: skip
            if sections > 0:
                t = (min(max(x, -_ONE), _ONE) + _ONE) * _HALF * np.float32(sections)
                k = min(np.int64(t), sections - 1)
                t -= np.float32(k)
                up, down = np.float32(table[0, k]), np.float32(table[1, k])
                up_slope, down_slope = np.float32(table[0, k + 1]) - up, np.float32(table[1, k + 1]) - down
                up, down = up + t * up_slope, down + t * down_slope
                up_slope, down_slope = up_slope * _HALF * np.float32(sections), down_slope * _HALF * np.float32(sections)
                move = np.float32(table[2, k])
            else:
                up, down = up_0 + own * (high - _ONE) + up_slope * x, down_0 - own * (low + _ONE) + down_slope * x
            end, walked[c] = _closed_form(
                x, ups[c], downs[c], step_up, step_down, min(low, x), max(high, x), up, up_slope, down, down_slope,
                move, walls, sigma, fixed, z[c],
            )  # fmt: skip
            if walked[c]:  # later: a call in this loop costs more than all of it
                cell[0, c], cell[1, c], cell[2, c], cell[3, c] = step_up, step_down, low, high
            else:
                g[c] += half * (end - x)
    walk_key = np.uint64(bits(pulse_key, -1 - row))
    for c in range(columns):
        if walked[c]:
            x = np.float64(np.float32(g[c] - middle) * per_half)
            steps = cell[0, c], cell[1, c], cell[2, c], cell[3, c]
            g[c] += half * (_walk(x, ups[c], downs[c], *steps, numbers, table, walk_key, c) - x)
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
        z, walked = np.empty(columns + 1, np.float32), np.zeros(columns, np.bool_)
        done[row] = _pulse_row(
            g[row], ups[row], downs[row], first_row + row, numbers, table, pulse_key, device_key, cell, z, walked
        )


@parallel_kernel
def symmetry_points(numbers, table, device_key, g):
    """Set `g` (S) to where each cell's own step up equals its step down; to the middle of its bounds where none is between them.

    Parameters
    ----------
    numbers, table, device_key
        As in `pulse_counts`.
    g : array, shape (rows, columns)
    """
    rows, columns = g.shape
    for row in prange(rows):
        cell = np.zeros((4, columns + 1), np.float32)
        even = columns + columns % 2
        for k in range(4):
            if numbers[STEP_SPREAD + k] > 0:
                fill_normals(device_key, (row * 4 + k) * (even // 2), cell[k, :even])
        for c in range(columns):
            step_up, step_down, low, high = _own(
                numbers[STEP], numbers[ASYMMETRY] + numbers[ASYMMETRY_SPREAD] * cell[1, c],
                _ONE + numbers[UPPER_SPREAD] * cell[2, c], -_ONE + numbers[LOWER_SPREAD] * cell[3, c], numbers[LOWEST],
            )  # fmt: skip
            g[row, c] = numbers[MIDDLE] + numbers[HALF_WINDOW] * _balance(step_up, step_down, low, high, numbers, table)


@kernel
def _gain(x, step_up, step_down, low, high, numbers, table):
    up, _, down, _ = _factors(table, numbers, x, low, high)
    return step_up * up - step_down * down


@kernel
def _balance(step_up, step_down, low, high, numbers, table):
    # The zero of a falling function by bisection, to float32.
    below, above = np.float64(low), np.float64(high)
    middle = 0.5 * (below + above)
    at_low = _gain(below, step_up, step_down, low, high, numbers, table)
    if not at_low > 0 > _gain(above, step_up, step_down, low, high, numbers, table):
        return middle
    for _ in range(26):
        if _gain(middle, step_up, step_down, low, high, numbers, table) > 0:
            below = middle
        else:
            above = middle
        middle = 0.5 * (below + above)
    return middle
