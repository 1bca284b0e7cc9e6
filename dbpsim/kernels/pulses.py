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

Cells that come near a bound, or so far that an exponential or piecewise step bends, are walked there: pulse by pulse where
they are few (`dbpsim.kernels.pulse_steps`), else in stretches (`dbpsim.kernels.pulse_walk`).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.pulse_steps import LANES, MOST, ROWS, put, state, walk_together
from dbpsim.kernels.pulse_walk import (
    ASYMMETRY,
    ASYMMETRY_SPREAD,
    DOWN_0,
    DOWN_1,
    FIXED,
    HALF_WINDOW,
    LOWER_SPREAD,
    LOWEST,
    MIDDLE,
    OWN_BOUNDS,
    PORTION,
    SIGMA,
    STEP,
    STEP_SPREAD,
    UP_0,
    UP_1,
    UPPER_SPREAD,
    factors,
    walk,
)
from dbpsim.kernels.random import bits

_f = np.float32
_ZERO, _HALF, _ONE, _TWO, _TINY, _FAR = _f(0), _f(0.5), _f(1), _f(2), _f(1e-12), _f(1e12)
_NAN = _f(np.nan)
_FEW, _SLIGHT = _f(0.02), _f(0.05)  # of n e: where differences of near numbers, and terms of second order, are left out
_NEAR = _f(16.0)  # variances of its path within which a cell counts as near a bound

# A row is pulsed block by block; what is known of a block's cells lies in one array, a quantity after another.
_BLOCK = 256
_TOGETHER = 16  # blocks whose pulses are given in one go, so that those walking pulse by pulse are many
_STEP_Z, _SKEW_Z, _HIGH_Z, _LOW_Z, _Z, _UP, _UP_SLOPE, _DOWN, _DOWN_SLOPE, _MOVE, _END = (k * _BLOCK for k in range(11))
_ROWS = 11


@kernel
def _own(step, asymmetry, high, low, least):
    # The steps up and down (half windows) and the bounds (half windows from the middle) of one cell.
    low = max(low, least)
    if low > high:
        low = high = _HALF * (low + high)
    return step * max(_ONE + asymmetry, _ZERO), step * max(_ONE - asymmetry, _ZERO), low, high


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
def _affine_factors(g, numbers, work):
    per_half, own = _ONE / numbers[HALF_WINDOW], numbers[OWN_BOUNDS]
    own_high, own_low = own * numbers[UPPER_SPREAD], own * numbers[LOWER_SPREAD]
    middle, up_0, up_1, down_0, down_1 = numbers[MIDDLE], numbers[UP_0], numbers[UP_1], numbers[DOWN_0], numbers[DOWN_1]
    for c in range(g.shape[0]):
        x = (np.float32(g[c]) - middle) * per_half
        work[_UP + c] = up_0 + own_high * work[_HIGH_Z + c] + up_1 * x
        work[_DOWN + c] = down_0 - own_low * work[_LOW_Z + c] + down_1 * x
        work[_UP_SLOPE + c], work[_DOWN_SLOPE + c], work[_MOVE + c] = up_1, down_1, _FAR


@kernel
def _table_factors(g, numbers, table, work):
    per_half, middle, sections = _ONE / numbers[HALF_WINDOW], numbers[MIDDLE], table.shape[1] - 1
    scale, last = _HALF * np.float32(sections), np.int32(sections - 1)
    up_row, down_row, move_row = table[0], table[1], table[2]
    for c in range(g.shape[0]):
        x = (np.float32(g[c]) - middle) * per_half
        t = (min(max(x, -_ONE), _ONE) + _ONE) * scale
        k = min(np.int32(t), last)
        t -= np.float32(k)
        here, there = np.uint32(k), np.uint32(k + np.int32(1))
        up, down = up_row[here], down_row[here]
        up_rise, down_rise = up_row[there] - up, down_row[there] - down
        work[_UP + c], work[_UP_SLOPE + c] = up + t * up_rise, up_rise * scale
        work[_DOWN + c], work[_DOWN_SLOPE + c] = down + t * down_rise, down_rise * scale
        work[_MOVE + c] = move_row[here]


@kernel
def _few_pulses(g, ups, downs, numbers, work):
    """Set work[_END] to how far every cell moves (half windows), or to nan where that takes a closer look.

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
        own_step, own_skew = step * abs(_ONE + step_spread * work[_STEP_Z + c]), skew + skew_spread * work[_SKEW_Z + c]
        high, low = _ONE + upper_spread * work[_HIGH_Z + c], max(-_ONE + lower_spread * work[_LOW_Z + c], lowest)
        x = (np.float32(g[c]) - middle) * per_half
        step_up, step_down = own_step * max(_ONE + own_skew, _ZERO), own_step * max(_ONE - own_skew, _ZERO)
        b_up, b_down = step_up * max(work[_UP + c], _ZERO), -step_down * max(work[_DOWN + c], _ZERO)
        s_up, s_down = step_up * work[_UP_SLOPE + c], -step_down * work[_DOWN_SLOPE + c]
        e, b = share * s_up + rest * s_down, share * b_up + rest * b_down
        a_up, a_down = step_up if fixed else b_up, step_down if fixed else b_down
        t_up, t_down = _ZERO if fixed else s_up, _ZERO if fixed else s_down
        q0 = square * (share * a_up * a_up + rest * a_down * a_down)
        q1 = _TWO * square * (share * a_up * t_up + rest * a_down * t_down)
        mean = n * b * (_ONE + more * e) - _HALF * share * rest * n * (s_up - s_down) * (b_up - b_down)
        variance = n * (q0 * (_ONE + _TWO * more * e) + more * b * q1)
        path = n * (share * rest * (b_up - b_down) * (b_up - b_down) + q0)
        room = min(high - x - max(mean, _ZERO), min(mean, _ZERO) + x - low)
        move = _HALF * work[_MOVE + c]
        straight = (n * abs(b) <= move) & (path <= _TWO * move * move) & (n * abs(e) < slight)
        clear = (room > _ZERO) & (room * room >= _NEAR * path) & (straight | (count == 1))
        work[_END + c] = mean + np.sqrt(max(variance, _ZERO)) * work[_Z + c] if clear else _NAN


@kernel
def _draw_devices(device_key, block, numbers, work):
    # The four numbers that make each cell of a block its own.
    for k in range(4):
        if numbers[STEP_SPREAD + k] > 0:
            fill_normals(device_key, (block * 4 + k) * (_BLOCK // 2), work[k * _BLOCK : (k + 1) * _BLOCK])
        else:
            work[k * _BLOCK : (k + 1) * _BLOCK] = _ZERO


@kernel
def _own_cell(c, numbers, work):
    return _own(
        numbers[STEP] * abs(_ONE + numbers[STEP_SPREAD] * work[_STEP_Z + c]),
        numbers[ASYMMETRY] + numbers[ASYMMETRY_SPREAD] * work[_SKEW_Z + c],
        _ONE + numbers[UPPER_SPREAD] * work[_HIGH_Z + c],
        -_ONE + numbers[LOWER_SPREAD] * work[_LOW_Z + c],
        numbers[LOWEST],
    )


@kernel
def _share_out(portions, z, left_ups, left_downs, ups, downs):
    # A portion of what is left of every cell's pulses: as many of either kind as a draw without replacement gives.
    part = _ONE / np.float32(portions)
    for c in range(ups.shape[0]):
        n = left_ups[c] + left_downs[c]
        total, up = np.float32(max(n, 1)), np.float32(left_ups[c])
        m = np.ceil(np.float32(n) * part - _FEW)
        share = up / total
        chance = m * share * (_ONE - share) * (total - m) / max(total - _ONE, _ONE)
        drawn = np.floor(m * share + np.sqrt(max(chance, _ZERO)) * z[c] + _HALF)
        some = np.int32(min(max(drawn, m - np.float32(left_downs[c]), _ZERO), m, up))
        rest = np.int32(m) - some
        ups[c], downs[c] = some, rest
        left_ups[c] -= some
        left_downs[c] -= rest


@kernel
def _apply(g, ups, downs, half, work):
    # Cells in closed form; no step ends below 0 S, though rounding may.
    for c in range(g.shape[0]):
        move = work[_END + c]
        there = (ups[c] + downs[c] > 0) & (move == move)
        g[c] = max(g[c] + half * (move if there else _ZERO), _ZERO) if there else g[c]


@kernel
def _pulse_block(g, ups, downs, block, numbers, table, pulse_key, work, waiting, waits, at):
    """Give a block of cells of one row its pulses in place, but for those that wait to walk; return how many wait then."""
    fill_normals(pulse_key, block * (_BLOCK // 2), work[_Z : _Z + _BLOCK])
    if table.shape[1] > 0:
        _table_factors(g, numbers, table, work)
    else:
        _affine_factors(g, numbers, work)
    _few_pulses(g, ups, downs, numbers, work)
    half, per_half = numbers[HALF_WINDOW], _ONE / numbers[HALF_WINDOW]
    _apply(g, ups, downs, half, work)
    sigma, fixed, own = numbers[SIGMA], numbers[FIXED] > 0, numbers[OWN_BOUNDS]
    # Where the step and its noise vanish at the bound, no walk gets there.
    walls = own == 0 or fixed or numbers[STEP] * (_ONE + _TWO * _TWO * sigma) > _HALF
    walk_key = np.uint64(bits(np.uint64(bits(pulse_key, 1)), block))
    for c in range(g.shape[0]):
        if work[_END + c] != work[_END + c] and ups[c] + downs[c] > 0:
            if ups[c] + downs[c] <= MOST:
                waiting[waits] = at + c
                waits += 1
                continue
            x = (np.float32(g[c]) - numbers[MIDDLE]) * per_half
            step_up, step_down, low, high = _own_cell(c, numbers, work)
            end, walked = _closed_form(
                x, ups[c], downs[c], step_up, step_down, min(low, x), max(high, x), work[_UP + c], work[_UP_SLOPE + c],
                work[_DOWN + c], work[_DOWN_SLOPE + c], work[_MOVE + c], walls, sigma, fixed, work[_Z + c],
            )  # fmt: skip
            if walked:
                end = np.float32(walk(np.float64(x), ups[c], downs[c], step_up, step_down, low, high, numbers, table, walk_key, c))
            g[c] = max(g[c] + half * (end - x), _ZERO)
    return waits


@kernel
def _walk_waiting(g, ups, downs, numbers, table, key, works, waiting, waits, order, lanes):
    # Those that wait, cells `waiting` of `g` (rows of whole blocks), pulse by pulse; those with most pulses first.
    columns, per_half = g.shape[1], _ONE / numbers[HALF_WINDOW]
    blocks = (columns + _BLOCK - 1) // _BLOCK
    starts = np.zeros(MOST + 1, np.int64)
    for k in range(waits):
        row, column = divmod(waiting[k], blocks * _BLOCK)
        starts[MOST - ups[row, column] - downs[row, column] + 1] += 1  # n = MOST .. 1 end at 1 .. MOST
    for n in range(MOST):
        starts[n + 1] += starts[n]
    for k in range(waits):
        row, column = divmod(waiting[k], blocks * _BLOCK)
        place = MOST - ups[row, column] - downs[row, column]
        order[starts[place]] = waiting[k]
        starts[place] += 1
    for lane in range(waits):
        row, column = divmod(order[lane], blocks * _BLOCK)
        x = (np.float32(g[row, column]) - numbers[MIDDLE]) * per_half
        step_up, step_down, low, high = _own_cell(column % _BLOCK, numbers, works[row * blocks + column // _BLOCK])
        put(lane, x, ups[row, column], downs[row, column], step_up, step_down, low, high, numbers, lanes)
    walk_together(waits, numbers, table, key, lanes)
    for lane in range(waits):
        row, column = divmod(order[lane], blocks * _BLOCK)
        x = (np.float32(g[row, column]) - numbers[MIDDLE]) * per_half
        g[row, column] = max(g[row, column] + numbers[HALF_WINDOW] * (state(lane, lanes) - x), _ZERO)


@kernel
def _pulse_rows(g, ups, downs, first_block, portions, numbers, table, pulse_key, works, places):
    # The blocks of some rows, those of `portions` > 0, after these pulses.
    blocks = portions.shape[1]
    waiting, order, lanes = places
    waits, key = 0, np.uint64(bits(pulse_key, 2))
    lanes_key = key
    for row in range(g.shape[0]):
        for block in range(blocks):
            if portions[row, block] == 0:
                continue
            if waits == 0:
                lanes_key = np.uint64(bits(key, first_block + row * blocks + block))
            cut, number = slice(block * _BLOCK, min(g.shape[1], (block + 1) * _BLOCK)), row * blocks + block
            waits = _pulse_block(
                g[row, cut], ups[row, cut], downs[row, cut], first_block + number, numbers, table, pulse_key, works[number],
                waiting, waits, number * _BLOCK,
            )  # fmt: skip
            if waits > LANES - _BLOCK:
                _walk_waiting(g, ups, downs, numbers, table, lanes_key, works, waiting, waits, order, lanes)
                waits = 0
    if waits > 0:
        _walk_waiting(g, ups, downs, numbers, table, lanes_key, works, waiting, waits, order, lanes)


@kernel
def _count_block(ups, downs, done):
    # int32 sums, vector code: a block of pulses does not overflow them
    cells, pulses = np.int32(0), np.int32(0)
    for c in range(ups.shape[0]):
        n = ups[c] + downs[c]
        cells += np.int32(n > 0)
        pulses += n
    done[0] += cells
    done[1] += pulses
    return cells, pulses


@kernel
def _pulse_group(g, ups, downs, first_block, blocks, numbers, table, pulse_key, device_key, works, done):
    # Some rows: a portion of every block's pulses after another, where a block has more than PORTION a cell.
    portions, most = np.zeros((g.shape[0], blocks), np.int64), 0
    for row in range(g.shape[0]):
        for block in range(blocks):
            cut, number = slice(block * _BLOCK, min(g.shape[1], (block + 1) * _BLOCK)), row * blocks + block
            cells, pulses = _count_block(ups[row, cut], downs[row, cut], done[row])
            if pulses > 0:
                _draw_devices(device_key, first_block + number, numbers, works[number])
                portions[row, block] = max(1, int(np.ceil(pulses / (cells * numbers[PORTION]))))  # of a usual cell
                most = max(most, portions[row, block])
    places = np.empty(LANES, np.int64), np.empty(LANES, np.int64), np.empty(ROWS * LANES, np.float32)
    if most == 1:
        _pulse_rows(g, ups, downs, first_block, portions, numbers, table, pulse_key, works, places)
        return
    left_ups, left_downs, some_ups, some_downs = ups.copy(), downs.copy(), np.zeros_like(ups), np.zeros_like(downs)
    for number in range(most, 0, -1):
        key = np.uint64(bits(pulse_key, -1 - number))
        share_key = np.uint64(bits(key, 0))
        for row in range(g.shape[0]):
            for block in range(blocks):
                if portions[row, block] < number:
                    continue
                cut, z = slice(block * _BLOCK, min(g.shape[1], (block + 1) * _BLOCK)), works[row * blocks + block, _Z : _Z + _BLOCK]
                fill_normals(share_key, (first_block + row * blocks + block) * (_BLOCK // 2), z)
                left, some = (left_ups[row, cut], left_downs[row, cut]), (some_ups[row, cut], some_downs[row, cut])
                _share_out(number, z, left[0], left[1], some[0], some[1])
        _pulse_rows(g, some_ups, some_downs, first_block, portions // number > 0, numbers, table, key, works, places)


@parallel_kernel
def pulse_counts(g, ups, downs, numbers, table, pulse_key, device_key, first_row, done):
    """Give every cell of `g` its `ups` and `downs` pulses, in place.

    Parameters
    ----------
    g : array, shape (rows, columns)
        Conductances (S), float32 or float64.
    ups, downs : int32 arrays, shape of `g`
    numbers : float32 array
        Of the law and its spreads, by the indices of `dbpsim.kernels.pulse_walk`.
    table : float32 array, shape (3, nodes), or (3, 0) for an affine law
        Factors up and down, and how far (half windows) a cell may go until they have to be looked up again.
    pulse_key, device_key : uint64
        The streams of this write, and of the devices' own steps and bounds.
    first_row : int
        Number of the first row in the array that `g` is a part of.
    done : int64 array, shape (rows, 2)
        Cells pulsed and pulses given are added, a row each.
    """
    blocks = (g.shape[1] + _BLOCK - 1) // _BLOCK
    some = max(1, _TOGETHER // blocks)
    for task in prange((g.shape[0] + some - 1) // some):
        first, last = task * some, min(g.shape[0], (task + 1) * some)
        works = np.empty((some * blocks, _ROWS * _BLOCK), np.float32)
        _pulse_group(
            g[first:last], ups[first:last], downs[first:last], (first_row + first) * blocks, blocks, numbers, table, pulse_key,
            device_key, works, done[first:last],
        )  # fmt: skip


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
    blocks = (columns + _BLOCK - 1) // _BLOCK
    for row in prange(rows):
        work = np.empty(_ROWS * _BLOCK, np.float32)
        for block in range(blocks):
            _draw_devices(device_key, row * blocks + block, numbers, work)
            for c in range(block * _BLOCK, min(columns, (block + 1) * _BLOCK)):
                step_up, step_down, low, high = _own_cell(c - block * _BLOCK, numbers, work)
                g[row, c] = numbers[MIDDLE] + numbers[HALF_WINDOW] * _balance(step_up, step_down, low, high, numbers, table)


@kernel
def _gain(x, step_up, step_down, low, high, numbers, table):
    up, _, down, _ = factors(table, numbers, x, low, high)
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
