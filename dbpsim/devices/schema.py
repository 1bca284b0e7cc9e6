"""The device file: what a cell's TOML may say, and the words for what it may not.

A section that is absent is an effect that is absent: no ``[read_noise]``, no read noise.  Every key carries
its unit and every section its source.  `explain` turns a failed validation into lines that name the
file, the key, what was found and what is accepted.
"""

from __future__ import annotations

import difflib
import typing
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from dbpsim.devices.effects import (
    Drift,
    Endurance,
    Faults,
    Levels,
    Programming,
    RandomTelegraph,
    ReadNoise,
    Retention,
    Spread,
    Temperature,
    WriteVerify,
)
from dbpsim.devices.sections import NotNegative, Positive, Section
from dbpsim.devices.update_laws import AnyUpdate


class Conductance(Section):
    """The window a cell is programmed into."""

    g_min_S: NotNegative
    g_max_S: Positive
    source: str

    @model_validator(mode="after")
    def _window(self) -> Conductance:
        if self.g_max_S <= self.g_min_S:
            raise ValueError(f"g_max_S = {self.g_max_S:g} S must exceed g_min_S = {self.g_min_S:g} S")
        return self

    @property
    def span_S(self) -> float:
        """Width of the window."""
        return self.g_max_S - self.g_min_S


class Device(Section):
    """One memory cell.

    Examples
    --------
    >>> window = Conductance(g_min_S=0, g_max_S=1e-6, source="a doctest")
    >>> cell = Device(name="mine", family="test", conductance=window)
    >>> cell.read_noise is None, cell.conductance.span_S
    (True, 1e-06)
    """

    name: str
    family: str
    summary: str = ""
    transposed_read: bool = True  # whether its arrays can be driven by columns and sensed by rows
    conductance: Conductance
    levels: Levels | None = None
    spread: Spread | None = None
    programming: Programming | None = None
    write_verify: WriteVerify | None = None
    read_noise: ReadNoise | None = None
    random_telegraph: RandomTelegraph | None = None
    drift: Drift | None = None
    retention: Retention | None = None
    update: AnyUpdate | None = None
    endurance: Endurance | None = None
    faults: Faults | None = None
    temperature: Temperature | None = None

    @model_validator(mode="after")
    def _one_spread(self) -> Device:
        update = self.update
        if self.spread is not None and update is not None and (update.upper_spread or update.lower_spread):
            raise ValueError("spread: found besides update.upper_spread or lower_spread; accepted: one of the two places")
        return self


def _models(annotation: Any) -> list[type[BaseModel]]:
    # The sections an annotation stands for: itself, or the members of an optional or a union.
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _law(model: type[BaseModel]) -> tuple[str, ...]:
    return typing.get_args(model.model_fields["law"].annotation) if "law" in model.model_fields else ()


def _along(root: type[BaseModel], path: tuple[int | str, ...]) -> tuple[list[type[BaseModel]], str]:
    """Return the sections where `path` ends and how the file spells it: the name of a law in it is pydantic's, not the file's."""
    models, words = [root], []
    for part in path:
        entered = [m for m in models if part in _law(m)] if len(models) > 1 else []
        if not entered:
            words.append(str(part))
            fields = [m.model_fields[part].annotation for m in models if isinstance(part, str) and part in m.model_fields]
            entered = [m for annotation in fields for m in _models(annotation)]
        models = entered
    return models, ".".join(words)


def suggestion(word: str, known: list[str]) -> str:
    """Return ``; did you mean ...?`` for a near miss, and nothing for a far one.

    Examples
    --------
    >>> suggestion("g_maxS", ["g_min_S", "g_max_S"])
    '; did you mean g_max_S?'
    """
    near = difflib.get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """Return what is wrong with the file `where`, a line a mistake."""
    lines = []
    for e in error.errors():
        path = tuple(part for part in e["loc"] if part != "function-before")
        key = _along(model, path)[1]
        text = _fault(e, path, model)
        lines.append(f"{where}: {key}: {text}" if key else f"{where}: {text}")
    return "\n".join(lines)


def _fault(e: Any, path: tuple[int | str, ...], model: type[BaseModel]) -> str:
    if e["type"] == "extra_forbidden":
        inside = _along(model, path[:-1])[0]
        known = list(inside[0].model_fields) if inside else []
        return f"unknown key{suggestion(str(path[-1]), known) or '; accepted: ' + ', '.join(known)}"
    if e["type"] == "missing":
        return "missing"
    if e["type"].startswith("union_tag"):  # a law that is not there, or none
        laws = [law for section in _along(model, path)[0] for law in _law(section)]
        found = e["ctx"].get("tag")
        said = "law missing" if found is None else f"law: found {found!r}{suggestion(found, laws)}"
        return f"{said}; accepted: {', '.join(laws)}"
    accepted = e["msg"].removeprefix("Value error, ")
    return accepted if isinstance(e["input"], dict | BaseModel) else f"found {e['input']!r}; {accepted}"
