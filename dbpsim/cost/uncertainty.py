"""How far a cost can be trusted: ranges of component figures carried through to totals.

A figure with a range is drawn with its value as the median: half of the draws between `low` and the value, half between
the value and `high`, uniform in the logarithm (uniform where an end is 0).  All ranged figures are drawn
independently, from one named random stream.  The tornado sets one figure to either end with the others at their values.

Nothing here knows what a cost is made of: the cost is a function of the library, evaluated anew for each draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbpsim.cost.components import Components
from dbpsim.cost.constants import Figure, figures, with_values
from dbpsim.cost.table import COMPONENTS, CostTable
from dbpsim.kernels.random import stream

PERCENTILES = (5.0, 50.0, 95.0)


@dataclass(frozen=True)
class Bar:
    """What the total becomes with one figure at either end of its range."""

    path: str
    low: float
    high: float
    total_at_low: float
    total_at_high: float

    @property
    def swing(self) -> float:
        """Distance between the two totals."""
        return abs(self.total_at_high - self.total_at_low)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        ends = {"energy_at_low_J": self.total_at_low, "energy_at_high_J": self.total_at_high}
        return {"figure": self.path, "low": self.low, "high": self.high, **ends}


@dataclass(frozen=True)
class Uncertainty:
    """Percentiles of a cost, and what moves it.

    Attributes
    ----------
    draws, seed : int
    energy_J, latency_s : tuple
        The 5th, 50th and 95th percentile.
    by_component_J : mapping of str to tuple
        The same of every component that takes energy.
    nominal_J : float
        Energy with every figure at its value.
    tornado : tuple of Bar
        Largest swing first.
    """

    draws: int
    seed: int
    energy_J: tuple[float, float, float]
    latency_s: tuple[float, float, float]
    by_component_J: Mapping[str, tuple[float, float, float]]
    nominal_J: float
    tornado: tuple[Bar, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, SI units in the keys."""
        return {
            "draws": self.draws,
            "seed": self.seed,
            "percentiles": list(PERCENTILES),
            "energy_J": list(self.energy_J),
            "latency_s": list(self.latency_s),
            "energy_by_component_J": {name: list(values) for name, values in self.by_component_J.items()},
            "nominal_energy_J": self.nominal_J,
            "tornado": [bar.to_dict() for bar in self.tornado],
        }


def drawn(figure: Figure, quantile: np.ndarray) -> np.ndarray:
    """Return the values of `figure` at quantiles between 0 and 1.

    Examples
    --------
    >>> figure = Figure("a.b_J", 2.0, 1.0, 8.0, "J", 3e-8, "a doctest")
    >>> drawn(figure, np.array([0.0, 0.5, 0.75, 1.0])).tolist()
    [1.0, 2.0, 4.0, 8.0]
    """
    q = np.asarray(quantile, np.float64)
    below, above = 2 * q, 2 * q - 1
    return np.where(q < 0.5, _between(figure.low, figure.value, below), _between(figure.value, figure.high, above))


def _between(low: float, high: float, share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0.0, 1.0)
    if low <= 0:
        return low + (high - low) * share
    return low * (high / low) ** share


def uncertainty(
    cost_of: Callable[[Components], CostTable], components: Components, *, draws: int = 500, seed: int = 0
) -> Uncertainty:
    """Return how far the cost that `cost_of` computes from a library can be trusted.

    Parameters
    ----------
    cost_of : function of Components to CostTable
    components : Components
        Whose ranged figures are drawn.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        If there is not one draw.
    """
    if draws < 1:
        raise ValueError(f"draws: found {draws}; accepted: at least 1.")
    ranged = [figure for figure in figures(components) if figure.ranged]
    tables = [cost_of(library) for library in libraries(components, draws, seed)]
    parts = [table.by_component for table in tables]
    used = [name for name in COMPONENTS if any(row[name] > 0 for row in parts)]
    return Uncertainty(
        draws=draws,
        seed=seed,
        energy_J=percentiles([table.total_J for table in tables]),
        latency_s=percentiles([table.latency_s for table in tables]),
        by_component_J={name: percentiles([row[name] for row in parts]) for name in used},
        nominal_J=cost_of(components).total_J,
        tornado=_tornado(cost_of, components, ranged),
    )


def libraries(components: Components, draws: int, seed: int) -> list[Components]:
    """Return `draws` libraries with every ranged figure drawn: the same for the same seed, whatever they are used for."""
    ranged = [figure for figure in figures(components) if figure.ranged]
    quantiles = stream(seed, "component figures").random((draws, len(ranged)))
    values = {figure.path: drawn(figure, quantiles[:, place]) for place, figure in enumerate(ranged)}
    return [with_values(components, {path: float(column[draw]) for path, column in values.items()}) for draw in range(draws)]


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """Return the 5th, 50th and 95th percentile."""
    low, middle, high = np.percentile(np.asarray(values, np.float64), PERCENTILES)
    return float(low), float(middle), float(high)


def _tornado(
    cost_of: Callable[[Components], CostTable], components: Components, ranged: list[Figure]
) -> tuple[Bar, ...]:
    bars = []
    for figure in ranged:
        ends = [cost_of(with_values(components, {figure.path: end})).total_J for end in (figure.low, figure.high)]
        bars.append(Bar(figure.path, figure.low, figure.high, ends[0], ends[1]))
    moved = [bar for bar in bars if bar.swing > 0 and math.isfinite(bar.swing)]
    return tuple(sorted(moved, key=lambda bar: (-bar.swing, bar.path)))
