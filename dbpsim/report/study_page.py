"""The page of a study: its question, its figures, its table, what failed.

Lines join the means of the rows that share x and series; the band is a 95 % bootstrap interval of the mean.  A heat map shows
means.  Rows that differ in what is neither axis nor series, seeds first of all, are what the means are over.  A Pareto front
joins the rows that no other beats in both columns.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dbpsim.report.elements import Column, Figure, Section, Table
from dbpsim.report.figures import COLOURS
from dbpsim.report.report import rendered, write_files
from dbpsim.studies.engine import Outcome
from dbpsim.studies.rounds import interval
from dbpsim.studies.study import FigureSpec, Study

_STYLES = ("o-", "s--", "^:", "D-.", "v-", "P--", "X:")
_MOST_ROWS = 100
_FEW_PLACES = 8
_MOST_LETTERS = 60  # of names below an axis, side by side
Rows = Sequence[Mapping[str, Any]]


def write_study_page(study: Study, outcome: Outcome, out: str | os.PathLike[str]) -> Path:
    """Write index.html and the figures of `study` beside its table; return the page's path.

    Raises
    ------
    ValueError
        If a figure names a column that the table has not.
    """
    for spec in study.figures:
        for column in filter(None, (spec.x, spec.y, spec.value, spec.series, spec.beside, *spec.where)):
            if outcome.rows and all(column not in row for row in outcome.rows):
                known = ", ".join(dict.fromkeys(key for row in outcome.rows for key in row))
                raise ValueError(f"study {study.name}: figures: found column {column!r}; accepted: {known}.")
    figures = [_figure(number, spec, outcome.rows) for number, spec in enumerate(study.figures)] if outcome.rows else []
    said = [
        ("Question", study.question or study.name),
        ("Points", f"{outcome.points}, {outcome.failed} of them without result; {len(outcome.rows)} rows"),
    ]
    times = Path(out) / "timings.csv"
    if times.exists():
        with times.open(newline="", encoding="utf-8") as file:
            said.append(("Work", f"{sum(float(row['seconds']) for row in csv.DictReader(file)):.0f} s, of one process"))
    if study.source:
        said.append(("Compare", study.source))
    section = Section("results", "Results", figures=figures, tables=[_table(outcome.rows)])
    return write_files(Path(out), rendered(f"dbpsim study: {study.name}", said, [section]))


def _figure(number: int, spec: FigureSpec, rows: Rows) -> Figure:
    draw, shown = {
        "lines": (draw_lines, "bands: 95 % intervals of the mean"),
        "heat": (draw_heat, "means"),
        "pareto": (draw_pareto, "line: Pareto front"),
    }[spec.kind]
    words = spec.title or f"{spec.value or spec.y} over {spec.x}" + (f" and {spec.y}" if spec.value else "")
    wanted = {key: value if isinstance(value, list) else [value] for key, value in spec.where.items()}
    kept = [row for row in rows if all(row.get(key) in values for key, values in wanted.items())]
    draw_kept = partial(draw, rows=kept, spec=spec) if kept else _draw_nothing
    return Figure(f"figure{number + 1}", f"{words}; {shown}.", draw_kept)


def _draw_nothing(ax: Axes) -> Axes:
    ax.text(0.5, 0.5, "no row of the table is one of these", ha="center", va="center", transform=ax.transAxes)
    return ax


def _table(rows: Rows) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    values = [[row.get(key) for key in keys] for row in rows]
    same = [len(rows) > 1 and all(row[place] == values[0][place] for row in values) for place in range(len(keys))]
    columns = tuple(Column(key, key.replace("_", " "), form=".4g", file_only=one) for key, one in zip(keys, same, strict=True))
    caption = f"The first {_MOST_ROWS} rows, without columns of one value; all are in table.csv."
    return Table("rows", caption, columns, values, most=_MOST_ROWS)


def draw_lines(ax: Axes, rows: Rows, spec: FigureSpec) -> Axes:
    """Draw the mean of y over x, a line a series, with its bootstrap interval."""
    for number, (name, label, mine) in enumerate(_series(rows, spec)):
        kept = _groups(mine, spec.x, spec.y)
        if not kept:
            continue
        place, colour = [x for x, _ in kept], COLOURS[number % 7]
        middle = np.array([float(np.mean(values)) for _, values in kept])
        ends = np.array([interval(values, f"{name}", n) for n, (_, values) in enumerate(kept)])
        if "y" in spec.log and not middle.any():  # which no logarithm can show
            label = f"{label or spec.y}: exactly 0"
        ax.plot(place, middle, _STYLES[(number + number // 7) % 7], color=colour, label=label, markersize=4)
        ax.fill_between(place, ends[:, 0], ends[:, 1], color=colour, alpha=0.2, linewidth=0)
    if spec.beside is not None and (kept := _groups(rows, spec.x, spec.beside)):
        means = [float(np.mean(values)) for _, values in kept]
        ax.plot([x for x, _ in kept], means, "--", color="gray", label=spec.beside.replace("_", " "))
    if spec.limit is not None:
        ax.axhline(spec.limit, color="gray", linestyle=":", label=f"{spec.limit:g}")
    if "x" in spec.log:
        _log_ticks(ax, sorted({row[spec.x] for row in rows if isinstance(row.get(spec.x), int | float)}))
    if "y" in spec.log:
        ax.set_yscale("log")
    if places := {row[spec.x] for row in rows if isinstance(row.get(spec.x), str)}:
        _slant(ax, places)
    _name_axes(ax, spec)
    if labels := ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=8 if len(labels) < 8 else 6)
    return ax


def _series(rows: Rows, spec: FigureSpec) -> list[tuple[Any, str | None, Rows]]:
    """Return name, label and rows of every line; of one without a name where there are no series."""
    if spec.series is None:
        return [(None, None, rows)]
    names = dict.fromkeys(row.get(spec.series) for row in rows)
    mine = {name: [row for row in rows if row.get(spec.series) == name] for name in names}
    return [(name, None if name is None else f"{spec.series} {name}", mine[name]) for name in names]


def _name_axes(ax: Axes, spec: FigureSpec) -> None:
    ax.set_xlabel(spec.x.replace("_", " "))
    ax.set_ylabel(spec.y.replace("_", " "))


def _log_ticks(ax: Axes, places: Sequence[float]) -> None:
    ax.set_xscale("log")
    if 1 < len(places) <= _FEW_PLACES and places[0] > 0:  # else powers of ten alone, which may not be among them
        ax.set_xticks(places, [f"{place:g}" for place in places])
        ax.minorticks_off()


def _groups(rows: Rows, x: str, y: str) -> list[tuple[Any, list[float]]]:
    at = dict.fromkeys(row[x] for row in rows if x in row)
    order = list(at) if any(isinstance(place, str) for place in at) else sorted(at)
    groups = [(place, [row[y] for row in rows if row.get(x) == place and row.get(y) is not None]) for place in order]
    return [(place, values) for place, values in groups if values]


def draw_heat(ax: Axes, rows: Rows, spec: FigureSpec) -> Axes:
    """Draw the mean of a value over two columns."""
    across, down = (sorted({row[key] for row in rows if key in row}) for key in (spec.x, spec.y))
    means, value = np.full((len(down), len(across)), np.nan), spec.value or ""
    for i, y in enumerate(down):
        for j, x in enumerate(across):
            found = [row[value] for row in rows if row.get(spec.x) == x and row.get(spec.y) == y and value in row]
            if found:
                means[i, j] = float(np.mean(found))
    drawn = np.log10(np.maximum(means, 1e-300)) if "value" in spec.log else means
    image = ax.imshow(drawn, aspect="auto", cmap="viridis", origin="lower")
    ax.set_xticks(range(len(across)), [_tick(x) for x in across])
    _slant(ax, [_tick(x) for x in across])
    ax.set_yticks(range(len(down)), [_tick(y) for y in down])
    _name_axes(ax, spec)
    ax.grid(False)
    words = value.replace("_", " ")
    ax.figure.colorbar(image, ax=ax, label=f"log10 {words}" if "value" in spec.log else words)
    return ax


def draw_pareto(ax: Axes, rows: Rows, spec: FigureSpec) -> Axes:
    """Draw every row as a dot of its series, and the front of those that no other beats."""
    rows = [row for row in rows if row.get(spec.x) is not None and row.get(spec.y) is not None]
    for number, (_, label, mine) in enumerate(_series(rows, spec)):
        style = _STYLES[number % 7][0]
        ax.plot([r[spec.x] for r in mine], [r[spec.y] for r in mine], style, color=COLOURS[number % 7], label=label, markersize=4)
    best = front([(row[spec.x], row[spec.y]) for row in rows], spec.better)
    ax.step(*zip(*best, strict=True), where="post", color="black", linewidth=1, label="front") if best else None
    for side, scale in (("x", ax.set_xscale), ("y", ax.set_yscale)):
        if side in spec.log:
            scale("log")
    _name_axes(ax, spec)
    ax.legend(fontsize=8)
    return ax


def front(dots: Sequence[tuple[float, float]], better: tuple[str, str] = ("lower", "lower")) -> list[tuple[float, float]]:
    """Return the dots that no other beats in one coordinate without losing in the other, by their x.

    Examples
    --------
    >>> front([(1, 5), (2, 2), (3, 3), (4, 1)])
    [(1, 5), (2, 2), (4, 1)]
    """
    signs = [1 if way == "lower" else -1 for way in better]
    kept: list[tuple[float, float]] = []
    least = float("inf")
    for x, y in sorted(set(dots), key=lambda dot: (signs[0] * dot[0], signs[1] * dot[1])):
        if signs[1] * y < least:
            kept.append((x, y))
            least = signs[1] * y
    return sorted(kept)


def _slant(ax: Axes, names: Collection[str]) -> None:
    if sum(map(len, names)) > _MOST_LETTERS:
        for text in ax.get_xticklabels():
            text.set(rotation=35, ha="right")


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
