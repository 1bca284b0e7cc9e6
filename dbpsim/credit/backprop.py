"""Exact backpropagation: the reference that every relaxation is held against.

    a_l = f_l(a_pa)                       from the first stage to the last
    d_l = sum over children J^T d_child   (+ grad C at the output), from the last to the first
    dC/dtheta_l = J_theta^T d_l

(Linnainmaa 1970; Rumelhart, Hinton and Williams 1986, doi 10.1038/323533a0).  `pull` is the second line; relaxation
uses the same function, so the two differ in schedule and in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbpsim.network.graph import INPUT, Linearisation, Network, Stage

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Backprop:
    """What `backprop` returns.

    Attributes
    ----------
    loss : float
        C, averaged over the batch.
    gradients : dict of str to array
        dC/dtheta, one array a parameter, named as in ``network.parameters``.
    output : array, shape (N, ...)
        Activation of the last stage.
    statistics : dict of str to array
        What the running averages of normalising layers become once the step is taken.
    activity : Activity or None
        What a chip's arrays and converters did.
    """

    loss: float
    gradients: Arrays = field(repr=False)
    output: np.ndarray = field(repr=False)
    statistics: Arrays = field(repr=False)
    activity: Any = field(default=None, repr=False)


def backprop(network: Network, x: np.ndarray, y: np.ndarray) -> Backprop:
    """Return the loss and its exact gradient, by one sweep forward and one back.

    Parameters
    ----------
    network : Network
        Or a `Chip`, whose weight operators are simulated crossbars.
    x : array, shape (N, ...)
    y : array
        N labels, or targets shaped like the output.

    Raises
    ------
    ValueError
        If `x` or `y` do not fit the network.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> exact = backprop(mlp(4, 8, 3), np.ones((2, 4)), np.array([0, 2]))
    >>> sorted(exact.gradients)
    ['dense1.bias', 'dense1.weight', 'dense2.bias', 'dense2.weight']
    """
    before = network.activity
    at = network.sweep(network.as_input(x), training=True)
    output, statistics = at.values[network.output], network.statistics(at)
    stress = {network.output: network.loss.gradient(output, y)}
    gradients: Arrays = {}
    for stage in reversed(network.stages):
        pull(network, at, [stage], stress, stress, gradients)
        del at.memory[stage.name], stress[stage.name]  # the last use of both: the pages serve the next stage
    loss = network.loss.value(output, y)
    return Backprop(loss, in_order(network, gradients), output, statistics, activity_since(network, before))


def pull(
    network: Network,
    at: Linearisation,
    stages: Iterable[Stage],
    stress: Mapping[str, np.ndarray],
    received: Arrays,
    gradients: Arrays | None = None,
) -> None:
    """Send the stress of `stages` back to their parents, adding it into `received`.

    Stages come in the network's reverse order, so that sums over children are always taken in one order.
    With `gradients` given, the parameter gradients of the same stages are put there.
    """
    for stage in stages:
        pulled, found = stage.pullback(
            at.memory[stage.name], stress[stage.name], inputs=stage.parents != (INPUT,), gradients=gradients is not None
        )
        for parent, d in zip(stage.parents, pulled, strict=False):
            if parent != INPUT:
                received[parent] = received[parent] + d if parent in received else d
        if gradients is not None:
            gradients.update({f"{stage.name}.{key}": value for key, value in found.items()})


def read_gradients(network: Network, at: Linearisation, stress: Mapping[str, np.ndarray]) -> Arrays:
    """Return all parameter gradients that a state shows: each weight needs its own input and its own neuron's gated stress."""
    found: Arrays = {}
    for stage in network.stages:
        _, own = stage.pullback(at.memory[stage.name], stress[stage.name], inputs=False, gradients=True)
        found |= {f"{stage.name}.{key}": value for key, value in own.items()}
    return found


def in_order(network: Network, gradients: Arrays, divisor: float = 1.0) -> Arrays:
    """Return `gradients` in the order of the network's parameters, divided by the cost gain."""
    if divisor == 1.0:
        return {name: gradients[name] for name in network.parameters}
    return {name: gradients[name] / divisor for name in network.parameters}


def activity_since(network: Network, before: Any) -> Any:
    """Return what a chip has done since its activity was `before`; None for a digital network."""
    return None if before is None else network.activity - before
