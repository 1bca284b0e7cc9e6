"""A training run, of a network or on a chip; a row an epoch, with the worst of its comparisons with backpropagation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from dbpsim.chip import Chip
from dbpsim.studies.tasks.common import Common, Rows, Task, chip, network, sets
from dbpsim.training.evaluation import evaluate
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
    wait_s: float = Field(default=0.0, ge=0)  # that a chip ages when all is done, before it is tested once more
    compensate: bool = False  # one scale a tile against drift
    check_every: int = Field(default=0, ge=0)  # steps; of a relaxation's gradients


def _train(given: TrainSettings, changes: Mapping[str, Any]) -> Rows:
    tested = chip(network(given), given, changes)
    train_set, test_set = sets(given)
    if given.limit is not None:
        train_set, test_set = (each.reduced(given.limit, seed=given.seed) for each in (train_set, test_set))
    keys = ("method", "epochs", "batch", "rate", "momentum", "weight_decay", "eta", "coordinates", "seed", "check_every")
    result = train(tested, train_set, test_set, **{key: getattr(given, key) for key in keys})
    kept = ("epoch", "loss", "train_accuracy", "test_loss", "test_accuracy")
    rows: Rows = [{key: epoch[key] for key in kept} | {"last": epoch["epoch"] == given.epochs} for epoch in result.epochs]
    if given.wait_s and isinstance(tested, Chip):
        tested.wait(given.wait_s, compensate=given.compensate)
        rows[-1]["later_accuracy"] = evaluate(tested, test_set).accuracy
    per_epoch = len(train_set) // given.batch
    for row in rows if given.check_every else []:
        own = [check for check in result.checks if check["step"] // per_epoch == row["epoch"] - 1]
        row |= {f"worst_{key}": max((c[key] for c in own), default=None) for key in ("misalignment", "relative_error")}
    return rows


TRAIN = Task(TrainSettings, _train)
