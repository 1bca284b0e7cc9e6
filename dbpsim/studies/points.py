"""From a design to points: settings with a key that is a hash of them, in an order that never changes.

    grid      every combination, the last axis fastest
    zip       the i-th of every list
    random    uniform in each range, from a named stream
    sobol     scrambled Sobol points (Owen), `scipy.stats.qmc`

Lists of a random or Sobol design are combined with every draw.  An axis of settings that go together gives the point those, and
its label to the table.  Two studies that meet in a point share its key, and so its work.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import qmc

from dbpsim.kernels.random import stream
from dbpsim.studies.study import Range, Study, Value


@dataclass(frozen=True)
class Point:
    """One run of a task."""

    task: str
    settings: Mapping[str, Value]
    labels: Mapping[str, Value] = field(default_factory=dict)  # of settings that go together, by axis

    @property
    def key(self) -> str:
        """Name of its file: a hash of the task and its settings."""
        text = json.dumps([self.task, sorted(self.settings.items())], allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def points(study: Study) -> list[Point]:
    """Return the points of `study`; of a bisecting one, its first: the ends of the range.

    Examples
    --------
    >>> found = points(Study(name="a", task="t", settings={"m": 1}, axes={"x": [1, 2], "y": ["a", "b"]}))
    >>> [(p.settings["x"], p.settings["y"]) for p in found]
    [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]
    """
    lists = {name: axis for name, axis in study.axes.items() if not isinstance(axis, Range)}
    ranges = {name: axis for name, axis in study.axes.items() if isinstance(axis, Range)}
    if study.design.kind == "zip":
        rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        return [_point(study, row) for row in rows]
    combinations = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]
    if not ranges:
        return [_point(study, row) for row in combinations]
    shares = np.array([[0.0], [1.0]]) if study.design.kind == "bisect" else _shares(study, len(ranges))
    drawn = [{name: axis.at(float(s)) for (name, axis), s in zip(ranges.items(), row, strict=True)} for row in shares]
    return [_point(study, row | draw) for row in combinations for draw in drawn]


def _point(study: Study, row: Mapping[str, Any]) -> Point:
    settings, labels = dict(study.settings), {}
    for name in study.axes:
        value = row[name]
        if isinstance(value, dict):
            labels[name] = value["label"]
            settings |= {key: one for key, one in value.items() if key != "label"}
        else:
            settings[name] = value
    return Point(study.task, settings, labels)


def _shares(study: Study, axes: int) -> np.ndarray:
    design = study.design
    if design.kind == "random":
        return stream(design.seed, "study", "points").random((design.count, axes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # balance wants a power of two; any number is a study all the same
        return qmc.Sobol(axes, rng=stream(design.seed, "study", "points")).random(design.count)


def halved(study: Study, ends: Mapping[float, float]) -> float | None:
    """Return the next value of a bisected axis, given the target at the values so far; None where it is not bracketed.

    Examples
    --------
    >>> study = Study(name="a", task="t", axes={"x": {"low": 0.0, "high": 8.0}},
    ...               design={"kind": "bisect", "target": "y", "threshold": 0.5})
    >>> halved(study, {0.0: 0.1, 8.0: 0.9}), halved(study, {0.0: 0.1, 4.0: 0.2, 8.0: 0.9}), halved(study, {0.0: 0.6, 8.0: 0.9})
    (4.0, 6.0, None)
    """
    (axis,) = [axis for axis in study.axes.values() if isinstance(axis, Range)]
    threshold = study.design.threshold or 0.0
    below = [x for x, y in ends.items() if y < threshold]
    above = [x for x, y in ends.items() if y >= threshold]
    if not below or not above or max(below) > min(above):
        return None
    low, high = max(below), min(above)
    return float(np.sqrt(low * high)) if axis.log else (low + high) / 2
