"""The field is the saddle flow of the energy: dx/dt = +dE/dx, dz/dt = -dE/dz, and at rest E is the loss."""

import numpy as np
import pytest
from drawn_networks import batch

from dbpsim.credit.backprop import backprop
from dbpsim.credit.field import drive_and_feedback, energy
from dbpsim.credit.relax import relax
from dbpsim.network.losses import MeanSquaredError
from dbpsim.network.models import mlp, resnet18, tiny_vit, vgg9

NETWORKS = {
    "mlp": lambda: mlp(5, 6, 4, 3, activation="tanh", dtype="float64"),
    "mlp mse": lambda: mlp(5, 6, 3, activation="sigmoid", loss=MeanSquaredError(), dtype="float64"),
    "vgg9 normalised": lambda: vgg9(input_shape=(8, 8, 1), width=2, normalise=True, activation="tanh", dtype="float64"),
    "tiny_vit": lambda: tiny_vit(input_shape=(4, 4, 1), width=6, heads=2, blocks=1, dtype="float64"),
    "resnet18": lambda: resnet18(input_shape=(8, 8, 1), width=1, normalise=False, dtype="float64"),
}


def random_state(net, n, seed):
    random = np.random.default_rng(seed)
    return {s.name: random.standard_normal((n, *s.shape)) for s in net.stages}


@pytest.mark.parametrize("gain", [1.0, 16.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_the_slope_of_the_energy(name, gain):
    net = NETWORKS[name]()
    x, y = batch(net, 3)
    state = {"x": random_state(net, 3, 1), "z": random_state(net, 3, 2)}
    m = {k: 0.5 * (state["x"][k] + state["z"][k]) for k in state["x"]}
    s = {k: state["x"][k] - state["z"][k] for k in state["x"]}
    at, b = drive_and_feedback(net, x, y, m, s, gain)
    h = 1e-6  # keeps clear of kinks; the difference errs by epsilon E / h, 2e-10 times an E of up to some hundreds
    for stage in net.stages:
        k = stage.name
        moves = {"x": at.values[k] - state["x"][k] + b[k] / 2, "z": at.values[k] - state["z"][k] - b[k] / 2}
        v = np.random.default_rng(3).standard_normal(moves["x"].shape)
        v /= np.linalg.norm(v)
        for which, sign in (("x", 1), ("z", -1)):
            kept = state[which][k]
            found = []
            for t in (h, -h):
                state[which][k] = kept + t * v
                found.append(energy(net, state["x"], state["z"], x, y, gain=gain))
            state[which][k] = kept
            slope = (found[0] - found[1]) / (2 * h)
            assert sign * slope == pytest.approx(np.vdot(moves[which], v), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_at_equilibrium_the_energy_is_the_loss(name):
    net = NETWORKS[name]()
    x, y = batch(net, 3)
    run = relax(net, x, y, record=True)
    half = {k: 0.5 * s for k, s in run.stress.items()}
    x_state = {k: a + half[k] for k, a in run.activations.items()}
    z_state = {k: a - half[k] for k, a in run.activations.items()}
    # (x + z) / 2 gives m back to a rounding, which the stress then weighs: 1e-16 a neuron.
    assert energy(net, x_state, z_state, x, y) == pytest.approx(backprop(net, x, y).loss, rel=1e-12)


def test_the_recorded_energy_ends_at_the_loss_times_the_gain():
    net = NETWORKS["mlp"]()
    x, y = batch(net, 3)
    for gain in (1.0, 8.0):
        run = relax(net, x, y, gain=gain, record=True, max_steps=2 * net.depth + 1)
        assert run.history.energy[-1] == gain * run.loss  # s^T (f - m) is exactly zero at the fixed point


def test_the_energy_of_a_start_is_what_energy_says():
    net = NETWORKS["mlp"]()
    x, y = batch(net, 3)
    start = random_state(net, 3, 1), random_state(net, 3, 2)
    run = relax(net, x, y, init=start, record=True, coordinates="xz", gain=2.0)
    assert run.history.energy[0] == pytest.approx(energy(net, *start, x, y, gain=2.0), rel=1e-13)  # same sum, another order
