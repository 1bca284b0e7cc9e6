"""What a point can be: functions from settings to rows of a table.

A task says in a pydantic model which settings it knows; those with a dot go to the hardware file.  Tasks take no files and leave
none: rows are what they return, plain numbers and texts, so that any process on any machine gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbpsim.chip import Chip
from dbpsim.cost.comparison import compare
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import Fidelity, fidelity
from dbpsim.credit.relax import relax
from dbpsim.crossbar.hardware import load_hardware
from dbpsim.devices.library import validated
from dbpsim.devices.schema import suggestion
from dbpsim.devices.sections import Section
from dbpsim.kernels.random import stream
from dbpsim.network import models
from dbpsim.network.graph import Network
from dbpsim.training.datasets import load
from dbpsim.training.loop import train

Rows = list[dict[str, Any]]


class Common(Section):
    """What every task knows."""

    model: str
    activation: str | None = None
    width: int | None = None
    dtype: Literal["float32", "float64"] = "float32"
    hardware: str | None = None
    seed: int = 0
    chip_seed: int | None = None  # the seed where not given


class GradientSettings(Common):
    """One gradient by relaxation, held against exact backpropagation with the same weights as numbers."""

    data: str = "random"
    path: str | None = None
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


class TrainSettings(Common):
    """A training run; a row an epoch."""

    data: str = "digits"
    path: str | None = None
    limit: int | None = None
    method: Literal["bp", "relax"] = "bp"
    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    eta: float = 1.0
    coordinates: str = "ms"


class CompareSettings(Common):
    """A training sample by each mode; a row a mode."""

    bits: int = 8
    eta: float = 1.0
    batch: int = 64
    pulses_per_weight: float = 1.0


@dataclass(frozen=True)
class Task:
    """A function with the model of its settings."""

    settings: type[Common]
    run: Callable[[Any, Mapping[str, Any]], Rows]


def run_task(name: str, settings: Mapping[str, Any]) -> Rows:
    """Return the rows of task `name` at `settings`.

    Raises
    ------
    ValueError
        For an unknown task or setting, or one that is not accepted.

    Examples
    --------
    >>> rows = run_task("gradient", {"model": "mlp:4-3-2", "eta": 1.0, "dtype": "float64"})
    >>> rows[0]["steps"], rows[0]["relative_error"]
    (4, 0.0)
    """
    task, given, changes = checked(name, settings)
    return task.run(given, changes)


def checked(name: str, settings: Mapping[str, Any]) -> tuple[Task, Common, dict[str, Any]]:
    """Return the task, its settings and the keys of the hardware file, without running it."""
    if name not in TASKS:
        words = suggestion(name, list(TASKS)) or "."
        raise ValueError(f"task {name!r}: not known{words} Accepted: {', '.join(TASKS)}.")
    changes = {key: value for key, value in settings.items() if "." in key}
    plain = {key: value for key, value in settings.items() if "." not in key}
    given = validated(TASKS[name].settings, plain, f"task {name}")
    if changes and given.hardware is None:
        raise ValueError(f"task {name}: {next(iter(changes))} is a key of the hardware file; accepted with a hardware.")
    return TASKS[name], given, changes


def _network(given: Common) -> Network:
    options = {key: getattr(given, key) for key in ("activation", "width") if getattr(given, key) is not None}
    return models.by_name(given.model, dtype=given.dtype, seed=given.seed, **options)


def _chip(net: Network, given: Common, changes: Mapping[str, Any]) -> Network:
    if given.hardware is None:
        return net
    seed = given.seed if given.chip_seed is None else given.chip_seed
    return Chip.program(net, load_hardware(given.hardware, changes), seed=seed)


def _gradient(given: GradientSettings, changes: Mapping[str, Any]) -> Rows:
    net = _network(given)
    x, y = _batch(net, given)
    exact = backprop(net, x, y)
    tested = _chip(net, given, changes)
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


def _batch(net: Network, given: GradientSettings) -> tuple[np.ndarray, np.ndarray]:
    if given.data != "random":
        train_set, _ = load(given.data, given.path, limit=given.batch, seed=given.seed)
        x, y = train_set.batch(given.batch)
        return x.astype(net.dtype), y
    random = stream(given.seed, "study", "data")
    classes = net.stages[-1].shape[-1]
    x = random.standard_normal((given.batch, *net.input_shape)).astype(net.dtype)
    return x, random.integers(0, classes, given.batch)


def _train(given: TrainSettings, changes: Mapping[str, Any]) -> Rows:
    tested = _chip(_network(given), given, changes)
    train_set, test_set = load(given.data, given.path, limit=given.limit, seed=given.seed)
    keys = ("method", "epochs", "batch", "rate", "momentum", "weight_decay", "eta", "coordinates", "seed")
    result = train(tested, train_set, test_set, **{key: getattr(given, key) for key in keys})
    kept = ("epoch", "loss", "train_accuracy", "test_loss", "test_accuracy")
    return [{key: epoch[key] for key in kept} for epoch in result.epochs]


def _compare(given: CompareSettings, changes: Mapping[str, Any]) -> Rows:
    hardware = load_hardware(given.hardware or "pcm", changes)
    found = compare(
        _network(given), hardware, bits=given.bits, eta=given.eta, batch=given.batch, pulses_per_weight=given.pulses_per_weight
    )
    keys = ("energy_per_sample_J", "latency_per_sample_s", "area_m2", "tops_per_W")
    return [{"mode": row["name"], **{key: row[key] for key in keys}} for row in found.to_dict()["modes"]]


TASKS: dict[str, Task] = {
    "gradient": Task(GradientSettings, _gradient),
    "train": Task(TrainSettings, _train),
    "compare": Task(CompareSettings, _compare),
}
