"""aihwkit's models of programmed cells, for inference: the library's cells with the same statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbpsim.crossbar.imports.aihwkit_tables import class_fields
from dbpsim.crossbar.imports.ledger import Ledger
from dbpsim.devices.library import load_device

_NOISE_MODELS = {"PCMLikeNoiseModel": "pcm", "CustomDriftPCMLikeNoiseModel": "pcm", "ReRamWan2022NoiseModel": "reram_wan2022",
                 "ReRamCMONoiseModel": "reram_cmo_falcone2025"}  # fmt: skip


def inference_device(given: dict[str, Any], ledger: Ledger) -> dict[str, Any]:
    """Return the device file of the section `noise_model`."""
    given = dict(given)
    kind = given.pop("class", "PCMLikeNoiseModel")
    if not isinstance(kind, str) or kind not in _NOISE_MODELS:
        raise ledger.error("noise_model.class", kind, ", ".join(_NOISE_MODELS))
    device = load_device(_NOISE_MODELS[kind]).model_dump(exclude_none=True)
    values = ledger.enter(
        "noise_model", {"class": kind, **given}, {"class": kind, **(class_fields(kind) if kind.startswith("PCM") else {})}
    )
    ledger.mapped("noise_model.class", f"device {device['name']}")
    if kind == "PCMLikeNoiseModel":
        _pcm(values, device, ledger)
    return device


def _pcm(values: Mapping[str, Any], device: dict[str, Any], ledger: Ledger) -> None:
    # The statistics of `devices/pcm.toml` with another window, other coefficients, or scaled.
    def number(key: str, least: float, most: float) -> float:
        return ledger.number(values, "noise_model", key, least, most)

    g_max = number("g_max", 1e-6, 1e6) / 1e6
    g_min = _converter(values, ledger) / 1e6
    scale = {
        key: number(f"{key}_noise_scale" if key != "drift" else "drift_scale", 0.0, 1e3) for key in ("prog", "read", "drift")
    }
    numbers = values["prog_coeff"]
    if not isinstance(numbers, list) or not 1 <= len(numbers) <= 16:
        raise ledger.error("noise_model.prog_coeff", numbers, "a list of 1 to 16 numbers (uS)")
    named = {str(at): value for at, value in enumerate(numbers)}
    # The polynomial is in uS of the g_max it was fitted at: 25 uS where it is aihwkit's own, the one at hand where it is not.
    own = numbers == class_fields("PCMLikeNoiseModel")["prog_coeff"]
    fitted = {"prog_coeff_g_max_reference": 25.0 if own else g_max * 1e6} | dict(values)
    grown = g_max * 1e6 / ledger.number(fitted, "noise_model", "prog_coeff_g_max_reference", 1e-6, 1e6)
    sigma = tuple(ledger.number(named, "noise_model.prog_coeff", at, -1e3, 1e3) / 1e6 * (grown * scale["prog"]) for at in named)
    factor = g_max / device["conductance"]["g_max_S"]
    device["conductance"] |= {"g_max_S": g_max, "g_min_S": g_min, "source": "imported from aihwkit"}
    device["programming"]["coefficients_S"] = sigma
    device["update"]["step_S"] *= round(factor, 12)
    device["read_noise"]["t_read_s"] = number("t_read", 1e-12, 0.5)
    for key in ("q_scale", "q_limit"):
        device["read_noise"][key] *= scale["read"]
    device["drift"]["t0_s"] = number("t_0", 1e-12, 1e12)
    for name in ("nu_mean", "nu_sigma"):
        device["drift"][name] = {
            key: value * scale["drift"] for key, value in device["drift"][name].items() if key != "polynomial"
        }
    for field, here in (
        ("g_max", "device.conductance.g_max_S"), ("prog_coeff", "device.programming.coefficients_S"),
        ("prog_noise_scale", "device.programming.coefficients_S"), ("t_0", "device.drift.t0_s"), ("drift_scale", "device.drift"),
    ):  # fmt: skip
        ledger.mapped(f"noise_model.{field}", here)
    reason = "drawn at every read over 1 s here; once, over the time since programming, there"
    for field in ("t_read", "read_noise_scale"):
        ledger.approximated(f"noise_model.{field}", "device.read_noise", reason)
    if "prog_coeff_g_max_reference" in values:
        ledger.mapped("noise_model.prog_coeff_g_max_reference", "device.programming.coefficients_S")


def _converter(values: Mapping[str, Any], ledger: Ledger) -> float:
    # g_min (uS) of what makes conductances of weights: a pair of which one cell rests at g_min is what the mapping "pair" does.
    found = values.get("g_converter")
    if found is None:
        return 0.0
    if not isinstance(found, dict):
        raise ledger.error("noise_model.g_converter", found, "a table of fields")
    if found.get("class") == "SinglePairConductanceConverter":
        ledger.mapped("noise_model.g_converter", 'mapping.scheme = "pair", device.conductance.g_min_S')
    else:
        ledger.approximated("noise_model.g_converter", 'mapping.scheme = "pair"', "one pair of cells a weight here")
    return ledger.number({"g_min": 0.0} | found, "noise_model.g_converter", "g_min", 0.0, 1e6)
