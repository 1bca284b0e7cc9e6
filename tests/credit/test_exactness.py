"""Unit-step relaxation is backpropagation after 2 depth steps: bit for bit in (m, s), to rounding in (x, z), and not before."""

import numpy as np
import pytest
from drawn_networks import batch, dags, image_chains, worst_slope_error
from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.network.losses import CrossEntropy
from dbpsim.network.models import mlp, resnet18, tiny_vit, vgg9, vgg9_fast

IMAGE = {"input_shape": (8, 8, 2), "classes": 4}
MODELS = {
    "mlp": lambda **o: mlp(12, 9, 8, 7, 4, **o),
    "vgg9": lambda **o: vgg9(width=2, **IMAGE, **o),
    "vgg9 normalised": lambda **o: vgg9(width=2, normalise=True, loss=CrossEntropy(0.1), **IMAGE, **o),
    "vgg9_fast": lambda **o: vgg9_fast(width=2, input_shape=(16, 16, 2), classes=4, loss=CrossEntropy(0.2), **o),
    # 16 x 16, so that the last batch norms see 16 numbers a channel and not 4, which alone costs float32 two digits
    "resnet18": lambda **o: resnet18(width=2, input_shape=(16, 16, 2), classes=4, **o),
    "tiny_vit": lambda **o: tiny_vit(width=8, heads=2, blocks=2, **IMAGE, **o),
}
CHAINS = ("mlp", "vgg9", "vgg9 normalised", "vgg9_fast")
ANY = dags(("relu", "tanh", "sigmoid", "gelu", "identity")) | image_chains(("relu", "tanh", "sigmoid", "gelu", "identity"))


def problem(name, dtype="float64", n=4):
    net = MODELS[name](dtype=dtype, seed=1)
    x, y = batch(net, n)
    return net, x.astype(dtype), y


def equal(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def error(run, exact):
    return fidelity(run.gradients, exact.gradients).worst.relative_error


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "how", [{}, {"init": "random"}, {"coupling": "split", "init": "random"}, {"schedule": "wavefront"}], ids=str
)
def test_unit_step_relaxation_equals_backprop_bit_for_bit(name, dtype, how):
    net, x, y = problem(name, dtype)
    exact, run = backprop(net, x, y), relax(net, x, y, **how)
    assert run.steps == 2 * net.depth
    equal(run.gradients, exact.gradients)
    np.testing.assert_array_equal(run.output, exact.output)
    assert run.loss == exact.loss
    equal(run.statistics, exact.statistics)


@settings(max_examples=60)
@given(ANY, st.sampled_from(["midpoint", "split"]), st.integers(0, 99))
def test_any_network_equals_backprop_bit_for_bit(net, coupling, seed):
    x, y = batch(net, seed=seed)
    run = relax(net, x, y, init="random", coupling=coupling, seed=seed)
    equal(run.gradients, backprop(net, x, y).gradients)


@settings(max_examples=60)
@given(dags() | image_chains(), st.sampled_from(["midpoint", "split"]), st.sampled_from(["ms", "xz"]), st.integers(0, 99))
def test_any_network_holds_the_exact_gradient(net, coupling, coordinates, seed):
    x, y = batch(net, seed=seed)
    run = relax(net, x, y, init="random", coupling=coupling, coordinates=coordinates, seed=seed)
    # In (x, z) a stress far below its activation has lost digits; 1e-8 leaves room for a ratio of 1e7 under the gain.
    assert error(run, backprop(net, x, y)) <= 1e-8
    # Central differences err by h^2 and epsilon / h, 1e-10 each, times the third derivatives of the normalisations.
    assert worst_slope_error(net, run.gradients, x, y) <= 1e-5


@pytest.mark.parametrize("coordinates", ["ms", "xz"])
@pytest.mark.parametrize("coupling", ["midpoint", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_the_start_does_not_matter_at_twice_the_depth_and_does_one_step_before(name, coupling, coordinates):
    net, x, y = problem(name)
    exact = backprop(net, x, y)
    how = {"coupling": coupling, "coordinates": coordinates, "init": "random"}
    # Rounding alone: a few hundred times 2.2e-16 over a depth of up to 26.
    assert error(relax(net, x, y, **how), exact) < 1e-13
    early = relax(net, x, y, max_steps=2 * net.depth - 1, **how)
    # The first stage's stress is that of a start.  Skips bring part of the truth early, hence the weaker bound there.
    assert error(early, exact) > (1e-2 if name in CHAINS else 1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_more_steps_than_needed_change_nothing(name):
    net, x, y = problem(name)
    equal(relax(net, x, y, max_steps=2 * net.depth + 3).gradients, backprop(net, x, y).gradients)


def test_given_starts_are_used():
    net, x, y = problem("mlp")
    random = np.random.default_rng(5)
    start = tuple({s.name: random.standard_normal((4, *s.shape)) for s in net.stages} for _ in "xz")
    equal(relax(net, x, y, init=start).gradients, backprop(net, x, y).gradients)
    one = relax(net, x, y, init=start, max_steps=1, eta=0.25, record=True)
    # One blend of the first stage, whose drive is known: only the order of two products may differ.
    m0 = 0.5 * (start[0]["dense1"] + start[1]["dense1"])
    wanted = 0.75 * m0 + 0.25 * backprop_activation(net, x)
    np.testing.assert_allclose(one.activations["dense1"], wanted, rtol=1e-14, atol=1e-15)


def backprop_activation(net, x):
    return net.sweep(x, training=True).values["dense1"]


@pytest.mark.parametrize("name", ["vgg9", "vgg9 normalised", "resnet18"])
@pytest.mark.parametrize("coupling", ["midpoint", "split"])
def test_float32_loses_few_digits(name, coupling):
    net, x, y = problem(name, "float32")
    exact = backprop(net, x, y)
    # Issue 2, item 5: in (x, z) stress and activation share 24 bits, 6e-8 times the ratio left by the gain.
    assert error(relax(net, x, y, coordinates="xz", coupling=coupling, init="random"), exact) < 1e-5
    assert error(relax(net, x, y, coordinates="ms", coupling=coupling, init="random"), exact) < 2e-6


@pytest.mark.parametrize("gain", [1.0, 3.7, 100.0, 1e5])
@pytest.mark.parametrize("coordinates", ["ms", "xz"])
@pytest.mark.parametrize("name", ["mlp", "vgg9", "tiny_vit"])
def test_any_finite_gain_is_exact(name, coordinates, gain):
    net, x, y = problem(name)
    run = relax(net, x, y, gain=gain, coordinates=coordinates, init="random")
    assert run.gain == gain
    # Rounding of (x, z) grows with the ratio of stress to activation, here at most 1e5 either way: 1e5 x 2e-16.
    assert error(run, backprop(net, x, y)) < (1e-13 if coordinates == "ms" else 1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_wavefront_in_xz_equals_the_synchronous_schedule(name):
    net, x, y = problem(name)
    for coupling in ("midpoint", "split"):
        how = {"coordinates": "xz", "coupling": coupling}
        # z + s and m lose a rounding each at every stage, the same ones but on an m that was itself rounded.
        assert error(relax(net, x, y, schedule="wavefront", **how), relax(net, x, y, **how)) < 1e-13


def test_recorded_stress_and_activations_are_those_of_backprop():
    net, x, y = problem("mlp")
    at = net.sweep(x, training=True)
    for how in ({}, {"schedule": "wavefront"}, {"coordinates": "xz", "gain": 8.0}):
        run = relax(net, x, y, record=True, **how)
        for stage in net.stages:
            np.testing.assert_allclose(run.activations[stage.name], at.values[stage.name], rtol=1e-12, atol=1e-14)
        # At equilibrium s = dC/da: at the output that is the loss gradient itself.  Tolerances: (x, z) rounding.
        grad = net.loss.gradient(at.values["dense4"], y)
        np.testing.assert_allclose(run.stress["dense4"], grad, rtol=1e-12, atol=1e-14)


def test_running_averages_move_once_however_many_steps():
    net, x, y = problem("vgg9 normalised")
    before = {k: v.copy() for k, v in net.buffers.items()}
    run = relax(net, x, y, max_steps=50)
    assert run.statistics.keys() == net.buffers.keys()
    equal(run.statistics, backprop(net, x, y).statistics)
    equal(net.buffers, before)  # relaxing does not apply them: the training step does


def test_nothing_is_recorded_unasked():
    net, x, y = problem("mlp")
    run = relax(net, x, y)
    assert (run.history, run.activations, run.stress) == (None, {}, {})
