"""Wire resistance of one crossbar: currents, node voltages, powers and effective conductances by exact nodal analysis.

Row i is driven at its left end through driver + one segment; column j is sensed at its bottom end through one segment +
sense, at virtual ground.  The array is linear: I = G_eff^T V.  Equations and method: `dbpsim.kernels.nodal`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import get_num_threads

from dbpsim.kernels.nodal import LANES, solve_nodes

_TOLERANCE = 1e-12  # of the node voltages, in the mean over the array
_LIMIT = 20_000


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


@dataclass(frozen=True)
class Network:
    """Currents (A) out of the columns and into the rows, (batch, lines); node voltages (V), none of them unless kept."""

    currents: np.ndarray
    into: np.ndarray
    row_voltages: np.ndarray
    column_voltages: np.ndarray


def _in_lanes(x: np.ndarray) -> np.ndarray:
    # (batch, n) -> (blocks, n, LANES), the last block filled up with zeros
    blocks = -(-len(x) // LANES)
    padded = np.zeros((blocks * LANES, x.shape[1]))
    padded[: len(x)] = x
    return np.ascontiguousarray(padded.reshape(blocks, LANES, -1).transpose(0, 2, 1))


def solve_network(g: np.ndarray, v: np.ndarray, wires: Wires, keep: bool, source: np.ndarray | None = None) -> Network:
    """Return what `g` (rows, columns) S, which is `checked`, do for `v` (batch, rows) V; `keep` the node voltages.

    `source` (batch, rows, columns) A is a current beside every cell, into its word line and out of its bit line.
    """
    size, shape = len(v), g.shape
    row, column = 1 / wires.r_segment_row_ohm, 1 / wires.r_segment_column_ohm
    g_in, g_out = 1 / (wires.r_driver_ohm + wires.r_segment_row_ohm), 1 / (wires.r_sense_ohm + wires.r_segment_column_ohm)
    lanes = np.empty((0, 0)) if source is None else _in_lanes(source.reshape(size, -1)).reshape(-1, g.size * LANES)
    steps, currents, into, u, b = solve_nodes(
        g, row, column, g_in, g_out, _in_lanes(v), lanes, _TOLERANCE, _LIMIT, keep, get_num_threads()
    )
    if steps < 0:
        raise ValueError(
            f"wires: an array of {shape[0]} x {shape[1]} cells of up to {g.max():.3g} S behind {wires} loses nearly all of "
            f"its voltage in the wires: accepted is what is solved in {_LIMIT} steps; use shorter lines or smaller conductances"
        )
    currents, into = (x.transpose(0, 2, 1).reshape(-1, x.shape[1])[:size] for x in (currents, into))
    nodes = [np.moveaxis(x.reshape(-1, *shape, LANES), 3, 1).reshape(-1, *shape)[:size] for x in (u, b)]
    return Network(currents, into, nodes[0], nodes[1])


def checked(conductances: np.ndarray) -> np.ndarray:
    """Return `conductances` (rows, columns) as contiguous float64, or say what is wrong with them."""
    g = np.ascontiguousarray(conductances, dtype=np.float64)
    if g.ndim != 2 or g.size == 0:
        raise ValueError(f"wires: conductances of shape {g.shape}: accepted is (rows, columns), none of them 0")
    if not (np.isfinite(g).all() and (g >= 0).all()):
        raise ValueError("wires: conductances hold a negative or non-finite number: accepted is >= 0")
    return g


def checked_voltages(voltages: np.ndarray, rows: int) -> np.ndarray:
    """Return `voltages` as (batch, rows) float64; ValueError where they cannot be."""
    v = np.asarray(voltages, dtype=np.float64)
    if v.ndim != 2 or v.shape[1] != rows or not np.isfinite(v).all():
        raise ValueError(f"wires: voltages of shape {v.shape}: accepted is (batch, {rows}), finite")
    return v


def solve(conductances: np.ndarray, voltages: np.ndarray, wires: Wires) -> Solution:
    """Solve the crossbar `conductances` (rows, columns) S for `voltages` (batch, rows) V at its rows.

    Examples
    --------
    >>> found = solve(np.array([[1e-3]]), np.array([[1.0]]), Wires(100, 200, 300, 400))
    >>> float(found.currents[0, 0].round(9))
    0.0005
    """
    g, v = checked(conductances), checked_voltages(voltages, len(conductances))
    found = solve_network(g, v, wires, True)
    return with_powers(found, v, g * (found.row_voltages - found.column_voltages), wires)


def with_powers(found: Network, v: np.ndarray, cell_currents: np.ndarray, wires: Wires) -> Solution:
    """Return the solution with what sources give, and what cells (batch, rows, columns) A and wires turn into heat."""
    currents, entering, u, b = found.currents, found.into, found.row_voltages, found.column_voltages
    wire = (entering**2).sum(1) * (wires.r_driver_ohm + wires.r_segment_row_ohm)
    wire += (currents**2).sum(1) * (wires.r_sense_ohm + wires.r_segment_column_ohm)
    wire += (np.diff(u, axis=2) ** 2).sum((1, 2)) / wires.r_segment_row_ohm
    wire += (np.diff(b, axis=1) ** 2).sum((1, 2)) / wires.r_segment_column_ohm
    cell = (cell_currents * (u - b)).sum((1, 2))
    return Solution(currents, u, b, (v * entering).sum(1), cell, wire)


def effective_conductance(conductances: np.ndarray, wires: Wires, transposed: bool = False) -> np.ndarray:
    """Return G_eff (rows, columns) S: currents = voltages @ G_eff; where `transposed`, columns drive: voltages @ G_eff.T.

    The transposed read has its drivers at the bottom of the columns and senses at the left of the rows.  It is the
    same network with driver and sense exchanged, so by reciprocity its matrix is that network's.
    """
    g = checked(conductances)
    if transposed:
        wires = Wires(wires.r_segment_row_ohm, wires.r_segment_column_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
    if g.shape[1] < len(g):  # fewer inputs from the other side, by reciprocity
        turned = Wires(wires.r_segment_column_ohm, wires.r_segment_row_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
        return solve_network(np.ascontiguousarray(g[::-1, ::-1].T), np.eye(g.shape[1]), turned, False).currents[::-1, ::-1].T
    return solve_network(g, np.eye(len(g)), wires, False).currents


def end_currents(conductances: np.ndarray, voltages: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray]:
    """Return the currents (A) at both ends of the lines for `voltages` (batch, rows) V: out of the columns, into the rows.

    Examples
    --------
    >>> out, into = end_currents(np.array([[1e-3]]), np.array([[1.0]]), Wires(100, 200, 300, 400))
    >>> out.round(9).tolist(), into.round(9).tolist()
    ([[0.0005]], [[0.0005]])
    """
    found = solve_network(checked(conductances), np.asarray(voltages, dtype=np.float64), wires, False)
    return found.currents, found.into
