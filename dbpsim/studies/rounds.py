"""Studies whose points depend on results: bisection to a threshold, and seeds until an interval is narrow.

Both go in rounds.  A round is decided by what all points of the earlier ones gave, never by which came first, so the points
are the same for any number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.kernels.random import stream
from dbpsim.studies.points import Point, halved, points
from dbpsim.studies.shards import table
from dbpsim.studies.study import Range, Stop, Study

_RESAMPLES = 1000


def first_round(study: Study) -> list[Point]:
    """Return the points that need no results: all, but of a study with [stop] the first values of its axis."""
    every = points(study)
    if study.stop is None:
        return every
    return [point for cell in _cells(every, study.stop.over).values() for point in cell[: study.stop.at_least]]


def next_round(study: Study, out: Path, so_far: Sequence[Point]) -> list[Point]:
    """Return the points that the results in `out` ask for; none when the study is done."""
    if study.stop is not None:
        return _unsettled(study, study.stop, out, so_far)
    return _halvings(study, out, so_far) if study.design.kind == "bisect" else []


def interval(values: Sequence[float], *names: str | int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `values` (percentile; Efron 1979); of one value, that value.

    Examples
    --------
    >>> interval([2.0])
    (2.0, 2.0)
    """
    data = np.asarray(values, np.float64)
    if len(data) < 2:
        return float(data[0]), float(data[0])
    chosen = stream(0, "bootstrap", *names).integers(0, len(data), (_RESAMPLES, len(data)))
    low, high = np.percentile(data[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _cells(every: Sequence[Point], axis: str) -> dict[tuple[Any, ...], list[Point]]:
    """Return the points by what they are at besides `axis`, each group in that axis's order."""
    cells: dict[tuple[Any, ...], list[Point]] = {}
    for point in every:
        cells.setdefault(tuple((k, v) for k, v in point.settings.items() if k != axis), []).append(point)
    return cells


def _unsettled(study: Study, stop: Stop, out: Path, so_far: Sequence[Point]) -> list[Point]:
    # One more of every cell that is not narrow yet; the next round then looks again.
    known = {point.key for point in so_far}
    more = []
    for name, cell in _cells(points(study), stop.over).items():
        taken, left = [p for p in cell if p.key in known], [p for p in cell if p.key not in known]
        if left and not _narrow(stop, out, taken, f"{name}"):
            more.append(left[0])
    return more


def _narrow(stop: Stop, out: Path, taken: Sequence[Point], name: str) -> bool:
    means = []
    for point in taken:
        values = [row[stop.column] for row in table(out, [point]) if row.get(stop.column) is not None]
        if values:
            means.append(float(np.mean(values)))
    if len(means) < 2:
        return False
    low, high = interval(means, name)
    return high - low <= stop.width * abs(float(np.mean(means)))


def _halvings(study: Study, out: Path, every: Sequence[Point]) -> list[Point]:
    # One for every combination that is still bracketed.
    (name,) = [name for name, axis in study.axes.items() if isinstance(axis, Range)]
    more = []
    for group in _cells(every, name).values():
        if len(group) - 2 >= study.design.count:
            continue
        found = {row[name]: row[study.design.target or ""] for row in table(out, group)}
        value = halved(study, found)
        if value is not None and value not in found:
            more.append(Point(study.task, {**group[0].settings, name: value}, group[0].labels))
    return more
