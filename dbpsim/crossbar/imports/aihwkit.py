"""Hardware from what aihwkit's users have: the name of a preset, or an rpu_config as JSON.

The JSON is the configuration's dataclasses as tables, with the name of each in `class` (docs/importing.md has the ten lines that
write it); what is not said is as aihwkit has it by default.  Where `class` is missing it is guessed from the fields.

    device       the cell, and how it is updated: `dbpsim.crossbar.imports.aihwkit_devices`
    forward      [dac] and [adc]; of the noise, what is of the cells
    backward     nothing: transposed reads use the same converters, with ranges set by each sample
    update       [update] bit_length and managed
    mapping      [tile], and [mapping] scale and headroom
    noise_model  the cell of an inference configuration, which is written with verification

A weight of aihwkit is a number between bounds near 1; here the largest weight of a matrix fills the window.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.imports.aihwkit_devices import PULSED, PulsedDevice, device_effects, pmax_fields
from dbpsim.crossbar.imports.aihwkit_periphery import converters, read_noise, tile_and_mapping, trains
from dbpsim.crossbar.imports.ledger import ImportReport, Ledger, built, checked_object, read_json, shown
from dbpsim.devices.library import load_device, read_toml
from dbpsim.devices.schema import suggestion

_ASSUMED_WINDOW_S = (0.0, 1e-6)
_CELLS = "ReRamES|ReRamSB|Capacitor|EcRamMO|EcRam|Idealized|GokmenVlasov|PCM|ReRamArrayOM|ReRamArrayHfO2"
_NAME = re.compile(rf"(TikiTaka|TTv2|ChoppedTTv2|AGAD|MixedPrecision)?({_CELLS})([24])?Preset(Device)?")
_TRANSFER = {
    "TransferCompound": "tiki_taka", "BufferedTransferCompound": "tiki_taka_2",
    "ChoppedTransferCompound": "tiki_taka_2", "DynamicTransferCompound": "tiki_taka_2",
}  # fmt: skip
_SECTIONS = ("device", "forward", "backward", "update", "mapping", "noise_model")
_NOISE_MODELS = {"PCMLikeNoiseModel": "pcm", "CustomDriftPCMLikeNoiseModel": "pcm", "ReRamWan2022NoiseModel": "reram_wan2022",
                 "ReRamCMONoiseModel": "reram_cmo_falcone2025"}  # fmt: skip


@cache
def _data() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name("aihwkit.toml"))


def class_fields(name: str) -> dict[str, Any]:
    """Return the fields of one of aihwkit's parameter classes as they are by default."""
    own = dict(_data()["classes"][name])
    base = own.pop("base", None)
    return own if base is None else class_fields(base) | own


def aihwkit_presets() -> list[str]:
    """Return the names of the presets that `import_aihwkit` knows."""
    cells = _CELLS.split("|")
    singles = [f"{cell}Preset" for cell in cells]
    trained = [cell for cell in cells if cell not in ("GokmenVlasov", "PCM", "ReRamArrayOM", "ReRamArrayHfO2")]
    several = [f"{cell}{number}Preset" for number in (2, 4) for cell in trained]
    families = [f"{family}{cell}Preset" for family in _data()["families"] for cell in trained]
    more = ["MixedPrecisionGokmenVlasovPreset", "MixedPrecisionPCMPreset", *_data()["inference"]]
    return sorted([*singles, *several, *families, *more])


def import_aihwkit(spec: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Hardware, ImportReport]:
    """Return hardware for one of aihwkit's presets or configurations, and what became of every field.

    Parameters
    ----------
    spec : str, path or mapping
        The name of a preset (``"ReRamESPreset"``), the path of a JSON file, or what such a file holds.

    Returns
    -------
    (Hardware, ImportReport)

    Raises
    ------
    ValueError
        If there is no such preset or file, or a field has a value that hardware cannot have; names field, found, accepted.

    Examples
    --------
    >>> hardware, report = import_aihwkit("GokmenVlasovPreset")
    >>> hardware.device.update.law, round(hardware.device.update.step_S / hardware.device.conductance.span_S, 6)
    ('constant_step', 0.0008)
    >>> hardware.dac.bits, hardware.adc.bits, hardware.update.mode
    (7, 9, 'stochastic_pulses')
    >>> [field.reason for field in report.fields if field.field == "device.reset_std"]
    ['no reset command here']
    """
    if isinstance(spec, Mapping):
        source, config = "aihwkit configuration", checked_object(dict(spec), "aihwkit configuration")
    elif str(spec).endswith(".json") or not isinstance(spec, str) or "/" in spec:
        source, config = str(spec), read_json(spec)
    else:
        source, config = f"aihwkit {spec}", preset(spec)
    known = [name for name in _SECTIONS if name in config]
    if not known:
        raise ValueError(f"{source}: found {', '.join(map(shown, list(config)[:8])) or 'nothing'}; accepted: {', '.join(_SECTIONS)}.")
    return _Import(source, config).result()


def preset(name: str) -> dict[str, Any]:
    """Return the configuration of the preset called `name`, as a JSON file would hold it."""
    data = _data()
    if name in data["inference"]:
        return {"noise_model": {"class": "PCMLikeNoiseModel"}, **data["inference"][name]}
    if name in data["devices"]:
        return {"device": name, **_peripherals({})}
    found = _NAME.fullmatch(name)
    if found is None or (name not in aihwkit_presets() and found[4] is None):
        names = aihwkit_presets()
        raise ValueError(f"aihwkit preset {name!r}: not known{suggestion(name, names)} Accepted: {', '.join(names)}, or a .json file.")
    family, cell, number, _ = found.groups()
    device: Any = "PCMPresetUnitCell" if cell == "PCM" else f"{cell}PresetDevice"
    if number is not None:
        device = {"class": "VectorUnitCell", "unit_cell_devices": [device] * int(number), "update_policy": "SingleRandom"}
    own: dict[str, Any] = {}
    if family is not None:
        own = {key: value for key, value in data["families"][family].items() if key != "cells"}
        own |= data["families"][family].get("cells", {}).get(cell, {})
    update = {"desired_bl": own.pop("desired_bl")} if "desired_bl" in own else {}
    if family == "MixedPrecision":
        device = own | {"device": device}
    elif family is not None:
        device = own | {"unit_cell_devices": [device, device]}
    return {"device": device, **_peripherals(update)}


def _peripherals(update: dict[str, Any]) -> dict[str, Any]:
    io = {"class": "PresetIOParameters"}
    return {"forward": io, "backward": dict(io), "update": {"class": "PresetUpdateParameters"} | update}


class _Import:
    # One configuration on its way; what it became is in `data`, a hardware file.

    def __init__(self, source: str, config: dict[str, Any]) -> None:
        tables = _data()
        self.ledger = Ledger(source, tables["reasons"], tables["idle"])
        self.config, self.window_S = config, _ASSUMED_WINDOW_S
        self.data: dict[str, Any] = {"name": "imported", "links": "digital"}

    def result(self) -> tuple[Hardware, ImportReport]:
        config, ledger = self.config, self.ledger
        inference = config.get("noise_model") is not None or "Inference" in str(config.get("class"))
        if inference:
            self._noise_model(ledger.table(config, "noise_model"))
        else:
            self.data["device"] = self._device(config.get("device", {}), "device")
        tile, mapping = tile_and_mapping(self._section("mapping", "MappingParameter"), ledger)
        self.data |= {"tile": tile, "mapping": mapping}
        forward = self._section("forward", "IOParameters")
        self.data |= converters(forward, tile, ledger)
        noise = read_noise(forward, self.data["device"], ledger)
        if noise is not None:
            self.data["device"]["read_noise"] = noise
        self._backward(forward)
        update = self._section("update", "UpdateParameters") if not inference or "update" in config else None
        scheme = self.data.setdefault("update", {})
        if update is not None:
            scheme |= trains(update, scheme.get("mode", "stochastic_pulses"), ledger)
        if inference:
            scheme["mode"] = "write_verify"
        elif self.data["device"].get("update") is None:
            scheme["mode"] = "ideal"
        self._plain_in_place()
        for key in config:
            if key not in _SECTIONS and key != "class":
                ledger.enter("", {key: config[key]}, {key: None})
        return built(self.data, ledger.source), ledger.report()

    def _section(self, name: str, usual: str) -> dict[str, Any]:
        given = dict(self.ledger.table(self.config, name))
        kind = given.pop("class", usual)
        if not isinstance(kind, str) or kind not in _data()["classes"] or usual not in kind:  # a class of the user's own: its fields say what they are
            kind = usual
        return self.ledger.enter(name, given, class_fields(kind))

    def _backward(self, forward: Mapping[str, Any]) -> None:
        given = {key: value for key, value in self.ledger.table(self.config, "backward").items() if key != "class"}
        self.ledger.enter("backward", given, given)
        for key in given:
            if given[key] == forward.get(key):
                self.ledger.mapped(f"backward.{key}", "as forward")
            else:
                self.ledger.ignored(f"backward.{key}", "transposed reads use forward's converters, ranges set by each sample")

    def _plain_in_place(self) -> None:
        # What works in place is mapped plainly: one scale a matrix.
        mapping = self.data["mapping"]
        if self.data["update"].get("mode") in ("stochastic_pulses", "tiki_taka", "tiki_taka_2") and mapping.get("scale"):
            del mapping["scale"]
            self.ledger.ignored("mapping.weight_scaling_columnwise", "what is updated in place has one scale a matrix here")

    def _device(self, given: Any, prefix: str) -> dict[str, Any]:
        ledger = self.ledger
        window: Any = _ASSUMED_WINDOW_S
        name = None
        if isinstance(given, str):
            if given not in _data()["devices"]:
                near = suggestion(given, list(_data()["devices"]))
                raise ledger.error(prefix, given, f"a table of fields, or {', '.join(_data()['devices'])}{near}")
            name, given = given, _data()["devices"][given]
        if not isinstance(given, dict):
            raise ledger.error(prefix, given, "a table of fields")
        given = dict(given)
        window = given.pop("window_S", window)
        kind = self._class(given, prefix, name)
        values = ledger.enter(prefix, given, class_fields(kind))
        if kind == "MixedPrecisionCompound":
            return self._mixed_precision(values, prefix)
        if "unit_cell_devices" in values:
            return self._unit_cell(kind, values, prefix)
        if kind not in PULSED:  # ideal: any update is exact
            return self._ideal(window)
        if kind == "SoftBoundsPmaxDevice":
            values = values | pmax_fields(values, prefix, ledger)
        device = PulsedDevice(values, prefix, (window[0], window[1]), ledger)
        update = device.update(kind) | {"polarity": "both"}
        self.data.setdefault("update", {}).setdefault("mode", "stochastic_pulses")
        self.window_S = (window[0], window[1])
        return {**self._cell(name or kind, window), "update": update, **device_effects(device)}

    def _class(self, given: dict[str, Any], prefix: str, name: str | None) -> str:
        said = given.pop("class", None)
        if isinstance(said, str) and said in _data()["devices"]:  # a preset's own class, with every field
            for key, value in _data()["devices"][said].items():
                given.setdefault(key, value)
            given.pop("window_S", None)
            said = given.pop("class")
        classes = [kind for kind in _data()["classes"] if kind.endswith(("Device", "Cell", "Compound"))]
        if said is None:
            kind = min(classes, key=lambda c: (len(given.keys() - class_fields(c).keys()), c != "ConstantStepDevice", len(class_fields(c))))
            self.ledger.enter(prefix, {"class": ""}, {"class": ""})
            self.ledger.approximated(f"{prefix}.class", kind, "guessed from the fields")
            return kind
        if said not in classes:
            raise self.ledger.error(f"{prefix}.class", said, ", ".join(classes))
        self.ledger.enter(prefix, {"class": name or said}, {"class": ""})
        self.ledger.mapped(f"{prefix}.class", f"device, as {said}" if name else "device")
        return said

    def _cell(self, name: str, window: Any) -> dict[str, Any]:
        self.data["name"] = f"aihwkit {name}"
        source = "assumed: aihwkit's weights have no siemens"
        conductance = {"g_min_S": window[0], "g_max_S": window[1], "source": source}
        return {"name": f"aihwkit {name}", "family": "imported", "conductance": conductance}

    def _ideal(self, window: Any) -> dict[str, Any]:
        self.data.setdefault("update", {})["mode"] = "ideal"
        return self._cell("IdealDevice", window)

    def _first(self, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        devices = values["unit_cell_devices"]
        field = f"{prefix}.unit_cell_devices"
        if not isinstance(devices, list) or not devices:
            raise self.ledger.error(field, devices, "a list of at least one device")
        if all(device == devices[0] for device in devices):
            self.ledger.mapped(field, "device")
        else:
            self.ledger.approximated(field, "device", "all cells are like the first")
        return self._device(devices[0], f"{field}[0]")

    def _unit_cell(self, kind: str, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        device = self._first(values, prefix)
        if device.get("update") is None:
            return device
        if kind == "OneSidedUnitCell":
            device["update"]["polarity"] = "up"
            self.ledger.mapped(f"{prefix}.class", 'update.polarity = "up": a pair of cells that only rise')
        elif kind in _TRANSFER:
            if device["update"]["polarity"] == "up":
                raise self.ledger.error(f"{prefix}.unit_cell_devices", kind, "cells that go up and down in a transfer compound")
            self._transfer(kind, values, prefix)
        elif kind == "ReferenceUnitCell":
            self.ledger.mapped(f"{prefix}.class", "one cell against a reference")
            self.ledger.mapped(f"{prefix}.update_policy", "the reference is not pulsed")
            self.ledger.mapped(f"{prefix}.gamma_vec", "a difference")
        else:
            reason = "a weight is the mean of several cells there, one cell here: its steps and noise are those of one"
            self.ledger.approximated(f"{prefix}.class", "device", reason)
        return device

    def _transfer(self, kind: str, values: Mapping[str, Any], prefix: str) -> None:
        ledger, scheme = self.ledger, self.data["update"]
        scheme["mode"] = _TRANSFER[kind]
        if values.get("no_buffer") is True:
            scheme["mode"] = "tiki_taka"
        chopped = kind == "DynamicTransferCompound" or bool(values.get("in_chop_prob"))
        if chopped:
            ledger.approximated(f"{prefix}.class", f'update.mode = "{scheme["mode"]}"', "the same without choppers")
        else:
            ledger.mapped(f"{prefix}.class", f'update.mode = "{scheme["mode"]}"')
        fast, share = (ledger.number(values, prefix, key, 0.0, 1e9) for key in ("fast_lr", "transfer_lr"))
        scheme |= {"fast_rate": fast or 1.0, "transfer_rate": share or 1.0}
        if ledger.switch(values, prefix, "scale_fast_lr") or fast == 0:
            ledger.mapped(f"{prefix}.fast_lr", "update.fast_rate")
        else:
            ledger.approximated(f"{prefix}.fast_lr", "update.fast_rate", "times the learning rate here, a rate of its own there")
        ledger.mapped(f"{prefix}.scale_fast_lr", "update.fast_rate")
        ledger.approximated(f"{prefix}.transfer_lr", "update.transfer_rate", "a share of what is read, whatever the learning rate")
        ledger.ignored(f"{prefix}.scale_transfer_lr", "transfers do not scale with the learning rate here")
        every, lines = ledger.number(values, prefix, "transfer_every", 0.0, 1e9), ledger.number(values, prefix, "n_reads_per_transfer", 1, 1e6)
        scheme |= {"transfer_every": max(round(every), 1), "transfer_lines": round(lines)}
        if ledger.switch(values, prefix, "units_in_mbatch") and every == round(every) >= 1:
            ledger.mapped(f"{prefix}.transfer_every", "update.transfer_every")
        else:
            ledger.approximated(f"{prefix}.transfer_every", "update.transfer_every", "in whole steps of training here")
        ledger.mapped(f"{prefix}.units_in_mbatch", "update.transfer_every")
        ledger.mapped(f"{prefix}.n_reads_per_transfer", "update.transfer_lines")

    def _mixed_precision(self, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        device = self._device(values["device"], f"{prefix}.device")
        self.ledger.mapped(f"{prefix}.device", "device")
        if device.get("update") is not None:
            self.data["update"] = {"mode": "mixed_precision"}
            self.ledger.mapped(f"{prefix}.class", 'update.mode = "mixed_precision"')
        if values["transfer_every"] == 1:
            self.ledger.mapped(f"{prefix}.transfer_every", "every step of training")
        if values["n_rows_per_transfer"] == -1:
            self.ledger.mapped(f"{prefix}.n_rows_per_transfer", "all rows at every step")
        return device

    def _noise_model(self, given: dict[str, Any]) -> None:
        ledger, given = self.ledger, dict(given)
        kind = given.pop("class", "PCMLikeNoiseModel")
        if not isinstance(kind, str) or kind not in _NOISE_MODELS:
            raise ledger.error("noise_model.class", kind, ", ".join(_NOISE_MODELS))
        device = load_device(_NOISE_MODELS[kind]).model_dump(exclude_none=True)
        self.data |= {"name": f"aihwkit {kind}", "device": device, "update": {"mode": "write_verify"}}
        values = ledger.enter("noise_model", {"class": kind, **given}, {"class": kind, **(class_fields(kind) if kind.startswith("PCM") else {})})
        ledger.mapped("noise_model.class", f"device {device['name']}")
        if kind == "PCMLikeNoiseModel":
            _pcm(values, device, ledger)
        if "device" in self.config:
            ledger.enter("", {"device": self.config["device"]}, {"device": None})
            ledger.mapped("device", 'update.mode = "write_verify"')


def _pcm(values: Mapping[str, Any], device: dict[str, Any], ledger: Ledger) -> None:
    # The statistics of `devices/pcm.toml` with another window, other coefficients, or scaled.
    def number(key: str, least: float, most: float) -> float:
        return ledger.number(values, "noise_model", key, least, most)

    g_max = number("g_max", 1e-6, 1e6) * 1e-6
    scale = {key: number(f"{key}_noise_scale" if key != "drift" else "drift_scale", 0.0, 1e3) for key in ("prog", "read", "drift")}
    numbers = values["prog_coeff"]
    if not isinstance(numbers, list) or not 1 <= len(numbers) <= 16:
        raise ledger.error("noise_model.prog_coeff", numbers, "a list of 1 to 16 numbers (uS)")
    named = {str(at): value for at, value in enumerate(numbers)}
    grown = g_max / 25e-6 if numbers == class_fields("PCMLikeNoiseModel")["prog_coeff"] else 1.0
    sigma = tuple(1e-6 * grown * scale["prog"] * ledger.number(named, "noise_model.prog_coeff", at, -1e3, 1e3) for at in named)
    factor = g_max / device["conductance"]["g_max_S"]
    device["conductance"] |= {"g_max_S": g_max, "g_min_S": 0.0}
    device["programming"]["coefficients_S"] = sigma
    device["update"]["step_S"] *= factor
    device["read_noise"]["t_read_s"] = number("t_read", 1e-12, 0.5)
    for key in ("q_scale", "q_limit"):
        device["read_noise"][key] *= scale["read"]
    device["drift"]["t0_s"] = number("t_0", 1e-12, 1e12)
    for name in ("nu_mean", "nu_sigma"):
        device["drift"][name] = {key: value * scale["drift"] for key, value in device["drift"][name].items() if key != "polynomial"}
    for field, here in (
        ("g_max", "device.conductance.g_max_S"), ("prog_coeff", "device.programming.coefficients_S"),
        ("prog_noise_scale", "device.programming.coefficients_S"), ("t_0", "device.drift.t0_s"), ("drift_scale", "device.drift"),
    ):  # fmt: skip
        ledger.mapped(f"noise_model.{field}", here)
    reason = "drawn at every read over 1 s here; once, over the time since programming, there"
    for field in ("t_read", "read_noise_scale"):
        ledger.approximated(f"noise_model.{field}", "device.read_noise", reason)


