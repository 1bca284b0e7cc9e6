"""Whatever a device file holds, the answer is a device or a ValueError that names the file: nothing else, and no crash."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.devices import list_devices, load_device
from dbpsim.devices.library import validated
from dbpsim.devices.schema import Device

LIBRARY = [load_device(r.name).model_dump(mode="json", exclude_none=True) for r in list_devices()]
SECTIONS = sorted(set(Device.model_fields) - {"name", "family", "summary", "transposed_read"})
KEYS = sorted({key for file in LIBRARY for section in file.values() if isinstance(section, dict) for key in section} | {"law"})
LAWS = ["exponential", "tabulated", "linear_step", "piecewise_step", "none"]

numbers = st.one_of(st.floats(), st.integers(-3, 3), st.booleans())
scalars = st.one_of(numbers, st.text(max_size=5), st.sampled_from(LAWS), st.none())
keys = st.sampled_from(KEYS)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=5)


def said(table):
    """Return what is said of `table`, or nothing."""
    try:
        validated(Device, table, "mine.toml")
    except ValueError as error:
        words = str(error)
    else:
        return ""
    assert words.startswith("mine.toml: ")
    return words


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LIBRARY), st.sampled_from(SECTIONS), st.sampled_from(KEYS), values)
def test_a_library_file_with_one_value_changed_is_a_device_or_a_named_mistake(file, section, key, value):
    table = {**file, section: {**file.get(section, {}), key: value}}
    words = said(table)
    assert not words or section in words or "spread" in words


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*SECTIONS, "name", "family"]) | st.text(max_size=6), values, max_size=5))
def test_any_table_is_a_device_or_a_named_mistake(table):
    assert said(table)  # no table that small is a device


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LIBRARY), st.data())
def test_every_key_left_out_is_named_or_optional(file, data):
    section = data.draw(st.sampled_from([k for k, v in file.items() if isinstance(v, dict)]))
    key = data.draw(st.sampled_from(sorted(file[section])))
    words = said({**file, section: {k: v for k, v in file[section].items() if k != key}})
    assert not words or section in words
