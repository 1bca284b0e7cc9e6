"""Device statistics against the published formulas, each written here a second time from its source.

Moments lie within five standard errors of the formula: for a mean sigma / sqrt(N), for a variance
sigma^2 sqrt((kurtosis - 1) / N) (sqrt(2 / N) for a normal).
A right program fails one such comparison in 1.7 million.  Seeds are fixed.
"""

import math

import numpy as np
import pytest
from scipy import stats

from dbpsim.devices import load_device
from dbpsim.devices.drift import drift_exponent, drifted, global_scale
from dbpsim.devices.effects import (
    Endurance,
    ExponentialRetention,
    Faults,
    LogarithmicRetention,
    Programming,
    RandomTelegraph,
    ReadNoise,
    Spread,
    TabulatedRetention,
    Temperature,
    WriteVerify,
)
from dbpsim.devices.faults import faulty_cells, pin
from dbpsim.devices.programming import program, programming_sigma, write_verify
from dbpsim.devices.random_telegraph import NO_TRAP, trap_states, trap_states_after, with_traps
from dbpsim.devices.read_noise import read_sigma, read_sigmas
from dbpsim.devices.retention import retained
from dbpsim.devices.temperature import arrhenius, at_temperature, thermal_sigma
from dbpsim.devices.window import moves, window_left, windows

SIGMAS = 5.0
N = 200_000
IDEAL = load_device("ideal")
PCM = load_device("pcm")
US = 1e-6


def cell(**sections):
    return IDEAL.model_copy(update=sections)


def assert_moments(found, mean, sigma, kurtosis=3.0):
    n = found.size
    assert abs(found.mean() - mean) < SIGMAS * sigma / math.sqrt(n) + 1e-6 * abs(mean)
    assert abs(found.var() / sigma**2 - 1) < SIGMAS * math.sqrt((kurtosis - 1) / n)


# Programming


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_saturating_programming_error_has_the_moments_of_its_formula(share):
    law = Programming(plateau_S=1.2e-8, knee_S=2e-7, pulses_per_cell=1, source="a test")
    target = share * US
    found = program(np.full(N, target), cell(programming=law), np.random.default_rng(1))
    assert_moments(found, target, 1.2e-8 * (1 - math.exp(-target / 2e-7)))


def test_programming_errors_are_normal():
    z = (program(np.full(N, 25 * US), PCM, np.random.default_rng(2)) - 25 * US) / (1.0555 * US)
    assert stats.kstest(z, "norm").pvalue > 1e-6


def reference_loop(start, target, loop, read_noise, random):
    """One cell, one pulse after another."""
    g, pulses = start, 0
    while pulses < loop.max_pulses:
        error = target - g * (1 + read_noise * random.standard_normal())
        if abs(error) <= loop.tolerance_S:
            break
        step = math.copysign(min(abs(error), loop.step_S), error)
        g = max(g + step * (1 + loop.step_sigma * random.standard_normal()), 0.0)
        pulses += 1
    return g, pulses


@pytest.mark.parametrize("read_noise", [0.0, 0.01])
def test_write_verify_is_the_loop_cell_by_cell(read_noise):
    loop = WriteVerify(tolerance_S=2e-8, step_S=1e-7, step_sigma=0.3, max_pulses=12, source="a test")
    noise = ReadNoise(white_share=read_noise, source="a test") if read_noise else None
    device = cell(write_verify=loop, read_noise=noise)
    target = np.full(60_000, 7e-7)
    g, pulses = write_verify(np.full(60_000, 1e-7), target, device, np.random.default_rng(3))
    random = np.random.default_rng(4)
    expected = np.array([reference_loop(1e-7, 7e-7, loop, read_noise, random) for _ in range(6000)])
    assert stats.ks_2samp(g, expected[:, 0]).pvalue > 1e-6
    assert abs(pulses.mean() - expected[:, 1].mean()) < SIGMAS * expected[:, 1].std() / math.sqrt(6000)
    if not read_noise:
        assert np.all((np.abs(g - target) <= 2e-8) | (pulses == 12))


def test_write_verify_without_noise_takes_the_fewest_pulses():
    loop = WriteVerify(tolerance_S=1e-9, step_S=1e-7, step_sigma=0, max_pulses=50, source="a test")
    targets = np.array([1e-7, 1.005e-7, 2.5e-7, 1e-6, 0.0])
    g, pulses = write_verify(np.full(5, 1e-7), targets, cell(write_verify=loop), np.random.default_rng(0))
    assert pulses.tolist() == [0, 0, 2, 9, 1]  # ceil(distance / step), none inside the tolerance
    assert np.all(np.abs(g - targets) <= 1e-9)


def test_write_verify_gives_up_after_its_last_pulse():
    loop = WriteVerify(tolerance_S=1e-9, step_S=1e-8, step_sigma=0, max_pulses=3, source="a test")
    g, pulses = write_verify(np.zeros(1), np.full(1, US), cell(write_verify=loop), np.random.default_rng(0))
    assert (pulses.tolist(), g.tolist()) == ([3], pytest.approx([3e-8]))


# Read noise


@pytest.mark.parametrize("between", [1e-9, 1e-6, 1e-3, 10.0])
def test_frozen_and_fresh_noise_add_up_to_the_whole(between):
    g = np.linspace(0, 25 * US, 7)
    frozen, fresh = read_sigmas(g, PCM, between)
    assert np.allclose(np.hypot(frozen, fresh), read_sigma(g, PCM), rtol=1e-12)
    assert (fresh[-1] == 0) == (between < 250e-9)
    assert (frozen[-1] == 0) == (between > 1.0)


def test_the_one_over_f_law_is_the_integral_of_a_one_over_f_spectrum():
    # From 1/(t_observe + t_read) to 1/(2 t_read), S(f) = (g Q)^2 / f
    f = np.geomspace(1 / (1.0 + 250e-9), 1 / 500e-9, 200_001)
    expected = 25 * US * 0.0088 * math.sqrt(np.trapezoid(1 / f, f))
    assert float(read_sigma(25 * US, PCM)) == pytest.approx(expected, rel=1e-6)


def test_the_fresh_part_is_how_far_two_reads_of_a_one_over_f_cell_lie_apart():
    # The split at f = 1/t is a choice; the exact structure function of 1/f noise, 2 int S (1 - cos 2 pi f t) df, differs
    # from 2 fresh^2 by a constant of the order of one under the logarithm: ln 2 pi + gamma = 2.4 (minus the half of t_read).
    device = cell(read_noise=ReadNoise(q_scale=0.01, t_read_s=1e-7, t_observe_s=1.0, source="a test"))
    f = np.geomspace(1, 5e6, 400_001)
    for between in (1e-5, 1e-3):
        exact = np.trapezoid((1 - np.cos(2 * np.pi * f * between)) / f, f)
        ours = float(read_sigmas(US, device, between)[1] / (0.01 * US)) ** 2
        assert 0 < exact - ours < math.log(2 * math.pi) + np.euler_gamma


def test_a_saturating_and_a_constant_white_part_add_in_squares():
    noise = ReadNoise(white_floor_S=3e-9, white_plateau_S=4e-9, white_knee_S=1e-12, source="a test")
    assert float(read_sigma(US, cell(read_noise=noise))) == pytest.approx(5e-9)


# Random telegraph noise


TRAP = RandomTelegraph(amplitude=0.2, time_high_s=1e-3, time_low_s=3e-3, source="a test")


def test_telegraph_noise_has_the_two_levels_and_moments_of_machlup():
    g = with_traps(np.full(N, US), trap_states((N,), TRAP, np.random.default_rng(5)), TRAP)
    p = 0.25
    excess = (1 - 6 * p * (1 - p)) / (p * (1 - p))
    assert_moments(g, US, 0.2 * US * math.sqrt(p * (1 - p)), kurtosis=3 + excess)
    assert np.unique(g).size == 2


@pytest.mark.parametrize("elapsed", [1e-5, 5e-4, 1e-2])
def test_telegraph_noise_forgets_at_the_sum_of_its_rates(elapsed):
    random = np.random.default_rng(6)
    before = trap_states((N,), TRAP, random)
    after = trap_states_after(before, elapsed, TRAP, random)
    p = 0.25
    products = (before - p) * (after - p)
    expected = p * (1 - p) * math.exp(-elapsed * (1e3 + 1e3 / 3))
    assert abs(products.mean() - expected) < SIGMAS * products.std() / math.sqrt(N)
    assert abs(after.mean() - p) < SIGMAS * math.sqrt(p * (1 - p) / N)


def test_only_a_share_of_the_cells_has_a_trap():
    rare = TRAP.model_copy(update={"share_of_cells": 0.1})
    states = trap_states((N,), rare, np.random.default_rng(7))
    assert abs((states != NO_TRAP).mean() - 0.1) < SIGMAS * math.sqrt(0.1 * 0.9 / N)
    later = trap_states_after(states, 1.0, rare, np.random.default_rng(8))
    assert np.array_equal(states == NO_TRAP, later == NO_TRAP)
    assert np.all(with_traps(np.ones(N), states, rare)[states == NO_TRAP] == 1)


# Drift and retention


@pytest.mark.parametrize("x", [0.02, 0.1, 1.0])
def test_drift_exponents_have_the_moments_of_nandakumar_2019(x):
    nu = drift_exponent(np.full(N, x * 25 * US), PCM, np.random.default_rng(9))
    mean = min(max(-0.0155 * math.log(x) + 0.0244, 0.049), 0.1)
    sigma = min(max(-0.0125 * math.log(x) - 0.0059, 0.008), 0.045)
    assert_moments(nu, mean, sigma)


def test_a_global_scale_undoes_the_mean_of_the_drift_and_leaves_its_spread():
    random = np.random.default_rng(10)
    g = np.full(N, 25 * US)
    later = drifted(g, drift_exponent(g, PCM, random), 30 * 86400.0, PCM)
    scale = float(global_scale(g.sum(), later.sum()))
    decades = math.log(30 * 86400 / 20.0)
    # the mean of exp(-nu L) of a normal nu
    assert scale == pytest.approx(math.exp(0.049 * decades - (0.008 * decades) ** 2 / 2), rel=SIGMAS * 0.1 / math.sqrt(N))
    assert (scale * later).mean() == pytest.approx(25 * US)
    assert (scale * later).std() / (25 * US) == pytest.approx(math.sqrt(math.expm1((0.008 * decades) ** 2)), rel=0.02)


def test_lifetimes_of_leaking_cells_have_their_mean_and_spread():
    leak = ExponentialRetention(law="exponential", lifetime_s=10.0, lifetime_sigma=0.3, source="a test")
    left = retained(np.full(N, US), np.random.default_rng(11).standard_normal(N), 5.0, cell(retention=leak))
    lifetimes = -5.0 / np.log(left / US)
    w = 0.3**2  # a log-normal's kurtosis, from its relative variance
    kurtosis = (1 + w) ** 4 + 2 * (1 + w) ** 3 + 3 * (1 + w) ** 2 - 3
    assert_moments(lifetimes, 10.0, 3.0, kurtosis)


def test_a_leaking_cell_ends_at_its_level():
    leak = ExponentialRetention(law="exponential", lifetime_s=1.0, level_S=4e-7, source="a test")
    assert retained(np.array([0.0, US]), np.zeros(2), 100.0, cell(retention=leak)) == pytest.approx([4e-7, 4e-7])


def test_a_relaxing_filament_shifts_and_widens_with_the_logarithm_of_time():
    law = {"law": "logarithmic", "t0_s": 1.0, "shift_S": -8.9e-9, "spread_S": 4e-8, "spread_slope_S": 4.2e-9, "source": "a test"}
    device = cell(retention=LogarithmicRetention(**law))
    z = np.random.default_rng(12).standard_normal(N)
    for time in (10.0, 1e6):
        after = retained(np.full(N, US), z, time, device)
        assert_moments(after, US - 8.9e-9 * math.log(time), 4e-8 + 4.2e-9 * math.log(time))
    start = np.full(3, US)
    assert np.array_equal(retained(start, np.ones(3), 0.5, device), start)


def test_tabulated_errors_are_met_at_their_times_joined_in_the_logarithm_and_held_after():
    first = Programming(coefficients_S=(1e-8,), pulses_per_cell=1, source="a test")
    rows = {"times_s": (100.0, 1e4), "coefficients_S": ((2e-8,), (3e-8, 1e-8))}
    law = TabulatedRetention(law="tabulated", t0_s=1.0, **rows, source="a test")
    device = cell(programming=first, retention=law)
    target = np.full(N, US)
    programmed = program(target, device, np.random.default_rng(13))
    z = np.random.default_rng(14).standard_normal(N)
    variances = {1.0: 1e-16, 10.0: 2.5e-16, 100.0: 4e-16, 1000.0: 10e-16, 1e4: 16e-16, 1e9: 16e-16}
    for time, variance in variances.items():
        assert_moments(retained(programmed, z, time, device), US, math.sqrt(variance))
    assert float(programming_sigma(US, device)) == 1e-8


# Windows, faults, wear, temperature


def test_windows_spread_by_their_share_of_the_span():
    low, high = windows((N,), cell(spread=Spread(g_max_sigma=0.05, g_min_sigma=0.0, source="a test")), np.random.default_rng(15))
    assert_moments(high.astype(np.float64), US, 0.05 * US)
    assert not low.any()


def test_a_wide_spread_never_closes_or_inverts_a_window():
    low, high = windows((N,), cell(spread=Spread(g_max_sigma=0.5, g_min_sigma=0.5, source="a test")), np.random.default_rng(16))
    assert low.min() == 0
    assert np.all(high > low)


def test_faults_come_in_their_shares_and_stay():
    faults = Faults(stuck_on=0.02, stuck_off=0.03, stuck_random=0.05, dead_rows=0.01, dead_columns=0.02, source="a test")
    shape = (1000, 500)
    device = cell(faults=faults, conductance=IDEAL.conductance.model_copy(update={"g_min_S": 1e-7}))
    at, shown = faulty_cells(shape, device, np.random.default_rng(17))
    g = np.full(shape, 5e-7)
    pin(g, at, shown)
    dead = (g == 0).all(axis=1).sum() * 500 + (g == 0).all(axis=0).sum() * 1000
    assert 0 < dead / g.size < 0.03 + SIGMAS * math.sqrt(0.01 / 1000 + 0.02 / 500)
    alive = g[~(g == 0).all(axis=1)][:, ~(g == 0).all(axis=0)]
    for share, found in ((0.02, alive == np.float32(1e-6)), (0.03, alive == np.float32(1e-7)), (0.9, alive == 5e-7)):
        assert abs(found.mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / alive.size)
    between = alive[(alive > 1.001e-7) & (alive < 0.999e-6) & (alive != 5e-7)]
    assert stats.kstest((between - 1e-7) / 9e-7, "uniform").pvalue > 1e-6
    assert faulty_cells(shape, IDEAL, np.random.default_rng(0))[0].size == 0


def test_worn_cells_stop_or_close():
    cycles = np.array([0, 999, 1000, 10_000])
    stops = cell(endurance=Endurance(cycles=1000, source="a test"))
    closes = cell(endurance=Endurance(cycles=1000, wear="closes", source="a test"))
    assert moves(cycles, stops).tolist() == [True, True, False, False]
    assert window_left(cycles, stops).tolist() == [1, 1, 1, 1]
    assert moves(cycles, closes).all()
    assert window_left(cycles, closes).tolist() == [1, 1, 1, 0.1]


def test_temperature_scales_noise_and_drift_by_their_powers_and_retention_by_arrhenius():
    law = Temperature(reference_K=300, noise_exponent=0.5, drift_exponent=1.0, source="a test")
    leak = ExponentialRetention(law="exponential", lifetime_s=1e8, activation_eV=1.1, at_temperature_K=300, source="a test")
    cold = PCM.model_copy(update={"temperature": law, "retention": leak})
    hot = at_temperature(cold, 360.0)
    g = np.linspace(0.01, 1, 9) * 25 * US
    assert np.allclose(read_sigma(g, hot), math.sqrt(1.2) * read_sigma(g, cold), rtol=1e-12)
    nu = [drift_exponent(g, device, np.random.default_rng(18)) for device in (cold, hot)]
    assert np.allclose(nu[1], 1.2 * nu[0], rtol=1e-6)
    assert hot.retention.lifetime_s == pytest.approx(1e8 * math.exp(1.1 / 8.617333262e-5 * (1 / 360 - 1 / 300)))
    assert at_temperature(PCM, 360.0) == PCM  # no figures, no dependence
    assert arrhenius(1.0, 300.0, 300.0) == 1
    with pytest.raises(ValueError, match=r"found -1 K; accepted: a number above 0"):
        at_temperature(PCM, -1)


def test_thermal_noise_is_nyquists():
    # 1 kohm, 10 kHz, 300 K: 0.407 uV across it (the textbook figure), as a share of 1 V seen through 1 mS
    current = 0.407e-6 * 1e-3
    assert float(thermal_sigma(1e-3, 300.0, 1e4, 1.0)) == pytest.approx(current, rel=1e-3)
