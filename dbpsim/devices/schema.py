"""The device file: what a cell's TOML may say, and the words for what it may not.

A section that is absent is an effect that is absent: no ``[read_noise]``, no read noise.  Every key carries
its unit and every section its source.  `explain` turns a failed validation into lines that name the
file, the key, what was found and what is accepted.
"""

from __future__ import annotations

import difflib
import types
import typing
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from dbpsim.devices.sections import Finite, NotNegative, Positive, Section
from dbpsim.devices.update_laws import LAWS, AnyUpdate


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


class Programming(Section):
    """Error left by write-verify: sigma(g) = sum_k coefficients_S[k] (g / g_max)^k."""

    coefficients_S: tuple[Finite, ...] = Field(min_length=1)
    pulses_per_cell: Positive
    source: str


class ReadNoise(Section):
    """1/f noise over the band 1/t_observe to 1/(2 t_read), as a share of the conductance."""

    q_scale: NotNegative
    q_exponent: NotNegative
    q_limit: NotNegative
    t_read_s: Positive
    t_observe_s: Positive
    source: str

    @model_validator(mode="after")
    def _band(self) -> ReadNoise:
        if self.t_observe_s < self.t_read_s:
            raise ValueError(
                f"t_observe_s = {self.t_observe_s:g} s must be at least t_read_s = {self.t_read_s:g} s"
            )
        return self


class LogClip(Section):
    """clip(slope ln(g / g_max) + offset, low, high)."""

    slope: Finite
    offset: Finite
    low: Finite
    high: Finite


class Drift(Section):
    """g(t) = g(t0) (t / t0)^-nu with nu ~ N(nu_mean(g), nu_sigma(g))."""

    t0_s: Positive
    nu_mean: LogClip
    nu_sigma: LogClip
    source: str


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
    conductance: Conductance
    programming: Programming | None = None
    read_noise: ReadNoise | None = None
    drift: Drift | None = None
    update: AnyUpdate | None = None


def _keys(root: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    # The keys accepted where `path` ends: descend through sections, optional or not.
    model: type[BaseModel] | None = root
    for part in path:
        if part in LAWS:  # which law an [update] table is of: no key of the file
            model = LAWS[str(part)]
            continue
        if model is None or part not in model.model_fields:
            return []
        annotation: Any = model.model_fields[str(part)].annotation
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return list(model.model_fields) if model else []


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
        key = ".".join(str(part) for part in path if part not in LAWS)
        known = _keys(model, path[:-1])
        if e["type"] == "extra_forbidden":
            text = f"unknown key{suggestion(str(path[-1]), known) or '; accepted: ' + ', '.join(known)}"
        elif e["type"] == "missing":
            text = "missing"
        elif e["type"] == "union_tag_invalid":  # an [update] table of an unknown law
            law, names = str(e["ctx"]["tag"]), list(LAWS)
            text = f"law: found {law!r}{suggestion(law, names)}; accepted: {', '.join(names)}"
        else:
            accepted = e["msg"].removeprefix("Value error, ")
            text = (
                accepted if isinstance(e["input"], dict | BaseModel) else f"found {e['input']!r}; {accepted}"
            )
        lines.append(f"{where}: {key}: {text}" if key else f"{where}: {text}")
    return "\n".join(lines)
