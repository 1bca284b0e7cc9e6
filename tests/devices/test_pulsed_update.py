"""n pulses in closed form against the same pulses one by one, for every law."""

import math

import numba
import numpy as np
import pytest
from scipy.stats import ks_2samp

from dbpsim.devices.schema import Conductance
from dbpsim.devices.update import mean_steps, pulse, step_factors
from dbpsim.devices.update_laws import ConstantStep, ExponentialStep, LinearStep, PiecewiseStep, SoftBounds

WINDOW = Conductance(g_min_S=1e-6, g_max_S=11e-6, source="a test")
STEP, N = 2e-8, 20_000
COMMON = {"polarity": "both", "step_S": STEP, "step_sigma": 0.3, "source": "a test"}
LAWS = {
    "constant": ConstantStep(**COMMON),
    "constant, noisy, skew": ConstantStep(**COMMON | {"step_sigma": 4.0, "asymmetry": 0.2}),
    "linear": LinearStep(law="linear_step", gamma_up=0.4, gamma_down=0.7, **COMMON),
    "linear, fixed noise": LinearStep(law="linear_step", gamma_up=0.4, gamma_down=-0.3, noise="fixed", **COMMON),
    "soft bounds": SoftBounds(law="soft_bounds", **COMMON),
    "exponential": ExponentialStep(
        law="exponential_step", A_up=-1.2, A_down=-0.1, gamma_up=4, gamma_down=4, a=-0.5, b=-0.5, **COMMON
    ),
    "piecewise": PiecewiseStep(law="piecewise_step", up_factors=(2, 0.6, 0.5), down_factors=(0.2, 1.5, 2.5), **COMMON),
}  # fmt: skip


def one_by_one(start, ups, downs, law, rng):
    """The literature's loop: a random direction out of those left, a noisy step, a cut at the window."""
    g, left = np.full(N, start), np.full(N, ups)
    for k in range(ups + downs):
        up = rng.random(N) * (ups + downs - k) < left
        left -= up
        plus, minus = mean_steps(law, g, WINDOW)
        step = np.where(up, plus, -minus)
        scale = np.where(up, 1 + law.asymmetry, 1 - law.asymmetry) * STEP if law.noise == "fixed" else np.abs(step)
        g = np.clip(g + step + law.step_sigma * scale * rng.standard_normal(N), WINDOW.g_min_S, WINDOW.g_max_S)
    return g


def at_once(start, ups, downs, law, seed=1):
    g = np.full((100, N // 100), start)
    counts = np.full(g.shape, ups), np.full(g.shape, downs)
    pulse(g, *counts, law, WINDOW, np.uint64(seed), np.uint64(2))
    return g.ravel()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("start", "ups", "downs"), [(6e-6, 1, 0), (3e-6, 0, 12), (6e-6, 30, 30), (8e-6, 60, 5)])
def test_mean_spread_and_distribution_are_those_of_single_pulses(law, start, ups, downs):
    expected = one_by_one(start, ups, downs, LAWS[law], np.random.default_rng(ups)) - start
    found = at_once(start, ups, downs, LAWS[law]) - start
    sigma = expected.std()
    # five standard errors of a difference of two samples, one part in a thousand of the travel, 2 % of the spread
    assert abs(found.mean() - expected.mean()) < 5 * sigma * math.sqrt(2 / N) + 1e-3 * (ups + downs) * STEP
    assert abs(found.std() / sigma - 1) < 5 / math.sqrt(N) + 0.02
    assert ks_2samp(found, expected).statistic < 1.95 * math.sqrt(2 / N) + 0.005  # a false alarm in a thousand, and the skew


@pytest.mark.parametrize("law", ["constant", "constant, noisy, skew", "linear", "exponential"])
@pytest.mark.parametrize(("start", "ups", "downs"), [(10.95e-6, 3, 2), (10.9e-6, 40, 36), (1.05e-6, 0, 50)])
def test_the_window_is_a_wall_at_every_pulse(law, start, ups, downs):
    expected = one_by_one(start, ups, downs, LAWS[law], np.random.default_rng(ups))
    found = at_once(start, ups, downs, LAWS[law])
    assert found.min() >= WINDOW.g_min_S * (1 - 1e-6)
    assert found.max() <= WINDOW.g_max_S * (1 + 1e-6)
    sigma = max(expected.std(), 0.1 * STEP)
    assert abs(found.mean() - expected.mean()) < 5 * sigma * math.sqrt(2 / N) + 0.02 * sigma
    assert abs(found.std() - expected.std()) < 0.04 * sigma + 0.01 * STEP


@pytest.mark.parametrize("pulses", [1, 7, 100, 5000])
def test_soft_bounds_approach_the_bound_geometrically(pulses):
    law = SoftBounds(law="soft_bounds", **COMMON)
    found = at_once(6e-6, pulses, 0, law)
    half = WINDOW.span_S / 2
    shrink = STEP / half  # of the distance to the bound, a pulse
    mean = half * (1 - shrink) ** pulses
    second = half**2 * ((1 - shrink) ** 2 + (0.3 * shrink) ** 2) ** pulses
    sigma = math.sqrt(second - mean**2)
    assert abs(WINDOW.g_max_S - found.mean() - mean) < 5 * sigma / math.sqrt(N) + 1e-5 * half  # float32
    assert abs(found.std() / sigma - 1) < 5 / math.sqrt(2 * N) + (0.02 if sigma > 1e-5 * half else 1e9)


def test_factors_follow_their_formulas():
    xi = np.linspace(-1, 1, 5)
    up, down = step_factors(LAWS["exponential"], xi)
    z = -0.5 * xi - 0.5
    assert np.allclose(up, 1 + 1.2 * np.exp(4 * z), rtol=1e-12)
    assert np.allclose(down, 1 + 0.1 * np.exp(-4 * z), rtol=1e-12)
    up, down = step_factors(LAWS["piecewise"], xi)
    assert np.allclose(up, [2, 1.3, 0.6, 0.55, 0.5])
    assert np.allclose(down, [0.2, 0.85, 1.5, 2.0, 2.5])


def test_neurosims_curve_is_a_linear_step():
    a, most = 0.4, 128  # A in units of P_max
    grow = -math.expm1(-1 / (a * most))
    gamma = math.tanh(1 / (2 * a))
    step = WINDOW.span_S * grow / (2 * gamma)
    law = LinearStep(law="linear_step", gamma_up=gamma, gamma_down=gamma, **COMMON | {"step_S": step, "step_sigma": 0.0})
    for pulses in (1, 10, 64, 128):
        shape = -math.expm1(-pulses / (a * most)) / -math.expm1(-1 / a)
        found = at_once(WINDOW.g_min_S, pulses, 0, law)
        assert np.allclose(found, WINDOW.g_min_S + WINDOW.span_S * shape, atol=2e-6 * WINDOW.span_S)


def test_cells_differ_by_their_own_step_asymmetry_and_bounds_and_keep_them():
    law = ConstantStep(**COMMON | {"step_sigma": 0.0, "step_spread": 0.3, "asymmetry_spread": 0.05, "upper_spread": 0.1})
    up = at_once(6e-6, 10, 0, law, seed=1)
    assert np.array_equal(up, at_once(6e-6, 10, 0, law, seed=9))  # the devices' own streams, not this write's
    down = at_once(6e-6, 0, 10, law, seed=5)
    gains_up, gains_down = (up - 6e-6) / (10 * STEP), (6e-6 - down) / (10 * STEP)
    assert abs(gains_up.mean() - 1) < 5 * 0.3 / math.sqrt(N) + 0.001  # the mirrored tail: 4e-4 of the cells
    assert abs(gains_up.std() / math.hypot(0.3, 0.05) - 1) < 0.05
    assert np.corrcoef(gains_up, gains_down)[0, 1] > 0.9
    skew = (gains_up - gains_down) / (gains_up + gains_down)
    assert abs(skew.std() / 0.05 - 1) < 0.05
    full = at_once(6e-6, 1000, 0, law.model_copy(update={"step_spread": 0.0}))
    assert abs(full.mean() - WINDOW.g_max_S) < 5 * 0.05 * WINDOW.span_S / math.sqrt(N)
    assert abs(full.std() / (0.05 * WINDOW.span_S) - 1) < 0.05


def test_cells_without_a_pulse_stay_and_counts_are_returned():
    g = np.array([[2e-5, 5e-6, 5e-6]])  # the first above its window, by an error in programming
    done = pulse(g, np.array([[0, 2, 0]]), np.array([[0, 1, 0]]), LAWS["linear"], WINDOW, np.uint64(1), np.uint64(2))
    assert done.tolist() == [[1, 3]]
    assert g[0, 0] == 2e-5
    assert g[0, 2] == 5e-6
    assert g[0, 1] != 5e-6


@pytest.mark.parametrize("law", ["constant, noisy, skew", "soft bounds", "exponential"])
def test_threads_change_nothing(law):
    rng = np.random.default_rng(0)
    start = rng.uniform(1e-6, 11e-6, (60, 41)).astype(np.float32)
    ups, downs = rng.integers(0, 30, (2, *start.shape))
    found, threads = [], numba.get_num_threads()
    for count in (1, threads):
        numba.set_num_threads(count)
        g = start.copy()
        pulse(g, ups, downs, LAWS[law], WINDOW, np.uint64(1), np.uint64(2))
        found.append(g)
    numba.set_num_threads(threads)
    assert np.array_equal(*found)
    assert not np.array_equal(found[0], start)
