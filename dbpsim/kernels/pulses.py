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
from dbpsim.kernels.pulse_cells import (
    AT_DOWN,
    AT_DOWN_SLOPE,
    AT_END,
    AT_MOVE,
    AT_UP,
    AT_UP_SLOPE,
    AT_Z,
    BLOCK,
    ROWS_OF_WORK,
    draw_devices,
    own_cell,
    set_factors,
)
from dbpsim.kernels.pulse_closed_form import closed_form, few_pulses
from dbpsim.kernels.pulse_steps import LANES, MOST, ROWS, put, state, walk_together
from dbpsim.kernels.pulse_walk import FIXED, HALF_WINDOW, MIDDLE, OWN_BOUNDS, PORTION, SIGMA, STEP, walk
from dbpsim.kernels.random import bits

_f = np.float32
_ZERO, _HALF, _ONE, _TWO = _f(0), _f(0.5), _f(1), _f(2)
_SLACK = _f(0.02)  # of a pulse: a whole number over a whole number may come out above itself by rounding
_TOGETHER = 16  # blocks whose pulses are given in one go, so that those walking pulse by pulse are many


@kernel
def _share_out(portions, z, left_ups, left_downs, ups, downs):
    # A portion of what is left of every cell's pulses: as many of either kind as a draw without replacement gives.
    part = _ONE / np.float32(portions)
    for c in range(ups.shape[0]):
        n = left_ups[c] + left_downs[c]
        total, up = np.float32(max(n, 1)), np.float32(left_ups[c])
        m = np.ceil(np.float32(n) * part - _SLACK)
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
        move = work[AT_END + c]
        there = (ups[c] + downs[c] > 0) & (move == move)
        g[c] = max(g[c] + half * (move if there else _ZERO), _ZERO) if there else g[c]


@kernel
def _pulse_block(g, ups, downs, block, numbers, table, pulse_key, work, waiting, waits, row, first):
    """Give a block of cells of one row its pulses in place, but for those that wait to walk; return how many wait then."""
    fill_normals(pulse_key, block * (BLOCK // 2), work[AT_Z : AT_Z + BLOCK])
    set_factors(g, numbers, table, work)
    few_pulses(g, ups, downs, numbers, work)
    half, per_half = numbers[HALF_WINDOW], _ONE / numbers[HALF_WINDOW]
    _apply(g, ups, downs, half, work)
    sigma, fixed, own = numbers[SIGMA], numbers[FIXED] > 0, numbers[OWN_BOUNDS]
    # Where the step and its noise vanish at the bound, no walk gets there.
    walls = own == 0 or fixed or numbers[STEP] * (_ONE + _TWO * _TWO * sigma) > _HALF
    walk_key = np.uint64(bits(np.uint64(bits(pulse_key, 1)), block))
    for c in range(g.shape[0]):
        if work[AT_END + c] != work[AT_END + c] and ups[c] + downs[c] > 0:
            if ups[c] + downs[c] <= MOST:
                waiting[waits, 0], waiting[waits, 1], waiting[waits, 2] = ups[c] + downs[c], row, first + c
                waits += 1
                continue
            x = (np.float32(g[c]) - numbers[MIDDLE]) * per_half
            step_up, step_down, low, high = own_cell(c, numbers, work)
            end, walked = closed_form(
                x, ups[c], downs[c], step_up, step_down, min(low, x), max(high, x), work[AT_UP + c], work[AT_UP_SLOPE + c],
                work[AT_DOWN + c], work[AT_DOWN_SLOPE + c], work[AT_MOVE + c], walls, sigma, fixed, work[AT_Z + c],
            )  # fmt: skip
            if walked:
                cell = np.float64(x), ups[c], downs[c], step_up, step_down, low, high
                end = np.float32(walk(*cell, numbers, table, walk_key, c))
            g[c] = max(g[c] + half * (end - x), _ZERO)
    return waits


@kernel
def _walk_waiting(g, ups, downs, numbers, table, key, works, waiting, waits, places):
    # Those that wait, (pulses, row, column) each, pulse by pulse; those with most pulses first.
    per_half, half, blocks = _ONE / numbers[HALF_WINDOW], numbers[HALF_WINDOW], (g.shape[1] + BLOCK - 1) // BLOCK
    order, lanes = places
    starts = np.zeros(MOST + 1, np.int64)
    for k in range(waits):
        starts[MOST - waiting[k, 0] + 1] += 1  # n = MOST .. 1 end at 1 .. MOST
    for n in range(MOST):
        starts[n + 1] += starts[n]
    for k in range(waits):
        place = MOST - waiting[k, 0]
        order[starts[place]] = k
        starts[place] += 1
    for lane in range(waits):
        row, column = waiting[order[lane], 1], waiting[order[lane], 2]
        x = (np.float32(g[row, column]) - numbers[MIDDLE]) * per_half
        step_up, step_down, low, high = own_cell(column % BLOCK, numbers, works[row * blocks + column // BLOCK])
        put(lane, x, ups[row, column], downs[row, column], step_up, step_down, low, high, numbers, lanes)
    walk_together(waits, numbers, table, key, lanes)
    for lane in range(waits):
        row, column = waiting[order[lane], 1], waiting[order[lane], 2]
        x = (np.float32(g[row, column]) - numbers[MIDDLE]) * per_half
        g[row, column] = max(g[row, column] + half * (state(lane, lanes) - x), _ZERO)


@kernel
def _pulse_rows(g, ups, downs, first_block, portions, numbers, table, pulse_key, works, places):
    # The blocks of some rows, those of `portions` > 0, after these pulses.
    blocks = portions.shape[1]
    waiting, rest = places
    waits, key = 0, np.uint64(bits(pulse_key, 2))
    lanes_key = key
    for number in range(g.shape[0] * blocks):
        row, block = number // blocks, number % blocks
        if portions[row, block] > 0:
            if waits == 0:
                lanes_key = np.uint64(bits(key, first_block + number))
            cut = slice(block * BLOCK, min(g.shape[1], (block + 1) * BLOCK))
            waits = _pulse_block(
                g[row, cut], ups[row, cut], downs[row, cut], first_block + number, numbers, table, pulse_key, works[number],
                waiting, waits, row, block * BLOCK,
            )  # fmt: skip
        if waits > LANES - BLOCK or number == g.shape[0] * blocks - 1:
            _walk_waiting(g, ups, downs, numbers, table, lanes_key, works, waiting, waits, rest)
            waits = 0


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
            cut, number = slice(block * BLOCK, min(g.shape[1], (block + 1) * BLOCK)), row * blocks + block
            cells, pulses = _count_block(ups[row, cut], downs[row, cut], done[row])
            if pulses > 0:
                draw_devices(device_key, first_block + number, numbers, works[number])
                portions[row, block] = max(1, int(np.ceil(pulses / (cells * numbers[PORTION]))))  # of a usual cell
                most = max(most, portions[row, block])
    places = np.empty((LANES, 3), np.int64), (np.empty(LANES, np.int64), np.empty(ROWS * LANES, np.float32))
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
                cut, place = slice(block * BLOCK, min(g.shape[1], (block + 1) * BLOCK)), row * blocks + block
                z = works[place, AT_Z : AT_Z + BLOCK]
                fill_normals(share_key, (first_block + place) * (BLOCK // 2), z)
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
    blocks = (g.shape[1] + BLOCK - 1) // BLOCK
    some = max(1, _TOGETHER // blocks)
    for task in prange((g.shape[0] + some - 1) // some):
        first, last = task * some, min(g.shape[0], (task + 1) * some)
        works = np.empty((some * blocks, ROWS_OF_WORK * BLOCK), np.float32)
        _pulse_group(
            g[first:last], ups[first:last], downs[first:last], (first_row + first) * blocks, blocks, numbers, table, pulse_key,
            device_key, works, done[first:last],
        )  # fmt: skip
