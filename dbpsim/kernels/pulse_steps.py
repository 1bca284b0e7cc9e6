"""Few pulses on cells near a bound or on a bend, one after another, many cells side by side.

    x <- clip(x + m + sigma s z),    m = step f(x) with the pulse's sign,    s = |m|, or the step where noise is fixed

Up or down is drawn without replacement from what a cell has left, so n pulses are exactly n pulses: no stretch, no bridge, no
tangent.  A cell's quantities lie in rows of one array at constant offsets, so every loop over cells is vector code: a pulse
costs a few nanoseconds, and the walk of `dbpsim.kernels.pulse_walk` a hundred times that.
"""

from __future__ import annotations

import numpy as np

from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.policy import kernel
from dbpsim.kernels.pulse_cells import power_of_two
from dbpsim.kernels.pulse_walk import (
    DOWN_0,
    DOWN_1,
    DOWN_RATE,
    DOWN_SHIFT,
    DOWN_SIZE,
    EXPONENTIAL,
    FIXED,
    OWN_BOUNDS,
    SIGMA,
    UP_0,
    UP_1,
    UP_RATE,
    UP_SHIFT,
    UP_SIZE,
)
from dbpsim.kernels.random import bits

MOST = 32  # pulses: more of them are walked in stretches
LANES = 1024  # cells side by side at most
_VECTOR = 16  # lanes of one instruction

_f = np.float32
_ZERO, _HALF, _ONE = _f(0), _f(0.5), _f(1)
_S41, _U23 = np.uint64(41), _f(2.0**-23)  # 23 bits: times as many as are left, they stay below that in float32

_X, _UPS, _LEFT, _STEP_UP, _STEP_DOWN, _LEAST, _MOST, _AT_UP, _AT_DOWN, _Z, _UP, _AT = (k * LANES for k in range(12))
ROWS = 12


@kernel
def put(lane, x, ups, downs, step_up, step_down, low, high, numbers, lanes):
    """Put a cell into a lane: state, pulses, own steps and bounds (half windows from the middle)."""
    lanes[_X + lane], lanes[_UPS + lane], lanes[_LEFT + lane] = x, ups, ups + downs
    lanes[_STEP_UP + lane], lanes[_STEP_DOWN + lane] = step_up, step_down
    lanes[_LEAST + lane], lanes[_MOST + lane] = min(low, x), max(high, x)  # programmed outside, it goes no further
    lanes[_AT_UP + lane] = numbers[UP_0] + numbers[OWN_BOUNDS] * (high - _ONE)
    lanes[_AT_DOWN + lane] = numbers[DOWN_0] - numbers[OWN_BOUNDS] * (low + _ONE)


@kernel
def _directions(key, counter, cells, lanes):
    for c in range(cells):
        chance = np.float32(np.int32(bits(key, counter + c) >> _S41)) * _U23
        lanes[_UP + c] = _ONE if chance * lanes[_LEFT + c] < lanes[_UPS + c] else _ZERO


@kernel
def _affine_factors(cells, numbers, lanes):
    up_1, down_1 = numbers[UP_1], numbers[DOWN_1]
    for c in range(cells):
        up, x = lanes[_UP + c] > _ZERO, lanes[_X + c]
        lanes[_AT + c] = lanes[_AT_UP + c] + up_1 * x if up else lanes[_AT_DOWN + c] + down_1 * x


@kernel
def _exponential_factors(cells, numbers, lanes):
    up_size, up_rate, up_shift = numbers[UP_SIZE], numbers[UP_RATE], numbers[UP_SHIFT]
    down_size, down_rate, down_shift = numbers[DOWN_SIZE], numbers[DOWN_RATE], numbers[DOWN_SHIFT]
    for c in range(cells):
        up, x = lanes[_UP + c] > _ZERO, min(max(lanes[_X + c], -_ONE), _ONE)
        power = power_of_two(up_rate * x + up_shift if up else down_rate * x + down_shift)
        lanes[_AT + c] = _ONE - (up_size if up else down_size) * power


@kernel
def _table_factors(cells, table, lanes):
    sections = table.shape[1] - 1
    scale, last = _HALF * np.float32(sections), np.int32(sections - 1)
    up_row, down_row = table[0], table[1]
    for c in range(cells):
        t = (min(max(lanes[_X + c], -_ONE), _ONE) + _ONE) * scale
        k = min(np.int32(t), last)
        t -= np.float32(k)
        here, there, up = np.uint32(k), np.uint32(k + np.int32(1)), lanes[_UP + c] > _ZERO
        below, above = up_row[here] if up else down_row[here], up_row[there] if up else down_row[there]
        lanes[_AT + c] = below + t * (above - below)


@kernel
def _one_pulse(cells, sigma, fixed, lanes):
    for c in range(cells):
        up, left = lanes[_UP + c], lanes[_LEFT + c]
        step = lanes[_STEP_UP + c] if up > _ZERO else -lanes[_STEP_DOWN + c]
        mean = step * max(lanes[_AT + c], _ZERO)
        x = lanes[_X + c]
        moved = min(max(x + mean + sigma * (step if fixed else mean) * lanes[_Z + c], lanes[_LEAST + c]), lanes[_MOST + c])
        lanes[_X + c] = moved if left > _ZERO else x
        lanes[_UPS + c], lanes[_LEFT + c] = lanes[_UPS + c] - up, max(left - _ONE, _ZERO)


@kernel
def walk_together(cells, numbers, table, key, lanes):
    """Give the cells in the first `cells` lanes all their pulses; those with most of them come first.

    Parameters
    ----------
    cells : int
    numbers, table
        The law, as in `dbpsim.kernels.pulses.pulse_counts`.
    key : uint64
        Stream of these pulses.
    lanes : float32 array, shape (ROWS x LANES,)
        What `put` wrote; `state` reads where a cell ended.
    """
    sigma, fixed = numbers[SIGMA], numbers[FIXED] > 0
    exponential, table_law = numbers[EXPONENTIAL] > 0, table.shape[1] > 0
    direction_key = np.uint64(bits(key, -1))
    for lane in range(cells, (cells + _VECTOR - 1) // _VECTOR * _VECTOR):  # whole instructions: lanes with nothing to do
        lanes[_X + lane] = lanes[_UPS + lane] = lanes[_LEFT + lane] = _ZERO
    pulse = 0
    while True:
        while cells > 0 and lanes[_LEFT + cells - 1] == _ZERO:
            cells -= 1
        if cells == 0:
            return
        some = (cells + _VECTOR - 1) // _VECTOR * _VECTOR
        fill_normals(key, pulse * (LANES // 2), lanes[_Z : _Z + some])
        _directions(direction_key, pulse * LANES, some, lanes)
        if exponential:
            _exponential_factors(some, numbers, lanes)
        elif table_law:
            _table_factors(some, table, lanes)
        else:
            _affine_factors(some, numbers, lanes)
        _one_pulse(some, sigma, fixed, lanes)
        pulse += 1


@kernel
def state(lane, lanes):
    """Return where the cell of a lane is."""
    return lanes[_X + lane]
