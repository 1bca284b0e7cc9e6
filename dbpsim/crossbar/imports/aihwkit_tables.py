"""aihwkit's parameter classes and presets, from the table beside this file: what a configuration holds where it says nothing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from dbpsim.devices.library import read_toml
from dbpsim.devices.schema import suggestion

_CELLS = "ReRamES|ReRamSB|Capacitor|EcRamMO|EcRam|Idealized|GokmenVlasov|PCM|ReRamArrayOM|ReRamArrayHfO2"
_NAME = re.compile(rf"(TikiTaka|TTv2|ChoppedTTv2|AGAD|MixedPrecision)?({_CELLS})([24])?Preset(Device)?")


@cache
def data() -> dict[str, Any]:
    """Return the table."""
    return read_toml(Path(__file__).with_name("aihwkit.toml"))


def class_fields(name: str) -> dict[str, Any]:
    """Return the fields of one of aihwkit's parameter classes as they are by default."""
    own = dict(data()["classes"][name])
    base = own.pop("base", None)
    return own if base is None else class_fields(base) | own


def aihwkit_presets() -> list[str]:
    """Return the names of the presets that `import_aihwkit` knows."""
    cells = _CELLS.split("|")
    singles = [f"{cell}Preset" for cell in cells]
    trained = [cell for cell in cells if cell not in ("GokmenVlasov", "PCM", "ReRamArrayOM", "ReRamArrayHfO2")]
    several = [f"{cell}{number}Preset" for number in (2, 4) for cell in trained]
    families = [f"{family}{cell}Preset" for family in data()["families"] for cell in trained]
    more = ["MixedPrecisionGokmenVlasovPreset", "MixedPrecisionPCMPreset", *data()["inference"]]
    return sorted([*singles, *several, *families, *more])


def preset(name: str) -> dict[str, Any]:
    """Return the configuration of the preset called `name`, as a JSON file would hold it."""
    table = data()
    if name in table["inference"]:
        return {"noise_model": {"class": "PCMLikeNoiseModel"}, **table["inference"][name]}
    if name in table["devices"]:
        return {"device": name, **_peripherals({})}
    found = _NAME.fullmatch(name)
    if found is None or (name not in aihwkit_presets() and found[4] is None):
        names = aihwkit_presets()
        raise ValueError(
            f"aihwkit preset {name!r}: not known{suggestion(name, names)} Accepted: {', '.join(names)}, or a .json file."
        )
    family, cell, number, _ = found.groups()
    device: Any = "PCMPresetUnitCell" if cell == "PCM" else f"{cell}PresetDevice"
    if number is not None:
        device = {"class": "VectorUnitCell", "unit_cell_devices": [device] * int(number), "update_policy": "SingleRandom"}
    own: dict[str, Any] = {}
    if family is not None:
        own = {key: value for key, value in table["families"][family].items() if key != "cells"}
        own |= table["families"][family].get("cells", {}).get(cell, {})
    update = {"desired_bl": own.pop("desired_bl")} if "desired_bl" in own else {}
    if family == "MixedPrecision":
        device = own | {"device": device}
    elif family is not None:
        if cell == "ReRamSB":  # which has no such reference by itself
            device = {"class": device, "subtract_symmetry_point": True}
        device = own | {"unit_cell_devices": [device, device]}
    return {"device": device, **_peripherals(update)}


def _peripherals(update: dict[str, Any]) -> dict[str, Any]:
    io = {"class": "PresetIOParameters"}
    return {"forward": io, "backward": dict(io), "update": {"class": "PresetUpdateParameters"} | update}
