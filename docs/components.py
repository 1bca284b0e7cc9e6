#!/usr/bin/env python3
"""Write docs/components.md, every figure costs are made of: `python3 docs/components.py` (needs dbpsim installed)."""

from __future__ import annotations

import inspect
from itertools import groupby
from pathlib import Path

from dbpsim.cost import Figure, figures, load_components
from dbpsim.cost.quantities import quantity

PAGE = Path(__file__).with_name("components.md")
_PREFIXED = ("J", "V", "F", "Hz")  # units that take a prefix
_WORDS = {"1/s": "Hz", "squares of the node": "F²", "1": ""}


def _said(value: float, unit: str) -> str:
    unit = _WORDS.get(unit, unit)
    if unit.partition("/")[0] in _PREFIXED:
        return quantity(value, unit)
    if unit.startswith("m2"):
        return f"{value * 1e12:.4g} µm²{unit[2:]}"
    return f"{value:.4g} {unit}".rstrip()


def _row(figure: Figure) -> str:
    ends = f"{_said(figure.low, figure.unit)} to {_said(figure.high, figure.unit)}" if figure.ranged else ""
    return f"| `{figure.path}` | {_said(figure.value, figure.unit)} | {ends} |"


def page() -> str:
    """Return the page."""
    library = load_components()
    text = [
        "# What costs are made of",
        "",
        "Written by `python3 docs/components.py` from `dbpsim/cost/components/default.toml`: every figure of the default",
        "library, the range that `uncertainty` carries through, and its source. *Assumed* is a choice of ours. A library",
        "of one's own is a file that says what differs (`based_on`, [other nodes](nodes.md)); `dbpsim explain",
        "adc.energy_factor` says what depends on a figure.",
    ]
    for name, group in groupby(figures(library), key=lambda figure: figure.path.partition(".")[0]):
        rows = list(group)
        said = inspect.getdoc(type(getattr(library, name))) or ""
        text += ["", f"## {name.replace('_', ' ')}", "", said.splitlines()[0], ""]
        text += ["| figure | value | range |", "|---|---|---|"]
        text += [_row(figure) for figure in rows if not figure.path.endswith(".node_m")]
        text += ["", f"*{rows[0].node_m * 1e9:.0f} nm. {rows[0].source}.*"]
    return "\n".join([*text, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
