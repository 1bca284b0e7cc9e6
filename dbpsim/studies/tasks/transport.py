"""The way back through cells of its own: one gradient, held against two networks.

    wanted   the weights as numbers, which the cells were programmed with
    held     the weights that cells show in a forward read: what the chip computes is the loss of these

`weight_error` is how far the weights held are from those wanted, `transport_error` how far the weights of the way back are
from those held (both relative, over all weight matrices); it is 0 where the same cells are read both ways.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbpsim.chip import Chip
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.network.graph import Network
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, chip, network


class TransportSettings(Common):
    """A row a gradient."""

    hardware: str | None = "ideal"
    batch: int = Field(default=32, ge=1)
    method: Literal["relax", "bp"] = "relax"


def _transport(given: TransportSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given)
    x, y = batch(net, given, given.batch)
    tested = chip(net, given, changes)
    assert isinstance(tested, Chip)
    found = relax(tested, x, y) if given.method == "relax" else backprop(tested, x, y)
    row: dict[str, Any] = {"depth": net.depth, "weight_error": _apart(tested, net)} | {"transport_error": _ways_apart(tested)}
    for name, target in (("", net), ("_held", held(tested, net))):
        whole = fidelity(found.gradients, backprop(target, x, y).gradients).whole
        row |= {f"misalignment{name}": whole.misalignment, f"relative_error{name}": whole.relative_error}
    error = row["transport_error"]
    return [row | {"error_ratio": row["relative_error_held"] / error if error else None}]


def held(chip: Chip, net: Network) -> Network:
    """Return a copy of `net` with the weights that a forward read of `chip` sees."""
    twin = copy.deepcopy(net)
    twin.assign({f"{name}.weight": bar.weight for name, bar in chip.crossbars.items()})
    return twin


def _apart(chip: Chip, net: Network) -> float:
    pairs = [(bar.weight, net.parameters[f"{name}.weight"]) for name, bar in chip.crossbars.items()]
    return _relative(pairs)


def _ways_apart(chip: Chip) -> float:
    if chip.hardware.mapping.transpose == "digital":  # arithmetic on the weights that a forward read sees
        return 0.0
    views = [bar.tiles.views for bar in chip.crossbars.values()]
    return _relative([(back.weights, there.weights) for there, back in views])


def _relative(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    apart = sum(float(np.sum((found.astype(np.float64) - wanted) ** 2)) for found, wanted in pairs)
    return float(np.sqrt(apart / sum(float(np.sum(wanted.astype(np.float64) ** 2)) for _, wanted in pairs)))


TRANSPORT = Task(TransportSettings, _transport)
