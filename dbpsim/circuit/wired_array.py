"""Arrays with wire resistance in a deck: resistors cell by cell and segment by segment.

Tile t of a crossbar is there twice, once a read direction (f and t), since a deck reads both ways at once:

    word line of input j     nodes  wf<t>_<j>_<k>,   k = 0, 1, ...: bit lines plus and minus of the outputs in turn
    bit line k               nodes  qf<t>_<j>_<k>
    driven end               E source of the input's voltage, driver and segment as one resistor
    sensed end               segment and sense as one resistor into a V source of 0 V, whose current an F source adds to the node

Layout: `dbpsim.crossbar.wire_resistance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dbpsim.circuit.dense import DenseStage


def wired_array(stage: DenseStage, transposed: bool, number: Callable[[float], str]) -> Iterator[str]:
    """Yield the elements of the array of `stage` between v and u; with `transposed` also those between d and b.

    Parameters
    ----------
    stage : DenseStage
        With wires.
    transposed : bool
    number : function
        Writes a number.
    """
    assert stage.wires is not None
    reference = float(stage.feedback_ohm.max())
    for t, (outputs, inputs) in enumerate(stage.wires.tiles(*stage.g_plus_S.shape)):
        lines = np.stack([stage.g_plus_S[outputs, inputs].T, stage.g_minus_S[outputs, inputs].T], axis=2)
        cells = lines.reshape(len(lines), -1)
        rows, columns = cells.shape
        wires = stage.wires.resistances
        drive_row, drive_column = (number(wires.r_driver_ohm + r) for r in (wires.r_segment_row_ohm, wires.r_segment_column_ohm))
        # drivers and senses are alike, so a driven end is a sensed end
        yield f"* tile {t}: inputs {inputs.start} to {inputs.stop - 1}, outputs {outputs.start} to {outputs.stop - 1}, forward"
        yield from _body(f"f{t}", cells, wires.r_segment_row_ohm, wires.r_segment_column_ohm, number)
        for j in range(rows):
            yield f"Ef{t}_{j} if{t}_{j} 0 v{inputs.start + j} 0 {number(1.0)}"
            yield f"Rfd{t}_{j} if{t}_{j} wf{t}_{j}_0 {drive_row}"
        for k in range(columns):
            u = f"u{outputs.start + k // 2}"
            yield f"Rfs{t}_{k} qf{t}_{rows - 1}_{k} sf{t}_{k} {drive_column}"
            yield f"Vf{t}_{k} sf{t}_{k} 0 DC {number(0.0)}"
            yield f"Ff{t}_{k} {f'{u} 0' if k % 2 else f'0 {u}'} Vf{t}_{k} {number(1.0)}"
        if not transposed:
            continue
        yield f"* tile {t}, transposed"
        yield from _body(f"t{t}", cells, wires.r_segment_row_ohm, wires.r_segment_column_ohm, number)
        for k in range(columns):
            i = outputs.start + k // 2
            share = stage.feedback_ohm[i] / reference * (-1 if k % 2 else 1)
            yield f"Et{t}_{k} it{t}_{k} 0 d{i} 0 {number(share)}"
            yield f"Rtd{t}_{k} it{t}_{k} qt{t}_{rows - 1}_{k} {drive_column}"
        for j in range(rows):
            yield f"Rts{t}_{j} wt{t}_{j}_0 st{t}_{j} {drive_row}"
            yield f"Vt{t}_{j} st{t}_{j} 0 DC {number(0.0)}"
            yield f"Ft{t}_{j} 0 b{inputs.start + j} Vt{t}_{j} {number(1.0)}"


def _body(name: str, cells: np.ndarray, row_ohm: float, column_ohm: float, number: Callable[[float], str]) -> Iterator[str]:
    for (j, k), siemens in np.ndenumerate(cells):
        if siemens > 0:
            yield f"Rc{name}_{j}_{k} w{name}_{j}_{k} q{name}_{j}_{k} {number(1 / siemens)}"
        if k:
            yield f"Rw{name}_{j}_{k} w{name}_{j}_{k - 1} w{name}_{j}_{k} {number(row_ohm)}"
        if j:
            yield f"Rq{name}_{j}_{k} q{name}_{j - 1}_{k} q{name}_{j}_{k} {number(column_ohm)}"


def elements(stage: DenseStage, transposed: bool) -> int:
    """Return how many elements `wired_array` yields."""
    assert stage.wires is not None
    total = 0
    for outputs, inputs in stage.wires.tiles(*stage.g_plus_S.shape):
        rows, columns = inputs.stop - inputs.start, 2 * (outputs.stop - outputs.start)
        cells = sum(int(np.count_nonzero(g[outputs, inputs])) for g in (stage.g_plus_S, stage.g_minus_S))
        body = cells + 2 * rows * columns - rows - columns
        total += (body + 2 * rows + 3 * columns) + (body + 3 * rows + 2 * columns if transposed else 0)
    return total
