"""The hardware file: device, tile, converters, links and clock of a chip.

A preset, a TOML file or a `Hardware` object says what a chip is made of.  ``links = "digital"`` puts a
converter in front of and behind every array and adds partial sums as numbers; ``links = "analog"`` joins
arrays and neurons by wires, as dyadic hardware allows, and adds the currents of stacked tiles on one line.

The clock: a neuron of time constant tau that is held for a period T moves by eta = 1 - exp(-T / tau) of
the way to its target, so a period is an Euler step (theory.md, fact 2).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from dbpsim.crossbar.architecture import Architecture
from dbpsim.crossbar.converters import NO_COLUMN_CONVERTER, NO_CONVERTER, ColumnConverter, Converter
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.crossbar.update_scheme import UpdateScheme
from dbpsim.crossbar.wire_resistance import WireResistance
from dbpsim.devices.library import is_path, load_device, read_toml, validated
from dbpsim.devices.read_noise import read_sigmas
from dbpsim.devices.schema import Device, NotNegative, Positive, Section, suggestion
from dbpsim.devices.temperature import at_temperature

_SECTIONS = ("levels", "spread", "read_noise", "random_telegraph", "drift", "retention", "endurance", "faults")  # effects too
_PRESETS = Path(__file__).with_name("presets")


def _device(value: object) -> object:
    return load_device(value) if isinstance(value, str | os.PathLike) else value


class Tile(Section):
    """One array: `rows` inputs times `columns` outputs, each crossing a pair of cells."""

    rows: int = Field(default=256, ge=1, le=65536)
    columns: int = Field(default=256, ge=1, le=65536)
    source: str = ""


class Read(Section):
    """Voltage of a full-scale input, and which reads share their noise.

    ``slow_noise = "fresh"`` draws all noise anew for each read: forward, transposed and every clock see noise of their own.
    ``"frozen"`` draws what is slower than a clock period once a programming or a wait: all reads share that part, and only
    the faster part is fresh (`dbpsim.devices.read_noise`).  The update is computed from the digital d and a and reads nothing.

    ``output_noise`` is that of what senses a line: its standard deviation, fresh in every read of every tile, as a share of what
    one cell of the largest weight gives at a full-scale input (the largest of the sample where ranges are the sample's own).
    """

    v_read_V: Positive = 0.2
    output_noise: NotNegative = 0.0
    slow_noise: Literal["fresh", "frozen"] = "fresh"
    source: str = ""


class Clock(Section):
    """Length of one settled read and time constant of a neuron."""

    period_s: Positive = 1e-7
    tau_s: Positive = 1e-8
    source: str = ""

    @property
    def eta(self) -> float:
        """Euler step that a period amounts to."""
        return -math.expm1(-self.period_s / self.tau_s)


class WeightMapping(Section):
    """Weights onto conductances (`dbpsim.crossbar.mapping`): the largest weight, times `headroom`, fills the window.

    Above 1 there is room for weights to grow; below 1 the largest are clipped, and the rest use more of the window.

    Attributes
    ----------
    scheme : {"pair", "offset_column", "bit_sliced"}
    slices, bits_per_slice : int
        Of "bit_sliced".
    scale : {"matrix", "tile", "column"}
        What shares a largest weight.
    transpose : {"same", "replica", "digital"}
        Whether the transposed read is of the same cells, or of others that were programmed with the same weights, or no read:
        arithmetic on the weights that the cells hold, as when an inference chip's network is trained on a processor.
    """

    scheme: Literal["pair", "offset_column", "bit_sliced"] = "pair"
    slices: int = Field(default=2, ge=2, le=8)
    bits_per_slice: int = Field(default=2, ge=1, le=8)
    scale: Literal["matrix", "tile", "column"] = "matrix"
    headroom: float = Field(default=1.0, gt=0, le=100)
    transpose: Literal["same", "replica", "digital"] = "same"
    source: str = ""


class Effects(Section):
    """Switches, one an effect, for taking a chip's imperfections apart.

    Without `clipping` a `headroom` below 1 counts as 1: programming cuts no weight.
    """

    clipping: bool = True
    levels: bool = True
    spread: bool = True
    programming_error: bool = True
    read_noise: bool = True
    random_telegraph: bool = True
    drift: bool = True
    retention: bool = True
    endurance: bool = True
    faults: bool = True
    update_noise: bool = True
    wires: bool = True
    output_noise: bool = True
    converter_gain: bool = True
    converter_offset: bool = True
    converter_nonlinearity: bool = True


class Hardware(Section):
    """What a chip is made of.

    Examples
    --------
    >>> pcm = load_hardware("pcm")
    >>> pcm.adc.bits, pcm.device.family, pcm.tile.rows
    (8, 'PCM', 256)
    >>> load_hardware("pcm", {"adc.bits": 6, "effects.read_noise": False}).adc.levels
    31
    """

    name: str
    device: Annotated[Device, BeforeValidator(_device)]
    links: Literal["analog", "digital"] = "analog"
    tile: Tile = Tile()
    read: Read = Read()
    clock: Clock = Clock()
    dac: Converter = NO_CONVERTER
    adc: ColumnConverter = NO_COLUMN_CONVERTER
    mapping: WeightMapping = WeightMapping()
    effects: Effects = Effects()
    update: UpdateScheme = UpdateScheme()
    wires: WireResistance | None = None
    neuron: NeuronCircuit | None = None
    architecture: Architecture = Architecture()
    temperature_K: Positive | None = None

    @model_validator(mode="after")
    def _update(self) -> Hardware:
        law, mode = self.device.update, self.update.mode
        if self.update.in_place and law is None:
            raise ValueError(f'update.mode = "{mode}" needs pulses: device {self.device.name} has no [update] section')
        if mode.startswith("tiki_taka") and law is not None and law.polarity == "up":
            raise ValueError(f'update.mode = "{mode}" needs cells that go up and down: those of {self.device.name} only rise')
        return self

    @model_validator(mode="after")
    def _mapped(self) -> Hardware:
        mapping, update = self.mapping, self.device.update
        if mapping.scale == "tile" and self.links == "analog":
            raise ValueError('mapping.scale = "tile" rescales every tile\'s result as a number: accepted with links = "digital"')
        plain = mapping.scheme == "pair" and mapping.scale == "matrix" and mapping.transpose == "same"
        if self.update.in_place and not plain:
            raise ValueError(
                f'update.mode = "{self.update.mode}" works in place: accepted with mapping.scheme = "pair", scale = "matrix" '
                'and transpose = "same"'
            )
        if not self.device.transposed_read and mapping.transpose == "same":
            raise ValueError(
                f"device {self.device.name} has no transposed read, which the way back of the stress needs; "
                'accepted: mapping.transpose = "replica" or "digital"'
            )
        rises = update is not None and update.polarity == "up" and self.update.mode == "mixed_precision"
        if mapping.scheme == "offset_column" and rises:
            raise ValueError(
                f'mapping.scheme = "offset_column" needs cells that go up and down: those of {self.device.name} only rise; '
                'accepted: "pair", or update.mode = "write_verify" or "ideal"'
            )
        return self

    @model_validator(mode="after")
    def _links(self) -> Hardware:
        if self.links == "analog" and (self.dac.levels or self.adc.levels):
            raise ValueError(
                'links = "analog" has no converters between layers: drop dac and adc, or links = "digital"'
            )
        for way, key in ((False, "range"), (True, "transposed_range")):
            mode = self.adc.mode(way)
            if mode != "sample" and self.dac.mode(way) == "sample":
                raise ValueError(
                    f'adc.{key} = "{mode}": a {mode} adc range is a share of full scale, which needs a fixed dac range or a '
                    f'calibrated one: it needs dac.{key} = "fixed" or "calibrated"'
                )
        return self

    @property
    def wired(self) -> bool:
        """Whether reads lose voltage on wires."""
        return self.wires is not None and self.effects.wires

    @property
    def output_noise(self) -> float:
        """Of what senses a line, as [read] has it, 0 where [effects] switches it off."""
        return self.read.output_noise if self.effects.output_noise else 0.0

    @property
    def calibrated(self) -> bool:
        """Whether a batch is to set some range of the converters."""
        return any(converter.mode(way) == "calibrated" for converter in (self.dac, self.adc) for way in (False, True))

    @property
    def converter_sigmas(self) -> tuple[float, float, float]:
        """Spread of gain, offset (steps) and nonlinearity (steps) over the ADCs, 0 where [effects] switches them off."""
        adc, on = self.adc, self.effects
        return (
            adc.gain_sigma * on.converter_gain,
            adc.offset_sigma_lsb * on.converter_offset,
            adc.inl_sigma_lsb * on.converter_nonlinearity,
        )

    @property
    def noisy(self) -> bool:
        """Whether two reads of one cell may differ."""
        device = as_used(self)
        if self.read.slow_noise == "fresh":
            return device.read_noise is not None or device.random_telegraph is not None
        return float(read_sigmas(device.conductance.g_max_S, device, self.clock.period_s)[1]) > 0


def as_used(hardware: Hardware) -> Device:
    """Return the device of `hardware` at its temperature, without the effects that its [effects] switch off."""
    device, effects = hardware.device, hardware.effects
    if hardware.temperature_K is not None:
        device = at_temperature(device, hardware.temperature_K)
    off: dict[str, object] = {name: None for name in _SECTIONS if not getattr(effects, name)}
    if not effects.programming_error or hardware.update.mode == "ideal":
        exact = {"coefficients_S": (0.0,), "plateau_S": None, "knee_S": None}  # as many pulses, and no error
        off["programming"] = None if device.programming is None else device.programming.model_copy(update=exact)
        off["write_verify"] = None
    if not effects.update_noise and device.update is not None:
        off["update"] = device.update.model_copy(update={"step_sigma": 0.0})
    return device.model_copy(update=off)


def _changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    data = dict(data)
    for key, value in changes.items():
        first, _, rest = key.partition(".")
        inner = {} if data.get(first) is None else data[first]  # an absent section of an object is None
        if rest and not isinstance(inner, dict):
            raise ValueError(f"{key}: {first} is not a table here")
        data[first] = _changed(inner, {rest: value}) if rest else value
    return data


def load_hardware(
    spec: str | os.PathLike[str] | Hardware, changes: Mapping[str, Any] | None = None
) -> Hardware:
    """Return the hardware called `spec`, or read from the file `spec`, with `changes` made to it.

    Parameters
    ----------
    spec : str, path or Hardware
        A preset (``"ideal"``, ``"pcm"``, ``"ecram"``) or the path of a TOML file.  A file's `device` is a
        name in the library, or a path seen from that file, or a table.
    changes : mapping, optional
        Dotted keys and new values: ``{"adc.bits": 6, "device.read_noise.q_scale": 0.01}``.

    Raises
    ------
    ValueError
        If there is no such hardware or it is not valid; names file, key, what was found and what is accepted.
    """
    if isinstance(spec, Hardware):
        if not changes:
            return spec
        return validated(Hardware, _changed(spec.model_dump(), changes), f"hardware {spec.name!r}")
    if is_path(spec):
        path = Path(spec)
    else:
        path = _PRESETS / f"{spec}.toml"
        names = [p.stem for p in sorted(_PRESETS.glob("*.toml"))]
        if str(spec) not in names:
            raise ValueError(
                f"hardware {spec!r}: no such preset{suggestion(str(spec), names) or '.'} "
                f"Accepted: {', '.join(names)}, or the path of a .toml file."
            )
    data = read_toml(path)
    if isinstance(data.get("device"), str) and is_path(data["device"]):
        data["device"] = path.parent / data["device"]
    changes = changes or {}
    if any(key.startswith("device.") for key in changes) and not isinstance(data.get("device"), dict):
        data["device"] = load_device(data.get("device", "")).model_dump()
    return validated(Hardware, _changed(data, changes), str(path))


def list_hardware() -> list[Hardware]:
    """Return the presets, by name."""
    return [load_hardware(path) for path in sorted(_PRESETS.glob("*.toml"))]
