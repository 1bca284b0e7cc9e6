"""Cells that no pulse moves, and lines that are open.

    stuck on      at g_max        (a filament that does not break)
    stuck off     at g_min        (one that never formed)
    stuck random  uniform between them
    dead line     an open row or column: its cells carry nothing, 0 S

Faults are rare, so they are kept as a list of cells with what those show, and pinned again after every write.
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.schema import Device


def faulty_cells(shape: tuple[int, int], device: Device, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (flat indices, conductances in S) of the faulty cells of one array of `shape` (rows, columns).

    Returns
    -------
    at : array of int64, rising
    shown : array of float32
    """
    faults, window = device.faults, device.conductance
    if faults is None:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    dead_rows = random.random(shape[0]) < faults.dead_rows
    dead_columns = random.random(shape[1]) < faults.dead_columns
    draw = random.random(shape, np.float32).ravel()
    ends = np.cumsum([faults.stuck_on, faults.stuck_off, faults.stuck_random])
    dead = (dead_rows[:, None] | dead_columns[None, :]).ravel()
    at = np.flatnonzero(dead | (draw < ends[-1]))
    shown = (window.g_min_S + window.span_S * random.random(at.size)).astype(np.float32)
    shown[draw[at] < ends[1]] = window.g_min_S
    shown[draw[at] < ends[0]] = window.g_max_S
    shown[dead[at]] = 0.0
    return at, shown


def pin(g: np.ndarray, at: np.ndarray, shown: np.ndarray) -> None:
    """Put what faulty cells show into the conductances `g`, in place.

    Raises
    ------
    ValueError
        If `g` is not C-contiguous: writes would reach a copy.

    Examples
    --------
    >>> g = np.ones((2, 2))
    >>> pin(g, np.array([3]), np.array([0.0]))
    >>> g.tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    if not g.flags.c_contiguous:
        raise ValueError("pin: found an array that is not contiguous; accepted: the array itself, not a view across it.")
    g.reshape(-1)[at] = shown
