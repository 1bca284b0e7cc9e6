"""When every sample of a batch has settled: a distribution, where one number would say little.

Samples do not wait for each other: a sample has settled at the first clock from which on in every stage its own activation and
stress are within the tolerance of their targets,

    max over stages of  ||f - m|| / ||f||  and  ||b - s|| / ||b||   of this sample  <=  tolerance.

The network moves by clocks of rate eta, as `dbpsim.credit.relax` does, in (m, s), from rest; a clock of a free neuron takes
T = -tau ln(1 - eta).  A unit chain of L stages settles in `dbpsim.credit.settling.clocks_to` clocks; small eta approach the
free-running circuit's Q^-1(2L, tolerance) tau.  Of a chip it is the network that its cells hold that settles: reads without
noise and converters, since what never stands still never settles.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from dbpsim.chip import Chip
from dbpsim.credit.backprop import Arrays, pull
from dbpsim.credit.dynamics import blend
from dbpsim.credit.field import loss_feedback
from dbpsim.credit.relax import starting_pair
from dbpsim.credit.settling import clocks_to
from dbpsim.network.graph import Network

_STILL = 1e-2  # of the tolerance: activations that near their targets stand still
_SLACK = 4  # times the unit chain's clocks before a sample counts as not settling, as in `relax`


def settling_clocks(
    network: Network, x: np.ndarray, y: np.ndarray, tolerance: float = 1e-3, *, eta: float = 0.9, most: int | None = None
) -> np.ndarray:
    """Return the clocks that every sample of a batch takes to settle, shape (N,); nan where it does not.

    Parameters
    ----------
    network : Network or Chip
    x, y : arrays
        As for `relax`.
    tolerance : float
        Relative distance of activation and stress from their targets, in every stage.
    eta : float
        Rate of a clock, between 0 and 1.
    most : int, optional
        Clocks made at most; by default four times those of the unit chain.

    Raises
    ------
    ValueError
        If `tolerance` is not between 0 and 1, or `eta` not above 0 and up to 1.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> settling_clocks(mlp(4, 8, 3), np.ones((2, 4)), np.array([0, 2]), eta=1.0)  # twice as many as stages; then at rest
    array([4., 4.])
    """
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"settling_clocks: tolerance: found {tolerance}; accepted: between 0 and 1.")
    if not 0.0 < eta <= 1.0:
        raise ValueError(f"settling_clocks: eta: found {eta}; accepted: 0 < eta <= 1.")
    network = held_network(network) if isinstance(network, Chip) else network
    x = network.as_input(x)
    names = [stage.name for stage in network.stages]
    m, s = (dict(start) for start in starting_pair(network, len(x), "zero", 0))
    most = _SLACK * clocks_to(tolerance, eta, network.depth) if most is None else most
    found, at_rest = np.full(len(x), math.nan), False
    for clock in range(most + 1):
        if not at_rest:  # activations settle in half of the time; what stands still is not evaluated again
            at = network.evaluate(x, m)
            off = _distances(names, at.values, m)
            at_rest = bool((off <= _STILL * tolerance).all())
        feedback = {network.output: loss_feedback(network, y, m[network.output], 1.0)}
        pull(network, at, reversed(network.stages), s, feedback)
        settled = np.maximum(off, _distances(names, feedback, s)) <= tolerance
        found = np.where(settled, np.where(np.isnan(found), float(clock), found), math.nan)  # for good, as far as is seen
        if settled.all():
            break
        for k in names:
            s[k] = blend(s[k], feedback[k], eta)[0]
            m[k] = m[k] if at_rest else blend(m[k], at.values[k], eta)[0]
    return found


def settling_times(
    network: Network, x: np.ndarray, y: np.ndarray, tolerance: float = 1e-3, *, eta: float = 0.9, tau: float | None = None
) -> np.ndarray:
    """Return the time (s) that every sample of a batch takes to settle, shape (N,); nan where it does not.

    Parameters
    ----------
    network, x, y, tolerance, eta
        As for `settling_clocks`.
    tau : float, optional
        Time constant of a compartment (s); a chip's own by default.  At eta = 1 a chip's period counts.

    Raises
    ------
    ValueError
        For what `settling_clocks` refuses, or if a clock has no duration: no `tau`, or eta = 1 without a chip.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> times = settling_times(mlp(4, 8, 3), np.ones((2, 4)), np.array([0, 2]), tau=1e-8)
    >>> bool((times > 5e-8).all() and (times < 3e-7).all())
    True
    """
    hardware = getattr(network, "hardware", None)
    if tau is None and hardware is not None:
        tau = hardware.clock.tau_s if hardware.neuron is None else hardware.neuron.tau_s
    if tau is not None and not 0.0 < tau < math.inf:
        raise ValueError(f"settling_times: tau: found {tau}; accepted: a finite number above 0.")
    if eta < 1.0 and tau is None:
        raise ValueError("settling_times: found no tau; accepted: tau in seconds, or a chip.")
    if eta == 1.0 and hardware is None:
        raise ValueError("settling_times: found eta = 1 without a chip, whose period a clock would take; accepted: 0 < eta < 1.")
    clocks = settling_clocks(network, x, y, tolerance, eta=eta)
    return clocks * (hardware.clock.period_s if eta == 1.0 else -(tau or 0.0) * math.log1p(-eta))  # type: ignore[union-attr]


def held_network(chip: Chip) -> Network:
    """Return a digital network with the weights that the cells of `chip` hold."""
    network = copy.deepcopy(chip.digital())
    network.assign({f"{name}.weight": bar.weight for name, bar in chip.crossbars.items()})
    return network


def _distances(names: list[str], targets: Arrays, states: Arrays) -> np.ndarray:
    # Of every sample the largest of the stages' relative distances.
    return np.max([_distance(targets[k], states[k]) for k in names], axis=0)


def _distance(target: np.ndarray, state: np.ndarray) -> np.ndarray:
    flat = target.reshape(len(target), -1)
    away = flat - state.reshape(flat.shape)
    change, size = np.einsum("nk,nk->n", away, away), np.einsum("nk,nk->n", flat, flat)
    return np.sqrt(np.divide(change, size, out=np.where(change > 0, np.inf, 0.0), where=size > 0))
