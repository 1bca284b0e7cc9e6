"""aihwkit's devices and unit cells: which cell a weight is kept in, and which scheme writes it.

a pulsed device             pulses in place on one cell against a reference
OneSidedUnitCell            the same on a pair of cells that only rise
TransferCompound            Tiki-Taka; BufferedTransfer-, ChoppedTransfer- and DynamicTransferCompound its second version
MixedPrecisionCompound      mixed precision
Vector-, ReferenceUnitCell  their first cell
IdealDevice                 any weight is held exactly
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbpsim.crossbar.imports.aihwkit_devices import PULSED, PulsedDevice, device_effects, pmax_fields
from dbpsim.crossbar.imports.aihwkit_tables import class_fields, data
from dbpsim.crossbar.imports.ledger import Ledger
from dbpsim.crossbar.update_scheme import IN_PLACE
from dbpsim.devices.schema import suggestion

_ASSUMED_WINDOW_S = (0.0, 1e-6)
_TRANSFER = {
    "TransferCompound": "tiki_taka", "BufferedTransferCompound": "tiki_taka_2",
    "ChoppedTransferCompound": "tiki_taka_2", "DynamicTransferCompound": "tiki_taka_2",
}  # fmt: skip


class CellImport:
    """A device section on its way; `hardware` is the hardware file that names and writes it.

    Parameters
    ----------
    hardware : dict
        Gets name, and mode and rates of its [update] table.
    ledger : Ledger
    """

    def __init__(self, hardware: dict[str, Any], ledger: Ledger) -> None:
        self.data, self.ledger = hardware, ledger
        self.bounds = 0.0, 1.0  # of weights

    def device(self, given: Any, prefix: str) -> dict[str, Any]:
        """Return the device file of a device section, a table of fields or the name of a preset device."""
        ledger, name = self.ledger, None
        if isinstance(given, str):
            if given not in data()["devices"]:
                near = suggestion(given, list(data()["devices"]))
                raise ledger.error(prefix, given, f"a table of fields, or {', '.join(data()['devices'])}{near}")
            name, given = given, data()["devices"][given]
        if not isinstance(given, dict):
            raise ledger.error(prefix, given, "a table of fields")
        if isinstance(said := given.get("class"), str) and said in data()["devices"]:  # a preset's, with fields of its own
            name, given = said, data()["devices"][said] | {key: value for key, value in given.items() if key != "class"}
        given = dict(given)
        window = self._window(given.pop("window_S", _ASSUMED_WINDOW_S), prefix)
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
        device = PulsedDevice(values, prefix, window, ledger)
        update, self.bounds = device.update(kind) | {"polarity": "both"}, (device.w_min, device.w_max)
        self.data.setdefault("update", {}).setdefault("mode", "stochastic_pulses")
        return {**self._cell(name or kind, window), "update": update, **device_effects(device)}

    def _window(self, found: Any, prefix: str) -> tuple[float, float]:
        ends = {str(at): value for at, value in enumerate(found)} if isinstance(found, list | tuple) else {}
        low, high = (self.ledger.number(ends, f"{prefix}.window_S", at, 0.0, 1e3) for at in ("0", "1"))
        return low, high

    def _class(self, given: dict[str, Any], prefix: str, name: str | None) -> str:
        said = given.pop("class", None)
        classes = [kind for kind in data()["classes"] if kind.endswith(("Device", "Cell", "Compound"))]
        if said is None:
            kind = min(
                classes,
                key=lambda c: (len(given.keys() - class_fields(c).keys()), c != "ConstantStepDevice", len(class_fields(c))),
            )
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
        return self.device(devices[0], f"{field}[0]")

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
        ledger.approximated(
            f"{prefix}.transfer_lr", "update.transfer_rate", "a share of what is read, whatever the learning rate"
        )
        ledger.ignored(f"{prefix}.scale_transfer_lr", "transfers do not scale with the learning rate here")
        every, lines = (
            ledger.number(values, prefix, "transfer_every", 0.0, 1e9),
            ledger.number(values, prefix, "n_reads_per_transfer", 1, 1e6),
        )
        scheme |= {"transfer_every": max(round(every), 1), "transfer_lines": round(lines)}
        if ledger.switch(values, prefix, "units_in_mbatch") and every == round(every) >= 1:
            ledger.mapped(f"{prefix}.transfer_every", "update.transfer_every")
        else:
            ledger.approximated(f"{prefix}.transfer_every", "update.transfer_every", "in whole steps of training here")
        ledger.mapped(f"{prefix}.units_in_mbatch", "update.transfer_every")
        ledger.mapped(f"{prefix}.n_reads_per_transfer", "update.transfer_lines")

    def _mixed_precision(self, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        device = self.device(values["device"], f"{prefix}.device")
        self.ledger.mapped(f"{prefix}.device", "device")
        if device.get("update") is not None:
            self.data["update"] = {"mode": "mixed_precision"}
            self.ledger.mapped(f"{prefix}.class", 'update.mode = "mixed_precision"')
        if values["transfer_every"] == 1:
            self.ledger.mapped(f"{prefix}.transfer_every", "every step of training")
        if values["n_rows_per_transfer"] == -1:
            self.ledger.mapped(f"{prefix}.n_rows_per_transfer", "all rows at every step")
        return device

    def full_weight(self) -> float:
        """Return aihwkit's weight that the whole window stands for, once the device and its scheme are known.

        One cell in place holds weights from w_min to w_max; of a pair each cell holds one sign.
        """
        low, high = self.bounds
        return high - low if self.data.get("update", {}).get("mode") in IN_PLACE else max(high, -low)
