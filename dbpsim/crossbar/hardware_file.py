"""Writing hardware as the TOML file that `load_hardware` reads: what is as by default is left out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.files import write_text

_PLAIN = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def hardware_toml(hardware: Hardware, comment: str = "") -> str:
    """Return `hardware` as the text of a hardware file.

    Parameters
    ----------
    hardware : Hardware
    comment : str
        Put before it, behind "#".

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> print(hardware_toml(load_hardware("ideal"))[:31])
    name = "ideal"
    links = "analog"
    """
    data = hardware.model_dump(mode="json", exclude_defaults=True)
    data = {"name": hardware.name, "links": hardware.links, **data}
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*lines, *([""] if lines else []), *_table(data, ())]) + "\n"


def write_hardware(hardware: Hardware, path: str | os.PathLike[str], comment: str = "") -> None:
    """Write `hardware` as a TOML file: `load_hardware(path)` returns it.

    Examples
    --------
    >>> import tempfile
    >>> from dbpsim.crossbar import load_hardware
    >>> path = os.path.join(tempfile.mkdtemp(), "mine.toml")
    >>> write_hardware(load_hardware("pcm"), path)
    >>> load_hardware(path) == load_hardware("pcm")
    True
    """
    write_text(path, hardware_toml(hardware, comment))


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in data.items() if value is not None and not isinstance(value, dict)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    if path and lines:
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in data.items():
        if isinstance(value, dict):
            lines += _table(value, (*path, key)) if value else ["", f"[{'.'.join(map(_key, (*path, key)))}]"]
    return lines


def _key(key: str) -> str:
    return key if key and set(key) <= _PLAIN else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(c) for c in value) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # half a pair: no text can hold it
        return "?"
    return f"\\u{code:04x}" if code < 32 or code == 127 else character
