"""The settings of a training run: one record, kept beside its results and compared on resuming."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dbpsim.training.augmentation import Augmentation
from dbpsim.training.evaluation import VIEWS
from dbpsim.training.groups import Group
from dbpsim.training.optimisers import SGD

METHODS = ("bp", "relax")


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the numbers of a run.

    Parameters
    ----------
    method : {"bp", "relax"}
        Where gradients come from: exact backpropagation or dyadic relaxation.
    epochs, batch : int
    micro_batch : int, optional
        Take the gradient of so many images at a time, a divisor of `batch`, and step along the mean: memory is a micro-batch's.
        Batch normalisation is then over the micro-batch.
    rate : float
        Peak learning rate, of the parameters that are in no group.
    momentum, weight_decay : float
        Likewise; see `SGD`.
    groups : tuple of Group
        Parameters with optimisers, rates and lengths of their own.
    schedule : {"cosine", "linear", "constant"}
    warm_up : float
        Epochs over which the rate rises.
    average : float, optional
        Share that the exponential average of the weights keeps at each step; evaluation then uses the average.
    augment : Augmentation, optional
    views : {"plain", "flip", "flip-shift"}
        After the last epoch evaluate once more, averaging over so many views of each image (see `evaluate`).
    eta, coupling, coordinates : see `relax`
    check_every : int
        Compare a relaxation's gradients with backpropagation's at every so many steps; 0 is never.
    seed : int
        Of order and augmentation.
    """

    method: str = "bp"
    epochs: int = 1
    batch: int = 128
    micro_batch: int | None = None
    rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    groups: tuple[Group, ...] = ()
    schedule: str = "cosine"
    warm_up: float = 0.0
    average: float | None = None
    augment: Augmentation | None = None
    views: str = "plain"
    eta: float = 1.0
    coupling: str = "midpoint"
    coordinates: str = "ms"
    check_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        _accept("method", self.method in METHODS, self.method, ", ".join(METHODS))
        _accept("epochs", self.epochs >= 1, self.epochs, "1 or more")
        _accept("batch", self.batch >= 1, self.batch, "1 or more")
        parts = self.batch if self.micro_batch is None else self.micro_batch
        _accept("micro_batch", parts >= 1 and self.batch % parts == 0, parts, f"a divisor of the batch of {self.batch}")
        _accept("views", self.views in VIEWS, self.views, ", ".join(VIEWS))
        _accept("rate", self.rate > 0, self.rate, "a positive number")
        SGD(self.momentum, self.weight_decay)  # has its own checks; here, so that nothing is loaded or printed first
        _accept("warm_up", 0 <= self.warm_up <= self.epochs, self.warm_up, f"0 to {self.epochs} epochs")
        _accept("average", self.average is None or 0 < self.average < 1, self.average, "between 0 and 1, or none")
        _accept("check_every", self.check_every >= 0, self.check_every, "0 or more")
        _accept("eta", 0 < self.eta < 2, self.eta, "0 < eta < 2")
        _accept("schedule", self.schedule in ("cosine", "linear", "constant"), self.schedule, "cosine, linear, constant")

    def rates(self, step: int, per_epoch: int) -> list[float]:
        """Return the rate of every group at step number `step`, the one of all other parameters last."""
        return [
            group.rate_at(step, per_epoch, self.epochs, warm_up=self.warm_up, kind=self.schedule) for group in self.all_groups
        ]

    @property
    def all_groups(self) -> tuple[Group, ...]:
        """The groups and, last, the one of all other parameters."""
        return (*self.groups, Group("*", self.rate, SGD(self.momentum, self.weight_decay)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def _accept(name: str, good: bool, found: object, accepted: str) -> None:
    if not good:
        raise ValueError(f"{name}: found {found!r}; accepted: {accepted}.")


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a line for every field in which two records differ.

    Examples
    --------
    >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    ['b.c: was 2, is 3']
    """
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: was {old!r}, is {new!r}")
    return found
