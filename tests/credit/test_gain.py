"""The automatic gain brings the stress to the level of the activations, which saves digits in (x, z)."""

import math

import numpy as np
import pytest
from drawn_networks import batch

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.gain import automatic_gain, stress_ratios
from dbpsim.credit.relax import relax
from dbpsim.network.models import mlp, vgg9


def problem(n=16):
    net = vgg9(input_shape=(8, 8, 2), width=4, seed=1)
    x, y = batch(net, n)
    return net, net.as_input(x), y


def test_automatic_gain_saves_float32_digits():
    net, x, y = problem()
    exact = backprop(net, x, y)

    def error(gain):
        run = relax(net, x, y, coordinates="xz", gain=gain)
        return fidelity(run.gradients, exact.gradients).worst.relative_error

    # Over a batch of 16 the stress is some hundredths of the activation, so one to two of seven digits are lost at gain 1.
    assert error(1.0) > 5 * error("auto")


def test_automatic_gain_is_a_power_of_two_in_the_middle_of_the_ratios():
    net, x, y = problem(4)  # the whole batch is the probe
    ratios = stress_ratios(net, x, y).values()
    gain = automatic_gain(net, x, y)
    assert math.log2(gain) == round(math.log2(gain))
    assert abs(math.log2(gain * math.sqrt(min(ratios) * max(ratios)))) <= 0.5 + 1e-9  # rounded in the logarithm


def test_stress_ratios_are_root_mean_squares():
    net = mlp(5, 4, 3, dtype="float64", seed=2)
    x, y = batch(net, 4)
    run = relax(net, x, y, record=True)
    for name, ratio in stress_ratios(net, x, y).items():
        wanted = np.sqrt(np.mean(run.stress[name] ** 2) / np.mean(run.activations[name] ** 2))
        assert ratio == pytest.approx(wanted, rel=1e-12)  # the same sums, added in another order


def test_a_mean_over_more_samples_needs_more_gain():
    net, x, y = problem(4)
    assert automatic_gain(net, np.tile(x, (8, 1, 1, 1)), np.tile(y, 8)) == 8 * automatic_gain(net, x, y)


def test_in_ms_the_gain_is_one_and_in_xz_it_is_recorded():
    net, x, y = problem(4)
    assert relax(net, x, y).gain == 1.0
    assert relax(net, x, y, coordinates="xz").gain == automatic_gain(net, x, y) != 1.0


def test_a_network_without_stress_has_gain_one():
    net = mlp(3, 2, dtype="float64")
    x = np.ones((2, 3))
    targets = np.exp(net.forward(x)) / np.exp(net.forward(x)).sum(1, keepdims=True)
    net.parameters["dense1.weight"][...] = 0
    assert automatic_gain(net, x, np.full_like(targets, 0.5)) == 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_silent_and_saturated_stages_do_not_spoil_the_gain(dtype):
    net = mlp(5, 4, 4, 3, dtype=dtype, seed=2)
    x, y = batch(net, 4)
    net.parameters["dense2.bias"][...] = -100  # no rectifier of the second stage fires
    assert stress_ratios(net, net.as_input(x), y)["dense2"] == math.inf
    run = relax(net, x, y, coordinates="xz")
    assert 1e-3 < run.gain < 1e3  # the output's stress over a batch of 4 is near its activation
    found = fidelity(run.gradients, backprop(net, x, y).gradients)
    assert found.whole.relative_error < 100 * np.finfo(dtype).eps  # rounding of (x, z) at a ratio near one
    net.parameters["dense3.weight"] *= 1e-30  # no stress to speak of behind it
    assert math.isfinite(relax(net, x, y, coordinates="xz").gain)


@pytest.mark.parametrize("gain", [0, -1.0, math.inf, math.nan, "large"])
def test_other_gains_are_refused(gain):
    net, x, y = problem(2)
    with pytest.raises(ValueError, match=r"gain: found .*; accepted: 'auto' or a positive number"):
        relax(net, x, y, gain=gain)
