"""Hardware from CrossSim's parameters as JSON (`CrossSimParameters`, the files in its simulator/configs).

CrossSim models inference: matrices are programmed and read, so what comes out is written with verification.

    core         [tile] rows = rows_max (inputs), columns = cols_max (outputs); style: [mapping] scheme
    xbar.device  the cell: window 1/Rmax to 1/Rmin, levels = 2^cell_bits, noise and errors by their models' names
    xbar.array   [wires] of the parasitic resistances
    xbar.adc     [adc] from its mvm part; transposed reads (vmm) keep its range where they are said to, and else set their own
    xbar.dac     [dac] likewise, its range from core.mapping.inputs

Conductances there are in units of 1/Rmin, errors "independent" in that unit and "proportional" in that of the cell's own.  The
ADC's calibrated range is in units of one cell's 1/Rmin at full input: full scale here is rows (1 - Rmin/Rmax) of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.imports.crosssim_cell import Cell, Parameters, data
from dbpsim.crossbar.imports.ledger import ImportReport, built, checked_object, read_json, shown

_SOURCE = "imported from CrossSim"
_LARGEST = 65536  # lines of a tile
_NO_WIRE_OHM = 1e-3  # of a segment that CrossSim takes to have no resistance, where its other lines have some
_RANGES = {"calibrated": 1, "max": 2, "granular": 3}
_STYLES = {"balanced": 1, "bitsliced": 2, "offset": 3}


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
    # One file of parameters on its way.

    def __init__(self, source: str, config: dict[str, Any]) -> None:
        self.parameters = Parameters(source, config)
        self.ledger = self.parameters.ledger
        self.fixed: dict[str, str] = {}  # what the report says of sections that keep the ranges of transposed reads
        self.name = f"crosssim {Path(source).stem}" if source.endswith(".json") else "crosssim"

    def result(self) -> tuple[Hardware, ImportReport]:
        cell = Cell(self.parameters)
        device = cell.device(self.name)
        tile, mapping = self._core(self.parameters.section("core"))
        dac = self._dac()
        data: dict[str, Any] = {
            "name": self.name, "links": "digital", "device": device, "tile": tile, "mapping": mapping, "dac": dac,
            "adc": self._adc(dac, tile, device), "update": {"mode": "write_verify"}, "read": cell.read,
        }  # fmt: skip
        self._transposed(data)
        wires = self._wires(self.parameters.section("xbar.array.parasitics"), mapping["scheme"])
        if wires is not None:
            data["wires"] = wires
        self.parameters.section("xbar.array")
        for name in self.parameters.sections:
            if name not in self.parameters.read and self.parameters.sections[name]:
                self._rest(name)
        return built(data, self.ledger.source), self.ledger.report()

    def _rest(self, name: str) -> None:
        given, ledger = self.parameters.sections[name], self.ledger
        ledger.enter(name, given, given)
        if name.split(".")[0] == "simulation":
            for key in given:
                ledger.ignored(f"{name}.{key}", data()["reasons"]["simulation"])
        elif name.endswith(".vmm"):
            mvm = self.parameters.sections.get(f"{name.removesuffix('vmm')}mvm", {})
            for key, value in given.items():
                if value == mvm.get(key):
                    ledger.mapped(f"{name}.{key}", f"as mvm{self.fixed.get(name, '')}")
                else:
                    ledger.ignored(f"{name}.{key}", "transposed reads use mvm's converters, ranges set by each sample")
        elif given.keys() <= {"_match"}:
            ledger.mapped(f"{name}._match", "one converter for both directions")
        else:
            for key in given:
                ledger.ignored(f"{name}.{key}", "unknown here")

    # --- the array

    def _core(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        ledger, tile = self.ledger, {"source": _SOURCE}
        for key, here in (("rows_max", "rows"), ("cols_max", "columns")):
            found = round(self.parameters.number(values, "core", key, 0, 1e12))
            tile[here] = min(found, _LARGEST) if found else _LARGEST  # type: ignore[assignment]
            if found == tile[here]:
                ledger.mapped(f"core.{key}", f"tile.{here}")
            else:
                ledger.approximated(f"core.{key}", f"tile.{here} = {_LARGEST}", "no limit there")
        for key in ("complex_matrix", "complex_input"):
            if ledger.switch(values, "core", key):
                raise ledger.error(f"core.{key}", True, "false: numbers are real here")
        style = self.parameters.choice(values, "core", "style", _STYLES)
        balanced, sliced, offset = (self.parameters.section(f"core.{name}") for name in ("balanced", "bit_sliced", "offset"))
        mapping: dict[str, Any] = {"source": _SOURCE}
        if style == 2:
            mapping |= self._slices(values, sliced)
        else:
            mapping["scheme"] = {1: "pair", 3: "offset_column"}[style]
            for key in sliced:
                ledger.mapped(f"core.bit_sliced.{key}", "does nothing in this style")
        ledger.mapped("core.style", f'mapping.scheme = "{mapping["scheme"]}"')
        if (
            style == 3
            and self.parameters.choice(offset, "core.offset", "style", {"digitaloffset": 1, "unitcolumnsubtraction": 2}) == 1
        ):
            ledger.approximated(
                "core.offset.style", "mapping.scheme", "a column of exact references here, a digital offset there"
            )
        else:
            ledger.mapped("core.offset.style", "mapping.scheme" if style == 3 else "does nothing in this style")
        if style == 1 and self.parameters.choice(balanced, "core.balanced", "style", {"onesided": 1, "twosided": 2}) == 2:
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
        count = round(self.parameters.number(sliced, "core.bit_sliced", "num_slices", 1, 64))
        weight_bits = round(self.parameters.number(values, "core", "weight_bits", 0, 64))
        each = math.ceil(max(weight_bits - 1, 1) / count)
        found = {"scheme": "bit_sliced", "slices": min(max(count, 2), 8), "bits_per_slice": min(max(each, 1), 8)}
        reason = "a sign and a magnitude of pairs here, and the last slice holds its remainder unrounded"
        self.ledger.approximated("core.weight_bits", f"mapping.bits_per_slice = {found['bits_per_slice']}", reason)
        self.ledger.approximated("core.bit_sliced.num_slices", f"mapping.slices = {found['slices']}", "2 to 8 here")
        self.ledger.approximated("core.bit_sliced.style", "mapping", "slices are pairs here")
        return found

    def _weights(self) -> None:
        name, ledger = "core.mapping.weights", self.ledger
        values = self.parameters.section(name)
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

    def _wires(self, values: Mapping[str, Any], scheme: str) -> dict[str, Any] | None:
        name, ledger = "xbar.array.parasitics", self.ledger
        if not ledger.switch(values, name, "enable"):
            return None
        row, column, row_end, column_end = (
            self.parameters.number(values, name, key, 0.0, 1e9)
            for key in ("Rp_row", "Rp_col", "Rp_row_terminal", "Rp_col_terminal")
        )
        if not any((row, column, row_end, column_end)):
            return None
        ledger.mapped(f"{name}.enable", "wires")
        for key, value, here in (("Rp_row", row, "segment_row_ohm"), ("Rp_col", column, "segment_column_ohm")):
            if value < _NO_WIRE_OHM:
                ledger.approximated(f"{name}.{key}", f"wires.{here}", f"{_NO_WIRE_OHM:g} ohm is the least here")
            elif key == "Rp_row" and scheme != "offset_column":
                ledger.approximated(f"{name}.{key}", f"wires.{here}", "the two bit lines of a pair share one word line here")
            else:
                ledger.mapped(f"{name}.{key}", f"wires.{here}")
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

    def _transposed(self, data: dict[str, Any]) -> None:
        # Transposed reads keep mvm's ranges where vmm says the same.
        for converter, section in (("dac", "core.mapping.inputs"), ("adc", "xbar.adc")):
            given, mvm = (self.parameters.sections.get(f"{section}.{way}") for way in ("vmm", "mvm"))
            if data[converter].get("range") != "fixed" or not given or given != mvm:
                return
            data[converter]["transposed_range"] = "fixed"
            self.fixed[f"{section}.vmm"] = f'; {converter}.transposed_range = "fixed"'

    def _converter(self, values: Mapping[str, Any], name: str, here: str) -> dict[str, Any]:
        ledger, model = self.ledger, values["model"]
        found = round(self.parameters.number(values, name, "bits", 0, 64))
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
        dac = self._converter(self.parameters.section("xbar.dac.mvm"), "xbar.dac.mvm", "dac")
        inputs = self.parameters.section(name)
        if (
            dac["bits"] == "none"
            and inputs["clipping"] is False
            and self.parameters.sections.get("xbar.adc.mvm", {}).get("bits", 0) == 0
        ):
            for key in inputs:
                ledger.mapped(f"{name}.{key}", "does nothing without a converter")
            return dac
        if inputs.get("percentile") is not None:
            ledger.approximated(
                f"{name}.percentile", 'dac.range = "sample"', "the largest input of a sample fills the range here"
            )
            return dac | {"range": "sample"}
        low, high = (self.parameters.number(inputs, name, key, -1e12, 1e12) for key in ("min", "max"))
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
        values = self.parameters.section(name)
        adc = self._converter(values, name, "adc")
        option = self.parameters.choice(values, name, "adc_range_option", _RANGES)
        fields = (f"{name}.calibrated_range", f"{name}.adc_range_option")
        if adc["bits"] == "none":
            for field in fields:
                ledger.mapped(field, "does nothing without a converter")
            return adc
        adc |= self._offsets(values, name, adc["bits"])
        ends = values["calibrated_range"]
        window = device["conductance"]
        share = 1 - window["g_min_S"] / window["g_max_S"]
        limit = 0.0
        if option == 2:
            limit = 1 / share
        elif option == 1 and isinstance(ends, list) and len(ends) == 2 and tile["rows"] < _LARGEST:
            numbers = {str(at): end for at, end in enumerate(ends)}
            if not any(isinstance(end, list) for end in ends):
                limit = max(abs(self.parameters.number(numbers, fields[0], at, -1e12, 1e12)) for at in numbers) / (
                    tile["rows"] * share
                )
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

    def _offsets(self, values: Mapping[str, Any], name: str, bits: int) -> dict[str, Any]:
        # A comparator's offset is in parts of half the range there, in steps of the converter here.
        if "sigma_comparator" not in values:
            return {}
        sigma = self.parameters.number(values, name, "sigma_comparator", 0.0, 1e3)
        if values["model"] == "RampADC":
            self.ledger.mapped(f"{name}.sigma_comparator", "adc.offset_sigma_lsb")
        else:
            self.ledger.approximated(f"{name}.sigma_comparator", "adc.offset_sigma_lsb", "one a line here, in every model")
        return {"offset_sigma_lsb": sigma * (2 ** (bits - 1) - 1)}
