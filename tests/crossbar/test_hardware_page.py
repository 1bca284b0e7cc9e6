"""docs/hardware.md lists every key of a hardware file, and nothing else, with the defaults of the schema."""

import re
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from dbpsim.crossbar.hardware import Hardware
from dbpsim.devices.schema import Device

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"
ROWS = dict(re.findall(r"^\| `([\w.]+)` \| [^|]* \| ([^|]*) \| [^|]*\w[^|]* \|$", PAGE.read_text(), re.M))


def keys(section, prefix=""):
    """Every key but `source`, dotted, with its default as the page writes it."""
    for name, field in section.model_fields.items():
        kinds = typing.get_args(field.annotation) or (field.annotation,)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Device]
        if inner:
            yield from keys(inner[0], f"{prefix}{name}.")
        elif name != "source":
            yield prefix + name, "required" if field.is_required() else written(field.default)


def written(value):
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"


def test_the_page_has_every_key_and_no_other():
    assert set(ROWS) == {key for key, _ in keys(Hardware)}


@pytest.mark.parametrize(("key", "default"), list(keys(Hardware)))
def test_its_default_is_that_of_the_schema(key, default):
    assert ROWS[key] == default
