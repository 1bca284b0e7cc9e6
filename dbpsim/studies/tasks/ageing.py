"""A network made for a chip, then the chip over a month: accuracy as its cells drift.

    neither      trained digitally, programmed
    noise        trained as a chip of that kind computes, programming error drawn anew at every step, stress sent back by
                 arithmetic on the weights held (Joshi et al., Nat. Commun. 11:2473, 2020); then programmed
    fine-tuned   trained digitally, programmed, the last `tuning_epochs` on the chip itself, with its own pulses
    both         with noise, then on the chip

All have the same number of epochs.  A row a time after programming; cells are read as they are, or (`compensate`) with one
scale a tile that known inputs gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from dbpsim.chip import Chip
from dbpsim.crossbar.hardware import load_hardware
from dbpsim.network.graph import Network
from dbpsim.studies.tasks.common import Common, Rows, Task, chip, chip_seed, hardware, network, sets
from dbpsim.studies.tasks.effects import ANEW, with_only
from dbpsim.training.evaluation import evaluate
from dbpsim.training.loop import train

TIMES_S = (1.0, 60.0, 3600.0, 86400.0, 604800.0, 2.6e6)  # a second, a minute, an hour, a day, a week, a month
_REHEARSAL = 1 << 20  # added to the chip's seed: training does not see the very errors it will meet


class AgeingSettings(Common):
    """A row a time."""

    hardware: str | None = "pcm"
    data: str = "digits"
    approach: Literal["neither", "noise", "fine-tuned", "both"] = "neither"
    epochs: int = Field(default=20, ge=1)
    tuning_epochs: int = Field(default=5, ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=0.05, gt=0)
    tuning_rate: float = Field(default=0.01, gt=0)
    momentum: float = 0.9
    weight_decay: float = 5e-4
    method: Literal["bp", "relax"] = "relax"  # of the epochs on the chip
    compensate: bool = False
    reads: int = Field(default=4, ge=1)  # of the test set at each time: every read has noise of its own

    @model_validator(mode="after")
    def _left(self) -> AgeingSettings:
        if self.hardware is None:
            raise ValueError("found no hardware; accepted: one whose cells age")
        if self.tuned and self.tuning_epochs >= self.epochs:
            raise ValueError(f"tuning_epochs = {self.tuning_epochs}: accepted: fewer than the {self.epochs} epochs in all")
        return self

    @property
    def tuned(self) -> bool:
        """Whether the last epochs are on the chip."""
        return self.approach in ("fine-tuned", "both")


def _ageing(given: AgeingSettings, changes: Mapping[str, Any]) -> Rows:
    net = _trained(given, changes)
    digital = evaluate(net, sets(given)[1]).accuracy
    tested = chip(net, given, changes)
    assert isinstance(tested, Chip)
    if given.tuned:
        _descend(tested, given, given.tuning_epochs, given.method, given.tuning_rate)
    rows, age = [], 0.0
    for time in TIMES_S:
        tested.wait(time - age, compensate=given.compensate)
        age = time
        seen = [evaluate(tested, sets(given)[1]) for _ in range(given.reads)]
        rows.append(
            {
                "time_s": time,
                "test_accuracy": float(np.mean([each.accuracy for each in seen])),
                "test_loss": float(np.mean([each.loss for each in seen])),
                "digital_accuracy": digital,
            }
        )
    return rows


def _trained(given: AgeingSettings, changes: Mapping[str, Any]) -> Network:
    net = network(given)
    epochs = given.epochs - given.tuning_epochs * given.tuned
    if given.approach in ("neither", "fine-tuned"):
        _descend(net, given, epochs, "bp", given.rate)
        return net
    made = hardware(given, changes)
    assert made is not None
    unworn = {"mapping.transpose": "digital", "effects.endurance": False, **ANEW}  # a simulation: no chip wears in it
    like = load_hardware(with_only(made, given.effect), unworn)
    rehearsal = Chip.program(net, like, seed=chip_seed(given) + _REHEARSAL)
    _descend(rehearsal, given, epochs, "bp", given.rate)
    net.assign(rehearsal.parameters | rehearsal.buffers)
    return net


def _descend(net: Network, given: AgeingSettings, epochs: int, method: str, rate: float) -> None:
    plain = {key: getattr(given, key) for key in ("batch", "momentum", "weight_decay", "seed")}
    train(net, *sets(given), epochs=epochs, method=method, rate=rate, **plain)


AGEING = Task(AgeingSettings, _ageing)
