"""Which optimiser moves which parameters, how fast and for how long.

A group is a pattern of parameter names with an optimiser, a peak rate and, where it ends before training does, a number of
epochs.  A parameter belongs to the first group whose pattern fits.  A rate of zero freezes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from dbpsim.network.graph import Network
from dbpsim.training.optimisers import SGD, Muon, rate_at


@dataclass(frozen=True)
class Group:
    """Parameters that one optimiser moves at one rate.

    Parameters
    ----------
    parameters : str
        Pattern of names: ``"conv*.weight"``, ``"*.shift"``.
    rate : float
        Peak learning rate; 0 freezes.
    optimiser : SGD or Muon
    epochs : float, optional
        The schedule reaches zero after so many epochs, and the group then stays as it is; by default with the training.

    Examples
    --------
    >>> Group("whiten.bias", 0.1, SGD(0.85), epochs=3).parameters
    'whiten.bias'
    """

    parameters: str
    rate: float
    optimiser: SGD | Muon = field(default_factory=SGD)
    epochs: float | None = None

    def __post_init__(self) -> None:
        if not self.rate >= 0:
            raise ValueError(f"group {self.parameters}: rate: found {self.rate}; accepted: 0 or more.")
        if self.epochs is not None and not self.epochs > 0:
            raise ValueError(f"group {self.parameters}: epochs: found {self.epochs}; accepted: a positive number, or none.")

    def rate_at(self, step: int, per_epoch: int, epochs: int, *, warm_up: float, kind: str) -> float:
        """Return the rate of step number `step` of a training of `epochs` epochs, `per_epoch` steps each."""
        steps = round((epochs if self.epochs is None else self.epochs) * per_epoch)
        if self.rate == 0 or step >= steps:
            return 0.0
        return rate_at(step, steps, peak=self.rate, warm_up=round(warm_up * per_epoch), kind=kind)


def members(groups: Sequence[Group], names: Sequence[str]) -> list[list[str]]:
    """Return the parameter names of each group.

    Raises
    ------
    ValueError
        For a group that no parameter falls to, or a parameter that falls to none.

    Examples
    --------
    >>> members([Group("*.bias", 0.1), Group("*", 0.2)], ["a.weight", "a.bias"])
    [['a.bias'], ['a.weight']]
    """
    found: list[list[str]] = [[] for _ in groups]
    for name in names:
        for group, names_of in zip(groups, found, strict=True):
            if fnmatchcase(name, group.parameters):
                names_of.append(name)
                break
        else:
            raise ValueError(f"groups: found none for {name}; accepted: patterns that fit every parameter.")
    for group, names_of in zip(groups, found, strict=True):
        if not names_of and group.parameters != "*":
            raise ValueError(f"group {group.parameters}: found no parameter for it; accepted: one of {', '.join(names)}.")
    return found


def descend(
    groups: Sequence[Group], rates: Sequence[float], network: Network, gradients: Mapping[str, np.ndarray],
    velocities: Mapping[str, np.ndarray], factors: Mapping[str, tuple[np.ndarray, np.ndarray]], gain: float,
) -> None:  # fmt: skip
    """Move every group by its optimiser at its rate, in place; a rate of zero moves nothing, velocities neither.

    Weights in `factors` step on the hardware: pulses in place know no momentum, they take its mean step; a relaxation's
    stress, and so its factors, is the loss's times `gain`.
    """
    for group, rate, names in zip(groups, rates, members(groups, list(network.parameters)), strict=True):
        if rate == 0:
            continue
        digital = {name: network.parameters[name] for name in names if name not in factors}
        group.optimiser.step(digital, gradients, velocities, rate)
        pulsed = {name: factors[name] for name in names if name in factors}
        if pulsed and not isinstance(group.optimiser, SGD):
            raise ValueError(f"group {group.parameters}: found {group.optimiser}; accepted where the array itself steps: SGD.")
        network.descend(pulsed, rate / (1 - group.optimiser.momentum) / gain)
