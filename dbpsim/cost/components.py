"""A library of components: every figure that costs are multiplied with, read from a TOML with a source for each.

A library of one's own is a TOML file that names the one it differs from and says only what differs:

    name = "mine"
    based_on = "default"
    node_m = 2.2e-8          # optional: everything else scaled to this node (`dbpsim.cost.scaling`)

    [adc]
    energy_factor = 0.5
    source = "our 22 nm SAR, measured"

A figure given anew is exact unless its range is given with it; the others keep theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbpsim.cost.parts import (
    Adc,
    Amplifier,
    Arithmetic,
    Cell,
    Control,
    Dac,
    Driver,
    Link,
    Memory,
    Neuron,
    PerUse,
    PulseGenerator,
    SampleAndHold,
)
from dbpsim.cost.scaling import scaled
from dbpsim.devices.library import is_path, read_toml, validated
from dbpsim.devices.schema import Section, suggestion

_FOLDER = Path(__file__).with_name("components")


class Components(Section):
    """Everything a cost table multiplies counts with."""

    name: str
    array: Cell
    driver: Driver
    dac: Dac
    adc: Adc
    sample_and_hold: SampleAndHold
    amplifier: Amplifier
    neuron: Neuron
    comparator: PerUse
    adder: PerUse
    alu: Arithmetic
    buffer: Memory
    dram: Memory
    network_on_chip: Link
    pulse_generator: PulseGenerator
    control: Control


def list_components() -> list[str]:
    """Return the names of the libraries that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_components(spec: str | os.PathLike[str] | Components = "default") -> Components:
    """Return the library called `spec`, or read from the file `spec`.

    Raises
    ------
    ValueError
        If there is no such library or it is not valid.

    Examples
    --------
    >>> round(load_components().adc.energy_J(8) * 1e12, 2)  # pJ
    1.67
    """
    if isinstance(spec, Components):
        return spec
    return validated(Components, _read(spec), str(spec))


def _read(spec: str | os.PathLike[str], above: tuple[str, ...] = ()) -> dict[str, Any]:
    data = read_toml(_path(spec))
    base = data.pop("based_on", None)
    if base is None:
        return data
    chain = (*above, str(spec))
    given = Path(spec).parent / base if is_path(spec) and is_path(base) else base
    if str(given) in chain:
        raise ValueError(f"{spec}: based_on: libraries rest on each other: {' -> '.join([*chain, str(given)])}")
    below, node_m = _read(given, chain), data.pop("node_m", None)
    return _over(_ranged(below if node_m is None else _scaled(below, node_m, str(spec)), data), data)


def _ranged(below: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    # Without the ranges of the figures that are given anew.
    out = dict(below)
    for name, section in changes.items():
        part = out.get(name)
        if isinstance(section, dict) and isinstance(part, dict):
            out[name] = part | {"range": {key: ends for key, ends in part.get("range", {}).items() if key not in section}}
    return out


def _scaled(below: dict[str, Any], node_m: Any, where: str) -> dict[str, Any]:
    if isinstance(node_m, bool) or not isinstance(node_m, int | float):
        raise ValueError(f"{where}: node_m: found {node_m!r}; accepted: metres, as in 2.2e-8")
    try:
        return scaled(validated(Components, below, where), node_m).model_dump(by_alias=True)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None


def _path(spec: str | os.PathLike[str]) -> Path:
    if is_path(spec):
        return Path(spec)
    if str(spec) not in list_components():
        raise ValueError(
            f"components {str(spec)!r}: no such library{suggestion(str(spec), list_components()) or '.'} "
            f"Accepted: {', '.join(list_components())}, or the path of a .toml file."
        )
    return _FOLDER / f"{spec}.toml"


def _over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        inner = out.get(key)
        out[key] = _over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return out
