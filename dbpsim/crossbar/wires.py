"""Wire resistance of one crossbar: currents, node voltages, powers and effective conductances by exact nodal analysis.

Row i is driven at its left end through driver + one segment; column j is sensed at its bottom end through one segment +
sense, at virtual ground.  The array is linear: I = G_eff^T V.  Equations and method: `dbpsim.kernels.nodal`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dbpsim.kernels.nodal import LANES, solve_nodes

_TOLERANCE = 1e-13  # of the preconditioned residual
_LIMIT = 5000


@dataclass(frozen=True)
class Wires:
    """Resistances of the wires of a crossbar, in ohm; segments are positive, driver and sense may be 0.

    Raises
    ------
    ValueError
        For a resistance that is negative, not finite, or a segment of 0.
    """

    r_segment_row_ohm: float
    r_segment_column_ohm: float
    r_driver_ohm: float = 0.0
    r_sense_ohm: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            segment = "segment" in name
            if not math.isfinite(value) or value < 0 or (segment and value == 0):
                accepted = "> 0 (leave wires out for none)" if segment else ">= 0"
                raise ValueError(f"wires: {name} = {value}: accepted is a finite number {accepted}")


@dataclass(frozen=True)
class Solution:
    """What `solve` returns: currents (batch, columns) A; node voltages (batch, rows, columns) V; powers (batch,) W."""

    currents: np.ndarray
    row_voltages: np.ndarray
    column_voltages: np.ndarray
    source_power: np.ndarray
    cell_power: np.ndarray
    wire_power: np.ndarray


def _run(g: np.ndarray, v: np.ndarray, wires: Wires, keep: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    blocks = -(-len(v) // LANES)
    padded = np.zeros((blocks * LANES, len(g)))
    padded[: len(v)] = v
    lanes = np.ascontiguousarray(padded.reshape(blocks, LANES, len(g)).transpose(0, 2, 1))
    row, column = 1 / wires.r_segment_row_ohm, 1 / wires.r_segment_column_ohm
    g_in, g_out = 1 / (wires.r_driver_ohm + wires.r_segment_row_ohm), 1 / (wires.r_sense_ohm + wires.r_segment_column_ohm)
    counts, currents, u, b = solve_nodes(g, row, column, g_in, g_out, lanes, _TOLERANCE, _LIMIT, keep)
    if (counts < 0).any():
        raise RuntimeError(f"wires: the nodal solve did not converge in {_LIMIT} iterations")
    flat = currents.transpose(0, 2, 1).reshape(-1, g.shape[1])[: len(v)]
    nodes = [np.moveaxis(x, 3, 1).reshape(-1, *g.shape)[: len(v)] for x in (u, b)]
    return flat, nodes[0], nodes[1]


def checked(conductances: np.ndarray) -> np.ndarray:
    """Return `conductances` (rows, columns) as contiguous float64, or say what is wrong with them."""
    g = np.ascontiguousarray(conductances, dtype=np.float64)
    if g.ndim != 2 or g.size == 0:
        raise ValueError(f"wires: conductances of shape {g.shape}: accepted is (rows, columns), none of them 0")
    if not (np.isfinite(g).all() and (g >= 0).all()):
        raise ValueError("wires: conductances hold a negative or non-finite number: accepted is >= 0")
    return g


def solve(conductances: np.ndarray, voltages: np.ndarray, wires: Wires) -> Solution:
    """Solve the crossbar `conductances` (rows, columns) S for `voltages` (batch, rows) V at its rows.

    Examples
    --------
    >>> found = solve(np.array([[1e-3]]), np.array([[1.0]]), Wires(100, 200, 300, 400))
    >>> float(found.currents[0, 0].round(9))
    0.0005
    """
    g = checked(conductances)
    v = np.asarray(voltages, dtype=np.float64)
    if v.ndim != 2 or v.shape[1] != len(g) or not np.isfinite(v).all():
        raise ValueError(f"wires: voltages of shape {v.shape}: accepted is (batch, {len(g)}), finite")
    currents, u, b = _run(g, v, wires, True)
    entering = (v - u[:, :, 0]) / (wires.r_driver_ohm + wires.r_segment_row_ohm)
    wire = (entering**2).sum(1) * (wires.r_driver_ohm + wires.r_segment_row_ohm)
    wire += (currents**2).sum(1) * (wires.r_sense_ohm + wires.r_segment_column_ohm)
    wire += (np.diff(u, axis=2) ** 2).sum((1, 2)) / wires.r_segment_row_ohm
    wire += (np.diff(b, axis=1) ** 2).sum((1, 2)) / wires.r_segment_column_ohm
    cell = (g * (u - b) ** 2).sum((1, 2))
    return Solution(currents, u, b, (v * entering).sum(1), cell, wire)


def effective_conductance(conductances: np.ndarray, wires: Wires, transposed: bool = False) -> np.ndarray:
    """Return G_eff (rows, columns) S: currents = voltages @ G_eff; where `transposed`, columns drive: voltages @ G_eff.T.

    The transposed read has its drivers at the bottom of the columns and senses at the left of the rows.  It is the
    same network with driver and sense exchanged, so by reciprocity its matrix is that network's.
    """
    g = checked(conductances)
    if transposed:
        wires = Wires(wires.r_segment_row_ohm, wires.r_segment_column_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
    return _run(g, np.eye(len(g)), wires, False)[0]


def end_currents(conductances: np.ndarray, voltages: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray]:
    """Return the currents (A) at both ends of the lines for `voltages` (batch, rows) V: out of the columns, into the rows.

    Examples
    --------
    >>> out, into = end_currents(np.array([[1e-3]]), np.array([[1.0]]), Wires(100, 200, 300, 400))
    >>> out.round(9).tolist(), into.round(9).tolist()
    ([[0.0005]], [[0.0005]])
    """
    g, v = checked(conductances), np.asarray(voltages, dtype=np.float64)
    out, into = np.empty((len(v), g.shape[1])), np.empty(v.shape)
    for first in range(0, len(v), 4 * LANES):  # all node voltages of all inputs would be (inputs, rows, columns) twice
        some = slice(first, first + 4 * LANES)
        out[some], u, _ = _run(g, v[some], wires, True)
        into[some] = (v[some] - u[:, :, 0]) / (wires.r_driver_ohm + wires.r_segment_row_ohm)
    return out, into
