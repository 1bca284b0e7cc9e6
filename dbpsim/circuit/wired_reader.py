"""Reading arrays with wire resistance back from the decks that `dbpsim.circuit.wired_array` writes.

Nodes say where a resistor sits; the E and F sources say which input and output a line belongs to.  The transposed copy has to
be the same array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from dbpsim.circuit.dense import TileWires
from dbpsim.crossbar.wires import Wires

_NODE = re.compile(r"([wqis])([ft])(\d{1,6})_(\d{1,6})(?:_(\d{1,6}))?")
Line = tuple[int, list[str]]
_Place = tuple[int, int, int]


class _Copy:
    """What one copy of the arrays (forward or transposed) holds, by tile and place."""

    def __init__(self) -> None:
        self.cells: dict[_Place, float] = {}
        self.segments: dict[str, set[float]] = {"w": set(), "q": set()}
        self.ends: dict[str, set[float]] = {"w": set(), "q": set()}

    def add(self, number: int, a: re.Match[str], b: re.Match[str], ohm: float) -> None:
        """Take over a resistor between two nodes."""
        kinds, place = {a[1], b[1]}, (int(a[3]), int(a[4]), int(a[5] or 0))
        if kinds == {"w", "q"} and a.groups()[2:] == b.groups()[2:]:
            self.cells[place] = 1 / ohm
        elif kinds == {"w"} or kinds == {"q"}:
            self.segments[a[1]].add(ohm)
        elif len(kinds) == 2 and kinds & {"i", "s"} and kinds & {"w", "q"}:
            self.ends[a[1] if a[1] in "wq" else b[1]].add(ohm)
        else:
            raise ValueError(f"line {number}: found a resistor between {a[0]} and {b[0]}; accepted: what netlist writes.")


def read_wired(
    name: str, rows: dict[str, int], columns: dict[str, int], body: list[Line], value: Callable[[str, int], float]
) -> tuple[np.ndarray, np.ndarray, TileWires]:
    """Return (G+, G-, wires) of a subcircuit's `body`; `rows` and `columns` number its ports v and u.

    Raises
    ------
    ValueError
        With the line, for what `netlist` would not write.
    """
    copies = {"f": _Copy(), "t": _Copy()}
    inputs: dict[tuple[int, int], int] = {}
    outputs: dict[tuple[int, int], int] = {}
    for number, words in body:
        nodes = [_NODE.fullmatch(word) for word in words[1:3]]
        if words[0][0] == "R" and len(words) == 4 and nodes[0] and nodes[1] and nodes[0][2] == nodes[1][2]:
            ohm = value(words[3], number)
            if ohm <= 0:
                raise ValueError(f"line {number}: found {words[3]} ohm; accepted: a resistance above 0.")
            copies[nodes[0][2]].add(number, nodes[0], nodes[1], ohm)
        elif words[0][0] == "E" and len(words) == 6 and nodes[0] and words[3] in rows:
            inputs[int(nodes[0][3]), int(nodes[0][4])] = rows[words[3]]
        elif words[0][0] == "F" and len(words) == 5 and (words[1] in columns or words[2] in columns):
            sensed = _NODE.fullmatch(f"s{words[3][1:]}")
            if sensed:
                outputs[int(sensed[3]), int(sensed[4])] = columns[words[2] if words[2] in columns else words[1]]
    forward, back = copies["f"], copies["t"]
    if back.cells and back.cells != forward.cells:
        raise ValueError(f"crossbar_{name}: found a transposed read of other cells; accepted: the same cells both ways.")
    sides = np.zeros((2, len(columns), len(rows)))
    for (tile, j, k), siemens in forward.cells.items():
        if (tile, j) not in inputs or (tile, k) not in outputs:
            raise ValueError(f"crossbar_{name}: found a cell of tile {tile} on a line without a source or a sense.")
        sides[k % 2, outputs[tile, k], inputs[tile, j]] = siemens
    first = [max((line for tile, line in found if tile == 0), default=0) + 1 for found in (inputs, outputs)]
    return sides[0], sides[1], TileWires(_resistances(name, forward), first[0], (first[1] + 1) // 2)


def _resistances(name: str, copy: _Copy) -> Wires:
    for kind, found in (("segments", copy.segments), ("ends", copy.ends)):
        for line, several in found.items():
            if len(several) > 1 or (kind == "ends" and not several):
                raise ValueError(f"crossbar_{name}: found {len(several)} resistances of {kind} {line}; accepted: one.")
    total = {line: next(iter(copy.ends[line])) for line in "wq"}
    segment = {line: next(iter(copy.segments[line]), None) for line in "wq"}
    # A line of one cell has no segment but the one at its end: there only the sum counts.
    known = [total[line] - ohm for line, ohm in segment.items() if ohm is not None]
    end = known[0] if known else 0.0
    if end < -1e-9 * max(total.values()) or any(not math.isclose(end, other, rel_tol=1e-9, abs_tol=1e-9) for other in known):
        raise ValueError(f"crossbar_{name}: found drivers of {end:g} ohm and others; accepted: drivers and senses alike.")
    end = max(end, 0.0)
    row, column = (total[line] - end if ohm is None else ohm for line, ohm in segment.items())
    return Wires(row, column, end, end)
