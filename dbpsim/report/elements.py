"""What a page is made of: sections with texts, figures, tables and notes.

A table holds raw values and says for each column its key and unit.  From the one table come the page's scaled texts, the CSV's plain
numbers (SI units in the head) and the LaTeX.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes

_PREFIXES = (
    (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"), (1e-18, "a"),
)  # fmt: skip


def quantity(value: float, unit: str) -> str:
    """Return `value` with an SI prefix and three digits; an area (m2) in mm², µm² or nm².

    Examples
    --------
    >>> quantity(1.234e-8, "J"), quantity(0.0, "s"), quantity(2.5e-6, "m2")
    ('12.3 nJ', '0 s', '2.5 mm²')
    """
    if unit == "m2":
        return _area(value)
    if value == 0:
        return f"0 {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.2e} {unit}"


def _area(value: float) -> str:
    for scale, unit in ((1e-6, "mm²"), (1e-12, "µm²"), (1e-18, "nm²")):
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g} {unit}"
    return "0 mm²" if value == 0 else f"{value:.2e} m²"


@dataclass(frozen=True)
class Column:
    """One column: `key` heads it in files, `label` on the page; numbers with a `unit` get an SI prefix, others `form`."""

    key: str
    label: str
    unit: str = ""
    form: str = ".3g"

    def text(self, value: Any) -> str:
        """Return a value as the page shows it."""
        if value is None:
            return "-"
        if isinstance(value, bool | str):
            return str(value)
        return quantity(value, self.unit) if self.unit else format(value, self.form)


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
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: list[list[Any]]

    @property
    def texts(self) -> list[list[str]]:
        """The rows as the page shows them."""
        return [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers (set right on the page)."""
        return [any(isinstance(row[i], int | float) for row in self.rows) for i in range(len(self.columns))]

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
    draw: Callable[[Axes], Any]
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
    code : str
        A command.
    data
        What report.json holds under `key`: plain data.
    """

    key: str
    title: str
    texts: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: str = ""
    data: Any = None
