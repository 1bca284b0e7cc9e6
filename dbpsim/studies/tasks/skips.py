"""How a gradient arrives at networks whose graph is no chain: a row a clock around the last one.

A skip shortens no path: the longest one decides, so a network of `depth` stages is settled after 2 depth unit clocks and not one
sooner, however many shorter ways lead around (theory.md, fact 8).  With `dense_skips` every stage of the model's widths is fed by
the input and all stages before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.network.activations import Activation
from dbpsim.network.graph import INPUT, Network, Stage
from dbpsim.network.layers import Concat, Dense, Layer
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, measured, network


class SkipsSettings(Common):
    """Clocks 2 depth - `before` to 2 depth + 1."""

    dtype: str = "float64"  # type: ignore[assignment]
    dense_skips: bool = False
    batch: int = Field(default=8, ge=1)
    coordinates: str = "ms"
    before: int = Field(default=4, ge=0)


def _skips(given: SkipsSettings, changes: Mapping[str, Any]) -> Rows:
    joined = given.model, given.activation or "relu", given.dtype, given.seed
    net = densely_joined(*joined) if given.dense_skips else network(given)
    x, y = batch(net, given, given.batch)
    exact = backprop(net, x, y).gradients
    last, rows = 2 * net.depth, []
    for clocks in range(max(1, last - given.before), last + 2):
        run = relax(net, x, y, coordinates=given.coordinates, max_steps=clocks, seed=given.seed)
        found = fidelity(run.gradients, exact)
        rows.append({
            "depth": net.depth,
            "stages": len(net.stages),
            "clocks": clocks,
            "clocks_late": clocks - last,
            **measured(found),
            "wrong_stages": sum(stage.relative_error > 1e-6 for stage in found.stages),
        })  # fmt: skip
    return rows


def densely_joined(model: str, activation: str, dtype: str, seed: int) -> Network:
    """Return a network of the widths of `model` in which every stage is fed by all before it.

    Examples
    --------
    >>> densely_joined("mlp:8-4-4-3", "relu", "float64", 0).stages[-1].parents
    ('input', 'dense1', 'dense2')
    """
    kind, _, text = model.partition(":")
    widths = text.split("-")
    if kind != "mlp" or not all(width.isdigit() for width in widths) or len(widths) < 2:
        raise ValueError(f"model: found {model!r}; accepted with dense_skips: mlp:INPUTS-...-OUTPUTS.")
    stages: list[Stage] = []
    for number, width in enumerate(widths[1:], 1):
        layers: list[Layer] = [Concat()] if number > 1 else []
        layers.append(Dense(int(width)))
        if number < len(widths) - 1:
            layers.append(Activation(activation))
        stages.append(Stage(f"dense{number}", layers, [INPUT, *(stage.name for stage in stages)]))
    return Network(stages, (int(widths[0]),), dtype=dtype, seed=seed, name=model)


SKIPS = Task(SkipsSettings, _skips)
