"""A training run, of a network or on a chip; a row an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from dbpsim.studies.tasks.common import Common, Rows, Task, chip, network, sets
from dbpsim.training.loop import train


class TrainSettings(Common):
    """How it is trained."""

    data: str = "digits"
    limit: int | None = None
    method: Literal["bp", "relax"] = "bp"
    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    eta: float = 1.0
    coordinates: str = "ms"


def _train(given: TrainSettings, changes: Mapping[str, Any]) -> Rows:
    tested = chip(network(given), given, changes)
    train_set, test_set = sets(given)
    if given.limit is not None:
        train_set, test_set = (each.reduced(given.limit, seed=given.seed) for each in (train_set, test_set))
    keys = ("method", "epochs", "batch", "rate", "momentum", "weight_decay", "eta", "coordinates", "seed")
    result = train(tested, train_set, test_set, **{key: getattr(given, key) for key in keys})
    kept = ("epoch", "loss", "train_accuracy", "test_loss", "test_accuracy")
    return [{key: epoch[key] for key in kept} for epoch in result.epochs]


TRAIN = Task(TrainSettings, _train)
