"""The vector field: what drives every compartment at a given activation and stress.

    f_l = f_l(m_pa)                                  forward drive
    b_l = sum over children J^T s_child  (+ gamma grad C(m) at the output)     feedback

A neuron moves towards f in its activation and towards b in its stress.  The energy whose saddle flow this is,

    E(x, z) = s^T (f(m) - m) + gamma C(m),      dx/dt = +dE/dx,   dz/dt = -dE/dz     (midpoint coupling)

equals the loss at equilibrium (arXiv:2602.02281).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dbpsim.credit.backprop import Arrays, pull
from dbpsim.network.graph import Linearisation, Network

States = Mapping[str, np.ndarray]


def loss_feedback(network: Network, y: np.ndarray, output: np.ndarray, gain: float) -> np.ndarray:
    """Return gamma grad C at the activation `output` of the last stage."""
    grad = network.loss.gradient(output, y)
    return grad if gain == 1.0 else grad * grad.dtype.type(gain)


def drive_and_feedback(
    network: Network, x: np.ndarray, y: np.ndarray, m: States, s: States, gain: float = 1.0
) -> tuple[Linearisation, Arrays]:
    """Return (f with its linearisation at m, b): one read of every operator in each direction."""
    at = network.evaluate(x, m)
    feedback = {network.output: loss_feedback(network, y, m[network.output], gain)}
    pull(network, at, reversed(network.stages), s, feedback)
    return at, feedback


def energy_of(network: Network, y: np.ndarray, at: Linearisation, m: States, s: States, gain: float = 1.0) -> float:
    """Return E from drives that are already known."""
    bound = sum(float(np.vdot(s[name], at.values[name] - m[name])) for name in m)
    return bound + gain * network.loss.value(m[network.output], y)


def energy(network: Network, x_state: States, z_state: States, x: np.ndarray, y: np.ndarray, *, gain: float = 1.0) -> float:
    """Return E(x, z) of the midpoint coupling.

    Parameters
    ----------
    network : Network
    x_state, z_state : mapping of stage name to array, shape (N, ...)
        The two compartments of every neuron.
    x : array, shape (N, ...)
        The clamped input.
    y : array
        Labels or targets.
    gain : float
        The factor gamma on the cost.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> net = mlp(4, 3, dtype="float64")
    >>> x, y = np.ones((1, 4)), np.array([0])
    >>> settled = {"dense1": net.forward(x)}
    >>> energy(net, settled, settled, x, y) == net.loss.value(settled["dense1"], y)
    True
    """
    m = {name: 0.5 * (x_state[name] + z_state[name]) for name in x_state}
    s = {name: x_state[name] - z_state[name] for name in x_state}
    return energy_of(network, y, network.evaluate(network.as_input(x), m), m, s, gain)
