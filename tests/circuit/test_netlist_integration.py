"""Compiled integration of the decks' equations against Dormand and Prince's."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.circuit.dense import dense_circuit, integrate, integrate_evenly


def _circuit(activation, loss=None):
    net = dbp.models.mlp(5, 6, 4, 3, activation=activation, dtype="float64", seed=2, loss=loss)
    for stage in net.weight_stages:
        net.parameters[f"{stage.name}.bias"][...] = 0.2
    return dense_circuit(net, np.linspace(-1, 1, 5), np.array(1))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("loss", [None, dbp.losses.MeanSquaredError()])
def test_even_steps_follow_an_adaptive_integration(activation, loss):
    circuit = _circuit(activation, loss)
    stop = 12 * circuit.tau_s
    found = integrate_evenly(circuit, stop, 400)
    wanted = integrate(circuit, np.linspace(0, stop, 401), relative=1e-11)
    np.testing.assert_allclose(found, wanted, atol=2e-4 if activation == "relu" else 1e-7)  # a kink costs the order


def test_the_order_is_four():
    circuit = _circuit("tanh")
    stop = 6 * circuit.tau_s
    wanted = integrate(circuit, np.array([0.0, stop]), relative=1e-12)[-1]
    errors = [np.abs(integrate_evenly(circuit, stop, steps)[-1] - wanted).max() for steps in (20, 40, 80)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(slopes - 4) < 0.4), slopes


def test_unstable_steps_are_refused():
    with pytest.raises(ValueError, match="found 4 steps"):
        integrate_evenly(_circuit("tanh"), 12 * 1e-8, 4)
