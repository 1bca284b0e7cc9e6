"""CrossSim's device as a device file: window, levels, and the errors of its models by their names.

NormalIndependentDevice       sigma = magnitude / Rmin
NormalProportionalDevice      sigma = magnitude g
Uniform...                    the same variance, magnitude^2 / 12, and normal
PCMJoshi, RRAMWan, RRAMMilo   sigma is a polynomial of g in uS (programming)
SONOS                         the library's sonos_agrawal2022 (programming, read noise, drift)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dbpsim.crossbar.imports.ledger import Ledger
from dbpsim.devices.library import load_device, read_toml

_SOURCE = "imported from CrossSim"


@cache
def data() -> dict[str, Any]:
    """Return the table of CrossSim's defaults."""
    return read_toml(Path(__file__).with_name("crosssim.toml"))


class Parameters:
    """A tree of parameters by its sections, dotted; `read` are those that were asked for."""

    def __init__(self, source: str, config: dict[str, Any]) -> None:
        self.ledger = Ledger(source, data()["reasons"], data()["idle"])
        self.sections: dict[str, dict[str, Any]] = {}
        self.read: set[str] = set()
        self._tables = {".".join(parts[:n]) for parts in (name.split(".") for name in data()["defaults"]) for n in (1, 2, 3, 4)}
        self._flatten(config, "")

    def _flatten(self, table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            name = f"{prefix}.{key}" if prefix else key
            if isinstance(value, dict):
                self.sections.setdefault(name, {})
                self._flatten(value, name)
            elif name in self._tables:
                if value is not None:
                    raise self.ledger.error(name, value, "a table of fields")
            else:
                self.sections.setdefault(prefix, {})[key] = value

    def section(self, name: str) -> dict[str, Any]:
        """Return a section's fields, entered in the report."""
        self.read.add(name)
        return self.ledger.enter(name, self.sections.get(name, {}), data()["defaults"][name])

    def number(self, values: Mapping[str, Any], name: str, key: str, least: float = 0.0, most: float = 1e15) -> float:
        """Return a field that must be a number."""
        return self.ledger.number(values, name, key, least, most)

    def choice(self, values: Mapping[str, Any], name: str, key: str, known: Mapping[str, int]) -> int:
        """Return the number of an enumeration's member, given by number (as in CrossSim's files) or name."""
        value = values[key]
        number = known.get(value.rpartition(".")[2].replace("_", "").lower()) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or number not in known.values():
            accepted = ", ".join(f"{n} ({word.upper()})" for word, n in known.items())
            raise self.ledger.error(f"{name}.{key}", value, accepted)
        return number


class Cell:
    """The cell on its way; `read` is the hardware file's [read] once `device` was called."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters, self.ledger = parameters, parameters.ledger
        self.read: dict[str, Any] = {}

    def device(self, called: str) -> dict[str, Any]:
        """Return the device file, of the name `called`."""
        name, ledger = "xbar.device", self.ledger
        values = self.parameters.section(name)
        low, high = (self.parameters.number(values, name, key, 1e-3, 1e18) for key in ("Rmin", "Rmax"))
        infinite = ledger.switch(values, name, "infinite_on_off_ratio")
        if high <= low and not infinite:
            raise ledger.error(f"{name}.Rmax", values["Rmax"], f"a resistance above Rmin = {low:g} ohm")
        window: dict[str, Any] = {"g_min_S": 0.0 if infinite else 1 / high, "g_max_S": 1 / low, "source": _SOURCE}
        ledger.mapped(f"{name}.Rmin", "device.conductance.g_max_S")
        ledger.mapped(f"{name}.Rmax", "device.conductance.g_min_S" if not infinite else "does nothing: infinite_on_off_ratio")
        ledger.mapped(f"{name}.infinite_on_off_ratio", "device.conductance.g_min_S")
        self.read = {"v_read_V": self.parameters.number(values, name, "Vread", 1e-6, 1e3), "source": _SOURCE}
        ledger.mapped(f"{name}.Vread", "read.v_read_V")
        device: dict[str, Any] = {"name": called, "family": "imported", "conductance": window}
        cell_bits = round(self.parameters.number(values, name, "cell_bits", -64, 30))
        if cell_bits > 0:
            device["levels"] = {"count": 2**cell_bits, "source": _SOURCE}
            ledger.mapped(f"{name}.cell_bits", f"device.levels.count = {2**cell_bits}")
        for section, make in (
            ("programming_error", self._programming), ("read_noise", self._noise), ("drift_error", self._drift),
        ):  # fmt: skip
            fields = self.parameters.section(f"{name}.{section}")
            if ledger.switch(fields, f"{name}.{section}", "enable") and fields["model"] != "IdealDevice":
                ledger.mapped(f"{name}.{section}.enable", f"device, {section}")
                device |= make(fields, f"{name}.{section}", window)
        iv = self.parameters.section(f"{name}.nonlinear_IV")
        if ledger.switch(iv, f"{name}.nonlinear_IV", "enable"):
            for key in iv:
                ledger.ignored(f"{name}.nonlinear_IV.{key}", "cells are linear in reads here")
        return device

    def _programming(self, values: Mapping[str, Any], name: str, window: Mapping[str, float]) -> dict[str, Any]:
        model, g_max = values["model"], window["g_max_S"]
        fits = data()["programming"]
        found: dict[str, Any] = {"pulses_per_cell": 1.0}
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
        sigma = self.parameters.number(values, name, "magnitude", 0.0, 1e6)
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
        factor = 0.1 / self.read["v_read_V"]
        for key in in_siemens:
            found[key] = found[key] * factor if isinstance(found[key], float) else tuple(v * factor for v in found[key])
        if section == "retention":
            self.ledger.approximated(f"{name}.model", "device.retention", "the shift of the mean is left out; acts at Chip.wait")
        else:
            self.ledger.mapped(f"{name}.model", f"device.{section}")
        self.ledger.mapped(f"{name}.magnitude", "does nothing in this model")
        return {section: found}
