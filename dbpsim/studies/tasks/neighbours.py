"""Dyadic relaxation and its neighbours on the same dense chain: a gradient by each, and a network trained by each.

With `training_steps` a network is first trained by the method's own gradients.  With `signal` the nudge is chosen so that the
error signal of the hidden neurons has that root mean square.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbpsim.credit.fidelity import fidelity
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network
from dbpsim.studies.neighbours import METHODS
from dbpsim.studies.neighbours.chain import Chain, chain_of
from dbpsim.studies.neighbours.dyadic import FeedForward
from dbpsim.studies.neighbours.equilibrium import Equilibrium
from dbpsim.studies.neighbours.settling import Arrays, Method, Pair, clocks_within, noisy, nudge_for, settle, strength
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, sets, untrained
from dbpsim.training.optimisers import SGD

_CLOSE = 1e-3  # a gradient counts as settled this near to the one it settles to
_LOOSE, _MOST_TRAINING = 1e-3, 300  # settling while training
_SMALLEST = 1e-12  # a signal that is gone is not blown up


class NeighbourSettings(Common):
    """A row a gradient."""

    model: str = "mlp:64-32-32-10"
    activation: str | None = "tanh"
    dtype: Literal["float32", "float64"] = "float64"
    loss: Literal["cross-entropy", "squared"] = "squared"
    data: str = "digits"
    method: Literal["dyadic", "dual", "equilibrium", "predictive", "predictive-clamped", "predictive-fixed"] = "dyadic"
    weight_scale: float = Field(default=1.0, gt=0)
    batch: int = Field(default=64, ge=1)
    nudge: float = Field(default=1.0, gt=0)
    signal: float | None = Field(default=None, gt=0)
    noise: float = Field(default=0.0, ge=0)
    most: int = Field(default=2000, ge=1)


def _neighbour(given: NeighbourSettings, changes: Mapping[str, Any]) -> Rows:
    method = METHODS[given.method]
    net = _scaled(given)
    for _ in _descent(net, given, given.training_steps):
        pass
    x, y = batch(net, given, given.batch)
    x, chain = x.reshape(len(x), -1), chain_of(net)
    nudge = given.nudge if given.signal is None else nudge_for(method, chain, x, y, given.signal)
    found = settle(method, chain, x, y, nudge, most=given.most)
    clocks = clocks_within(method, chain, x, y, nudge, _CLOSE, given.most) if found.settled else None
    row: dict[str, Any] = {
        "strength": nudge, "settled": found.settled, "clocks": clocks, "clocks_before": method.before(chain, x),
        "passes": None if clocks is None else method.before(chain, x) + method.passes * clocks,
    }  # fmt: skip
    pair = found.pair
    if given.noise and clocks is not None:
        random = stream(given.seed, "study", "noise", given.method)
        pair = noisy(method, chain, x, y, nudge, clocks=clocks, noise=given.noise, random=random)
    return [row | _measured(method, chain, x, y, nudge, pair, found.settled)]


def _measured(
    method: Method, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, pair: Pair, settled: bool
) -> dict[str, Any]:
    keys = ("signal_rms", "relative_error", "misalignment", "misalignment_to_backprop")
    try:
        exact = method.exact(chain, x, y)
    except ValueError:
        settled = False
    if not settled:
        return dict.fromkeys(keys)
    gradients = method.gradients(chain, x, nudge, pair)
    own, other = (fidelity(gradients, target).whole for target in (exact, FeedForward().exact(chain, x, y)))
    found = (strength(method, chain, x, pair), own.relative_error, own.misalignment, other.misalignment)
    return dict(zip(keys, found, strict=True))


def _scaled(given: NeighbourSettings) -> Network:
    net = untrained(given)
    net.assign({name: value * given.weight_scale for name, value in net.parameters.items()})
    return net


def _descent(net: Network, given: NeighbourSettings, steps: int) -> Iterator[Arrays]:
    """Train `net` in place by the method's gradients, yielding each of them."""
    method: Method = Equilibrium(_LOOSE * given.nudge) if given.method == "equilibrium" else METHODS[given.method]
    descent, random = SGD(0.9, 0.0), stream(given.seed, "study", "training noise", given.method)
    velocities = {name: np.zeros_like(value) for name, value in net.parameters.items()}
    for step in range(steps):
        x, y = batch(net, given, given.training_batch, step + 1)
        x, chain = x.reshape(len(x), -1), chain_of(net)
        nudge = given.nudge
        found = settle(method, chain, x, y, nudge, tolerance=_LOOSE, most=_MOST_TRAINING)
        pair = found.pair
        if given.signal is not None:  # settled once more at the nudge that makes the signal what it should be
            nudge *= given.signal / max(strength(method, chain, x, pair), _SMALLEST)
            found = settle(method, chain, x, y, nudge, tolerance=_LOOSE, most=_MOST_TRAINING)
            pair = found.pair
        if given.noise:
            pair = noisy(method, chain, x, y, nudge, clocks=found.clocks, noise=given.noise, random=random)
        gradients = method.gradients(chain, x, nudge, pair)
        descent.step(net.parameters, {name: gradients[name] for name in net.parameters}, velocities, given.training_rate)
        yield gradients


class NeighbourTrainSettings(NeighbourSettings):
    """A row an epoch."""

    epochs: int = Field(default=1, ge=1)


def _neighbour_train(given: NeighbourTrainSettings, changes: Mapping[str, Any]) -> Rows:
    net = _scaled(given)
    train_set, test_set = sets(given)
    x, y = next(iter(test_set.batches(len(test_set), seed=0, epoch=0, dtype=net.dtype)))
    each = len(train_set) // given.training_batch
    rows, method = [], METHODS[given.method]
    for step, _ in enumerate(_descent(net, given, each * given.epochs), 1):
        if step % each == 0:
            output = method.output(chain_of(net), x.reshape(len(x), -1))
            finite = bool(np.isfinite(output).all())
            accuracy = float(np.mean(output.argmax(axis=1) == y)) if finite else None
            rows.append({"epoch": step // each, "test_accuracy": accuracy, "finite": finite})
    return rows


NEIGHBOUR = Task(NeighbourSettings, _neighbour)
NEIGHBOUR_TRAIN = Task(NeighbourTrainSettings, _neighbour_train)
