"""A component library at another technology node, by published tables (`scaling.toml`).

    logic         E ~ a V^2 + b V + c at the node's nominal supply, area by table (Stillmaker and Baas 2017); powers between nodes
    arithmetic    E ~ node^p below 45 nm, p from the same operations at 45 nm (Horowitz 2014) and 7 nm (Jouppi et al. 2021);
                  above it as logic
    length        wires and gates a cell is crossed by: C ~ node
    supply        V in proportion to the nominal supply
    converter     energy as logic, area ~ node^1.6 (Accelergy's regression of Murmann's survey)

The two tables disagree: from 45 to 7 nm an inverter's energy falls 18 times, that of arithmetic as built 3 times.  Adders and
multipliers follow the second; other logic follows the first, and its range then reaches to what the second says.  Converters
follow the first, as surveys and SPICE fits of them do.

What noise, matching or the memory sets does not shrink: capacitors of states and samples, amplifiers and transconductors (but for
their supply), programming voltages, DRAM.  These rules are choices (assumed); a library of one's own overrides any figure.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dbpsim.cost.parts import Part
from dbpsim.devices.library import read_toml

if TYPE_CHECKING:
    from dbpsim.cost.components import Components

_RULES = MappingProxyType({
    "array": {},
    "driver": {"capacitance_per_cell_F": "length", "fixed_capacitance_F": "length", "supply_V": "supply", "area_m2": "area"},
    "dac": {"capacitance_per_bit_F": "length", "supply_V": "supply", "area_per_bit_m2": "area"},
    "adc": {"energy_factor": "converter", "areas_m2": "converter area"},
    "amplifier": {"supply_V": "supply"},
    "neuron": {"supply_V": "supply"},
    "comparator": {"energy_J": "energy", "area_m2": "area"},
    "adder": {"energy_J": "energy", "area_m2": "area"},
    "alu": {"energy_factor": "arithmetic", "area_m2": "area"},
    "buffer": {"energy_per_bit_J": "energy", "area_per_bit_m2": "area"},
    "network_on_chip": {"energy_per_bit_J": "energy", "area_m2": "area"},
})  # fmt: skip


@cache
def _tables() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name("scaling.toml"))


def nodes_m() -> tuple[float, float]:
    """Return the smallest and the largest node that the tables know."""
    known = _tables()["logic"]["node_m"]
    return min(known), max(known)


def _at(node_m: float, values: list[float]) -> float:
    """Return what a table says at a node, between nodes by a power of the node."""
    known = _tables()["logic"]["node_m"]
    if not min(known) <= node_m <= max(known):
        raise ValueError(f"node_m: found {node_m:g}; accepted: {min(known):g} to {max(known):g}, where there are tables")
    return float(np.exp(np.interp(math.log(node_m), np.log(known)[::-1], np.log(values)[::-1])))


def nominal_supply_V(node_m: float) -> float:
    """Return the nominal supply of logic at a node.

    Examples
    --------
    >>> nominal_supply_V(4.5e-8), nominal_supply_V(7e-9)
    (1.0, 0.7)
    """
    return _at(node_m, _tables()["logic"]["supply_V"])


def energy_factor(from_m: float, to_m: float) -> float:
    """Return the energy of logic at node `to_m` over that at `from_m`, both at their nominal supply.

    Raises
    ------
    ValueError
        For a node outside of 7 to 130 nm.

    Examples
    --------
    >>> round(energy_factor(6.5e-8, 4.5e-8), 2), round(1 / energy_factor(4.5e-8, 7e-9))
    (0.51, 18)
    """
    energies = _logic_energies()
    return _at(to_m, energies) / _at(from_m, energies)


def _logic_energies() -> list[float]:
    table = _tables()["logic"]
    rows = zip(table["a"], table["b"], table["c"], table["supply_V"], strict=True)
    return [a * volts**2 + b * volts + c for a, b, c, volts in rows]


def arithmetic_factor(from_m: float, to_m: float) -> float:
    """Return the energy of an addition or multiplication at node `to_m` over that at `from_m`.

    Examples
    --------
    >>> round(1 / arithmetic_factor(4.5e-8, 7e-9), 1)
    2.9
    """
    return _arithmetic_energy(to_m) / _arithmetic_energy(from_m)


def _arithmetic_energy(node_m: float) -> float:
    table = _tables()["arithmetic"]
    older_m, newer_m = table["node_m"]
    if node_m > older_m:
        return energy_factor(older_m, node_m)
    _at(node_m, _logic_energies())  # refuses nodes without a table
    fall = np.mean(np.log(table["newer_J"]) - np.log(table["older_J"]))
    return float((node_m / older_m) ** (fall / math.log(newer_m / older_m)))


def area_factor(from_m: float, to_m: float) -> float:
    """Return the area of logic at node `to_m` over that at `from_m`.

    Examples
    --------
    >>> round(area_factor(4.5e-8, 3.2e-8), 2)
    0.46
    """
    areas = _tables()["logic"]["area"]
    return _at(to_m, areas) / _at(from_m, areas)


def scaled(components: Components, node_m: float) -> Components:
    """Return a library's circuits at another node.

    In a library file a top-level ``node_m`` beside ``based_on`` says the same; figures that the file gives stand as they are.

    Parameters
    ----------
    components : Components
    node_m : float
        7 to 130 nm.

    Raises
    ------
    ValueError
        For a node outside of the tables.

    Examples
    --------
    >>> from dbpsim.cost.components import load_components
    >>> small = scaled(load_components(), 1.4e-8)
    >>> round(small.adc.energy_J(8) * 1e12, 2), round(small.amplifier.supply_V, 2), small.neuron.capacitance_F
    (0.35, 0.8, 1.3e-14)
    """
    changed = {name: _moved(getattr(components, name), rules, node_m) for name, rules in _RULES.items()}
    return components.model_copy(update={"name": f"{components.name}, {node_m * 1e9:g} nm", **changed})


def _moved(part: Part, rules: dict[str, str], node_m: float) -> Part:
    if part.node_m == node_m:
        return part
    ranges, update = dict(part.range), {}
    for key, law in rules.items():
        value, (factor, other) = getattr(part, key), _factors(law, part.node_m, node_m)
        if isinstance(value, tuple):
            update[key] = tuple(v * factor for v in value)
            continue
        update[key] = value * factor
        low, high = ranges.get(key, (value, value))
        if key in ranges or other != factor:
            ranges[key] = (low * min(factor, other), high * max(factor, other))
    source = f"{part.source}. Scaled from {part.node_m * 1e9:g} to {node_m * 1e9:g} nm: dbpsim/cost/scaling.toml"
    return part.model_copy(update={**update, "range": ranges, "node_m": node_m, "source": source})


def _factors(law: str, from_m: float, to_m: float) -> tuple[float, float]:
    """Return the factor of a law, and where another source would have it (the same where there is none)."""
    if law == "energy":
        return energy_factor(from_m, to_m), arithmetic_factor(from_m, to_m)
    single = {
        "arithmetic": arithmetic_factor,
        "area": area_factor,
        "converter": energy_factor,
        "converter area": lambda old, new: (new / old) ** _tables()["converter"]["area_power"],
        "length": lambda old, new: new / old,
        "supply": lambda old, new: nominal_supply_V(new) / nominal_supply_V(old),
    }[law](from_m, to_m)
    return single, single
