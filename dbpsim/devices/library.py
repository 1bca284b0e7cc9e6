"""Finding devices: a user's own file first, then the installed library, then the checkout's devices/."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from dbpsim.devices.laws import of_state
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.schema import Device, explain, suggestion

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class DeviceRecord:
    """A line of `dbpsim devices`.  What the device's file does not know is None."""

    name: str
    family: str
    g_min_S: float
    g_max_S: float
    on_off: float | None
    states: int | None
    read_noise: float | None  # sigma / g at g_max
    drift_nu: float | None  # mean exponent at g_max
    endurance_cycles: float | None
    energy_per_pulse_J: float | None
    not_opened: tuple[str, ...]  # sections with a figure that is assumed, recalled or of the class of cells
    summary: str


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises
    ------
    ValueError
        If the file cannot be read or is not TOML; the message names the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None


def validated(model: type[Model], data: object, where: str) -> Model:
    """Return `data` as a `model`, or raise a ValueError that names file, key, found and accepted."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ValueError(explain(error, where, model)) from None


def is_path(spec: str | os.PathLike[str]) -> bool:
    """Return whether `spec` means a file rather than a name in the library."""
    text = os.fspath(spec)
    return not isinstance(spec, str) or text.endswith(".toml") or os.sep in text or "/" in text


def _folders() -> Iterator[Path]:
    package = Path(__file__).resolve().parents[1]
    yield package / "data" / "devices"  # installed; importlib.resources gives no path for a folder without __init__.py
    yield package.parent / "devices"  # a checkout, or an editable install


def _library() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in _folders():
        if folder.is_dir():
            for path in sorted(folder.glob("*.toml")):
                found.setdefault(path.stem, path)
    return found


def load_device(spec: str | os.PathLike[str] | Device) -> Device:
    """Return the device called `spec`, or read it from the file `spec`.

    Parameters
    ----------
    spec : str, path or Device
        A name in the library (``"pcm"``) or the path of a TOML file.

    Raises
    ------
    ValueError
        If there is no such device, or its file is not valid.

    Examples
    --------
    >>> load_device("pcm").conductance.g_max_S
    2.5e-05
    """
    if isinstance(spec, Device):
        return spec
    if is_path(spec):
        path = Path(spec)
    else:
        known = _library()
        if str(spec) not in known:
            names = sorted(known)
            raise ValueError(
                f"device {spec!r}: not in the library{suggestion(str(spec), names)} "
                f"Accepted: {', '.join(names)}, or the path of a .toml file."
            )
        path = known[str(spec)]
    return validated(Device, read_toml(path), str(path))


def record(device: Device) -> DeviceRecord:
    """Return the line of `device` in a list."""
    window, update = device.conductance, device.update
    noise = None
    if device.read_noise is not None:
        noise = float(read_sigma(window.g_max_S, device)) / window.g_max_S
    return DeviceRecord(
        name=device.name,
        family=device.family,
        g_min_S=window.g_min_S,
        g_max_S=window.g_max_S,
        on_off=window.g_max_S / window.g_min_S if window.g_min_S else None,
        states=device.levels.count if device.levels else update.states if update else None,
        read_noise=noise,
        drift_nu=None if device.drift is None else float(of_state(np.array(1.0), device.drift.nu_mean)),
        endurance_cycles=device.endurance.cycles if device.endurance else None,
        energy_per_pulse_J=update.energy_per_pulse_J if update else None,
        not_opened=_not_opened(device),
        summary=device.summary,
    )


def _not_opened(device: Device) -> tuple[str, ...]:
    sources = {name: getattr(getattr(device, name), "source", "") for name in type(device).model_fields}
    words = ("assumed", "recalled", "of the class")
    return tuple(name for name, source in sources.items() if any(word in source for word in words))


def list_devices() -> list[DeviceRecord]:
    """Return a record of every device in the library, by name.

    Examples
    --------
    >>> [d.name for d in list_devices() if d.family == "PCM"]
    ['pcm', 'pcm_hermes', 'pcm_nandakumar2020']
    """
    return [record(load_device(path)) for _, path in sorted(_library().items())]
