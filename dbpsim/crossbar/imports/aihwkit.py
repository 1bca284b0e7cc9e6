"""Hardware from what aihwkit's users have: the name of a preset, or an rpu_config as JSON.

The JSON is the configuration's dataclasses as tables, with the name of each in `class` (docs/importing.md has the ten lines that
write it); what is not said is as aihwkit has it by default.  Where `class` is missing it is guessed from the fields.

    device       the cell, and how it is updated: `dbpsim.crossbar.imports.aihwkit_devices`
    forward      [dac] and [adc], [wires], noise of what senses a line and of the cells
    backward     [dac] and [adc] transposed_range: the same fixed ranges as forward, or set by each sample
    update       [update] bit_length and managed
    mapping      [tile], and [mapping] scale and headroom
    noise_model  the cell of an inference configuration, which is written with verification

A weight of aihwkit is a number between bounds near 1; here the largest weight of a matrix fills the window.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.imports.aihwkit_cells import CellImport
from dbpsim.crossbar.imports.aihwkit_noise import inference_device
from dbpsim.crossbar.imports.aihwkit_periphery import (
    converters,
    learned_range,
    output_noise,
    read_noise,
    tile_and_mapping,
    trains,
    transposed_ranges,
    wires,
)
from dbpsim.crossbar.imports.aihwkit_tables import class_fields, data, preset
from dbpsim.crossbar.imports.ledger import ImportReport, Ledger, built, checked_object, read_json, shown
from dbpsim.crossbar.update_scheme import IN_PLACE

_SECTIONS = ("device", "forward", "backward", "update", "mapping", "noise_model")


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
        raise ValueError(
            f"{source}: found {', '.join(map(shown, list(config)[:8])) or 'nothing'}; accepted: {', '.join(_SECTIONS)}."
        )
    return _Import(source, config).result()


class _Import:
    # One configuration on its way; what it became is in `data`, a hardware file.

    def __init__(self, source: str, config: dict[str, Any]) -> None:
        tables = data()
        self.config, self.ledger = config, Ledger(source, tables["reasons"], tables["idle"])
        self.data: dict[str, Any] = {"name": "imported", "links": "digital"}

    def result(self) -> tuple[Hardware, ImportReport]:
        config, ledger = self.config, self.ledger
        inference = config.get("noise_model") is not None or "Inference" in str(config.get("class"))
        full = 1.0
        if inference:
            self._inference()
        else:
            cell = CellImport(self.data, ledger)
            self.data["device"] = cell.device(config.get("device", {}), "device")
            full = cell.full_weight()
        tile, mapping = tile_and_mapping(self._section("mapping", "MappingParameter"), ledger)
        self.data |= {"tile": tile, "mapping": mapping}
        forward = self._section("forward", "IOParameters")
        self.data |= converters(forward, tile, ledger)
        self.data["read"] = {"output_noise": output_noise(forward, mapping, ledger) / full, "source": "imported from aihwkit"}
        noise = read_noise(forward, self.data["device"], full, ledger)
        if noise is not None:
            self.data["device"]["read_noise"] = noise
        lines = wires(forward, self.data["device"], ledger)
        if lines is not None:
            self.data["wires"] = lines
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
        learned_range(self.data["dac"], ledger.table(config, "pre_post"), ledger)
        return built(self.data, ledger.source), ledger.report()

    def _inference(self) -> None:
        device = inference_device(self.ledger.table(self.config, "noise_model"), self.ledger)
        self.data |= {"name": f"aihwkit {device['name']}", "device": device, "update": {"mode": "write_verify"}}
        if "device" in self.config:
            self.ledger.enter("", {"device": self.config["device"]}, {"device": None})
            self.ledger.mapped("device", 'update.mode = "write_verify"')

    def _section(self, name: str, usual: str) -> dict[str, Any]:
        given = dict(self.ledger.table(self.config, name))
        said = given.pop("class", usual)
        known = isinstance(said, str) and said in data()["classes"] and usual in said
        if not known:
            self.ledger.enter(name, {"class": said}, {"class": ""})
            self.ledger.approximated(f"{name}.class", name, f"read as {usual}")
        return self.ledger.enter(name, given, class_fields(said if known else usual))

    def _backward(self, forward: Mapping[str, Any]) -> None:
        given = {key: value for key, value in self.ledger.table(self.config, "backward").items() if key != "class"}
        fixed = transposed_ranges(given, forward, self.data)
        self.ledger.enter("backward", given, given)
        for key in given:
            field, ranged = (
                f"backward.{key}",
                key in ("inp_bound", "out_bound", "noise_management", "bound_management", "nm_thres"),
            )
            if given[key] != forward.get(key):
                self.ledger.ignored(field, "transposed reads use forward's converters, with ranges set by each sample")
            elif ranged and fixed:
                self.ledger.mapped(field, f'{fixed} transposed_range = "fixed"')
            elif ranged:
                self.ledger.approximated(field, "as forward", "ranges of transposed reads are set by each sample here")
            elif self.ledger.fate(f"forward.{key}")[0] == "mapped":
                self.ledger.mapped(field, "as forward")
            else:
                self.ledger.ignored(field, f"as forward: {self.ledger.fate(f'forward.{key}')[2]}")

    def _plain_in_place(self) -> None:
        # What works in place is mapped plainly: one scale a matrix.
        mapping = self.data["mapping"]
        if self.data["update"].get("mode") in IN_PLACE and mapping.get("scale"):
            del mapping["scale"]
            self.ledger.ignored("mapping.weight_scaling_columnwise", "what is updated in place has one scale a matrix here")
