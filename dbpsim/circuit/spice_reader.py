"""Reading SPICE decks back: those `netlist` writes, and plain resistor crossbars that others wrote.

A deck is data here: nothing in it is run.  `.include`, `.lib` and `.control` are refused, sizes are capped, and every
error names the line.  Cells are found by their nodes, never by their names.

Of a resistor crossbar the two sides are the two colours of the graph that its resistors make; rows are the side that
holds a driven node (a V source to ground), or else the first node of the first resistor.  Rows and columns are in the order in
which the deck first names them; parallel resistors add; a pair of nodes without a resistor has 0 S.

Lines with resistance of their own, a node a cell, would pass for a crossbar too: a grid has two colours.  But then nodes of
one side lie along lines, without a source, and few pairs have a resistor: such decks are refused.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dbpsim.circuit.dense import ACTIVATIONS, DenseCircuit, DenseStage
from dbpsim.circuit.wired_reader import read_wired

LARGEST_FILE = 256 * 2**20  # bytes
LARGEST_ARRAY = 4_000_000  # cells of one array
_SUFFIX = {"t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(meg|[tgkmunpf])?[a-z]*")
_REFUSED = (".include", ".inc", ".lib", ".control", ".endc", ".exec", ".load")
_GROUND = ("0", "gnd")

Line = tuple[int, list[str]]


@dataclass(frozen=True)
class ResistorCrossbar:
    """A crossbar of plain resistors.

    Attributes
    ----------
    rows, columns : tuple of str
        Nodes, lower case, in the order in which the deck names them.
    conductance_S : array, shape (rows, columns)
    drive_V : array, shape (rows,)
        Voltages of the sources at the rows; nan where there is none.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    conductance_S: np.ndarray
    drive_V: np.ndarray


def read_netlist(path: str | os.PathLike[str]) -> DenseCircuit | ResistorCrossbar:
    r"""Read a deck: a `DenseCircuit` of one that `netlist` wrote, a `ResistorCrossbar` of one that holds resistors.

    Parameters
    ----------
    path : path
        At most 256 MB.

    Raises
    ------
    ValueError
        With the number of the line, for what is neither, includes, or commands.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "bar.cir"
    >>> _ = file.write_text("a bar\nVin top 0 0.2\nRx top left 10k\nR2 top right 20k\n.end\n")
    >>> bar = read_netlist(file)
    >>> bar.rows, bar.columns, bar.conductance_S.tolist()
    (('top',), ('left', 'right'), [[0.0001, 5e-05]])
    """
    path = Path(path)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"{path.name}: found {size} bytes; accepted: at most {LARGEST_FILE}.")
    try:
        lines = list(_statements(path.read_text(encoding="utf-8", errors="replace")))
        if any(words[0].startswith("Xcrossbar_") for _, words in lines):
            return _dense(lines)
        return _resistors(lines)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def value(word: str, line: int = 0) -> float:
    """Return a SPICE number: "10k" is 1e4, "1meg" 1e6 and "1m", as "1M", 1e-3.

    Examples
    --------
    >>> value("10k"), value("1M"), value("2.5MEGohm"), value("1e-6")
    (10000.0, 0.001, 2500000.0, 1e-06)
    """
    found = _NUMBER.fullmatch(word.lower())
    if not found:
        raise ValueError(f"line {line}: found {word[:40]!r}; accepted: a number.")
    number = float(found[1])
    number *= _SUFFIX[found[2]] if found[2] else 1.0
    if not math.isfinite(number):
        raise ValueError(f"line {line}: found {word[:40]!r}; accepted: a finite number.")
    return number


def _statements(text: str) -> Iterator[Line]:
    # The first line is the title.  Continuations are joined, comments dropped.
    pending: Line | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.split(r";|\$ ", raw, maxsplit=1)[0].strip()
        if number == 1 or not line or line.startswith("*"):
            continue
        if line.startswith("+"):
            if pending is None:
                raise ValueError(f"line {number}: found a continuation of nothing; accepted: '+' behind a statement.")
            pending[1].extend(line[1:].split())
            continue
        if pending:
            yield pending
        pending = (number, line.split())
        if pending[1][0].lower() in _REFUSED:
            raise ValueError(f"line {number}: found {pending[1][0]}; accepted: decks of one file without commands.")
        if pending[1][0].lower() == ".end":
            return
    if pending:
        yield pending


def _resistors(lines: list[Line]) -> ResistorCrossbar:
    cells: list[tuple[int, str, str, float]] = []
    drives: dict[str, float] = {}
    for number, words in ((n, [word.lower() for word in words]) for n, words in lines):
        if words[0][0] == "r":
            a, b, ohm = _element(number, words, 2)
            resistance = value(ohm.removeprefix("r="), number)
            if resistance <= 0:
                raise ValueError(f"line {number}: found {ohm} ohm; accepted: a resistance above 0.")
            if a not in _GROUND and b not in _GROUND:  # resistors to ground load a line; they are no cells
                cells.append((number, a, b, resistance))
        elif words[0][0] == "v":
            a, b, *_ = _element(number, words, 2)
            level = [w for w in words[3:] if w != "dc"]
            if b in _GROUND and level and _NUMBER.fullmatch(level[0]):
                drives[a] = value(level[0], number)
        elif words[0][0] == "x":
            raise ValueError(f"line {number}: found a subcircuit; accepted: plain resistors, or a deck written by dbpsim.")
    if not cells:
        raise ValueError("found no resistors between two nodes; accepted: a resistor crossbar, or a deck written by dbpsim.")
    side, part = _sides(cells, drives)
    _refuse_wires(cells, drives, side, part)
    rows = {node: i for i, node in enumerate(n for n in side if side[n])}
    columns = {node: i for i, node in enumerate(n for n in side if not side[n])}
    if len(rows) * len(columns) > LARGEST_ARRAY:
        raise ValueError(f"found {len(rows)} x {len(columns)} nodes; accepted: at most {LARGEST_ARRAY} cells.")
    conductance = np.zeros((len(rows), len(columns)))
    for _, a, b, resistance in cells:
        row, column = (a, b) if side[a] else (b, a)
        conductance[rows[row], columns[column]] += 1 / resistance
    driven = np.array([drives.get(row, math.nan) for row in rows])
    return ResistorCrossbar(tuple(rows), tuple(columns), conductance, driven)


def _refuse_wires(
    cells: list[tuple[int, str, str, float]], drives: dict[str, float], side: dict[str, bool], part: dict[str, str]
) -> None:
    # A connected part with a row that nothing drives, and no more than half of its pairs joined.
    rows, columns = (Counter(part[node] for node in side if side[node] is row) for row in (True, False))
    pairs = Counter(part[a] for a, _ in {(a, b) if side[a] else (b, a) for _, a, b, _ in cells})
    sparse = {name for name, count in pairs.items() if 2 * count <= rows[name] * columns[name]}
    for number, a, b, _ in cells:
        row = a if side[a] else b
        if part[row] in sparse and row not in drives:
            raise ValueError(
                f"line {number}: found {row[:40]} among the rows without a source, and few resistors for so many nodes: wires "
                "with resistance?  Accepted: lines of one node each, every row of a sparse crossbar with a V source to ground."
            )


def _sides(
    cells: list[tuple[int, str, str, float]], drives: dict[str, float]
) -> tuple[dict[str, bool], dict[str, str]]:
    # True for rows, and a node that stands for the connected part.  Each part is coloured from one node of known side.
    order: dict[str, None] = {}
    beside: dict[str, list[tuple[int, str]]] = {}
    for number, a, b, _ in cells:
        order.update({a: None, b: None})
        beside.setdefault(a, []).append((number, b))
        beside.setdefault(b, []).append((number, a))
    side: dict[str, bool] = {}
    part: dict[str, str] = {}
    for start in [*(n for n in order if n in drives and drives[n] != 0), *order]:
        if start in side:
            continue
        side[start] = True
        left = [start]
        while left:
            node = left.pop()
            part[node] = start
            for number, other in beside[node]:
                if other not in side:
                    side[other] = not side[node]
                    left.append(other)
                elif side[other] == side[node]:
                    raise ValueError(f"line {number}: found {node} and {other} on one side; accepted: rows against columns.")
    return {node: side[node] for node in order}, part


def _element(number: int, words: list[str], nodes: int) -> list[str]:
    if len(words) < nodes + 2:
        raise ValueError(f"line {number}: found {' '.join(words)[:60]!r}; accepted: a name, {nodes} nodes and a value.")
    return words[1 : nodes + 2]


def _dense(lines: list[Line]) -> DenseCircuit:
    top, bodies = _subcircuits(lines)
    inputs = {w[1]: value(w[4], n) for n, w in top if w[0].startswith("Vinput") and len(w) == 5}
    kinds = {w[0].rpartition("_")[0].removeprefix("Xneuron_"): w[-1] for _, w in top if w[0].startswith("Xneuron_")}
    stages, before, ends = [], list(inputs), []
    for number, words in top:
        if not words[0].startswith("Xcrossbar_"):
            continue
        name = words[0].removeprefix("Xcrossbar_")
        if words[-1] not in bodies or name not in kinds or kinds[name] not in bodies:
            raise ValueError(f"line {number}: found no subcircuit or neurons of {name[:64]!r}; accepted: what netlist writes.")
        ports, body = bodies[words[-1]]
        given = words[1:-1]
        if len(given) != len(ports) or given[: len(before)] != before:
            raise ValueError(f"line {number}: found other inputs than the stage before has; accepted: a chain of stages.")
        if kinds[name].removeprefix("neuron_") not in ACTIVATIONS or sum(p[0] == "v" for p in ports) != len(before):
            raise ValueError(f"line {number}: found {kinds[name][:64]!r} or other inputs; accepted: what netlist writes.")
        stages.append(_crossbar(name, kinds[name].removeprefix("neuron_"), ports, body))
        before = [f"{name}_m{i}" for i in range(len(stages[-1].bias_V))]
        ends = [f"Bcost{i}" for i in range(len(before))]
    cost = {w[0]: (n, "".join(w[3:])) for n, w in top if w[0].startswith("Bcost")}
    if not stages or list(cost) != ends:
        raise ValueError("found no cost at every output; accepted: what netlist writes.")
    target = [value(text.rpartition("-(")[2].rstrip(")"), n) for n, text in cost.values()]
    loss = "cross_entropy" if "exp(" in next(iter(cost.values()))[1] else "mean_squared_error"
    parts = {w[0]: value(w[3], n) for n, w in bodies[kinds[stages[0].name]][1] if w[0] in ("Cx", "Rx") and len(w) > 3}
    if set(parts) != {"Cx", "Rx"}:
        raise ValueError("found a neuron without Cx or Rx; accepted: what netlist writes.")
    return DenseCircuit(tuple(stages), loss, np.array(list(inputs.values())), np.array(target), parts["Rx"], parts["Cx"])


def _subcircuits(lines: list[Line]) -> tuple[list[Line], dict[str, tuple[list[str], list[Line]]]]:
    top: list[Line] = []
    bodies: dict[str, tuple[list[str], list[Line]]] = {}
    inside: list[Line] | None = None
    for number, words in lines:
        if words[0] == ".subckt":
            if inside is not None or len(words) < 2 or words[1] in bodies:
                raise ValueError(f"line {number}: found a subcircuit in another, without a name, or twice.")
            inside = []
            bodies[words[1]] = (words[2:], inside)
        elif words[0] == ".ends":
            inside = None
        else:
            (top if inside is None else inside).append((number, words))
    return top, bodies


def _crossbar(name: str, activation: str, ports: list[str], body: list[Line]) -> DenseStage:
    rows = {port: i for i, port in enumerate(dict.fromkeys(p for p in ports if p[0] == "v"))}
    columns = {port: i for i, port in enumerate(dict.fromkeys(p for p in ports if p[0] == "u"))}
    if len(rows) * len(columns) > LARGEST_ARRAY:
        raise ValueError(f"{name}: found {len(columns)} x {len(rows)} cells; accepted: at most {LARGEST_ARRAY}.")
    plus, minus, wires = np.zeros((len(columns), len(rows))), np.zeros((len(columns), len(rows))), None
    if any(words[0][0] == "F" for _, words in body):
        plus, minus, wires = read_wired(name, rows, columns, body, value)
    ohm, bias = np.zeros(len(columns)), np.zeros(len(columns))
    transposed: list[tuple[int, str, str, str, float]] = []
    for number, words in body:
        if words[0][0] == "G":
            to, back, gate, _, siemens = _element(number, words, 4)
            if gate not in rows:
                transposed.append((number, to, back, gate, value(siemens, number)))
            elif to == "0" and back in columns:
                plus[columns[back], rows[gate]] += value(siemens, number)
            elif back == "0" and to in columns:
                minus[columns[to], rows[gate]] += value(siemens, number)
            else:
                raise ValueError(f"line {number}: found a source between {to} and {back}; accepted: a column and ground.")
        elif words[0][0] == "R" and _element(number, words, 2)[0] in columns:
            ohm[columns[words[1]]] = value(_element(number, words, 2)[2], number)
        elif words[0][0] == "I" and len(words) == 5 and words[2] in columns:
            bias[columns[words[2]]] = value(words[4], number)
    if not (ohm > 0).all():
        raise ValueError(f"crossbar_{name}: found columns without an amplifier; accepted: one resistor to ground each.")
    for number, to, back, gate, read in transposed:
        side, node = (plus, back) if to == "0" else (minus, to)
        i, j = columns.get("u" + gate[1:]), rows.get("v" + node[1:])
        if i is None or j is None or not math.isclose(read, side[i, j] * ohm[i] / ohm.max(), rel_tol=1e-12):
            raise ValueError(f"line {number}: found a transposed read of another cell; accepted: the same cells both ways.")
    return DenseStage(name, activation, plus, minus, ohm, bias * ohm, wires)
