"""One gradient by relaxation, held against exact backpropagation with the same weights as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from dbpsim.chip import Chip
from dbpsim.credit.backprop import Arrays, backprop
from dbpsim.credit.fidelity import Fidelity, fidelity
from dbpsim.credit.relax import relax
from dbpsim.credit.settling import clocks_to
from dbpsim.network.graph import Network
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, chip, network, untrained


class GradientSettings(Common):
    """A row a gradient; with `stages` a row a stage."""

    batch: int = Field(default=32, ge=1)
    eta: float = 1.0
    coupling: str = "midpoint"
    coordinates: str = "ms"
    schedule: Literal["synchronous", "wavefront"] = "synchronous"
    gain: float | Literal["auto"] = "auto"
    init: Literal["zero", "random"] = "zero"
    steps: int | Literal["law"] | None = None  # "law": as many as the settling law has for `tolerance`, met or not
    tolerance: float | None = None
    method: Literal["relax", "bp"] = "relax"
    stages: bool = False
    wait_s: float = Field(default=0.0, ge=0)  # that the chip ages after programming
    compensate: bool = False  # one scale a tile against drift
    floor: bool = False  # float32 backpropagation's own error against float64, beside the relaxation's

    @model_validator(mode="after")
    def _law(self) -> GradientSettings:
        if self.steps == "law" and self.tolerance is None:
            raise ValueError('steps = "law" needs a tolerance')
        return self


def _gradient(given: GradientSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given)
    x, y = batch(net, given, given.batch)
    exact = backprop(net, x, y)
    tested = chip(net, given, changes)
    if given.wait_s and isinstance(tested, Chip):
        tested.wait(given.wait_s, compensate=given.compensate)
    law = None if given.tolerance is None else clocks_to(given.tolerance, given.eta, net.depth)
    limits = (law, None) if given.steps == "law" else (given.steps, given.tolerance)
    if given.method == "bp":
        run: Any = backprop(tested, x, y)
        steps, gain = 1, 1.0
    else:
        run = relax(
            tested, x, y, eta=given.eta, coupling=given.coupling, coordinates=given.coordinates, schedule=given.schedule,
            gain=given.gain, init=given.init, max_steps=limits[0], eps=limits[1], seed=given.seed,
        )  # fmt: skip
        steps, gain = run.steps, run.gain
    found = fidelity(run.gradients, exact.gradients)
    shared = {"depth": net.depth, "steps": steps, "law": law, "cost_gain": gain, "loss": run.loss, "exact_loss": exact.loss}
    own = _in_float64(given, net, x, y, exact.gradients) if given.floor and given.dtype == "float32" else None
    return [{**shared, **row} for row in _rows(found, own, given.stages)]


def _in_float64(given: GradientSettings, net: Network, x: np.ndarray, y: np.ndarray, gradients: Arrays) -> Fidelity:
    double = untrained(given.model_copy(update={"dtype": "float64"}))
    double.loss = net.loss
    double.assign(net.parameters | net.buffers)
    return fidelity(gradients, backprop(double, x, y).gradients)


def _rows(found: Fidelity, own: Fidelity | None, stages: bool) -> Rows:
    rows = []
    floors = {} if own is None else {row.stage: row.relative_error for row in (*own.stages, own.whole)}
    for row in (*found.stages, found.whole) if stages else (found.whole,):
        measures = {key: getattr(row, key) for key in ("misalignment", "relative_error", "signal_to_noise")}
        named = {"stage": row.stage} if stages else {"worst_relative_error": found.worst.relative_error}
        rows.append(named | measures | ({"float32_error": floors[row.stage]} if floors else {}))
    return rows


GRADIENT = Task(GradientSettings, _gradient)
