"""Two reports beside each other: which settings differ, and which figures moved by how much, the farthest first.

A figure is any number of report.json that a run or the cost model gave; a setting is anything that was given.  How far a figure
moved is the ratio of the two, so that a doubling and a halving count alike; figures that change sign, come from 0 or go to 0
stand first.  Waves of settling and single samples are left out: the figures that sum them up are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbpsim.report.elements import Column, Section, Table
from dbpsim.report.schema import ReportDocument

_SETTINGS = ("title", "facts", "assumptions", "provenance")
_FIGURES = ("fidelity", "training", "cost", "comparison", "settling", "uncertainty", "limits")
_LEFT_OUT = ("facts.loss", "settling.residual", "settling.stress", "settling.energy", "settling.times_s")
_NAMES = ("name", "stage", "setting", "figure", "limit", "schedule", "epoch")  # what tells apart the entries of a list
_MOST = 60  # rows of the page; the files have all

Value = float | str | None


@dataclass(frozen=True)
class Change:
    """One entry that differs; None where a report does not have it."""

    path: str
    first: Value
    second: Value

    @property
    def ratio(self) -> float | None:
        """Second over first; None where one is missing, 0, or of another sign."""
        a, b = self.first, self.second
        if isinstance(a, str) or isinstance(b, str) or a is None or b is None or a * b <= 0:
            return None
        return b / a

    @property
    def distance(self) -> float:
        """How far it moved: the logarithm of the ratio, either way; infinite where there is none."""
        return math.inf if self.ratio is None else abs(math.log(self.ratio))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"path": self.path, "first": self.first, "second": self.second, "ratio": self.ratio}


@dataclass(frozen=True)
class Difference:
    """What differs between two reports.

    Attributes
    ----------
    first, second : str
        Their titles.
    settings, figures : tuple of Change
        Figures: the farthest first.
    same : int
        Figures that are equal.
    """

    first: str
    second: str
    settings: tuple[Change, ...]
    figures: tuple[Change, ...]
    same: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "first": self.first, "second": self.second, "same_figures": self.same,
            "settings": [change.to_dict() for change in self.settings], "figures": [change.to_dict() for change in self.figures],
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [*_said(self)]
        lines += [f"  {c.path}: {_text(c.first)} -> {_text(c.second)}" for c in self.settings[:_MOST]]
        lines += [f"  {c.path}: {_text(c.first)} -> {_text(c.second)} ({_moved(c)})" for c in self.figures[:_MOST]]
        return "\n".join(lines)


def read_report(folder: str | Path) -> dict[str, Any]:
    """Return the report.json of a report's folder, checked against the schema.

    Raises
    ------
    ValueError
        If it is not a report of this version.
    OSError
        If there is none.
    """
    path = Path(folder) / "report.json"
    try:
        return ReportDocument.model_validate_json(path.read_bytes()).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']}; accepted: a report.json of this version.") from None


def difference(first: dict[str, Any], second: dict[str, Any]) -> Difference:
    """Return what differs between two documents of `read_report`.

    Examples
    --------
    >>> old = {"title": "a", "facts": {"eta": 1.0}, "cost": {"total_energy_J": 2.0, "notes": []}}
    >>> new = {"title": "a", "facts": {"eta": 0.9}, "cost": {"total_energy_J": 1.0, "notes": []}}
    >>> found = difference(old, new)
    >>> found.settings[0].path, found.figures[0].path, found.figures[0].ratio
    ('facts.eta', 'cost.total_energy_J', 0.5)
    """
    settings = [c for c in _changes(first, second, _SETTINGS) if c.first != c.second]
    figures = [c for c in _changes(first, second, _FIGURES) if not (isinstance(c.first, str) or isinstance(c.second, str))]
    moved = sorted((c for c in figures if c.first != c.second), key=lambda c: (-c.distance, c.path))
    return Difference(
        str(first.get("title")), str(second.get("title")), tuple(settings), tuple(moved), len(figures) - len(moved)
    )


def _changes(first: dict[str, Any], second: dict[str, Any], keys: Sequence[str]) -> list[Change]:
    a, b = ({k: v for key in keys for k, v in _leaves(document.get(key), key)} for document in (first, second))
    return [Change(path, a.get(path), b.get(path)) for path in dict.fromkeys([*a, *b])]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Value]]:
    if path in _LEFT_OUT:
        return
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            key = next((n for n in _NAMES if n in entry), None) if isinstance(entry, dict) else None
            rest = entry if key is None else {k: v for k, v in entry.items() if k not in (key, "source")}
            yield from _leaves(rest, f"{path}[{number if key is None else entry[key]}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)
    elif value is not None:
        yield path, str(value)


def difference_sections(found: Difference) -> list[Section]:
    """Return the tables of the page; the files' rows are all, the page's the first of them."""
    settings = [[c.path, _text(c.first), _text(c.second)] for c in found.settings]
    figures = [[c.path, c.first, c.second, _moved(c)] for c in found.figures]
    notes = [f"The first {_MOST} of {len(figures)}; all are in moved.csv and diff.json."] if len(figures) > _MOST else []
    caption = f"What was given; at most {_MOST} here, all in settings.csv."
    given = (Column("path", "setting", prose=True), Column("first", "first", prose=True), Column("second", "second", prose=True))
    moved = (Column("path", "figure", prose=True), Column("first", "first", form=".4g"), Column("second", "second", form=".4g"),
             Column("moved", "moved"))  # fmt: skip
    return [
        Section("settings", "Settings that differ", tables=[Table("settings", caption, given, settings, _MOST)]),
        Section("moved", "Figures that moved", tables=[Table("moved", "The farthest first; SI units.", moved, figures, _MOST)],
                notes=notes),
    ]  # fmt: skip


def _said(found: Difference) -> list[str]:
    lines = [f"{found.first} -> {found.second}", f"{len(found.settings)} settings differ."]
    lines.append(f"{len(found.figures)} figures moved, {found.same} are the same.")
    return lines


def verdict(found: Difference) -> list[tuple[str, str]]:
    """Return the page's first lines."""
    by_path = {c.path: c for c in found.figures}
    said = [("First", found.first), ("Second", found.second)]
    said.append(("Settings", f"{len(found.settings)} differ."))
    said.append(("Figures", f"{len(found.figures)} moved, {found.same} are the same."))
    for heading, path in (("Energy", "cost.total_energy_J"), ("Latency", "cost.latency_s"), ("Area", "cost.total_area_m2"),
                          ("Gradient", "fidelity.all.relative_error")):  # fmt: skip
        if path in by_path:
            c = by_path[path]
            said.append((heading, f"{path}: {_text(c.first)} to {_text(c.second)} ({_moved(c)})."))
    return said


def _text(value: Value) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _moved(change: Change) -> str:
    if change.first is None or change.second is None:
        return "only in the " + ("second" if change.first is None else "first")
    if change.ratio is None:
        return "from or to 0, or another sign"
    return f"x {change.ratio:.3g}" if not 0.5 < change.ratio < 2 else f"{change.ratio - 1:+.2%}"


def write_difference(first: str | Path, second: str | Path, out: str | Path | None) -> Difference:
    """Return what differs between the reports in two folders; with `out` write the page, diff.json and tables into that folder.

    Raises
    ------
    ValueError, OSError
        As `read_report`.
    """
    from dbpsim.report.report import as_json, rendered, write_files

    found = difference(read_report(first), read_report(second))
    if out is not None:
        sections = difference_sections(found)
        files = rendered(f"{found.first} and {found.second}", verdict(found), sections)
        write_files(Path(out), files | {"diff.json": as_json(found.to_dict())})
    return found

