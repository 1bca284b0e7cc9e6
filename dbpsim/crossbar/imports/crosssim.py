"""Hardware from CrossSim's parameters as JSON (`CrossSimParameters`, the files in its simulator/configs).

CrossSim models inference: matrices are programmed and read, so what comes out is written with verification.

    core         [tile] rows = rows_max (inputs), columns = cols_max (outputs); style: [mapping] scheme
    xbar.device  the cell: window 1/Rmax to 1/Rmin, levels = 2^cell_bits, noise and errors by their models' names
    xbar.array   [wires] of the parasitic resistances
    xbar.adc     [adc] from its mvm part; transposed reads (vmm) use the same, with ranges set by each sample
    xbar.dac     [dac] likewise, its range from core.mapping.inputs

Conductances there are in units of 1/Rmin, errors "independent" in that unit and "proportional" in that of the cell's own.  The
ADC's calibrated range is in units of one cell's 1/Rmin at full input: full scale here is rows (1 - Rmin/Rmax) of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.imports.ledger import ImportReport, Ledger, built, checked_object, read_json, shown
from dbpsim.devices.library import load_device, read_toml

_SOURCE = "imported from CrossSim"
_LARGEST = 65536  # lines of a tile
_NO_WIRE_OHM = 1e-3  # of a segment that CrossSim takes to have no resistance, where its other lines have some
_RANGES = {"calibrated": 1, "max": 2, "granular": 3}
_STYLES = {"balanced": 1, "bitsliced": 2, "offset": 3}


@cache
def _data() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name("crosssim.toml"))


def import_crosssim(spec: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Hardware, ImportReport]:
    """Return hardware for CrossSim's parameters, and what became of every field.

    Parameters
    ----------
    spec : path or mapping
        Of a JSON file, or what it holds: `core`, `xbar` and `simulation`.

    Raises
    ------
    ValueError
        If there is no such file, or a field has a value that hardware cannot have; names field, found, accepted.

    Examples
    --------
    >>> device = {"Rmin": 4e4, "Rmax": 4e6, "programming_error": {"enable": True, "model": "PCMJoshi"}}
    >>> hardware, report = import_crosssim({"xbar": {"device": device}})
    >>> hardware.device.conductance.g_max_S, hardware.update.mode
    (2.5e-05, 'write_verify')
    """
    if isinstance(spec, Mapping):
        source, config = "CrossSim parameters", checked_object(dict(spec), "CrossSim parameters")
    else:
        source, config = str(spec), read_json(spec)
    if not {"core", "xbar"} & config.keys():
        found = ", ".join(map(shown, list(config)[:8])) or "nothing"
        raise ValueError(f"{source}: found {found}; accepted: core, xbar, simulation.")
    return _Import(source, config).result()


class _Import:
    # One file of parameters on its way; what it became is in `data`, a hardware file.

    def __init__(self, source: str, config: dict[str, Any]) -> None:
        self.ledger = Ledger(source, _data()["reasons"], _data()["idle"])
        self.sections: dict[str, dict[str, Any]] = {}
        self.read: set[str] = set()
        self._flatten(config, "")
        self.name = f"crosssim {Path(source).stem}" if source.endswith(".json") else "crosssim"

    def _flatten(self, table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            name = f"{prefix}.{key}" if prefix else key
            if isinstance(value, dict):
                self.sections.setdefault(name, {})
                self._flatten(value, name)
            else:
                self.sections.setdefault(prefix, {})[key] = value

    def section(self, name: str) -> dict[str, Any]:
        """Return a section's fields, entered in the report."""
        self.read.add(name)
        return self.ledger.enter(name, self.sections.get(name, {}), _data()["defaults"][name])

    def result(self) -> tuple[Hardware, ImportReport]:
        device = self._device()
        tile, mapping = self._core(self.section("core"))
        dac = self._dac()
        data: dict[str, Any] = {
            "name": self.name, "links": "digital", "device": device, "tile": tile, "mapping": mapping, "dac": dac,
            "adc": self._adc(dac, tile, device), "update": {"mode": "write_verify"}, "read": self._voltage,
        }  # fmt: skip
        wires = self._wires(self.section("xbar.array.parasitics"))
        if wires is not None:
            data["wires"] = wires
        self.section("xbar.array")
        for name in self.sections:
            if name not in self.read and self.sections[name]:
                self._rest(name)
        return built(data, self.ledger.source), self.ledger.report()

    def _rest(self, name: str) -> None:
        given, ledger = self.sections[name], self.ledger
        ledger.enter(name, given, given)
        if name.split(".")[0] == "simulation":
            for key in given:
                ledger.ignored(f"{name}.{key}", _data()["reasons"]["simulation"])
        elif name.endswith(".vmm"):
            mvm = self.sections.get(f"{name.removesuffix('vmm')}mvm", {})
            for key, value in given.items():
                if value == mvm.get(key):
                    ledger.mapped(f"{name}.{key}", "as mvm")
                else:
                    ledger.ignored(f"{name}.{key}", "transposed reads use mvm's converters, ranges set by each sample")
        elif given.keys() <= {"_match"}:
            ledger.mapped(f"{name}._match", "one converter for both directions")
        else:
            for key in given:
                ledger.ignored(f"{name}.{key}", "unknown here")

    def _number(self, values: Mapping[str, Any], name: str, key: str, least: float = 0.0, most: float = 1e15) -> float:
        return self.ledger.number(values, name, key, least, most)

    def _choice(self, values: Mapping[str, Any], name: str, key: str, known: Mapping[str, int]) -> int:
        # Enumerations are numbers in CrossSim's files; their names do as well.
        value = values[key]
        number = known.get(value.rpartition(".")[2].replace("_", "").lower()) if isinstance(value, str) else value
        if isinstance(number, bool) or number not in known.values():
            accepted = ", ".join(f"{n} ({word.upper()})" for word, n in known.items())
            raise self.ledger.error(f"{name}.{key}", value, accepted)
        return int(number)

    # --- the cell

    def _device(self) -> dict[str, Any]:
        name, ledger = "xbar.device", self.ledger
        values = self.section(name)
        low, high = (self._number(values, name, key, 1e-3, 1e18) for key in ("Rmin", "Rmax"))
        infinite = ledger.switch(values, name, "infinite_on_off_ratio")
        if high <= low and not infinite:
            raise ledger.error(f"{name}.Rmax", values["Rmax"], f"a resistance above Rmin = {low:g} ohm")
        window = {"g_min_S": 0.0 if infinite else 1 / high, "g_max_S": 1 / low, "source": _SOURCE}
        ledger.mapped(f"{name}.Rmin", "device.conductance.g_max_S")
        ledger.mapped(f"{name}.Rmax", "device.conductance.g_min_S" if not infinite else "does nothing: infinite_on_off_ratio")
        ledger.mapped(f"{name}.infinite_on_off_ratio", "device.conductance.g_min_S")
        self._voltage = {"v_read_V": self._number(values, name, "Vread", 1e-6, 1e3), "source": _SOURCE}
        ledger.mapped(f"{name}.Vread", "read.v_read_V")
        device: dict[str, Any] = {"name": self.name, "family": "imported", "conductance": window}
        cell_bits = round(self._number(values, name, "cell_bits", -64, 30))
        if cell_bits > 0:
            device["levels"] = {"count": 2**cell_bits, "source": _SOURCE}
            ledger.mapped(f"{name}.cell_bits", f"device.levels.count = {2**cell_bits}")
        for section, make in (
            ("programming_error", self._programming), ("read_noise", self._noise), ("drift_error", self._drift),
        ):  # fmt: skip
            fields = self.section(f"{name}.{section}")
            if ledger.switch(fields, f"{name}.{section}", "enable") and fields["model"] != "IdealDevice":
                ledger.mapped(f"{name}.{section}.enable", f"device, {section}")
                device |= make(fields, f"{name}.{section}", window)
        iv = self.section(f"{name}.nonlinear_IV")
        if ledger.switch(iv, f"{name}.nonlinear_IV", "enable"):
            for key in iv:
                ledger.ignored(f"{name}.nonlinear_IV.{key}", "cells are linear in reads here")
        return device

    def _programming(self, values: Mapping[str, Any], name: str, window: Mapping[str, float]) -> dict[str, Any]:
        model, g_max = values["model"], window["g_max_S"]
        fits, found = _data()["programming"], {"pulses_per_cell": 1.0}
        if isinstance(model, str) and model in fits:
            fit = fits[model]
            found["coefficients_S"] = tuple(c * 1e-6 * (g_max * 1e6) ** k for k, c in enumerate(fit["coefficients"]))
            self._fitted(name, "device.programming", g_max, fit["largest_uS"])
            return {"programming": found | {"source": f"{fit['source']}; pulses_per_cell: assumed"}}
        if model == "SONOS":
            return self._sonos(name, "programming", ("plateau_S", "knee_S"))
        sigma = self._generic(values, name, "device.programming.coefficients_S")
        if sigma is None:
            return {}
        share, floor = sigma
        coefficients = (floor * g_max,) if share == 0 else (0.0, share * g_max)
        return {"programming": found | {"coefficients_S": coefficients, "source": f"{_SOURCE}; pulses_per_cell: assumed"}}

    def _noise(self, values: Mapping[str, Any], name: str, window: Mapping[str, float]) -> dict[str, Any]:
        if values["model"] == "SONOS":
            return self._sonos(name, "read_noise", ("white_plateau_S", "white_knee_S"))
        sigma = self._generic(values, name, "device.read_noise")
        if sigma is None:
            return {}
        share, floor = sigma
        return {"read_noise": {"white_share": share, "white_floor_S": floor * window["g_max_S"], "source": _SOURCE}}

    def _drift(self, values: Mapping[str, Any], name: str, window: Mapping[str, float]) -> dict[str, Any]:
        if values["model"] == "SONOS":
            return self._sonos(name, "retention", ("plateau_S", "knee_S"))
        for key in values:
            self.ledger.ignored(f"{name}.{key}", "no such model here: give the device a [drift] or [retention] of its own")
        return {}

    def _generic(self, values: Mapping[str, Any], name: str, here: str) -> tuple[float, float] | None:
        # sigma as (share of the cell's own conductance, share of the largest)
        model, ledger = values["model"], self.ledger
        kinds = {"NormalIndependentDevice": (0, 1), "NormalProportionalDevice": (1, 0),
                 "UniformIndependentDevice": (0, 1), "UniformProportionalDevice": (1, 0)}  # fmt: skip
        if not isinstance(model, str) or model not in kinds:
            for key in values:
                ledger.ignored(f"{name}.{key}", "no such model here")
            return None
        sigma = self._number(values, name, "magnitude", 0.0, 1e6)
        if model.startswith("Uniform"):
            sigma /= math.sqrt(12)
            ledger.approximated(f"{name}.model", here, "normal with the same variance here, uniform there")
        else:
            ledger.mapped(f"{name}.model", here)
        ledger.mapped(f"{name}.magnitude", here)
        return kinds[model][0] * sigma, kinds[model][1] * sigma

    def _fitted(self, name: str, here: str, g_max: float, largest_uS: float) -> None:
        if g_max * 1e6 <= largest_uS * (1 + 1e-9):
            self.ledger.mapped(f"{name}.model", here)
        else:
            self.ledger.approximated(f"{name}.model", here, f"a fit up to {largest_uS:g} uS, used beyond it")
        self.ledger.mapped(f"{name}.magnitude", "does nothing in this model")

    def _sonos(self, name: str, section: str, in_siemens: tuple[str, ...]) -> dict[str, Any]:
        # The library has the same fit in siemens at 0.1 V; it is one of currents.
        found = getattr(load_device("sonos_agrawal2022"), section).model_dump(exclude_none=True)
        factor = 0.1 / self._voltage["v_read_V"]
        for key in in_siemens:
            found[key] = found[key] * factor if isinstance(found[key], float) else tuple(v * factor for v in found[key])
        if section == "retention":
            self.ledger.approximated(f"{name}.model", "device.retention", "the shift of the mean is left out; acts at Chip.wait")
        else:
            self.ledger.mapped(f"{name}.model", f"device.{section}")
        self.ledger.mapped(f"{name}.magnitude", "does nothing in this model")
        return {section: found}

    # --- the array

    def _core(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        ledger, tile = self.ledger, {"source": _SOURCE}
        for key, here in (("rows_max", "rows"), ("cols_max", "columns")):
            found = round(self._number(values, "core", key, 0, 1e12))
            tile[here] = min(found, _LARGEST) if found else _LARGEST  # type: ignore[assignment]
            if found == tile[here]:
                ledger.mapped(f"core.{key}", f"tile.{here}")
            else:
                ledger.approximated(f"core.{key}", f"tile.{here} = {_LARGEST}", "no limit there")
        for key in ("complex_matrix", "complex_input"):
            if ledger.switch(values, "core", key):
                raise ledger.error(f"core.{key}", True, "false: numbers are real here")
        style = self._choice(values, "core", "style", _STYLES)
        balanced, sliced, offset = (self.section(f"core.{name}") for name in ("balanced", "bit_sliced", "offset"))
        mapping: dict[str, Any] = {"source": _SOURCE}
        if style == 2:
            mapping |= self._slices(values, sliced)
        else:
            mapping["scheme"] = {1: "pair", 3: "offset_column"}[style]
            for key in sliced:
                ledger.mapped(f"core.bit_sliced.{key}", "does nothing in this style")
        ledger.mapped("core.style", f'mapping.scheme = "{mapping["scheme"]}"')
        if style == 3 and self._choice(offset, "core.offset", "style", {"digitaloffset": 1, "unitcolumnsubtraction": 2}) == 1:
            ledger.approximated(
                "core.offset.style", "mapping.scheme", "a column of exact references here, a digital offset there"
            )
        else:
            ledger.mapped("core.offset.style", "mapping.scheme" if style == 3 else "does nothing in this style")
        if style == 1 and self._choice(balanced, "core.balanced", "style", {"onesided": 1, "twosided": 2}) == 2:
            ledger.approximated(
                "core.balanced.style", "mapping.scheme", "one cell of a pair rests at g_min here; their sum is fixed there"
            )
        else:
            ledger.mapped("core.balanced.style", "mapping.scheme" if style != 3 else "does nothing in this style")
        if balanced["subtract_current_in_xbar"] is True:
            ledger.mapped("core.balanced.subtract_current_in_xbar", "currents of a pair are subtracted before the ADC")
        self._weights()
        return tile, mapping

    def _slices(self, values: Mapping[str, Any], sliced: Mapping[str, Any]) -> dict[str, Any]:
        count = round(self._number(sliced, "core.bit_sliced", "num_slices", 1, 64))
        weight_bits = round(self._number(values, "core", "weight_bits", 0, 64))
        each = math.ceil(max(weight_bits - 1, 1) / count)
        found = {"scheme": "bit_sliced", "slices": min(max(count, 2), 8), "bits_per_slice": min(max(each, 1), 8)}
        reason = "a sign and a magnitude of pairs here, and the last slice holds its remainder unrounded"
        self.ledger.approximated("core.weight_bits", f"mapping.bits_per_slice = {found['bits_per_slice']}", reason)
        self.ledger.approximated("core.bit_sliced.num_slices", f"mapping.slices = {found['slices']}", "2 to 8 here")
        self.ledger.approximated("core.bit_sliced.style", "mapping", "slices are pairs here")
        return found

    def _weights(self) -> None:
        name, ledger = "core.mapping.weights", self.ledger
        values = self.section(name)
        if values.get("percentile") == 1.0:
            ledger.mapped(f"{name}.percentile", "mapping.headroom = 1: the largest weight fills the window")
            ledger.mapped(f"{name}.clipping", "mapping.headroom = 1")
        else:
            for key in ("percentile", "min", "max", "clipping"):
                if values.get(key) is not None:
                    ledger.ignored(f"{name}.{key}", "the largest weight fills the window here; [mapping] headroom clips")
        for key in ("min", "max"):
            if key in values and values[key] is None:
                ledger.mapped(f"{name}.{key}", "absent: off")

    def _wires(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        name, ledger = "xbar.array.parasitics", self.ledger
        if not ledger.switch(values, name, "enable"):
            return None
        row, column, row_end, column_end = (
            self._number(values, name, key, 0.0, 1e9) for key in ("Rp_row", "Rp_col", "Rp_row_terminal", "Rp_col_terminal")
        )
        if not any((row, column, row_end, column_end)):
            return None
        ledger.mapped(f"{name}.enable", "wires")
        for key, value, here in (("Rp_row", row, "segment_row_ohm"), ("Rp_col", column, "segment_column_ohm")):
            if value >= _NO_WIRE_OHM:
                ledger.mapped(f"{name}.{key}", f"wires.{here}")
            else:
                ledger.approximated(f"{name}.{key}", f"wires.{here}", f"{_NO_WIRE_OHM:g} ohm is the least here")
        same = row_end == column_end
        for key, here in (("Rp_row_terminal", "driver_ohm"), ("Rp_col_terminal", "sense_ohm")):
            if same:
                ledger.mapped(f"{name}.{key}", f"wires.{here}")
            else:
                ledger.approximated(f"{name}.{key}", f"wires.{here}", "transposed reads drive columns through it here as well")
        if values["current_from_input"] is True:
            ledger.mapped(f"{name}.current_from_input", "wires")
        else:
            ledger.ignored(f"{name}.current_from_input", "the line of the input carries the current here")
        return {
            "segment_row_ohm": max(row, _NO_WIRE_OHM), "segment_column_ohm": max(column, _NO_WIRE_OHM),
            "driver_ohm": row_end, "sense_ohm": column_end, "source": _SOURCE,
        }  # fmt: skip

    # --- converters

    def _converter(self, values: Mapping[str, Any], name: str, here: str) -> dict[str, Any]:
        ledger, model = self.ledger, values["model"]
        found = round(self._number(values, name, "bits", 0, 64))
        if not isinstance(model, str):
            raise ledger.error(f"{name}.model", model, "the name of a model")
        if found == 0 or model.startswith("Ideal"):
            ledger.mapped(f"{name}.bits", f'{here}.bits = "none"')
            ledger.mapped(f"{name}.model", f'{here}.bits = "none"')
            return {"bits": "none"}
        given = min(max(found, 2), 16)
        if given == found:
            ledger.mapped(f"{name}.bits", f"{here}.bits")
        else:
            ledger.approximated(f"{name}.bits", f"{here}.bits = {given}", "2 to 16 here")
        if model.startswith("SignMagnitude"):
            ledger.mapped(f"{name}.model", f"{here}: zero is a code, as many on either side")
        else:
            ledger.approximated(f"{name}.model", here, "ideal steps, zero a code, as many on either side, here")
        if values["signed"] is True:
            ledger.mapped(f"{name}.signed", here)
        else:
            ledger.approximated(f"{name}.signed", here, "half of the codes are of the other sign here")
        return {"bits": given}

    def _dac(self) -> dict[str, Any]:
        name, ledger = "core.mapping.inputs.mvm", self.ledger
        dac = self._converter(self.section("xbar.dac.mvm"), "xbar.dac.mvm", "dac")
        inputs = self.section(name)
        if dac["bits"] == "none" and inputs["clipping"] is False and self.sections.get("xbar.adc.mvm", {}).get("bits", 0) == 0:
            for key in inputs:
                ledger.mapped(f"{name}.{key}", "does nothing without a converter")
            return dac
        if inputs.get("percentile") is not None:
            ledger.approximated(
                f"{name}.percentile", 'dac.range = "sample"', "the largest input of a sample fills the range here"
            )
            return dac | {"range": "sample"}
        low, high = (self._number(inputs, name, key, -1e12, 1e12) for key in ("min", "max"))
        limit = max(abs(low), abs(high))
        if limit == 0:
            raise ledger.error(f"{name}.max", inputs["max"], "a number above zero")
        for key, value in (("min", low), ("max", high)):
            if abs(value) == limit:
                ledger.mapped(f"{name}.{key}", "dac.limit")
            else:
                ledger.approximated(f"{name}.{key}", "dac.limit", "the same on either side of zero here")
        if dac["bits"] != "none" or inputs["clipping"] is True:
            ledger.mapped(f"{name}.clipping", "inputs beyond the range are clipped")
        else:
            ledger.approximated(f"{name}.clipping", "dac.limit", "inputs beyond the range are clipped here")
        if inputs.get("percentile", 0) is None:
            ledger.mapped(f"{name}.percentile", "absent: off")
        return dac | {"range": "fixed", "limit": limit}

    def _adc(self, dac: Mapping[str, Any], tile: Mapping[str, Any], device: Mapping[str, Any]) -> dict[str, Any]:
        name, ledger = "xbar.adc.mvm", self.ledger
        values = self.section(name)
        adc = self._converter(values, name, "adc")
        option = self._choice(values, name, "adc_range_option", _RANGES)
        fields = (f"{name}.calibrated_range", f"{name}.adc_range_option")
        if adc["bits"] == "none":
            for field in fields:
                ledger.mapped(field, "does nothing without a converter")
            return adc
        ends = values["calibrated_range"]
        window = device["conductance"]
        share = 1 - window["g_min_S"] / window["g_max_S"]
        limit = 0.0
        if option == 2:
            limit = 1 / share
        elif option == 1 and isinstance(ends, list) and len(ends) == 2 and tile["rows"] < _LARGEST:
            numbers = {str(at): end for at, end in enumerate(ends)}
            if not any(isinstance(end, list) for end in ends):
                limit = max(abs(self._number(numbers, fields[0], at, -1e12, 1e12)) for at in numbers) / (tile["rows"] * share)
        if limit > 0 and dac["range"] == "fixed":
            for field in fields:
                if option == 2:
                    ledger.mapped(field, f"adc.limit = {limit:.4g}")
                else:
                    reason = f"a share of {tile['rows']} rows, less where a tile has fewer; the same on either side of zero"
                    ledger.approximated(field, f"adc.limit = {limit:.4g}", reason)
            return adc | {"range": "fixed", "limit": limit}
        for field in fields:
            ledger.approximated(field, 'adc.range = "sample"', "the largest output of a sample fills the range here")
        return adc | {"range": "sample"}
