"""Energy, latency and area: what a sample takes, and breakdowns by stage, phase and component."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dbpsim.cost.table import COMPONENTS, CostTable
from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Figure, Section, Table, shown
from dbpsim.report.figures import draw_breakdown, draw_cost
from dbpsim.report.sections.verdict import unwritten


def cost_section(contents: Contents) -> Section | None:
    """Return energy, latency and area of the batch."""
    table = contents.cost
    if table is None:
        return None
    samples = contents.samples
    figures = [
        Figure("cost", "Energy of one batch by stage, stacked by component.", partial(draw_cost, table=table),
               _size(len(table.energy_J))),
        Figure("phases", "Energy of one batch by phase, stacked by component.",
               partial(draw_breakdown, rows=table.phase_J, unit="J", label="energy"), _size(3)),
    ]  # fmt: skip
    tables = [
        _figures_of_merit(table, samples),
        _breakdown("cost", "Energy by stage and component.", "stage", table.energy_J, "J"),
        _breakdown("phases", "Energy by phase and component.", "phase", table.phase_J, "J"),
    ]
    if table.total_area_m2:
        drawing = partial(draw_breakdown, rows=table.area_m2, unit="m2", label="area")
        figures.append(Figure("area", "Area by stage, stacked by component.", drawing, _size(len(table.area_m2))))
        tables.append(_breakdown("area", "Area by stage and component.", "stage", table.area_m2, "m2"))
    text = (
        f"One training step on a batch of {samples}, on {table.hardware}: {shown(table.total_J, 'J')}, "
        f"{shown(table.latency_s, 's')} ({table.schedule} schedule, {shown(table.period_s, 's')} a read)"
        f"{unwritten(table)}."
    )
    return Section("cost", "Energy, latency and area", [text], figures, tables, _notes(table), data=table.to_dict())


def _size(bars: int) -> tuple[float, float]:
    return 5.4, 1.4 + 0.24 * bars


def _notes(table: CostTable) -> list[str]:
    # the sources of components stand under the assumptions
    return [note for note in table.notes if note.partition(":")[0] not in COMPONENTS]


def _figures_of_merit(table: CostTable, samples: int) -> Table:
    rows: list[list[Any]] = [
        ["energy a sample", table.total_J / samples, "J"],
        ["latency a sample", table.latency_s / samples, "s"],
        ["of it reads", table.read_s / samples, "s"],
        ["of it writes", table.write_s / samples, "s"],
        ["energy a step (batch)", table.total_J, "J"],
        ["latency a step (batch)", table.latency_s, "s"],
        ["energy x delay a step", table.energy_delay_Js, "Js"],
        ["energy a multiply-accumulate, without the update", table.joules_per_multiply_accumulate, "J"],
        ["operations a step (a multiply-accumulate is 2)", float(table.operations), "1"],
        ["operations a joule, without the update", table.tops_per_W, "TOPS/W"],
    ]
    if table.total_area_m2:
        rows.append(["area", table.total_area_m2, "m2"])
        rows.append(["operations a second and area, while reading", table.tops_per_mm2, "TOPS/mm²"])
    columns = (Column("figure", "figure"), Column("value", "value", unit_in="unit"), Column("unit", "unit", file_only=True))
    return Table("merit", f"What a training step takes on {table.hardware}.", columns, rows)


def _breakdown(name: str, caption: str, what: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> Table:
    components = dict.fromkeys(c for row in rows.values() for c in row)
    used = [c for c in components if any(row.get(c, 0.0) for row in rows.values())]
    parts = [Column(f"{c}_{unit}", c.replace("_", " "), unit) for c in used]
    columns = (Column(what, what), *parts, Column(f"total_{unit}", "total", unit))
    body: list[list[Any]] = [[key, *(row.get(c, 0.0) for c in used), sum(row.values())] for key, row in rows.items()]
    body.append(["total", *(sum(row.get(c, 0.0) for row in rows.values()) for c in used), sum(row[-1] for row in body)])
    return Table(name, caption, columns, body)
