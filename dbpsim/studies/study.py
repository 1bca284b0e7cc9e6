"""The study file: a question, a task, settings that all points share, axes that they do not, and what to draw.

    name = "steps"
    question = "How many clocks does a relaxation take?"
    task = "gradient"

    [settings]
    model = "mlp:64-32-32-10"

    [axes]                           # a list; or a range, of a random or Sobol design
    eta = [0.5, 0.75, 0.9, 1.0]
    seed = [0, 1, 2]
    precision = [                    # or settings that go together, under a label
        { label = "coarse", dtype = "float32", batch = 8 },
        { label = "fine", dtype = "float64", batch = 32 },
    ]

    [design]
    kind = "grid"                    # grid, zip, random, sobol or bisect

    [stop]                           # no more seeds where the interval of the mean is narrow enough
    over = "seed"
    column = "steps"
    width = 0.05

    [[figures]]
    kind = "lines"                   # or heat, or pareto
    x = "eta"
    y = "steps"

    [quick]                          # a form of it for tests and first looks: these settings and axes in place of those above
    settings = { batch = 4 }
    axes = { eta = [0.75, 1.0] }

An axis or a setting with a dot in its name is a key of the hardware file ("device.read_noise.q_scale").
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dbpsim.devices.library import is_path, read_toml, validated
from dbpsim.devices.schema import suggestion
from dbpsim.devices.sections import Finite, Section

_LIBRARY = Path(__file__).with_name("library")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Value = str | bool | int | float
Bundle = dict[str, Value]  # settings that go together, and their "label"


class Range(Section):
    """An axis of a random, Sobol or bisecting design."""

    low: Finite
    high: Finite
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"found {self.low:g} to {self.high:g}; accepted: low < high, and above 0 where log = true")
        return self

    def at(self, share: float) -> float:
        """Return the value at a share of the way from `low` to `high`."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + (self.high - self.low) * share


class Design(Section):
    """How axes make points.

    Attributes
    ----------
    kind : {"grid", "zip", "random", "sobol", "bisect"}
        Every combination; side by side; `count` draws; `count` points of a scrambled Sobol sequence (lists are repeated whole at
        each); halving of the one range `count` times, for every combination of the lists, to where `target` crosses `threshold`.
    count : int
    seed : int
    target : str
        Column of a bisecting study; it is taken to rise along the axis.
    threshold : float
    """

    kind: Literal["grid", "zip", "random", "sobol", "bisect"] = "grid"
    count: Annotated[int, Field(ge=1, le=100_000)] = 16
    seed: Annotated[int, Field(ge=0)] = 0
    target: str | None = None
    threshold: float | None = None

    @model_validator(mode="after")
    def _aimed(self) -> Design:
        if (self.kind == "bisect") != (self.target is not None and self.threshold is not None):
            raise ValueError('target and threshold belong to kind = "bisect", which needs both')
        return self


class Stop(Section):
    """When a combination of the other axes has had enough values of one of them.

    Attributes
    ----------
    over : str
        That axis, a list: its values are taken in order.
    column : str
        What is averaged over it; rows of one point count as their mean.
    width : float
        Enough: the 95 % bootstrap interval of the mean is no wider than this share of the mean.
    at_least : int
        Values every combination has.
    """

    over: str
    column: str
    width: Annotated[float, Field(gt=0)]
    at_least: Annotated[int, Field(ge=2)] = 4


class FigureSpec(Section):
    """What to draw: columns of the table."""

    kind: Literal["lines", "heat", "pareto"] = "lines"
    x: str
    y: str
    value: str | None = None  # of a heat map
    series: str | None = None
    where: dict[str, Value | list[Value]] = {}  # rows that are drawn: those with this value, or one of these
    beside: str | None = None  # another column, drawn dashed: a floor, a law
    limit: float | None = None  # a line across
    better: tuple[Literal["lower", "higher"], Literal["lower", "higher"]] = ("lower", "lower")  # x and y of a Pareto front
    log: tuple[Literal["x", "y", "value"], ...] = ()
    title: str = ""

    @model_validator(mode="after")
    def _whole(self) -> FigureSpec:
        if (self.kind == "heat") != (self.value is not None):
            raise ValueError('value belongs to kind = "heat", which needs it')
        if self.kind != "lines" and (self.beside is not None or self.limit is not None):
            raise ValueError('beside and limit belong to kind = "lines"')
        return self


class Quick(Section):
    """What a quick form has in place of settings, axes and the design's count."""

    settings: dict[str, Value] = {}
    axes: dict[str, list[Value | Bundle] | Range] = {}
    count: Annotated[int, Field(ge=1)] | None = None


class Study(Section):
    """A sweep.

    Examples
    --------
    >>> Study(name="a", task="gradient", settings={"model": "mlp:4-3"}, axes={"eta": [0.5, 1.0]}).design.kind
    'grid'
    """

    name: Annotated[str, Field(pattern=_NAME)]
    question: str = ""
    source: str = ""
    task: str
    settings: dict[str, Value] = {}
    axes: dict[str, list[Value | Bundle] | Range] = {}
    design: Design = Design()
    stop: Stop | None = None
    figures: tuple[FigureSpec, ...] = ()
    quick: Quick = Quick()

    @model_validator(mode="after")
    def _axes(self) -> Study:
        ranges = [name for name, axis in self.axes.items() if isinstance(axis, Range)]
        empty = [name for name, axis in self.axes.items() if axis == []]
        if empty:
            raise ValueError(f"axes.{empty[0]}: found no value; accepted: one or more")
        both = sorted(set(self.settings) & set(self.axes))
        if both:
            raise ValueError(f"{both[0]} is a setting and an axis; accepted: one of the two")
        self._bundles()
        if self.stop is not None and (self.design.kind != "grid" or self.stop.over not in self.axes):
            raise ValueError(f'stop.over: found {self.stop.over!r}; accepted: an axis, with design.kind = "grid"')
        kind, lists = self.design.kind, {n: len(a) for n, a in self.axes.items() if not isinstance(a, Range)}
        if kind in ("grid", "zip") and ranges:
            raise ValueError(f'axes.{ranges[0]}: a range; accepted with design.kind = "random", "sobol" or "bisect"')
        if kind in ("random", "sobol") and not ranges:
            raise ValueError(f'design.kind = "{kind}" needs a range: axes.NAME = {{ low = ..., high = ... }}')
        if kind == "bisect" and len(ranges) != 1:
            raise ValueError(f'design.kind = "bisect" halves one range; found {len(ranges)}')
        if kind == "zip" and len(set(lists.values())) > 1:
            raise ValueError(f"axes of a zip are as long as each other; found {lists}")
        return self

    def _bundles(self) -> None:
        owners = {name: name for name in self.axes}
        for name, axis in self.axes.items():
            bundles = [] if isinstance(axis, Range) else [value for value in axis if isinstance(value, dict)]
            labels = [bundle.get("label") for bundle in bundles]
            if bundles and (None in labels or len(set(labels)) < len(axis)):  # type: ignore[arg-type]
                raise ValueError(f"axes.{name}: settings that go together need a label each, unlike the others'; found {labels}")
            for key in dict.fromkeys(key for bundle in bundles for key in bundle if key != "label"):
                if key in owners:
                    raise ValueError(f"axes.{name}: {key} is set by axes.{owners[key]} too; accepted: by one axis")
                owners[key] = name


def list_studies() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(path.stem for path in _LIBRARY.glob("*.toml"))


def load_study(spec: str | os.PathLike[str], *, quick: bool = False, changes: Mapping[str, str] | None = None) -> Study:
    """Return the ready-made study called `spec`, or the one in the file `spec`; its quick form if asked.

    `changes` are settings that come before the file's, values as TOML writes them; a list makes an axis.

    Raises
    ------
    ValueError
        If there is none, or it is not valid: names file, key, what was found and what is accepted.
    """
    path = Path(spec) if is_path(spec) else _LIBRARY / f"{spec}.toml"
    if not is_path(spec) and str(spec) not in list_studies():
        words = suggestion(str(spec), list_studies()) or "."
        raise ValueError(f"study {str(spec)!r}: not known{words} Accepted: {', '.join(list_studies())}, or a .toml file.")
    data: dict[str, Any] = read_toml(path)
    study = validated(Study, data, str(path))
    if quick:
        data = _quick_form(data, study.quick)
        study = validated(Study, data, f"{path}, quick")
    return validated(Study, _changed(data, changes), f"{path}, changed") if changes else study


def _changed(data: dict[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    settings, axes = dict(data.get("settings", {})), dict(data.get("axes", {}))
    for key, text in changes.items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text  # a name or a path without its quotes
        if isinstance(value, list):
            settings.pop(key, None)
            axes[key] = value
        else:
            axes.pop(key, None)
            settings[key] = value
    return data | {"settings": settings, "axes": axes}


def _quick_form(data: dict[str, Any], quick: Quick) -> dict[str, Any]:
    # What is a setting here and an axis there is what the quick form says; both keep their order.
    given = quick.model_dump(exclude_unset=True)
    settings, axes = given.get("settings", {}), given.get("axes", {})
    unknown = sorted(axes.keys() - data.get("axes", {}).keys() - data.get("settings", {}).keys())
    if unknown:
        raise ValueError(f"quick.axes.{unknown[0]}: neither a setting nor an axis of the study.")
    design = dict(data.get("design", {})) | ({} if quick.count is None else {"count": quick.count})
    return {
        **{key: value for key, value in data.items() if key != "quick"},
        "settings": {k: v for k, v in data.get("settings", {}).items() if k not in axes} | settings,
        "axes": {k: v for k, v in data.get("axes", {}).items() if k not in settings} | axes,
        "design": design,
    }
