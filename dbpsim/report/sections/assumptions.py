"""What the figures rest on: the numbers of the component library and the settings of the hardware, with their sources."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from dbpsim.chip import Chip
from dbpsim.cost.components import Components
from dbpsim.cost.constants import figures, unit_of
from dbpsim.cost.table import CostTable
from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Section, Table, shown

_LIBRARY = (
    Column("figure", "figure"), Column("value", "value", unit_in="unit"), Column("low", "from", unit_in="unit"),
    Column("high", "to", unit_in="unit"), Column("unit", "unit", file_only=True), Column("node_m", "node", "m"),
    Column("source", "source", group=True),
)  # fmt: skip
_HARDWARE = (Column("setting", "setting"), Column("value", "value", prose=True), Column("source", "source", group=True))


def assumptions_section(contents: Contents) -> Section | None:
    """Return the library's figures and the hardware's settings."""
    chip = contents.chip
    if chip is None:
        return None
    hardware = _hardware_rows(chip)
    tables = [Table("hardware", f"Settings of the hardware {chip.hardware.name}, the device included.", _HARDWARE, hardware)]
    data: dict[str, Any] = {"hardware": [dict(zip(("setting", "value", "source"), row, strict=True)) for row in hardware]}
    text = "Everything below is an input. Another value needs no second run: the same record is costed again."
    if contents.cost is not None and contents.components is not None:
        adc = chip.hardware.adc
        library = _library_rows(contents.components, contents.cost, int(adc.bits) if adc.levels else 0)
        caption = f"Figures of the component library {contents.components.name} that were used, with the range of each source."
        tables.insert(0, Table("library", caption, _LIBRARY, library))
        data["library"] = [dict(zip((c.key for c in _LIBRARY), row, strict=True)) for row in library]
    return Section("assumptions", "Assumptions and their sources", [text], tables=tables, data=data)


def _library_rows(components: Components, cost: CostTable, adc_bits: int) -> list[list[Any]]:
    used = {name for name, value in cost.by_component.items() if value > 0} | set(cost.area_by_component_m2)
    return [
        [f.path, f.value, f.low if f.ranged else None, f.high if f.ranged else None, f.unit, f.node_m, f.source]
        for f in figures(components)
        if f.path.partition(".")[0] in used and not f.path.endswith(".node_m")  # it has a column
        and not (f.path.endswith("]") and not f.path.endswith(f"[{adc_bits}]"))  # other converters of the table
    ]  # fmt: skip


def _hardware_rows(chip: Chip) -> list[list[Any]]:
    rows: list[list[Any]] = []
    _walk(chip.hardware, "", "", rows)
    return rows


def _walk(section: BaseModel, path: str, source: str, rows: list[list[Any]]) -> None:
    source = getattr(section, "source", None) or source
    for key in type(section).model_fields:
        value = getattr(section, key)
        at = f"{path}.{key}" if path else key
        if isinstance(value, BaseModel):
            _walk(value, at, source, rows)
        elif value is not None and key not in ("source", "summary"):
            rows.append([at, shown(value, unit_of(key)) if isinstance(value, float) else str(value), source or None])
