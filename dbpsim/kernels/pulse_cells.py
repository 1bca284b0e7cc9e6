"""What is known of a block of cells while it is pulsed: how each device is its own, and how large its steps are now.

A row is pulsed block by block.  The quantities of a block lie in one array, one behind another at constant offsets, so that loops
over its cells become vector code.  States and steps are in half windows from the middle of the window.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.policy import kernel, parallel_kernel
from dbpsim.kernels.pulse_walk import (
    ASYMMETRY,
    ASYMMETRY_SPREAD,
    DOWN_0,
    DOWN_1,
    DOWN_RATE,
    DOWN_SHIFT,
    DOWN_SIZE,
    EXPONENTIAL,
    HALF_WINDOW,
    LOWER_SPREAD,
    LOWEST,
    MIDDLE,
    OWN_BOUNDS,
    STEP,
    STEP_SPREAD,
    UP_0,
    UP_1,
    UP_RATE,
    UP_SHIFT,
    UP_SIZE,
    UPPER_SPREAD,
    factors,
)

_f = np.float32
_ZERO, _HALF, _ONE, _FAR, _TINY = _f(0), _f(0.5), _f(1), _f(1e12), _f(1e-9)
_LN2, _LEAST_MOVE, _MOST_MOVE, _STRAIGHT = _f(0.6931471806), _f(0.02), _f(0.25), _f(0.04)
# 2^r on -1/2..1/2, a Chebyshev fit within 1.1e-7, and the bits of a float32
_E0, _E1, _E2, _E3, _E4, _E5 = _f(1.00000008), _f(0.69314721), _f(0.24022107), _f(0.05550327), _f(0.00967604), _f(0.00134004)
_ROUND, _LOWEST_POWER, _HIGHEST_POWER = _f(1.5 * 2**23), _f(-126), _f(126)
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)

BLOCK = 256
STEP_Z, SKEW_Z, HIGH_Z, LOW_Z, AT_Z, AT_UP, AT_UP_SLOPE, AT_DOWN, AT_DOWN_SLOPE, AT_MOVE, AT_END = (k * BLOCK for k in range(11))
ROWS_OF_WORK = 11


@kernel
def _own(step, asymmetry, high, low, least):
    # The steps up and down (half windows) and the bounds (half windows from the middle) of one cell.
    low = max(low, least)
    if low > high:
        low = high = _HALF * (low + high)
    return step * max(_ONE + asymmetry, _ZERO), step * max(_ONE - asymmetry, _ZERO), low, high


@kernel
def draw_devices(device_key, block, numbers, work):
    """Draw the four numbers that make each cell of a block its own."""
    for k in range(4):
        if numbers[STEP_SPREAD + k] > 0:
            fill_normals(device_key, (block * 4 + k) * (BLOCK // 2), work[k * BLOCK : (k + 1) * BLOCK])
        else:
            work[k * BLOCK : (k + 1) * BLOCK] = _ZERO


@kernel
def own_cell(c, numbers, work):
    """Return a cell's own steps up and down and its bounds, low and high."""
    return _own(
        numbers[STEP] * abs(_ONE + numbers[STEP_SPREAD] * work[STEP_Z + c]),
        numbers[ASYMMETRY] + numbers[ASYMMETRY_SPREAD] * work[SKEW_Z + c],
        _ONE + numbers[UPPER_SPREAD] * work[HIGH_Z + c],
        -_ONE + numbers[LOWER_SPREAD] * work[LOW_Z + c],
        numbers[LOWEST],
    )


@kernel
def set_factors(g, numbers, table, work):
    """Set what the steps of every cell are times, their slopes there, and how far (half windows) these tangents serve."""
    if numbers[EXPONENTIAL] > 0:
        _exponential_factors(g, numbers, work)
    elif table.shape[1] > 0:
        _table_factors(g, numbers, table, work)
    else:
        _affine_factors(g, numbers, work)


@kernel
def power_of_two(y):
    """Return 2^y, float32, without a branch."""
    y = min(max(y, _LOWEST_POWER), _HIGHEST_POWER)
    whole = (y + _ROUND) - _ROUND
    r = y - whole
    part = _E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5))))
    return part * np.int32((np.int32(whole) + _BIAS) << _MANTISSA_BITS).view(np.float32)


@kernel
def _exponential_factors(g, numbers, work):
    # The tangents and their reach are those of `dbpsim.devices.update`'s table, without looking anything up.
    per_half, middle = _ONE / numbers[HALF_WINDOW], numbers[MIDDLE]
    up_size, up_rate, up_shift = numbers[UP_SIZE], numbers[UP_RATE], numbers[UP_SHIFT]
    down_size, down_rate, down_shift = numbers[DOWN_SIZE], numbers[DOWN_RATE], numbers[DOWN_SHIFT]
    for c in range(g.shape[0]):
        x = min(max((np.float32(g[c]) - middle) * per_half, -_ONE), _ONE)
        bent_up, bent_down = up_size * power_of_two(up_rate * x + up_shift), down_size * power_of_two(down_rate * x + down_shift)
        up, down = max(_ONE - bent_up, _ZERO), max(_ONE - bent_down, _ZERO)
        up_slope = -bent_up * up_rate * _LN2 if up > _ZERO else _ZERO
        down_slope = -bent_down * down_rate * _LN2 if down > _ZERO else _ZERO
        bend_up, bend_down = abs(up_slope * up_rate * _LN2), abs(down_slope * down_rate * _LN2)
        reach = np.sqrt(_STRAIGHT * min(up / max(bend_up, _TINY), down / max(bend_down, _TINY)))
        work[AT_UP + c], work[AT_UP_SLOPE + c] = up, up_slope
        work[AT_DOWN + c], work[AT_DOWN_SLOPE + c] = down, down_slope
        work[AT_MOVE + c] = min(max(reach, _LEAST_MOVE), _MOST_MOVE)


@kernel
def _affine_factors(g, numbers, work):
    per_half, own = _ONE / numbers[HALF_WINDOW], numbers[OWN_BOUNDS]
    own_high, own_low = own * numbers[UPPER_SPREAD], own * numbers[LOWER_SPREAD]
    middle, up_0, up_1, down_0, down_1 = numbers[MIDDLE], numbers[UP_0], numbers[UP_1], numbers[DOWN_0], numbers[DOWN_1]
    for c in range(g.shape[0]):
        x = (np.float32(g[c]) - middle) * per_half
        work[AT_UP + c] = up_0 + own_high * work[HIGH_Z + c] + up_1 * x
        work[AT_DOWN + c] = down_0 - own_low * work[LOW_Z + c] + down_1 * x
        work[AT_UP_SLOPE + c], work[AT_DOWN_SLOPE + c], work[AT_MOVE + c] = up_1, down_1, _FAR


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
        work[AT_UP + c], work[AT_UP_SLOPE + c] = up + t * up_rise, up_rise * scale
        work[AT_DOWN + c], work[AT_DOWN_SLOPE + c] = down + t * down_rise, down_rise * scale
        work[AT_MOVE + c] = move_row[here]


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
    blocks = (columns + BLOCK - 1) // BLOCK
    for row in prange(rows):
        work = np.empty(ROWS_OF_WORK * BLOCK, np.float32)
        for block in range(blocks):
            draw_devices(device_key, row * blocks + block, numbers, work)
            for c in range(block * BLOCK, min(columns, (block + 1) * BLOCK)):
                step_up, step_down, low, high = own_cell(c - block * BLOCK, numbers, work)
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
