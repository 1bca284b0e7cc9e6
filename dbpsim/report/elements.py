"""What a page is made of: sections with texts, figures, tables and notes.

A table holds raw values and says for each column its key and unit.  From the one table come the page's scaled texts, the CSV's
plain numbers (SI units in the head) and the LaTeX.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dbpsim.cost.quantities import quantity

_PREFIXED = ("J", "s", "W", "V", "A", "F", "S", "m", "Js", "J/bit", "F/bit", "F/cell")


def shown(value: float, unit: str) -> str:
    """Return `value` with three digits: an SI prefix where the unit takes one, an area (m2) in mm², µm² or nm².

    Examples
    --------
    >>> shown(1.234e-8, "J"), shown(2.5e-6, "m2"), shown(25.0, "1/V"), shown(0.5, "1")
    ('12.3 nJ', '2.5 mm²', '25 1/V', '0.5')
    """
    if unit == "m2":
        return _area(value)
    if unit in _PREFIXED:
        return quantity(value, unit)
    return f"{value:.3g}" if unit in ("", "1") else f"{value:.3g} {unit}"


def _area(value: float) -> str:
    for least, scale, unit in ((0.995e-8, 1e-6, "mm²"), (0.995e-12, 1e-12, "µm²"), (0.0, 1e-18, "nm²")):
        if abs(value) >= least and value:
            number = f"{value / scale:.3g}"
            return f"{float(number):,.0f} {unit}" if "e+" in number else f"{number} {unit}"
    return "0 mm²"


@dataclass(frozen=True)
class Column:
    """One column: `key` heads it in files, `label` on the page.

    Numbers with a `unit` get an SI prefix, others `form`; with `unit_in` the unit is the text of another column of the row.

    Attributes
    ----------
    prose : bool
        Long texts, which are broken.
    group : bool
        Texts that several rows share: on the page a line above them, over the whole width.
    file_only : bool
        Not on the page.
    """

    key: str
    label: str
    unit: str = ""
    form: str = ".3g"
    unit_in: str = ""
    prose: bool = False
    group: bool = False
    file_only: bool = False

    def text(self, value: Any, unit: str = "") -> str:
        """Return a value as the page shows it."""
        if value is None:
            return "-"
        if isinstance(value, bool | str):
            return str(value)
        unit = unit or self.unit
        return shown(value, unit) if unit else format(value, self.form)


@dataclass(frozen=True)
class Table:
    """Rows of raw values under columns.

    Attributes
    ----------
    name : str
        Of its file: ``NAME.csv``.
    caption : str
    columns : tuple of Column
    rows : list of list
        Numbers, texts or None; a row whose first entry is "total" or "all" is set apart on the page.
    most : int, optional
        Rows that the page shows at most; the files have all.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: list[list[Any]]
    most: int | None = None

    @property
    def shown(self) -> list[Column]:
        """The columns that the page has."""
        return [column for column in self.columns if not (column.group or column.file_only)]

    @property
    def texts(self) -> list[list[str]]:
        """The rows as the page shows them, its columns only."""
        place = {column.key: i for i, column in enumerate(self.columns)}
        return [
            [c.text(row[place[c.key]], row[place[c.unit_in]] if c.unit_in else "") for c in self.shown]
            for row in self.rows[: self.most]
        ]  # fmt: skip

    @property
    def groups(self) -> list[str]:
        """For every row the text of the line above it; empty where that is the row before's."""
        i = next((i for i, column in enumerate(self.columns) if column.group), None)
        texts = [""] * len(self.rows) if i is None else [row[i] or "" for row in self.rows]
        return [text if not n or text != texts[n - 1] else "" for n, text in enumerate(texts)]

    @property
    def numeric(self) -> list[bool]:
        """Which of the page's columns hold numbers (set right)."""
        kept = [self.columns.index(column) for column in self.shown]
        return [any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in self.rows) for i in kept]

    def csv(self) -> str:
        """Return the raw values; floats as Python prints them, which reads back to the same number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.key for column in self.columns])
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return text.getvalue()


@dataclass(frozen=True)
class Figure:
    """A drawing and what it shows, in words; `draw` gets an empty `ax`, `size` is in inches."""

    name: str
    alt: str
    draw: Callable[[Any], Any]
    size: tuple[float, float] = (5.4, 3.3)


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it.

    Attributes
    ----------
    key : str
        Names the section in links, and its `data` in report.json.
    title : str
    texts, notes : list of str
        Before the figures; after the tables.
    figures : list of Figure
    tables : list of Table
    code : list of (str, str)
        What a block of text is, and the block: a command, a citation.
    data
        What report.json holds under `key`: plain data.
    """

    key: str
    title: str
    texts: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: list[tuple[str, str]] = field(default_factory=list)
    data: Any = None
