"""The neighbours of dyadic relaxation, each against something that does not know how it works."""

import numpy as np
import pytest

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.network.losses import MeanSquaredError
from dbpsim.network.models import mlp, vgg9
from dbpsim.studies.neighbours import METHODS
from dbpsim.studies.neighbours.chain import chain_of
from dbpsim.studies.neighbours.equilibrium import free
from dbpsim.studies.neighbours.predictive import Predictive, zero_divergence
from dbpsim.studies.neighbours.settling import clocks_within, noisy, nudge_for, settle, strength
from dbpsim.studies.tasks import run_task

FEED_FORWARD = ["dyadic", "dual", "predictive", "predictive-clamped", "predictive-fixed"]


@pytest.fixture(scope="module")
def case():
    net = mlp(6, 7, 5, 3, activation="tanh", loss=MeanSquaredError(), dtype="float64", seed=2)
    random = np.random.default_rng(5)
    net.assign({name: 0.5 * value + 0.05 * random.standard_normal(value.shape) for name, value in net.parameters.items()})
    return net, chain_of(net), random.standard_normal((4, 6)), np.array([0, 2, 1, 0])


def error(name, case, nudge):
    net, chain, x, y = case
    found = settle(METHODS[name], chain, x, y, nudge)
    assert found.settled
    return fidelity(METHODS[name].gradients(chain, x, nudge, found.pair), METHODS[name].exact(chain, x, y)).whole.relative_error


@pytest.mark.parametrize("name", FEED_FORWARD)
def test_what_feed_forward_methods_are_held_against_is_backpropagation(case, name):
    net, chain, x, y = case
    found = fidelity(METHODS[name].exact(chain, x, y), backprop(net, x, y).gradients)
    assert found.worst.relative_error < 1e-14


@pytest.mark.parametrize("gain", [1e-3, 1.0, 30.0])
def test_the_readable_dyadic_relaxation_is_the_packages(case, gain):
    net, chain, x, y = case
    found = noisy(METHODS["dyadic"], chain, x, y, gain, clocks=6, noise=0.0, random=np.random.default_rng(0))
    theirs = relax(net, x, y, eta=1.0, coordinates="xz", gain=gain)
    assert fidelity(METHODS["dyadic"].gradients(chain, x, gain, found), theirs.gradients).worst.relative_error < 1e-11
    early = noisy(METHODS["dyadic"], chain, x, y, gain, clocks=5, noise=0.0, random=np.random.default_rng(0))
    assert fidelity(METHODS["dyadic"].gradients(chain, x, gain, early), theirs.gradients).worst.relative_error > 1e-3


def test_the_gradient_at_the_free_equilibrium_is_that_of_finite_differences(case):
    _, chain, x, y = case

    def loss():
        return chain.loss.value(free(chain, x).states[-1], y)

    exact = METHODS["equilibrium"].exact(chain, x, y)
    for number, (w, c) in enumerate(zip(chain.weights, chain.biases, strict=True), 1):
        for array, name, place in ((w, "weight", (1, 2)), (c, "bias", (2,))):
            kept, step, values = array[place], 1e-5, []
            for sign in (1, -1):
                array[place] = kept + sign * step
                values.append(loss())
            array[place] = kept
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(exact[f"dense{number}.{name}"][place], rel=1e-6)


@pytest.mark.parametrize(("name", "order"), [("equilibrium", 2), ("dual", 2), ("predictive", 1)])
def test_the_bias_of_a_nudge_is_of_the_order_that_is_claimed(case, name, order):
    errors = [error(name, case, nudge) for nudge in (0.02, 0.01)]
    assert errors[1] < 0.02
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("name", ["dyadic", "predictive-fixed"])
def test_no_nudge_is_too_large_for_those_that_are_exact(case, name):
    assert max(error(name, case, nudge) for nudge in (1e-2, 1.0, 100.0)) < 1e-11


def test_clamping_the_output_of_predictive_coding_is_not_backpropagation_however_small_the_nudge(case):
    small, smaller = (error("predictive-clamped", case, nudge) for nudge in (1e-2, 1e-4))
    assert small > 0.1
    assert smaller == pytest.approx(small, rel=0.01)


@pytest.mark.parametrize("nudge", [0.1, 1.0])
def test_zero_divergence_is_backpropagation(case, nudge):
    net, chain, x, y = case
    exact = backprop(net, x, y).gradients
    found = zero_divergence(chain, x, y, nudge)
    assert fidelity({name: found[name] for name in exact}, exact).worst.relative_error < 1e-13


def test_dual_propagation_of_rectifiers_is_exact_until_a_kink_is_crossed():
    net = mlp(6, 7, 5, 3, loss=MeanSquaredError(), dtype="float64", seed=2)
    random = np.random.default_rng(5)
    net.assign({name: value + 0.2 * random.standard_normal(value.shape) for name, value in net.parameters.items()})
    case = net, chain_of(net), random.standard_normal((4, 6)), np.array([0, 2, 1, 0])
    assert error("dual", case, 1e-4) < 1e-10
    assert error("dual", case, 2.0) > 1e-3


def test_signal_noise_and_clocks(case):
    _, chain, x, y = case
    method = METHODS["dyadic"]
    nudge = nudge_for(method, chain, x, y, 0.25)
    assert strength(method, chain, x, settle(method, chain, x, y, nudge).pair) == pytest.approx(0.25)
    assert clocks_within(method, chain, x, y, nudge, 1e-12, 50) == 6
    exact, errors = method.exact(chain, x, y), []
    for noise in (1e-5, 2e-5):
        pair = noisy(method, chain, x, y, nudge, clocks=8, noise=noise, random=np.random.default_rng(1))
        errors.append(fidelity(method.gradients(chain, x, nudge, pair), exact).whole.relative_error)
    assert errors[1] == pytest.approx(2 * errors[0], rel=1e-3)


def test_a_state_that_is_renewed_in_part_fluctuates_as_one_that_is_renewed_whole(case):
    _, chain, x, _ = case
    wide, y = np.repeat(x, 1000, axis=0), np.zeros(4000, int)
    quiet = chain_of(mlp(6, 7, 5, 3, activation="tanh", loss=MeanSquaredError(), dtype="float64"))
    for weight in quiet.weights:
        weight[...] = 0  # each value then follows its own noise alone
    slow = Halting()
    assert slow.rate(quiet, 1e-9) == 0.25
    for method in (slow, METHODS["dyadic"]):
        first, _ = noisy(method, quiet, wide, y, 1e-9, clocks=30, noise=0.1, random=np.random.default_rng(2))
        assert np.std(first[1]) == pytest.approx(0.1, rel=0.02)


class Halting(Predictive):
    def rate(self, chain, nudge):
        return 0.25


@pytest.mark.parametrize("name", ["dyadic", "equilibrium", "predictive"])
def test_digits_are_learned(name):
    settings = {"method": name, "weight_scale": 0.5, "nudge": 0.05, "epochs": 3, "training_rate": 0.02}
    rows = run_task("neighbour-train", settings)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["test_accuracy"] > 0.75


def test_equilibrium_propagation_with_strong_weights_is_a_row_without_a_gradient():
    row = run_task("neighbour", {"method": "equilibrium", "weight_scale": 3.0, "most": 50, "batch": 8})[0]
    assert row["settled"] is False
    assert row["relative_error"] is None


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="accepted: mlp"):
        chain_of(vgg9(width=2))
