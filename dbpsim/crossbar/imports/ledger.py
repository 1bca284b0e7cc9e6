"""What became of every field of an imported file: mapped, approximated or ignored, and why.

A field is *mapped* where hardware made here does the same, also where "the same" is nothing: an effect that is off there
and absent here.  It is *approximated* where something here does nearly the same, and the report says what differs; it is
*ignored* where nothing here does it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.devices.library import validated
from dbpsim.devices.schema import suggestion

_OFF: tuple[Any, ...] = (0, False, None, "", "None", "none", [], {})
_LARGEST_FILE = 1 << 24  # bytes
_DEEPEST = 32


@dataclass(frozen=True)
class ImportedField:
    """One field: where it was found, its value there, `status`, what it became here, and why not more."""

    field: str
    value: str
    status: str
    here: str
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """Every field of what was imported.

    Attributes
    ----------
    source : str
        What was read.
    fields : tuple of ImportedField
        In the order of the source.
    """

    source: str
    fields: tuple[ImportedField, ...]

    def of(self, status: str) -> tuple[ImportedField, ...]:
        """Return the fields that were "mapped", "approximated" or "ignored"."""
        return tuple(field for field in self.fields if field.status == status)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {"source": self.source, "fields": [asdict(field) for field in self.fields]}

    def __str__(self) -> str:
        width = max((len(field.field) for field in self.fields), default=0)
        lines = [f"{self.source}: " + ", ".join(f"{len(self.of(s))} {s}" for s in ("mapped", "approximated", "ignored"))]
        for status in ("mapped", "approximated", "ignored"):
            for found in self.of(status):
                what = "; ".join(filter(None, (found.here, found.reason)))
                lines.append(f"  {status:<13}{found.field:<{width}}  {found.value:<12}  {what}")
        return "\n".join(lines)


class Ledger:
    """The fields of a source, and what became of each so far.

    Parameters
    ----------
    source : str
        Said in errors and in the report.
    reasons, idle : mapping
        By a field's last name: why it has no counterpart; which other field must be on for it to do anything.
    """

    def __init__(self, source: str, reasons: Mapping[str, str], idle: Mapping[str, str]) -> None:
        self.source, self._reasons, self._idle = source, reasons, idle
        self._values: dict[str, Any] = {}
        self._known: dict[str, bool] = {}
        self._fates: dict[str, tuple[str, str, str]] = {}

    def enter(self, prefix: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Enter the fields of a section; return them, with what was not given as it is by default.

        Values that are themselves tables are one field.  What `defaults` does not know is entered as unknown.
        """
        merged = {**defaults, **given}
        for key, value in merged.items():
            name = f"{prefix}.{shown(key)}" if prefix else shown(key)
            self._values[name] = value
            self._known.setdefault(name, True)
            if key not in defaults:
                reason = self._reasons.get(str(key)) or f"unknown here{suggestion(str(key), list(defaults))}"
                self._fates[name] = ("ignored", "", reason)
        return merged

    def mapped(self, field: str, here: str) -> None:
        """Say that `field` became `here`."""
        self._fates[field] = ("mapped", here, "")

    def approximated(self, field: str, here: str, reason: str) -> None:
        """Say that `field` became `here`, and what differs."""
        self._fates[field] = ("approximated", here, reason)

    def ignored(self, field: str, reason: str) -> None:
        """Say that `field` has no counterpart, and why."""
        self._fates[field] = ("ignored", "", reason)

    def fate(self, field: str) -> tuple[str, str, str]:
        """Return (status, here, reason) of a field that is spoken for; mapped where nobody has."""
        return self._fates.get(field, ("mapped", "", ""))

    def error(self, field: str, value: object, accepted: str) -> ValueError:
        """Return the error of a field that cannot be read."""
        return ValueError(f"{self.source}: {field}: found {shown(value)}; accepted: {accepted}.")

    def number(self, values: Mapping[str, Any], prefix: str, key: str, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a field that must be a finite number between `least` and `most`."""
        value = values.get(key)
        accepted = "a number" if math.isinf(least) and math.isinf(most) else f"a number from {least:g} to {most:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{prefix}.{key}", value, accepted)
        if abs(value) > 1e30 or value != value or not least <= value <= most:
            raise self.error(f"{prefix}.{key}", value, accepted)
        return float(value)

    def switch(self, values: Mapping[str, Any], prefix: str, key: str) -> bool:
        """Return a field that must be true or false."""
        value = values.get(key)
        if not isinstance(value, bool):
            raise self.error(f"{prefix}.{key}", value, "true or false")
        return value

    def table(self, values: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Return a field that must be a table; an absent one is empty."""
        value = values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, value, "a table of fields")
        return value

    def report(self) -> ImportReport:
        """Return what became of every field; one that nobody spoke for does nothing or is ignored."""
        fields = []
        for name, value in self._values.items():
            status, here, reason = self._fates.get(name) or self._unspoken(name, value)
            fields.append(ImportedField(name, shown(value), status, here, reason))
        return ImportReport(self.source, tuple(fields))

    def _unspoken(self, name: str, value: Any) -> tuple[str, str, str]:
        prefix, _, key = name.rpartition(".")
        switch = self._idle.get(key)
        needed = None if switch is None else self._values.get(f"{prefix}.{switch}")
        if switch is not None and needed in _OFF:
            return "mapped", "absent", f"does nothing while {switch} is off"
        if value in _OFF:
            return "mapped", "absent", "off"
        return "ignored", "", self._reasons.get(key, "no counterpart")


def shown(value: object) -> str:
    """Return a value as the report prints it, cut short where it is long.

    Examples
    --------
    >>> shown(1 / 126), shown(True), shown({"nu": 0.1})
    ('0.00793651', 'true', '{"nu": 0.1}')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= 40 else text[:37] + "..."


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises
    ------
    ValueError
        If there is no such file, or it is too large, not JSON, or not an object.
    """
    file = Path(path)
    try:
        if (size := file.stat().st_size) > _LARGEST_FILE:
            raise ValueError(f"{size} bytes; accepted: at most {_LARGEST_FILE}")
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise ValueError(f"{file}: not a JSON file that can be read: {error}") from None
    return checked_object(found, str(file))


def checked_object(found: object, source: str) -> dict[str, Any]:
    """Return `found` if it is a table of tables that are not too deep."""
    if not isinstance(found, dict):
        raise ValueError(f"{source}: found {shown(found)}; accepted: an object of named sections.")
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [
            v for table in level for v in (table.values() if isinstance(table, dict) else table) if isinstance(v, dict | list)
        ]
        if not level:
            return found
    raise ValueError(f"{source}: found tables within tables, more than {_DEEPEST} deep; accepted: fewer.")


def built(data: dict[str, Any], source: str) -> Hardware:
    """Return the hardware that `data` describes; an error names the source, and the key as a hardware file has it."""
    return validated(Hardware, data, f"{source}, as hardware")
