"""What a study leaves on disk: a file a point, written whole or not at all, and a table made of them.

    OUT/study.json            the study
    OUT/points/KEY.json       settings, rows or an error, seconds
    OUT/table.csv             every row of every finished point, in the order of the points
    OUT/failures.csv          points that failed, with their error

A point is finished when its file is there, whoever wrote it; so a study goes on where it was stopped, shards of a job array meet
in one folder, and the table is the same bytes whatever order and however many workers made it.  Times are in timings.csv alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbpsim.files import finite, write_json, write_text
from dbpsim.studies.points import Point


def shard_path(out: Path, point: Point) -> Path:
    """Return the file of `point`."""
    return out / "points" / f"{point.key}.json"


def write_shard(out: Path, point: Point, rows: Sequence[Mapping[str, Any]] | None, error: str | None, seconds: float) -> None:
    """Write what became of `point`."""
    document = {"task": point.task, "settings": dict(point.settings), "rows": rows, "error": error, "seconds": seconds}
    write_json(shard_path(out, point), finite(document))


def read_shard(out: Path, point: Point) -> dict[str, Any] | None:
    """Return what became of `point`, None where nothing did yet.

    Raises
    ------
    ValueError
        If the file is there and is not what `write_shard` writes.
    """
    path = shard_path(out, point)
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("settings") != dict(point.settings):
            raise ValueError("it holds other settings")
    except ValueError as error:
        raise ValueError(f"{path}: not the result of this point ({error}); accepted: a file of a study, or none.") from None
    return document


def missing(out: Path, points: Iterable[Point], *, again: bool = False) -> list[Point]:
    """Return the points that have no result; with `again`, those that failed too.  Each key comes once."""
    found: dict[str, Point] = {}
    for point in points:
        shard = read_shard(out, point)
        if shard is None or (again and shard["error"] is not None):
            found.setdefault(point.key, point)
    return list(found.values())


def table(out: Path, points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the rows of all finished points: settings, then results."""
    rows = []
    for point in points:
        shard = read_shard(out, point)
        if shard is not None and shard["error"] is None:
            rows += [{**point.labels, **point.settings, **row} for row in shard["rows"]]
    return rows


def merge(out: Path, points: Sequence[Point]) -> list[dict[str, Any]]:
    """Write table.csv, failures.csv and timings.csv; return the rows of the table."""
    rows = table(out, points)
    write_text(out / "table.csv", _csv(rows))
    failed, times = [], []
    for point in points:
        shard = read_shard(out, point)
        if shard is not None:
            times.append({"key": point.key, "seconds": shard["seconds"]})
            if shard["error"] is not None:
                failed.append({**point.labels, **point.settings, "error": shard["error"]})
    write_text(out / "failures.csv", _csv(failed))
    write_text(out / "timings.csv", _csv(times))
    return rows


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if row.get(name) is None else row[name] for name in columns] for row in rows])
    return text.getvalue()
