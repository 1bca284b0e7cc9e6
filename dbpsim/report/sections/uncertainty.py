"""How far the energy can be trusted, and which figure moves it most."""

from __future__ import annotations

from functools import partial
from typing import Any

from dbpsim.report.contents import Contents
from dbpsim.report.cost_figures import draw_tornado
from dbpsim.report.elements import Column, Figure, Section, Table, shown

_TORNADO = (
    Column("figure", "figure"), Column("low", "from", unit_in="unit"), Column("high", "to", unit_in="unit"),
    Column("energy_at_low_J", "energy at the low end", "J"), Column("energy_at_high_J", "energy at the high end", "J"),
    Column("unit", "unit", file_only=True),
)  # fmt: skip
_PERCENTILES = (Column("p5_J", "5 %", "J"), Column("p50_J", "median", "J"), Column("p95_J", "95 %", "J"))
_PARTS = (Column("component", "component"), *_PERCENTILES)


def uncertainty_section(contents: Contents) -> Section | None:
    """Return the tornado and the percentiles of the batch's energy."""
    found = contents.uncertainty
    if found is None:
        return None
    units = contents.units
    rows = [
        [bar.path, bar.low, bar.high, bar.total_at_low, bar.total_at_high, units.get(bar.path, "1")] for bar in found.tornado
    ]
    parts: list[list[Any]] = [[name.replace("_", " "), *values] for name, values in found.by_component_J.items()]
    parts.append(["total", *found.energy_J])
    low, middle, high = (shown(value, "J") for value in found.energy_J)
    text = (
        f"Every figure of the library with a range was drawn {found.draws} times, independently. The step then takes {middle}, "
        f"with 90 % of the draws from {low} to {high}; with every figure at its value it takes {shown(found.nominal_J, 'J')}. "
        "That is the uncertainty of the components, not of the model."
    )
    alt = "Energy of the step with one figure of the library at either end of its range, those that move it most."
    return Section(
        "uncertainty", "What the energy hangs on", [text],
        [Figure("tornado", alt, partial(draw_tornado, found=found), (5.8, 3.3))],
        [Table("tornado", "Figures with a range, the one that moves the energy most first.", _TORNADO, rows),
         Table("uncertainty", "Energy of the step by component.", _PARTS, parts)],
        data=found.to_dict(),
    )  # fmt: skip
