"""One gradient by relaxation, held against exact backpropagation with the same weights as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import Fidelity, fidelity
from dbpsim.credit.relax import relax
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, chip, network


class GradientSettings(Common):
    """A row a gradient; with `stages` a row a stage."""

    batch: int = Field(default=32, ge=1)
    eta: float = 1.0
    coupling: str = "midpoint"
    coordinates: str = "ms"
    schedule: Literal["synchronous", "wavefront"] = "synchronous"
    gain: float | Literal["auto"] = "auto"
    init: Literal["zero", "random"] = "zero"
    steps: int | None = None
    tolerance: float | None = None
    method: Literal["relax", "bp"] = "relax"
    stages: bool = False


def _gradient(given: GradientSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given)
    x, y = batch(net, given, given.batch)
    exact = backprop(net, x, y)
    tested = chip(net, given, changes)
    if given.method == "bp":
        run: Any = backprop(tested, x, y)
        steps, gain = 1, 1.0
    else:
        run = relax(
            tested, x, y, eta=given.eta, coupling=given.coupling, coordinates=given.coordinates, schedule=given.schedule,
            gain=given.gain, init=given.init, max_steps=given.steps, eps=given.tolerance, seed=given.seed,
        )  # fmt: skip
        steps, gain = run.steps, run.gain
    found = fidelity(run.gradients, exact.gradients)
    shared = {"depth": net.depth, "steps": steps, "cost_gain": gain, "loss": run.loss, "exact_loss": exact.loss}
    return [{**shared, **row} for row in _rows(found, given.stages)]


def _rows(found: Fidelity, stages: bool) -> Rows:
    rows = []
    for row in (*found.stages, found.whole) if stages else (found.whole,):
        measures = {key: getattr(row, key) for key in ("misalignment", "relative_error", "signal_to_noise")}
        rows.append(({"stage": row.stage} if stages else {"worst_relative_error": found.worst.relative_error}) | measures)
    return rows


GRADIENT = Task(GradientSettings, _gradient)
