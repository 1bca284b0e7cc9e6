"""aihwkit's peripheral circuits, trains and mapping as the sections of a hardware file.

A resolution there is a step over the whole range, or the number of steps: 2^bits - 2 of them are our 2^(bits-1) - 1 codes a
side.  Full scale of an output there is out_bound, in inputs at full scale times weights of 1; here it is a share of what a
full column gives, out_bound / rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dbpsim.crossbar.imports.ledger import Ledger

_LARGEST = 65536  # lines of a tile
_NO_WIRE_OHM = 1e-6  # of a word line's segment: aihwkit's have no resistance
_SOURCE = "imported from aihwkit"


def word(value: object) -> str:
    """Return the member of an enumeration that `value` names: "ABS_MAX", "AbsMax" and "NoiseManagementType.ABS_MAX" are one.

    Examples
    --------
    >>> word("NoiseManagementType.ABS_MAX") == word("AbsMax") == "absmax"
    True
    """
    return str(value).rpartition(".")[2].replace("_", "").lower()


def bits(values: Mapping[str, Any], key: str, here: str, ledger: Ledger) -> int | str:
    """Return the bits of a converter whose resolution is the field `forward.<key>`."""
    field, found = f"forward.{key}", ledger.number(values, "forward", key, -1e12, 1e12)
    if found <= 0:
        ledger.mapped(field, f'{here}.bits = "none"')
        return "none"
    steps = found if found > 1 else 1 / found
    exact = math.log2(steps + 2)
    given = min(max(round(exact), 2), 16)
    if abs(exact - given) < 1e-6:
        ledger.mapped(field, f"{here}.bits = {given}")
    else:
        ledger.approximated(field, f"{here}.bits = {given}", f"{steps:g} steps there, {2**given - 2} here")
    return given


def converters(values: Mapping[str, Any], tile: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """Return the [dac] and [adc] tables of the section `forward`."""
    if ledger.switch(values, "forward", "is_perfect"):
        ledger.mapped("forward.is_perfect", 'dac.bits = adc.bits = "none"')
        for key in ("inp_res", "out_res", "inp_bound", "out_bound", "out_noise", "bound_management", "noise_management"):
            ledger.mapped(f"forward.{key}", "does nothing while is_perfect is on")
        return {"dac": {"bits": "none", "range": "sample"}, "adc": {"bits": "none", "range": "sample"}}
    ledger.mapped("forward.is_perfect", "converters are there")
    dac: dict[str, Any] = {"bits": bits(values, "inp_res", "dac", ledger)}
    adc: dict[str, Any] = {"bits": bits(values, "out_res", "adc", ledger)}
    in_bound = ledger.number(values, "forward", "inp_bound", -1e12, 1e12)
    out_bound = ledger.number(values, "forward", "out_bound", -1e12, 1e12)
    dac |= _input_range(values, in_bound, ledger)
    adc |= _output_range(values, out_bound, dac, tile, ledger)
    if word(values["mv_type"]) == "onepass":
        ledger.mapped("forward.mv_type", "one pass a read")
    if values["out_scale"] == 1:
        ledger.mapped("forward.out_scale", "absent")
    return {"dac": dac, "adc": adc}


def _input_range(values: Mapping[str, Any], bound: float, ledger: Ledger) -> dict[str, Any]:
    management, threshold = word(values["noise_management"]), ledger.number(values, "forward", "nm_thres", 0.0, 1e12)
    if management == "none" or (management == "constant" and threshold > 0):
        limit = bound * (threshold if management == "constant" else 1.0)
        if limit > 0:
            for key in ("inp_bound", "noise_management", "nm_thres"):
                ledger.mapped(f"forward.{key}", f"dac.limit = {limit:g}")
            return {"range": "fixed", "limit": limit}
        ledger.approximated("forward.inp_bound", 'dac.range = "sample"', "no bound there")
        return {"range": "sample"}
    if management == "absmax" and bound == 1:
        ledger.mapped("forward.noise_management", 'dac.range = "sample"')
        ledger.mapped("forward.inp_bound", 'dac.range = "sample"')
    else:
        ledger.approximated(
            "forward.noise_management", 'dac.range = "sample"', "the largest magnitude of a sample fills the range here"
        )
        ledger.approximated("forward.inp_bound", 'dac.range = "sample"', "the largest magnitude of a sample fills the range here")
    return {"range": "sample"}


def learned_range(dac: dict[str, Any], pre_post: Mapping[str, Any], ledger: Ledger) -> None:
    """Take the range that inputs have before any learning, of the section `pre_post`, for the DAC's, which is in units of it."""
    found = pre_post.get("input_range")
    if not isinstance(found, dict) or found.get("enable") is not True or dac["range"] != "fixed":
        return
    dac["limit"] *= ledger.number({"init_value": 3.0} | found, "pre_post.input_range", "init_value", 1e-9, 1e9)
    reason = "that of an input range before it is fitted and learned there, fixed here"
    ledger.approximated("pre_post", f"dac.limit = {dac['limit']:g}", reason)


def _output_range(
    values: Mapping[str, Any], bound: float, dac: Mapping[str, Any], tile: Mapping[str, Any], ledger: Ledger
) -> dict[str, Any]:
    if word(values["bound_management"]) == "none" and bound > 0 and dac["range"] == "fixed":
        limit = bound / tile["rows"]
        ledger.approximated(
            "forward.out_bound", f"adc.limit = {limit:.4g}", f"{bound:g} of {tile['rows']} rows; where a tile has fewer, less"
        )
        ledger.mapped("forward.bound_management", 'adc.range = "fixed"')
        return {"range": "fixed", "limit": limit}
    reason = "the largest output of a sample fills the range here: no saturation, no fixed bound"
    for key in ("out_bound", "bound_management"):
        ledger.approximated(f"forward.{key}", 'adc.range = "sample"', reason)
    return {"range": "sample"}


def output_noise(values: Mapping[str, Any], mapping: Mapping[str, Any], ledger: Ledger) -> float:
    """Return [read] output_noise of the section `forward`: in both simulators for inputs that are scaled to their range."""
    if values["is_perfect"] is True:
        return 0.0
    sigma = ledger.number(values, "forward", "out_noise", 0.0, 1e6)
    if sigma > 0 and "headroom" in mapping:
        ledger.mapped("forward.out_noise", "read.output_noise")
    elif sigma > 0:
        reason = "in units of the weight that fills the window here, of a weight of 1 there"
        ledger.approximated("forward.out_noise", "read.output_noise", reason)
    bound = ledger.number(values, "forward", "inp_bound", -1e12, 1e12)
    return sigma / bound if bound > 1e-6 else sigma  # of an input of 1 there, of full scale here


def transposed_ranges(backward: Mapping[str, Any], forward: Mapping[str, Any], hardware: Mapping[str, Any]) -> str:
    """Keep the ranges of transposed reads fixed where aihwkit does; return which, for the report.

    Where inputs are not scaled by their largest on the way back either, its DAC and (without bound management, which is
    forward's alone) its ADC keep their bounds, and small errors become exact zeros.
    """
    same = all(key in backward and backward[key] == forward[key] for key in ("noise_management", "inp_bound", "nm_thres"))
    if not same or backward.get("is_perfect") is not False or hardware["dac"]["range"] != "fixed":
        return ""
    hardware["dac"]["transposed_range"] = "fixed"
    if hardware["adc"]["range"] != "fixed" or backward.get("out_bound") != forward["out_bound"]:
        return "dac."
    hardware["adc"]["transposed_range"] = "fixed"
    return "dac. and adc."


def read_noise(values: Mapping[str, Any], device: Mapping[str, Any], full: float, ledger: Ledger) -> dict[str, Any] | None:
    """Return the [read_noise] table that w_noise stands for, or None where the cell has its own, or none."""
    kind, sigma = word(values["w_noise_type"]), ledger.number(values, "forward", "w_noise", 0.0, 1e6)
    fields = ("forward.w_noise", "forward.w_noise_type")
    if kind == "none" or sigma == 0:
        for field in fields:
            ledger.mapped(field, "absent: off")
        return None
    if device.get("read_noise") is not None:
        for field in fields:
            ledger.approximated(field, "device.read_noise", "the noise of the model's cells, not of this field")
        return None
    window = device["conductance"]
    span = window["g_max_S"] - window["g_min_S"]
    if kind != "additiveconstant":
        for field in fields:
            ledger.ignored(field, "a variance in proportion to a weight's size: give the device a [read_noise] of its own")
        return None
    for field in fields:
        ledger.approximated(
            field, "device.read_noise.white_floor_S", "both cells of a pair are noisy, as if a weight of 1 filled the window"
        )
    return {"white_floor_S": sigma * span / full / math.sqrt(2), "source": _SOURCE}


def wires(values: Mapping[str, Any], device: Mapping[str, Any], ledger: Ledger) -> dict[str, Any] | None:
    """Return the [wires] table that IR drop stands for, or None without: segments of bit lines, in parts of the largest cell."""
    scale = ledger.number(values, "forward", "ir_drop", 0.0, 1e6)
    if scale == 0 or values["is_perfect"] is True:
        return None
    if "ir_drop_rs" in values:
        fields, segment = ("ir_drop", "ir_drop_rs"), scale * ledger.number(values, "forward", "ir_drop_rs", 0.0, 1e6)
    else:
        ratio = ledger.number(values, "forward", "ir_drop_g_ratio", 1e-6, 1e18)
        fields, segment = ("ir_drop", "ir_drop_g_ratio"), scale / (ratio * device["conductance"]["g_max_S"])
    if segment < _NO_WIRE_OHM:
        for field in fields:
            ledger.ignored(f"forward.{field}", f"less than {_NO_WIRE_OHM:g} ohm a segment")
        return None
    reason = "bit lines of a pair apart, forward and transposed, here; a fit of the mean drop, forward only, there"
    for field in fields:
        ledger.approximated(f"forward.{field}", f"wires.segment_column_ohm = {segment:.4g}", reason)
    return {"segment_row_ohm": _NO_WIRE_OHM, "segment_column_ohm": segment, "method": "first_order", "source": _SOURCE}


def tile_and_mapping(values: Mapping[str, Any], ledger: Ledger) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the [tile] and [mapping] tables of the section `mapping`."""
    tile: dict[str, Any] = {"source": _SOURCE}
    for key, here in (("max_input_size", "rows"), ("max_output_size", "columns")):
        found = round(ledger.number(values, "mapping", key, -1e12, 1e12))
        tile[here] = min(found, _LARGEST) if found > 0 else _LARGEST
        if found == tile[here]:
            ledger.mapped(f"mapping.{key}", f"tile.{here}")
        else:
            ledger.approximated(f"mapping.{key}", f"tile.{here} = {_LARGEST}", "no limit there")
    omega = ledger.number(values, "mapping", "weight_scaling_omega", -1e6, 1e6)
    mapping: dict[str, Any] = {"source": _SOURCE}
    if omega > 0:
        mapping["headroom"] = min(max(1 / omega, 1e-6), 100.0)
        ledger.mapped("mapping.weight_scaling_omega", f"mapping.headroom = {mapping['headroom']:g}")
    else:
        reason = "weights are not scaled there: 1 is 1; the largest fills the window here"
        ledger.approximated("mapping.weight_scaling_omega", "mapping.headroom = 1", reason)
    if ledger.switch(values, "mapping", "weight_scaling_columnwise") and omega > 0:
        mapping["scale"] = "column"
        ledger.mapped("mapping.weight_scaling_columnwise", 'mapping.scale = "column"')
    if values["digital_bias"] is True:
        ledger.mapped("mapping.digital_bias", "biases are digital")
    return tile, mapping


def trains(values: Mapping[str, Any], mode: str, ledger: Ledger) -> dict[str, Any]:
    """Return what the section `update` says of the [update] table; `mode` is what the device asks for."""
    scheme: dict[str, Any] = {"mode": mode, "source": _SOURCE}
    pulses = word(values["pulse_type"])
    if mode in ("ideal", "mixed_precision", "write_verify"):
        for key in ("pulse_type", "desired_bl", "update_bl_management", "update_management", "fixed_bl"):
            ledger.mapped(f"update.{key}", f'does nothing with update.mode = "{mode}"')
        return scheme
    length = round(ledger.number(values, "update", "desired_bl", 1, 1e9))
    scheme["bit_length"] = min(length, 63)
    if length <= 63:
        ledger.mapped("update.desired_bl", "update.bit_length")
    else:
        ledger.approximated("update.desired_bl", "update.bit_length = 63", "trains of at most 63 slots here")
    managed = [ledger.switch(values, "update", key) for key in ("update_bl_management", "update_management")]
    scheme["managed"] = managed[0]
    ledger.mapped("update.update_bl_management", "update.managed")
    if managed[0] or managed[0] == managed[1]:
        ledger.mapped("update.update_management", "update.managed")
    else:
        ledger.approximated("update.update_management", "update.managed = false", "managed together with the length here")
    if pulses == "none":
        scheme["mode"] = "ideal"
        ledger.mapped("update.pulse_type", 'update.mode = "ideal"')
    elif pulses in ("stochastic", "stochasticcompressed"):
        ledger.mapped("update.pulse_type", f'update.mode = "{mode}"')
    else:
        ledger.approximated("update.pulse_type", f'update.mode = "{mode}"', "stochastic trains here")
    return scheme
