"""Settling laws of the unit chain, what ends a relaxation, and what it says when it does not settle."""

import math

import numpy as np
import pytest
from drawn_networks import batch
from scipy.linalg import expm
from scipy.special import gammainccinv
from scipy.stats import binom, poisson

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import NotSettledError, relax
from dbpsim.credit.settling import StopTest, clocked_latency, clocked_residual, clocks_to, continuous_residual, time_to
from dbpsim.network.losses import MeanSquaredError
from dbpsim.network.models import mlp, resnet18, tiny_vit, vgg9


def unit_chain(depth):
    """A linear chain of one unit a stage and unit weights: activations and stresses all settle at one."""
    net = mlp(*[1] * (depth + 1), activation="identity", loss=MeanSquaredError(), dtype="float64")
    for name, value in net.parameters.items():
        value[...] = 1.0 if name.endswith("weight") else 0.0
    return net, np.ones((1, 1)), np.zeros((1, 1))


def small_vgg9(dtype="float64", n=4, **options):
    net = vgg9(input_shape=(8, 8, 2), width=2, classes=4, dtype=dtype, seed=1, **options)
    return net, *batch(net, n)


def error(run, exact):
    return fidelity(run.gradients, exact.gradients).worst.relative_error


@pytest.mark.parametrize("coordinates", ["ms", "xz"])
@pytest.mark.parametrize("coupling", ["midpoint", "split"])
@pytest.mark.parametrize(("depth", "eta"), [(1, 0.5), (3, 0.3), (3, 0.9), (9, 0.75), (9, 1.0)])
def test_a_simulated_unit_chain_obeys_the_clocked_law(depth, eta, coupling, coordinates):
    net, x, y = unit_chain(depth)
    for clocks in (1, depth, 2 * depth - 1, 2 * depth, 2 * depth + 7):
        run = relax(net, x, y, eta=eta, max_steps=clocks, coupling=coupling, coordinates=coordinates, record=True)
        # Some tens of roundings of numbers near one; log-gamma loses another digit or two.
        assert 1 - run.stress["dense1"].item() == pytest.approx(clocked_residual(clocks, eta, depth), abs=1e-12)
        settled = 1 - binom.cdf(depth - 1, clocks, eta)  # the activations are a chain half as long
        assert run.activations[net.output].item() == pytest.approx(settled, abs=1e-12)


def test_above_one_the_law_bounds_the_residual_of_a_unit_chain():
    net, x, y = unit_chain(4)
    for clocks in (8, 12, 20, 30):
        run = relax(net, x, y, eta=1.3, max_steps=clocks, record=True)
        assert abs(1 - run.stress["dense1"].item()) <= clocked_residual(clocks, 1.3, 4) * (1 + 1e-9) + 1e-14


def test_residuals_are_the_binomial_and_poisson_tails():
    for depth in (1, 5, 26):
        for eta in (0.1, 0.5, 0.9):
            for clocks in (0, 1, 2 * depth, 100):
                # log-gamma of 100 errs by 1e-14 of 360, which the exponential makes relative.
                assert clocked_residual(clocks, eta, depth) == pytest.approx(binom.cdf(2 * depth - 1, clocks, eta), rel=1e-11)
        for time in (0.0, 1.0, 50.0):
            assert continuous_residual(time, depth) == pytest.approx(poisson.cdf(2 * depth - 1, time), rel=1e-12)


def test_slow_clocks_approach_continuous_time():
    eta = 1e-4
    # The binomial differs from the Poisson law by less than eta t (Le Cam), in fact by about eta.
    assert clocked_residual(round(30 / eta), eta, 9) == pytest.approx(continuous_residual(30.0, 9), abs=eta)


def test_table_of_nine_layers():
    tolerances = (1e-2, 1e-3, 1e-4, 1e-5)
    assert [round(float(gammainccinv(18, t)), 1) for t in tolerances] == [29.3, 34.0, 38.2, 42.1]
    for time, tolerance in zip((29.3, 34.0, 38.2, 42.1), tolerances, strict=True):
        assert continuous_residual(time, 9) == pytest.approx(tolerance, rel=0.04)  # 0.05 tau of rounding at 0.6 e-folds a tau
    etas = (0.5, 0.75, 0.9, 0.95, 0.99, 0.9999)
    clocks = [clocks_to(1e-4, eta, 9) for eta in etas]
    assert clocks == [65, 38, 28, 25, 21, 19]
    latency = [-k * math.log(1 - eta) for k, eta in zip(clocks, etas, strict=True)]
    np.testing.assert_allclose(latency, [45, 53, 65, 75, 97, 175], atol=0.6)  # the table is in whole tau
    assert latency == sorted(latency)  # fewer clocks, longer latency


@pytest.mark.parametrize("tolerance", [0.3, 1e-4, 1e-12])
@pytest.mark.parametrize("eta", [0.05, 0.5, 0.99, 1.0, 1.5])
def test_clocks_to_is_the_first_clock_within_the_tolerance(eta, tolerance):
    k = clocks_to(tolerance, eta, 4)
    assert clocked_residual(k, eta, 4) <= tolerance
    assert k == 8 or clocked_residual(k - 1, eta, 4) > tolerance


@pytest.mark.parametrize("eta", [0.0, -0.5, 2.0, math.nan])
def test_a_rate_at_which_the_leak_itself_is_unstable_is_refused(eta):
    net, x, y = unit_chain(2)
    for call in (
        lambda: clocked_residual(3, eta, 2),
        lambda: relax(net, x, y, eta=eta),
        lambda: relax(net, x, y, eta=eta, max_steps=3),
    ):
        with pytest.raises(ValueError, match="accepted: 0 < eta < 2"):
            call()


@pytest.mark.parametrize("coordinates", ["ms", "xz"])
@pytest.mark.parametrize("eta", [0.5, 0.75, 0.9, 1.2])
def test_any_rate_settles_at_the_exact_gradient(eta, coordinates):
    # Above one a residual network's 26 stages overshoot one after the other; the error then asks for a smaller eta.
    for make in (small_vgg9, small_vit, small_resnet)[: 2 if eta > 1 else 3]:
        net, x, y = make()
        coupling = "split" if eta == 0.75 else "midpoint"
        run = relax(net, x, y, eta=eta, coordinates=coordinates, coupling=coupling, init="random")
        # The stop test leaves 1e-13 (1e-12 in (x, z)) a stage, which later stages and small gradients amplify.
        assert error(run, backprop(net, x, y)) < 1e-11
        assert run.residual <= (1e-13 if coordinates == "ms" else 1e-12)
        assert 2 * net.depth < run.steps


def small_vit():
    net = tiny_vit(input_shape=(8, 8, 2), width=8, heads=2, blocks=1, classes=4, dtype="float64", seed=1)
    return net, *batch(net, 2)


def small_resnet():
    # Normalised: a channel that is silent for every sample sits exactly on its rectifier's kink, where a state that only
    # approaches zero is gated as if it were positive, and the derivative is any number between the two.
    net = resnet18(input_shape=(16, 16, 1), width=2, classes=4, dtype="float64", seed=1)
    return net, *batch(net, 3)


@pytest.mark.parametrize("eta", [0.5, 0.9, 1.2])
def test_steps_stay_near_the_law_of_the_unit_chain(eta):
    net, x, y = small_vgg9()
    run = relax(net, x, y, eta=eta, eps=1e-4)
    # The start and real weights weigh the sum of the law's terms: a factor of two, not of ten.
    assert run.steps <= 2 * clocks_to(1e-4, eta, net.depth)


def test_the_absolute_test_fires_while_the_first_layers_stress_is_still_wrong():
    net, x, y = small_vgg9(n=32)
    exact = backprop(net, x, y).gradients
    absolute = relax(net, x, y, eta=0.9, stop="absolute", eps=1e-4)
    relative = relax(net, x, y, eta=0.9, stop="relative", eps=1e-4)
    assert absolute.steps < relative.steps
    wrong, right = fidelity(absolute.gradients, exact), fidelity(relative.gradients, exact)
    assert wrong.worst.stage == "conv1"
    assert wrong.worst.relative_error > 0.01  # the paper's test says it is done at one per cent or worse ...
    assert wrong.worst.relative_error > 10 * wrong.stages[-1].relative_error  # ... for the output layer is right long before
    assert right.worst.relative_error < 1e-2


def test_the_absolute_test_measures_the_same_in_both_coordinates():
    net, x, y = small_vgg9()
    for coupling in ("midpoint", "split"):
        for eps in (1e-2, 1e-6):
            how = {"eta": 0.8, "stop": "absolute", "eps": eps, "coupling": coupling, "gain": 4.0, "init": "random"}
            assert relax(net, x, y, coordinates="ms", **how).steps == relax(net, x, y, coordinates="xz", **how).steps


def test_too_few_steps_are_an_error_that_keeps_the_run():
    net, x, y = small_vgg9()
    with pytest.raises(NotSettledError, match=r"stage \w+: residual .* after 25 steps of eta=0.5; accepted: 1.0e-06") as caught:
        relax(net, x, y, eta=0.5, eps=1e-6, max_steps=25, record=True)
    assert caught.value.stage in {s.name for s in net.stages}
    run = caught.value.run
    assert (run.steps, run.eta, run.schedule) == (25, 0.5, "synchronous")
    assert run.residual > 1e-6
    assert run.gradients.keys() == net.parameters.keys()
    assert len(run.history.energy) == 25


def test_without_a_tolerance_the_steps_asked_for_are_made():
    net, x, y = small_vgg9()
    assert relax(net, x, y, eta=0.5, max_steps=7).steps == 7


@pytest.mark.parametrize("coordinates", ["ms", "xz"])
@pytest.mark.parametrize("schedule", ["synchronous", "wavefront"])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_weights_that_are_not_finite_end_in_an_error_that_names_a_stage(bad, schedule, coordinates):
    net, x, y = small_vgg9()
    net.parameters["conv3.weight"][0, 0, 0, 0] = bad
    with np.errstate(all="ignore"), pytest.raises(NotSettledError, match=r"stage conv\d: state became infinite or nan") as caught:
        relax(net, x, y, schedule=schedule, coordinates=coordinates)
    # The stress of conv2 comes through the bad weight as early as the activation of conv3 does.
    assert caught.value.stage in ("conv2", "conv3")
    assert caught.value.run is None


def test_a_rate_too_large_for_the_weights_diverges_with_an_error_that_names_a_stage():
    net = mlp(*[6] * 13, activation="identity", loss=MeanSquaredError(), dtype="float32", seed=0)
    x, _ = batch(net, 2)
    for name in net.parameters:
        net.parameters[name] *= 100.0
    # Each stage overshoots by 0.9 of what the one before it does, times weights of 100: past float32's 3e38 in 24 stages.
    with np.errstate(all="ignore"), pytest.raises(NotSettledError, match=r"stage dense\d+: state became inf") as caught:
        relax(net, x, x[:, :6], eta=1.9)
    assert caught.value.stage.startswith("dense")


@pytest.mark.parametrize("steps", [0, -1, 2.5, "5"])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    net, x, y = unit_chain(2)
    with pytest.raises(ValueError, match="max_steps: found .* accepted: an integer, at least 1"):
        relax(net, x, y, max_steps=steps)


@pytest.mark.parametrize("how", [{"eta": 0.9}, {"eps": 1e-3}, {"max_steps": 5}])
def test_the_wavefront_is_the_unit_steps_schedule(how):
    net, x, y = unit_chain(2)
    with pytest.raises(ValueError, match="needs eta=1"):
        relax(net, x, y, schedule="wavefront", **how)
    assert relax(net, x, y, schedule="wavefront", max_steps=4).steps == 4


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"schedule": "random"}, "schedule: found 'random'; accepted: synchronous, wavefront"),
        ({"coupling": "none"}, "coupling: found 'none'; accepted: midpoint, split"),
        ({"coordinates": "zx"}, "coordinates: found 'zx'; accepted: xz, ms"),
        ({"max_steps": 0}, "max_steps: found 0"),
        ({"eps": 0.0}, "eps: found 0.0"),
        ({"eps": math.nan}, "eps: found nan"),
        ({"eps": 1e-3, "stop": "never"}, "stop: found 'never'; accepted: relative, absolute"),
        ({"init": "ones"}, "init: found 'ones'; accepted: 'zero', 'random' or a pair"),
        ({"init": ({}, {})}, "init: stage dense1: found nothing; accepted: an array of shape (1, 1)"),
    ],
)
def test_arguments_out_of_range_say_what_is_accepted(how, words):
    net, x, y = unit_chain(2)
    with pytest.raises(ValueError) as caught:
        relax(net, x, y, **how)
    assert words in str(caught.value)


def test_labels_that_do_not_fit_are_refused():
    net, x, _ = small_vgg9()
    for y in (np.array([0, 1, 2, 4]), np.array([0, 1]), np.zeros(4)):
        for call in (backprop, relax):
            with pytest.raises(ValueError, match=r"found .*; accepted:"):
                call(net, x, y)


def test_stop_tests_compare_what_they_say():
    assert StopTest("relative", 1e-3).met({"a": 1e-3, "b": 0.0}, 1.0)
    assert not StopTest("relative", 1e-3).met({"a": 1.1e-3, "b": 0.0}, 0.0)
    assert StopTest("absolute", 1e-3).met({"a": 1.0}, 9e-4)
    assert not StopTest("relative", 1e-3).met({"a": math.nan, "b": 0.0}, 0.0)


@pytest.mark.parametrize("how", [{}, {"eta": 0.7, "max_steps": 11}, {"eta": 0.9, "eps": 1e-3, "coordinates": "xz"}], ids=str)
def test_history_has_an_entry_a_step_and_a_stage(how):
    net, x, y = small_vgg9()
    run = relax(net, x, y, record=True, **how)
    names = [s.name for s in net.stages]
    for rows in (run.history.residual, run.history.stress, run.history.energy):
        assert len(rows) == run.steps
    assert all(list(row) == names for row in (*run.history.residual, *run.history.stress))
    assert max(run.history.residual[-1].values()) == run.residual
    assert all(math.isfinite(e) for e in run.history.energy)
    assert {k: v.shape for k, v in run.stress.items()} == {s.name: (4, *s.shape) for s in net.stages}


@pytest.mark.parametrize("depth", [1, 2, 9, 40])
def test_time_to_is_when_a_cascade_of_first_order_lags_comes_within_the_tolerance(depth):
    lags = np.eye(2 * depth, k=-1) - np.eye(2 * depth)
    for tolerance in (1e-2, 1e-5):
        left = expm(lags * time_to(tolerance, depth))[-1].sum()  # the last of 2L lags after a unit step: its distance from 1
        assert left == pytest.approx(tolerance, rel=1e-8)


def test_free_running_is_faster_than_any_clock_and_its_limit():
    free = time_to(1e-4, 9)
    clocked = [clocked_latency(1e-4, eta, 9) for eta in (0.01, 0.1, 0.5, 0.9, 0.9999)]
    assert free < clocked[0] < 1.01 * free
    assert clocked == sorted(clocked)


@pytest.mark.parametrize("call", [lambda: time_to(0.0, 9), lambda: time_to(1.0, 9), lambda: time_to(0.1, 0),
                                  lambda: clocked_latency(1e-4, 1.0, 9)])  # fmt: skip
def test_latency_out_of_range_is_refused(call):
    with pytest.raises(ValueError, match="found .* accepted"):
        call()
