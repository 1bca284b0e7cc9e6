"""The data sheet of a memory cell: every figure of its file with its unit and its source, as text and as plain data."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dbpsim.devices.library import DeviceRecord
from dbpsim.devices.schema import Device
from dbpsim.files import write_bytes

UNITS = {"_S": "S", "_s": "s", "_J": "J", "_K": "K", "_eV": "eV"}
_WIDTH = 110


def table(records: list[DeviceRecord]) -> str:
    """Return the list of devices, a line each."""
    width = max(len(r.name) for r in records) + 2
    heads = f"{'on/off':>8}{'states':>8}{'read noise':>12}{'drift nu':>10}{'endurance':>11}{'J/pulse':>10}"
    lines = [f"{'name':{width}}{'family':11}{heads}  assumed, recalled or of its class"]
    for r in records:
        cells = [(r.on_off, 8, ".3g"), (r.states, 8, ".0f"), (r.read_noise, 12, ".2%"), (r.drift_nu, 10, ".3f"),
                 (r.endurance_cycles, 11, ".0e"), (r.energy_per_pulse_J, 10, ".1e")]  # fmt: skip
        figures = "".join(f"{'-' if value is None else format(value, form):>{width}}" for value, width, form in cells)
        lines.append(f"{r.name:{width}}{r.family:11}{figures}  {', '.join(r.not_opened)}".rstrip())
    return "\n".join(lines)


def sheet(device: Device) -> str:
    """Return every section of the device's file as text.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> print(sheet(load_device("stt_mram")))  # doctest: +ELLIPSIS
    stt_mram (MRAM)
    STT-MRAM, two states, tunnel magnetoresistance 130 %.
    <BLANKLINE>
    conductance
      g_min            0.0001242 S
      g_max            0.0002857 S
      source           STT-MRAM of the MLP+NeuroSim V3.0 manual, table II (opened)
    ...
    """
    lines = [f"{device.name} ({device.family})", *textwrap.wrap(device.summary, _WIDTH)]
    absent: list[str] = []
    if not device.transposed_read:
        lines.append("Arrays of it cannot be read transposed.")
    for name in type(device).model_fields:
        section = getattr(device, name)
        if isinstance(section, BaseModel):
            lines += ["", name, *_figures(section)]
        elif section is None:
            absent.append(name)
    if absent:
        lines += ["", *textwrap.wrap(f"not in the file, so not simulated: {', '.join(absent)}", _WIDTH)]
    return "\n".join(lines)


def _figures(section: BaseModel) -> list[str]:
    lines = []
    figures = section.model_dump(exclude_none=True, exclude_defaults=True)
    for key, value in sorted(figures.items(), key=lambda item: item[0] == "source"):  # as in the file, the source last
        suffix = next((u for u in UNITS if key.endswith(u)), "")
        unit = f" {UNITS[suffix]}" if suffix else ""
        label = f"  {key.removesuffix(suffix):17}"
        lines += textwrap.wrap(_spelled(value) + unit, _WIDTH, initial_indent=label, subsequent_indent=" " * 19)
    return lines


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_spelled(v) for v in value) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_spelled(v)}" for k, v in value.items())
    return str(value)


def document(device: Device) -> dict[str, Any]:
    """Return every figure of the device as plain data, for JSON: absent sections and keys are left out."""
    return device.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def save_figure(device: Device, folder: Path, seed: int = 0) -> Path:
    """Write NAME.png with the device's three panels into `folder` and return its path."""
    from dbpsim.report.device_figures import device_png

    path = folder / (re.sub(r"[^\w.-]", "_", device.name) + ".png")  # a user's name for a cell need not be a file's
    write_bytes(path, device_png(device, seed))
    return path
