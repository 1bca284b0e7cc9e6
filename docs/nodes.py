#!/usr/bin/env python3
"""Write docs/nodes.md, component libraries at other technology nodes: `python3 docs/nodes.py` (needs dbpsim installed)."""

from __future__ import annotations

from pathlib import Path

import dbpsim as dbp
from dbpsim.cost import load_components
from dbpsim.cost.quantities import quantity
from dbpsim.cost.scaling import area_factor, arithmetic_factor, energy_factor, nominal_supply_V, scaled
from dbpsim.cost.table import CostTable

PAGE = Path(__file__).with_name("nodes.md")
NODES_m = (1.3e-7, 6.5e-8, 4.5e-8, 3.2e-8, 2.2e-8, 1.4e-8, 7e-9)
MODES = ("dyadic-free", "dyadic-clocked", "analog-bp")
NETWORK = "mlp:784-256-256-10"

_INTRO = """# Other technology nodes

Written by `python3 docs/nodes.py` from `dbpsim/cost/scaling.py`. The default library is one of 28 to 45 nm;
`scaled(components, node_m)`, or a library file of three lines, is the same circuits elsewhere between 130 and 7 nm:

    name = "mine"
    based_on = "default"
    node_m = 1.4e-8

and every figure that the file gives besides stands as it is. Logic goes by Stillmaker and Baas (2017), adders and
multipliers by the same operations as published for 45 nm (Horowitz) and 7 nm (Jouppi et al.), converters as logic. Held by
`tests/cost/test_scaling.py` against figures the tables were not made from: SRAM by CACTI 7 at 45, 32 and 22 nm (within
15 %), Accelergy's regression of the survey of converters from 130 to 22 nm (15 %), NeuroSim's SPICE fits of a converter
from 130 to 7 nm (a factor of 2). From 45 to 7 nm the two tables of digital energy disagree by a factor of
6; ranges reach from one to the other.

What noise, matching or the memory sets stays: capacitors of states and samples, amplifiers but for their supply, the
cells' own V^2 G t, pulses."""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _without_update_and_dram(table: CostTable) -> float:
    return sum(line.energy_J for line in table.lines if line.phase != "update" and line.component != "dram")


def page() -> str:
    """Return the page."""
    factors, costs, saved = [], [], []
    network = dbp.models.by_name(NETWORK)
    for node_m in NODES_m:
        node = f"{node_m * 1e9:g} nm"
        parts = scaled(load_components(), node_m)
        numbers = (law(3.2e-8, node_m) for law in (energy_factor, arithmetic_factor, area_factor))
        factors.append((node, f"{nominal_supply_V(node_m):.2f} V", *(f"{x:.3g}" for x in numbers)))
        comparison = dbp.compare(network, hardware="ecram", modes=MODES, components=parts)
        reads = [_without_update_and_dram(row.table) for row in comparison.rows]
        costs.append((node, *(quantity(x, "J") for x in reads), f"{comparison.rows[0].table.total_area_m2 * 1e6:.2f} mm2"))
        saved.append(reads)
    at_32, at_7 = saved[NODES_m.index(3.2e-8)], saved[-1]
    falls = ", ".join(f"{mode} {1 - new / old:.0%}" for mode, new, old in zip(MODES, at_7, at_32, strict=True))
    text = [
        *_INTRO.splitlines(), "", "Factors of 32 nm:", "",
        *_table(("node", "supply", "logic", "arithmetic", "area of logic"), factors), "",
        f"A training sample of {NETWORK} on `ecram` without its update and without DRAM, and the area of the",
        "free-running chip:", "",
        *_table(("node", *MODES, "area"), costs), "",
        f"Saved from 32 to 7 nm: {falls}.",
        "What converts, buffers and computes digitally gains from a newer node; relaxation, whose energy is mostly in amplifiers",
        "and cells, gains little.", "",
    ]  # fmt: skip
    return "\n".join(text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
