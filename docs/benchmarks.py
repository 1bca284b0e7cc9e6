#!/usr/bin/env python3
"""Write docs/benchmarks.md from the measurements in results/: `python3 docs/benchmarks.py` (`tasks.py docs` does it too).

A benchmark's results file is a list of rows.  A row is a piece of work in both simulators:

    work                the work; other plain keys (cell, size, ...) are said behind it
    peer                the other simulator; the file's own where it is missing
    ours_ms, theirs_ms  [minimum, median] or one number; ..._s for seconds
    ratio               theirs over ours, likewise; computed where it is missing
    bar                 the least ratio that is aimed at, where there is an aim
    held                false also where the bar is reached but the results disagree

`vgg9_vs_pytorch` and the two settling benchmarks have forms of their own.  What has not been measured is listed with its bar.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_TIMES = ("ours_ms", "theirs_ms", "ours_s", "theirs_s", "ratio", "bar", "held", "peer", "work")


class Line(NamedTuple):
    """One line of a table; times in ms, (minimum, median)."""

    work: str
    peer: str
    ours: tuple[float, float] | None
    theirs: tuple[float, float] | None
    ratio: tuple[float, float] | None
    bar: float | None
    agree: bool = True  # whether both computed the same

    @property
    def word(self) -> str:
        """What became of the bar."""
        if self.ratio is None:
            return "not measured"
        return "" if self.bar is None else "held" if self.agree and self.ratio[0] >= self.bar else "missed"


class Part(NamedTuple):
    """One benchmark: its script, title, peer, and the work it is to measure with the least ratio aimed at."""

    name: str
    title: str
    peer: str
    aims: tuple[tuple[str, str, float], ...]
    read: Callable[[Any, str], list[Line]]


def rows(document: Any, peer: str) -> list[Line]:
    """Return the lines of a list of rows (or of what is under "rows")."""
    found = []
    for row in document["rows"] if isinstance(document, dict) else document:
        more = [f"{value}" for key, value in row.items() if key not in _TIMES and isinstance(value, str | int) and value != ""]
        ours, theirs = _pair(row, "ours"), _pair(row, "theirs")
        ratio = _two(row["ratio"]) if "ratio" in row else None
        if ratio is None and ours is not None and theirs is not None:
            ratio = theirs[0] / ours[0], theirs[1] / ours[1]
        # A bar that the ratio reaches and the file calls missed is one of agreement.
        agree = row.get("held", True) or ratio is None or ratio[0] < row.get("bar", 0)
        found.append(Line(", ".join([row["work"], *more]), row.get("peer", peer), ours, theirs, ratio, row.get("bar"), agree))
    return found


def vgg9(document: Any, peer: str) -> list[Line]:
    """Return the lines of `vgg9_vs_pytorch`: ours beside PyTorch as most people run it, backpropagation beside its other ways."""
    taken = {name: (min(s) * 1e3, statistics.median(s) * 1e3) for name, s in document["seconds"].items()}
    theirs = [name for name in taken if name.startswith("PyTorch")]
    pairs = [(ours, peer) for ours in taken if ours not in theirs]
    pairs += [("dbpsim backprop", other) for other in theirs if other != peer]
    return [
        Line(ours, other, taken[ours], taken[other], (taken[other][0] / taken[ours][0], taken[other][1] / taken[ours][1]), None)
        for ours, other in pairs
        if ours in taken and other in taken
    ]


def ngspice(document: Any, peer: str) -> list[Line]:
    """Return the line of `settle_vs_ngspice`, which knows minima only."""
    seconds, ratio = document["seconds"], document["ratio"]
    ours, theirs = _two(seconds["dbpsim"] * 1e3), _two(seconds["ngspice"] * 1e3)
    work = f"transient of {document['states']} states at equal accuracy"
    less = f"{work}, ngspice's start taken off"
    alone = _two(document["ratio_without_start"])
    return [Line(work, peer, ours, theirs, _two(ratio), None), Line(less, peer, ours, None, alone, None)]


def settling(document: Any, peer: str) -> list[Line]:
    """Return the lines of `settle_speed`: scipy's time over collocation's on the same field."""
    lines = []
    for title, methods in document["networks"].items():
        ours, theirs = (_two(methods[name]["seconds"] * 1e3) for name in ("collocation", "scipy RK45, 1e-3"))
        ratio = theirs[0] / ours[0], theirs[1] / ours[1]
        lines.append(Line(f"784-256-128-10 settled, {title}", peer, ours, theirs, ratio, None))
    return lines


PARTS = (
    Part("tile_vs_aihwkit", "Reads and pulsed updates of one tile", "aihwkit 1.1.0", (), rows),
    Part(
        "wires_vs_peers", "Wires and noisy cells", "CrossSim",
        (
            ("read noise of every cell, 256 x 256, batch 128", "CrossSim", 300),
            ("read noise of every cell, 512 x 512, batch 128", "CrossSim", 300),
            ("wire resistance on, 256 x 256, batch 128, a batch after programming", "CrossSim", 1000),
            ("wire resistance on, programming, in batches of the peer", "CrossSim", 1),
            ("nodal solve, 100 input vectors, 64 x 64", "badcrossbar", 20),
            ("nodal solve, 100 input vectors, 128 x 128", "badcrossbar", 15),
            ("nodal solve, 100 input vectors, 256 x 256", "badcrossbar", 5),
        ),
        rows,
    ),
    Part(
        "vgg9_chip_vs_aihwkit", "Training steps of VGG9 on noisy tiles", "aihwkit 1.1.0",
        (
            ("hardware-aware step, PCM, 32 to 64", "aihwkit", 4),
            ("pulsed step, ReRAM, 32 to 64", "aihwkit", 4),
            ("pulsed step, PCM, 32 to 64", "aihwkit", 4),
        ),
        rows,
    ),
    Part("vgg9_vs_pytorch", "Gradients of VGG9, batch 128, digital", "PyTorch NCHW", (), vgg9),
    Part("settle_vs_ngspice", "A circuit in time", "ngspice", (), ngspice),
    Part("settle_speed", "Settling in continuous time", "scipy RK45", (), settling),
)  # fmt: skip


def _two(value: Any) -> tuple[float, float]:
    return (value[0], value[1]) if isinstance(value, list | tuple) else (value, value)


def _pair(row: dict[str, Any], whose: str) -> tuple[float, float] | None:
    if f"{whose}_ms" in row:
        return _two(row[f"{whose}_ms"])
    if f"{whose}_s" not in row:
        return None
    least, middle = _two(row[f"{whose}_s"])
    return least * 1e3, middle * 1e3


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:.3g}"


def _cell(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return ""
    least, middle = map(_number, pair)
    return least if least == middle else f"{least} ({middle})"


def table(lines: list[Line]) -> list[str]:
    """Return the lines as a table in Markdown."""
    found = ["| work | beside | dbpsim ms | peer ms | times as fast | bar | |", "|---|---|---|---|---|---|---|"]
    for line in lines:
        bar = "" if line.bar is None else f"{line.bar:g}"
        cells = (line.work, line.peer, _cell(line.ours), _cell(line.theirs), _cell(line.ratio), bar, line.word)
        found.append(f"| {' | '.join(cells)} |")
    return found


def page(results: Path) -> str:
    """Return docs/benchmarks.md for what is in the folder `results`."""
    bodies: list[str] = []
    words: list[str] = []
    for part in PARTS:
        file = results / f"{part.name}.json"
        if file.is_file():
            lines = part.read(json.loads(file.read_text(encoding="utf-8")), part.peer)
        else:
            lines = [Line(work, peer, None, None, None, bar) for work, peer, bar in part.aims]
        words += [line.word for line in lines if line.bar is not None]
        where = f"`python3 tasks.py bench --peers {part.name}`"
        where += f"; [results/{part.name}.json](../results/{part.name}.json)" if file.is_file() else "; not measured yet"
        bodies += ["", f"## {part.title}", "", where, *(["", *table(lines)] if lines else [])]
    held, missed, unmeasured = (words.count(word) for word in ("held", "missed", "not measured"))
    head = [
        "# Benchmarks", "",
        "Written by `docs/benchmarks.py` from the files in `results/`: not edited by hand.", "",
        "Each table is of one run in which the contenders took turns, on 2 cores (AMD EPYC, Zen 4) without a GPU.",
        "Times and ratios are by minimum, by median in brackets where it differs; a bar is an aim of ours for the",
        "ratio by minimum.", "",
        f"Of the bars {held} are held, {missed} missed and {unmeasured} not measured.",
    ]  # fmt: skip
    return "\n".join([*head, *bodies]) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "benchmarks.md").write_text(page(ROOT / "results"), encoding="utf-8")
