"""Settling times of samples: the unit chain's law, the stages' own history, chips."""

import numpy as np
import pytest

from dbpsim import Chip, relax
from dbpsim.cost.settling_times import held_network, settling_clocks, settling_times
from dbpsim.credit.settling import clocks_to
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Dense
from dbpsim.network.losses import MeanSquaredError
from dbpsim.network.models import mlp, resnet18


def _unit_chain(depth):
    network = Network([Stage(f"s{i}", [Dense(1)]) for i in range(depth)], (1,), loss=MeanSquaredError(), dtype="float64")
    network.assign({name: np.ones_like(p) if name.endswith("weight") else p for name, p in network.parameters.items()})
    return network


@pytest.mark.parametrize("eta", [0.3, 0.5, 0.9])
def test_a_unit_chain_settles_within_the_law(eta):
    # The law is the distance from rest of the slowest stress; a target is one lag ahead of its state.
    depth, tolerance = 4, 1e-3
    found = settling_clocks(_unit_chain(depth), np.array([[1.0], [-3.0]]), np.array([[2.0], [0.5]]), tolerance, eta=eta)
    law = clocks_to(tolerance, eta, depth)
    assert (found <= law + 2).all()
    assert (found >= 0.7 * law).all()


def test_at_a_unit_step_every_sample_takes_twice_the_depth():
    network = mlp(6, 12, 8, 4)
    x, y = np.random.default_rng(0).standard_normal((5, 6)), np.arange(5) % 4
    assert settling_clocks(network, x, y, eta=1.0).tolist() == [6.0] * 5


def test_one_sample_settles_when_its_relaxation_does():
    network = mlp(6, 12, 8, 4, dtype="float64")
    x, y = np.random.default_rng(0).standard_normal((4, 6)), np.arange(4)
    together = settling_clocks(network, x, y, 1e-3, eta=0.6)
    for k in range(4):
        history = relax(network, x[k : k + 1], y[k : k + 1], eta=0.6, gain=1.0, max_steps=40, record=True).history
        residual = np.array([max(r.values()) for r in history.residual])  # before clock 1, 2, ...
        above = np.flatnonzero(residual > 1e-3)
        assert together[k] == above[-1] + 1


def test_times_are_clocks_of_a_neuron_and_chips_settle_as_their_cells_say():
    network = mlp(6, 12, 4)
    x, y = np.random.default_rng(0).standard_normal((4, 6)), np.arange(4)
    chip = Chip.program(network, "pcm", seed=3)
    clocks = settling_clocks(chip, x, y, eta=0.5)
    assert np.allclose(settling_times(chip, x, y, eta=0.5), clocks * chip.hardware.clock.tau_s * np.log(2))
    assert np.allclose(settling_times(chip, x, y, eta=1.0), 4 * chip.hardware.clock.period_s)
    held = held_network(chip)
    assert not held.noisy
    assert not np.array_equal(held.parameters["dense1.weight"], network.parameters["dense1.weight"])
    assert np.array_equal(held.parameters["dense1.weight"], chip.crossbars["dense1"].weight)
    assert np.array_equal(settling_clocks(held, x, y, eta=0.5), clocks)


def test_networks_with_skips_and_normalisation_settle():
    network = resnet18(width=2, input_shape=(8, 8, 3))
    x = np.random.default_rng(0).standard_normal((3, 8, 8, 3))
    found = settling_clocks(network, x, np.arange(3), 1e-2, eta=0.9)
    assert (found > network.depth).all()
    assert (found < 4 * clocks_to(1e-2, 0.9, network.depth)).all()


def test_what_is_not_settled_in_time_is_nan():
    assert np.isnan(settling_clocks(mlp(6, 12, 4), np.ones((1, 6)), np.array([0]), eta=0.5, most=3)).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tolerance": 1.0, "tau": 1.0}, "tolerance: found 1.0"),
        ({"eta": 0.0, "tau": 1.0}, "eta: found 0.0"),
        ({"tau": -1.0}, "tau: found -1.0"),
        ({}, "found no tau"),
        ({"eta": 1.0}, "without a chip"),
    ],
)
def test_refusals(options, says):
    with pytest.raises(ValueError, match=says):
        settling_times(mlp(4, 3), np.ones((1, 4)), np.array([0]), **options)
