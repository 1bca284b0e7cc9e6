"""Any constant of the project by name: value, unit, source, range, and what of a cost depends on it.

    components.adc.energy_factor            of the component library
    device.pcm.conductance.g_max_S          of a cell, `devices/*.toml`
    hardware.pcm.read.v_read_V              of a preset
    digital.digital-gpu.utilisation         of a digital machine
    physics.BOLTZMANN_J_per_K               of nature
    check.saturated, cost.LEAST_...         limits at which warnings are given

What depends on a figure is computed, not written down: it is made 1 % larger, and the elasticity of every component of a
reference cost, d ln E / d ln x, is what is reported; a whole number is made larger by one, or doubled.  The reference is the
wavefront relaxation of mlp:784-256-10, by expected activity: on the preset that a figure is of, with the cell that it is of.
The figures of a digital machine are seen on what a sample of that network costs there.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from dbpsim.cost import limits
from dbpsim.cost.components import Components, load_components
from dbpsim.cost.constants import figures, unit_of, with_values
from dbpsim.cost.digital import list_digital, load_digital
from dbpsim.cost.estimate import LEAST_PLAUSIBLE_J_PER_OP, estimate
from dbpsim.cost.modes import digital_cost
from dbpsim.cost.table import CostTable
from dbpsim.cost.workload import expected_activity
from dbpsim.crossbar.hardware import Hardware, list_hardware, load_hardware
from dbpsim.devices.library import list_devices, load_device
from dbpsim.devices.schema import suggestion
from dbpsim.findings import Limits
from dbpsim.network import models
from dbpsim.network.graph import Network

_STEP = 1.01
_LEAST = 1e-6  # an elasticity below it is rounding
_DEFAULTED = "a default of the schema: a choice, docs/hardware.md"
_SECTIONS_OF_HARDWARE = ("tile", "read", "clock", "dac", "adc", "mapping", "update", "wires", "neuron", "architecture")


@dataclass(frozen=True)
class Constant:
    """One number.

    Attributes
    ----------
    path : str
    value : float
    unit : str
    low, high : float or None
        Its range, where it has one.
    source : str
    depends : mapping of str to float, or None
        Elasticity of each component of the reference cost, of its total and of its latency; None where it was not asked for, or
        has no meaning: a value of 0, an entry of a table, no other value that the schema accepts.
    node_m : float or None
        Technology node of a component.
    """

    path: str
    value: float
    unit: str
    source: str
    low: float | None = None
    high: float | None = None
    depends: dict[str, float] | None = None
    node_m: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        lines = [f"{self.path} = {self.value:.6g}{unit}"]
        if self.low is not None:
            lines.append(f"  range: {self.low:.3g} to {self.high:.3g}{unit}")
        if self.node_m is not None:
            lines.append(f"  node: {self.node_m * 1e9:.3g} nm")
        lines.append(f"  source: {self.source}")
        if self.depends is not None:
            moved = ", ".join(f"{name} {value:+.2f}" for name, value in self.depends.items())
            lines.append(f"  d ln E / d ln x of the reference cost: {moved or 'nothing moves'}")
        return "\n".join(lines)


def constants(components: str | Components = "default", hardware: str | Hardware | None = None) -> list[Constant]:
    """Return every constant, without what depends on it: of the presets, and of `hardware` where it is one's own."""
    library = load_components(components)
    found = [
        Constant(
            f"components.{f.path}", f.value, f.unit, f.source, f.low if f.ranged else None, f.high if f.ranged else None,
            node_m=f.node_m,
        )
        for f in figures(library)
    ]  # fmt: skip
    for record in list_devices():
        found += _of_sections(f"device.{record.name}", load_device(record.name))
    for preset in _presets(hardware).values():
        for name in _SECTIONS_OF_HARDWARE:
            section = getattr(preset, name)
            if section is not None:
                found += _of_section(f"hardware.{preset.name}.{name}", section, _DEFAULTED)
    for name in list_digital():
        found += _of_section(f"digital.{name}", load_digital(name), "")
    for name, value in (("BOLTZMANN_J_per_K", limits.BOLTZMANN_J_per_K), ("ELECTRON_C", limits.ELECTRON_C)):
        found.append(Constant(f"physics.{name}", value, "J/K" if "BOLTZ" in name else "C", "exact, SI 2019"))
    found.append(Constant("physics.ROOM_K", limits.ROOM_K, "K", "the usual 300 K (a choice)"))
    least = "the lowest figure of a designed training core, 5.5 fJ an operation: Marinella 2018, arXiv:1707.09952"
    found.append(Constant("cost.LEAST_PLAUSIBLE_J_PER_OP", LEAST_PLAUSIBLE_J_PER_OP, "J", least))
    for limit in dataclasses.fields(Limits):
        found.append(Constant(f"check.{limit.name}", float(limit.default), "1", "a choice: dbpsim/findings.py says why"))  # type: ignore[arg-type]
    return found


def _presets(hardware: str | Hardware | None) -> dict[str, Hardware]:
    known = {preset.name: preset for preset in list_hardware()}
    if hardware is not None:
        mine = load_hardware(hardware)
        known[mine.name] = mine
    return known


def _of_sections(path: str, device: BaseModel) -> Iterator[Constant]:
    for name in type(device).model_fields:
        section = getattr(device, name)
        if isinstance(section, BaseModel):
            yield from _of_section(f"{path}.{name}", section, "")


def _of_section(path: str, section: BaseModel, fallback: str) -> Iterator[Constant]:
    source = getattr(section, "source", "") or fallback
    ranges = getattr(section, "range", None)
    for key, info in type(section).model_fields.items():
        value, said = getattr(section, key), info.alias or key
        if key in ("source", "range"):
            continue
        if isinstance(value, BaseModel):
            yield from _of_section(f"{path}.{said}", value, source)
            continue
        ends = ranges.get(key, (None, None)) if isinstance(ranges, dict) else (None, None)
        for place, number in _numbers(value):
            yield Constant(f"{path}.{said}{place}", number, unit_of(said), source or fallback, *ends)


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield "", float(value)
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from ((f"[{place}]{rest}", number) for rest, number in _numbers(item))


def explain(name: str, *, hardware: str | Hardware = "pcm", components: str | Components = "default") -> list[Constant]:
    """Return the constants that `name` means: one by its whole path, or all whose path holds it.

    Parameters
    ----------
    name : str
        A path, a part of one, or a pattern of a whole path with ``*`` and ``?``.
    hardware : str or Hardware
        Of the reference cost; a figure of another preset is seen on that one.
    components : str or Components

    Raises
    ------
    ValueError
        If there is none; with the nearest names.

    Examples
    --------
    >>> found = explain("adc.energy_factor")[0]
    >>> found.path, found.value, [name for name, value in found.depends.items() if value > 0.9]
    ('components.adc.energy_factor', 1.0, ['adc'])
    """
    every = constants(components, hardware)
    found = _named(name, every)
    if not found:
        words = suggestion(name, [constant.path for constant in every]) or "."
        tails = sorted({constant.path.rpartition(".")[2] for constant in every})
        raise ValueError(f"{name!r}: no such constant{words if words != '.' else suggestion(name, tails) or '.'} "
                         "Accepted: a path such as components.adc.energy_factor, a part, or a pattern with *.")  # fmt: skip
    if len(found) > 1:
        return found
    costing = _costing(found[0].path, hardware, load_components(components))
    return [replace(found[0], depends=_depends(found[0].value, costing) if costing else None)]


def _named(name: str, every: list[Constant]) -> list[Constant]:
    exact = [constant for constant in every if constant.path == name]
    if exact:
        return exact
    wanted = name.lower()
    if "*" in name or "?" in name:
        pattern = wanted.replace("[", "[[]")  # brackets are part of paths
        return [constant for constant in every if fnmatch.fnmatchcase(constant.path.lower(), pattern)]
    return [constant for constant in every if wanted in constant.path.lower()]


Costing = Callable[[float], CostTable]


def _depends(value: float, costing: Costing) -> dict[str, float] | None:
    before = _views_at(value, costing) if value else None
    found = None
    for near in (value * _STEP, value / _STEP, *_whole(value)) if before else ():
        after = _views_at(near, costing)
        if before is None or after is None:
            continue
        found = _elasticities(before, after, math.log(near / value))
        if found or near != int(near):  # one row more may leave the number of tiles as it is; twice as many do not
            break
    return found


def _elasticities(before: dict[str, float], after: dict[str, float], step: float) -> dict[str, float]:
    moved = {name: math.log(after[name] / old) / step for name, old in before.items() if old > 0 and after[name] > 0}
    return {name: power for name, power in moved.items() if abs(power) > _LEAST}


def _whole(value: float) -> tuple[int, ...]:
    if value != int(value) or value < 1:
        return ()
    whole = int(value)
    return (whole + 1, 2 * whole) if whole == 1 else (whole + 1, whole - 1, 2 * whole)


def _views_at(value: float, costing: Costing) -> dict[str, float] | None:
    # None where the schema does not accept `value`: beyond a bound, between whole numbers, or a cell the preset cannot use.
    try:
        table = costing(int(value) if value == int(value) else value)
    except ValueError:
        return None
    return table.by_component | {"total": table.total_J, "latency": table.latency_s}


def _costing(path: str, hardware: str | Hardware, components: Components) -> Costing | None:
    # The reference cost as a function of the figure at `path`; None for an entry of a table, which no override reaches.
    kind, _, rest = path.partition(".")
    owner, _, key = rest.partition(".")
    base = load_hardware(hardware)
    if kind == "components":
        return lambda value: _reference(base, with_values(components, {rest: value}))
    if kind == "digital":
        machine = load_digital(owner)
        return lambda value: digital_cost(owner, machine.model_copy(update={key: value}), _network()).table
    if kind not in ("device", "hardware"):
        return lambda value: _reference(base, components)
    if "[" in key:
        return None
    if kind == "device":
        held = base if owner == base.device.name else load_hardware(base, {"device": load_device(owner).model_dump()})
        return lambda value: _reference(load_hardware(held, {f"device.{key}": value}), components)
    preset = _presets(hardware)[owner]
    return lambda value: _reference(load_hardware(preset, {key: value}), components)


def _network() -> Network:
    return models.mlp(784, 256, 10)


def _reference(hardware: Hardware, components: Components) -> CostTable:
    activity = expected_activity(_network(), hardware)
    return estimate(hardware, activity, schedule="wavefront", components=components, samples=1)
