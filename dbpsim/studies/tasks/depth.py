"""How steps, settling time, fidelity and cost grow with the depth of a plain network; a row a depth.

Laws of a chain of unit weights beside them (theory.md, fact 3): clocks by P[Binomial(k, eta) < 2L], free-running time by
Q(2L, t / tau).  Energy and latency are of the hardware's cost model, for one training sample, reads in both directions without
the update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from dbpsim.circuit.settle import settle
from dbpsim.cost.workload import expected_cost
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import relax
from dbpsim.credit.settling import clocks_to, time_to
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, hardware, network


class DepthSettings(Common):
    """A network of the model's widths with its hidden layer `depth` - 1 times over."""

    depth: int = Field(ge=2)
    batch: int = Field(default=8, ge=1)
    eta: float = 1.0
    coordinates: str = "ms"
    tolerance: float = Field(default=1e-4, gt=0, lt=1)


def _depth(given: DepthSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given.model_copy(update={"model": deepened(given.model, given.depth)}))
    x, y = batch(net, given, given.batch)
    eps = None if given.eta == 1 else given.tolerance
    run = relax(net, x, y, eta=given.eta, coordinates=given.coordinates, eps=eps, seed=given.seed)
    found = fidelity(run.gradients, backprop(net, x, y).gradients).whole
    free = settle(net, x, y, tau=1.0, tolerance=given.tolerance)
    row: dict[str, Any] = {
        "steps": run.steps,
        "law_steps": clocks_to(given.tolerance, given.eta, given.depth),
        "settling_time_tau": free.time,
        "law_time_tau": time_to(given.tolerance, given.depth),
        "misalignment": found.misalignment,
        "relative_error": found.relative_error,
    }
    made = hardware(given, changes)
    if made is not None:
        for schedule in ("synchronous", "wavefront") if given.eta == 1 else ("synchronous",):
            table = expected_cost(net, made, batch=1, eta=given.eta, schedule=schedule)
            reads = sum(line.energy_J for line in table.lines if line.phase != "update")
            row |= {f"{schedule}_energy_J": reads, f"{schedule}_latency_s": table.read_s}
    return [row]


def deepened(model: str, depth: int) -> str:
    """Return `model` with as many hidden layers of its one width as make `depth` weight layers.

    Examples
    --------
    >>> deepened("mlp:32-16-10", 4)
    'mlp:32-16-16-16-10'
    """
    kind, _, widths = model.partition(":")
    layers = widths.split("-")
    if kind != "mlp" or len(layers) != 3:
        raise ValueError(f"model: found {model!r}; accepted: mlp:INPUTS-HIDDEN-OUTPUTS, whose hidden layer is repeated.")
    return f"mlp:{'-'.join([layers[0], *[layers[1]] * (depth - 1), layers[2]])}"


DEPTH = Task(DepthSettings, _depth)
