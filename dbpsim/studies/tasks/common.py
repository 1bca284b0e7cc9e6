"""What every task knows: a network, trained or not, the chip it is programmed on, the data.

A network is as initialised; or as a run left it (`weights`, and `checkpoint` for a step the run kept, 0 for none of it); or
trained here by exact backpropagation for `training_steps` steps on the task's own data, before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from dbpsim.chip import Chip
from dbpsim.credit.backprop import backprop
from dbpsim.credit.fidelity import Fidelity
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.devices.sections import Section
from dbpsim.kernels.random import stream
from dbpsim.network import models
from dbpsim.network.graph import Network
from dbpsim.network.losses import MeanSquaredError
from dbpsim.studies.tasks.effects import Effect, has_effect, with_only
from dbpsim.training.datasets import Dataset, image_shape_for, load
from dbpsim.training.optimisers import SGD
from dbpsim.training.state import trained_network

Rows = list[dict[str, Any]]
_KEPT = 8  # trained networks a process remembers


class Common(Section):
    """What every task knows."""

    model: str
    activation: str | None = None
    width: int | None = None
    loss: Literal["cross-entropy", "squared"] = "cross-entropy"
    dtype: Literal["float32", "float64"] = "float32"
    hardware: str | None = None
    device: str | None = None  # cells in place of the hardware's own
    effect: Effect | None = None  # of the hardware, with every other one off
    seed: int = 0
    chip_seed: int | None = None  # the seed where not given
    data: str = "random"
    path: str | None = None
    weights: str | None = None  # folder of a run
    checkpoint: int | None = Field(default=None, ge=0)  # a step that the run kept; its newest where not given; 0: before any
    training_steps: int = Field(default=0, ge=0)
    training_batch: int = Field(default=64, ge=1)
    training_rate: float = Field(default=0.05, gt=0)

    @model_validator(mode="after")
    def _on_hardware(self) -> Common:
        if self.hardware is None and (self.device is not None or self.effect is not None):
            raise ValueError("device and effect are accepted with a hardware")
        return self


@dataclass(frozen=True)
class Task:
    """A function with the model of its settings."""

    settings: type[Common]
    run: Callable[[Any, Mapping[str, Any]], Rows]


def network(given: Common) -> Network:
    """Return the network of a point, a copy of its own.

    Raises
    ------
    ValueError
        Where `weights` are those of another model.
    """
    net = untrained(given)
    if given.weights is not None and given.checkpoint != 0:
        trained, _ = trained_network(Path(given.weights), given.checkpoint)
        if trained.name != net.name:
            raise ValueError(f"weights: {given.weights} holds a {trained.name}; accepted: a {net.name}.")
        net.loss = trained.loss
        net.assign({name: value.astype(net.dtype) for name, value in (trained.parameters | trained.buffers).items()})
    elif given.training_steps:
        net.assign(_trained(given.model_dump_json(include=_TRAINING)))
    return net


def untrained(given: Common) -> Network:
    """Return the network with fresh weights."""
    options = {key: getattr(given, key) for key in ("activation", "width") if getattr(given, key) is not None}
    if given.model.startswith("mlp:") and given.data != "random":
        options["input_shape"] = sets(given)[0].image_shape
    if given.loss == "squared":
        options["loss"] = MeanSquaredError()
    return models.by_name(given.model, dtype=given.dtype, seed=given.seed, **options)


_TRAINING = {
    "model", "activation", "width", "loss", "dtype", "seed", "data", "path", "training_steps", "training_batch", "training_rate",
}  # fmt: skip


@lru_cache(_KEPT)
def _trained(settings: str) -> dict[str, np.ndarray]:
    # Keyed by the settings that decide it, so that the points of one worker share a training.
    given = Common.model_validate_json(settings)
    net, descent = untrained(given), SGD(0.9, 0.0)
    velocities = {name: np.zeros_like(value) for name, value in net.parameters.items()}
    for step in range(given.training_steps):
        run = backprop(net, *batch(net, given, given.training_batch, step + 1))
        for name, statistic in run.statistics.items():
            net.buffers[name][...] = statistic
        descent.step(net.parameters, run.gradients, velocities, given.training_rate)
    return net.parameters | net.buffers


def chip(net: Network, given: Common, changes: Mapping[str, Any]) -> Network:
    """Return `net` programmed on the point's hardware, or `net` where it has none."""
    made = hardware(given, changes)
    return net if made is None else Chip.program(net, with_only(made, given.effect), seed=chip_seed(given))


def chip_seed(given: Common) -> int:
    """Return the seed of the point's chip."""
    return given.seed if given.chip_seed is None else given.chip_seed


def hardware(given: Common, changes: Mapping[str, Any]) -> Hardware | None:
    """Return the hardware of a point with all its effects, None where it has none."""
    if given.hardware is None:
        return None
    cells = {} if given.device is None else {"device": given.device}
    return load_hardware(load_hardware(given.hardware, cells), changes)


def lacks_effect(given: Common, changes: Mapping[str, Any]) -> bool:
    """Return whether the point asks for an effect that its hardware has not."""
    made = None if given.effect is None else hardware(given, changes)
    return made is not None and not has_effect(made, given.effect)


def measured(found: Fidelity) -> dict[str, float]:
    """Return the columns that say how far a gradient is from its reference."""
    whole = found.whole
    columns = {"misalignment": whole.misalignment, "relative_error": whole.relative_error}
    return columns | {"worst_relative_error": found.worst.relative_error}


def sets(given: Common) -> tuple[Dataset, Dataset]:
    """Return training and test set in the shape the model takes; kept in memory."""
    return _sets(given.data, given.path, image_shape_for(given.model, given.data))


@lru_cache(2)
def _sets(data: str, path: str | None, shape: tuple[int, int, int] | None) -> tuple[Dataset, Dataset]:
    return load(data, path, image_shape=shape)


def batch(net: Network, given: Common, count: int, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return batch `number` of `count` samples: normal numbers with random labels, or training images in an order of the seed."""
    if given.data == "random":
        random = stream(given.seed, "study", "data", number)
        x = random.standard_normal((count, *net.input_shape)).astype(net.dtype)
        return x, random.integers(0, net.stages[-1].shape[-1], count)
    train_set, _ = sets(given)
    epoch, place = divmod(number, len(train_set) // count)
    batches = train_set.batches(count, seed=given.seed, epoch=epoch, dtype=net.dtype)
    return next(islice(batches, place, None))
