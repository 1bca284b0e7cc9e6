"""Pulses side by side against the same pulses, one cell and one pulse at a time, with the same random numbers."""

import numpy as np
import pytest

from dbpsim.devices.schema import Conductance
from dbpsim.devices.update import law_numbers, step_factors
from dbpsim.devices.update_laws import ConstantStep, ExponentialStep, PiecewiseStep, SoftBounds
from dbpsim.kernels import pulse_steps
from dbpsim.kernels.normals import fill_normals
from dbpsim.kernels.random import bits

WINDOW = Conductance(g_min_S=1e-6, g_max_S=11e-6, source="a test")
COMMON = {"polarity": "both", "step_S": 2e-7, "step_sigma": 0.5, "source": "a test"}
LAWS = {
    "constant": ConstantStep(**COMMON),
    "constant, fixed noise": ConstantStep(noise="fixed", **COMMON),
    "soft bounds": SoftBounds(law="soft_bounds", **COMMON),
    "exponential": ExponentialStep(
        law="exponential_step", A_up=-1.2, A_down=-0.1, gamma_up=4, gamma_down=4, a=-0.5, b=-0.5, **COMMON
    ),
    "piecewise": PiecewiseStep(law="piecewise_step", up_factors=(2, 0.6, 0.5), down_factors=(0.2, 1.5, 2.5), **COMMON),
}  # fmt: skip
KEY, CELLS = np.uint64(11), 201


def twin(law, x, ups, downs, step_up, step_down, low, high):
    least, most, left = np.minimum(low, x), np.maximum(high, x), ups + downs
    direction_key = np.uint64(bits(KEY, -1))
    for pulse in range(pulse_steps.MOST):
        z = np.zeros(-(-np.count_nonzero(left) // 16) * 16, np.float32)
        fill_normals(KEY, pulse * pulse_steps.LANES // 2, z)
        z = np.append(z, np.zeros(CELLS))[:CELLS]
        draws = [int(bits(direction_key, pulse * pulse_steps.LANES + c)) >> 41 for c in range(CELLS)]
        up = np.array(draws) / 2**23 * left < ups
        f_up, f_down = step_factors(law, np.clip(x, -1, 1) if law.law in ("exponential_step", "piecewise_step") else x)
        if law.law == "soft_bounds":  # of the cell's own bounds
            f_up, f_down = high - x, x - low
        mean = np.where(up, step_up * np.maximum(f_up, 0), -step_down * np.maximum(f_down, 0))
        noise = np.where(up, step_up, -step_down) if law.noise == "fixed" else mean
        x = np.where(left > 0, np.clip(x + mean + law.step_sigma * noise * z, least, most), x)
        ups, left = ups - up, np.maximum(left - 1, 0)
    assert not left.any()
    assert not ups.any()
    return x


@pytest.mark.parametrize("name", LAWS)
def test_cells_go_where_their_pulses_take_them_one_by_one(name):
    law, rng = LAWS[name], np.random.default_rng(4)
    numbers, table = law_numbers(law, WINDOW)
    x, low, high = rng.uniform(-1.1, 1.1, CELLS), rng.uniform(-1.2, -0.6, CELLS), rng.uniform(0.6, 1.2, CELLS)
    step_up, step_down = rng.uniform(0.01, 0.08, (2, CELLS))
    ups, downs = rng.integers(0, pulse_steps.MOST // 2 + 1, (2, CELLS))
    most_first = np.argsort(-ups - downs, kind="stable")
    ups, downs = ups[most_first], downs[most_first]
    lanes = np.full(pulse_steps.ROWS * pulse_steps.LANES, np.nan, np.float32)
    for lane in range(CELLS):
        cell = (np.float32(v[lane]) for v in (step_up, step_down, low, high))
        pulse_steps.put(lane, np.float32(x[lane]), ups[lane], downs[lane], *cell, numbers, lanes)
    pulse_steps.walk_together(CELLS, numbers, table, KEY, lanes)
    found = np.array([pulse_steps.state(lane, lanes) for lane in range(CELLS)])
    assert np.abs(found - x).max() > 0.3
    assert np.allclose(found, twin(law, x, ups, downs, step_up, step_down, low, high), atol=2e-5)  # the table's, and float32's
