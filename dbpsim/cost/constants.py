"""Every figure of a component library by name, and libraries with some of them changed.

A figure's path is its place in the file: ``amplifier.load_F``, ``adc.energy_J[8]`` (8 bits), ``alu.multiply_J.fp16``.
Its unit is the end of its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbpsim.cost.components import Components
from dbpsim.cost.parts import Part

# endings of keys, longest first, and what they stand for
_UNITS = (
    ("_FLOP_per_s", "FLOP/s"), ("_accumulates_per_s", "1/s"), ("_V_per_s", "V/s"), ("_V_rtHz", "V/rtHz"), ("_J_per_bit", "J/bit"),
    ("_F_per_m2", "F/m2"), ("_per_bit_J", "J/bit"), ("_per_bit_F", "F/bit"), ("_per_bit_m2", "m2/bit"), ("_per_cell_F", "F/cell"),
    ("_per_V", "1/V"), ("_Hz", "1/s"), ("_dB", "dB"), ("_F2", "squares of the node"), ("_m2", "m2"), ("_m", "m"), ("_J", "J"),
    ("_V", "V"), ("_F", "F"), ("_W", "W"), ("_S", "S"), ("_s", "s"), ("_K", "K"), ("_bits", "bits"), ("_um2", "um2"),
    ("_um", "um"), ("_eV", "eV"), ("_ohm", "ohm"), ("_lsb", "steps"), ("cycles", "cycles"),
)  # fmt: skip
_SKIPPED = ("range", "source", "bits")


def unit_of(key: str) -> str:
    """Return the unit that a key ends in, "1" for plain numbers.

    Examples
    --------
    >>> unit_of("load_F"), unit_of("energy_per_bit_J"), unit_of("feedback_factor")
    ('F', 'J/bit', '1')
    """
    return next((unit for ending, unit in _UNITS if key.endswith(ending)), "1")


@dataclass(frozen=True)
class Figure:
    """One number of a library; `low` and `high` equal `value` where no range is given."""

    path: str
    value: float
    low: float
    high: float
    unit: str
    node_m: float
    source: str

    @property
    def ranged(self) -> bool:
        """Whether its source gives a range."""
        return self.high > self.low


def figures(components: Components) -> list[Figure]:
    """Return every figure of `components`, in the order of the file.

    Examples
    --------
    >>> from dbpsim.cost.components import load_components
    >>> load = {f.path: f for f in figures(load_components())}["amplifier.load_F"]
    >>> load.value, load.high, load.unit
    (1e-13, 5e-13, 'F')
    """
    return [figure for name, part in _parts(components) for figure in _figures(name, part)]


def _parts(components: Components) -> Iterator[tuple[str, Part]]:
    for name in type(components).model_fields:
        part = getattr(components, name)
        if isinstance(part, Part):
            yield name, part


def _figures(name: str, part: Part) -> Iterator[Figure]:
    for key, info in type(part).model_fields.items():
        value, said = getattr(part, key), info.alias or key
        if key in _SKIPPED or isinstance(value, str):
            continue
        low, high = part.range.get(key, (None, None))
        for place, number in _numbers(part, value):
            at = f"{name}.{said}{place}"
            yield Figure(
                at, float(number), float(number if low is None else low), float(number if high is None else high),
                unit_of(said), part.node_m, part.source,
            )  # fmt: skip


def _numbers(part: Any, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        yield from ((f".{key}", number) for key, number in value.items())
    elif isinstance(value, tuple):
        yield from ((f"[{bits}]", number) for bits, number in zip(part.bits, value, strict=True))
    else:
        yield "", value


def with_values(components: Components, values: Mapping[str, float]) -> Components:
    """Return `components` with the figures at some paths replaced.

    Ranges are dropped from the parts that change, and nothing is validated again: this is for sweeps over known paths.

    Raises
    ------
    ValueError
        For a path that `figures` does not list.

    Examples
    --------
    >>> from dbpsim.cost.components import load_components
    >>> changed = with_values(load_components(), {"amplifier.load_F": 2e-13, "adc.energy_J[8]": 1e-12})
    >>> changed.amplifier.load_F, changed.adc.energy_J(8)
    (2e-13, 1e-12)
    """
    by_part: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, _, rest = path.partition(".")
        part = getattr(components, name, None)
        if not isinstance(part, Part):
            raise ValueError(f"{path}: no such figure of the library {components.name}")
        _put(part, rest, value, by_part.setdefault(name, {"range": {}}), path)
    parts = {name: getattr(components, name).model_copy(update=update) for name, update in by_part.items()}
    return components.model_copy(update=parts)


def _put(part: Part, rest: str, value: float, update: dict[str, Any], path: str) -> None:
    keys = {info.alias or key: key for key, info in type(part).model_fields.items() if key not in _SKIPPED}
    said, _, entry = rest.replace("]", "").replace("[", ".").partition(".")
    key = keys.get(said)
    held = None if key is None else update.get(key, getattr(part, key))
    if isinstance(held, dict) and entry in held:
        update[key or ""] = {**held, entry: value}
    elif isinstance(held, tuple) and entry.isdigit() and int(entry) in getattr(part, "bits", ()):
        place = getattr(part, "bits").index(int(entry))  # noqa: B009 (only tables have it)
        update[key or ""] = (*held[:place], value, *held[place + 1 :])
    elif isinstance(held, int | float) and not entry:
        update[key or ""] = value
    else:
        raise ValueError(f"{path}: no such figure of {type(part).__name__.lower()}")
