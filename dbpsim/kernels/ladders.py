"""Ladders of resistors: lines of cells to ground, for all lines of an array at once.

Node p of a line has a cell g[p] to ground and a segment r to node p - 1; node 0 has the line's end.

    away[p]   = g[p] + away[p + 1] / (1 + r away[p + 1])                  what node p sees of its cell and all behind it
    fall[p]   = product over q = 1..p of 1 / (1 + r away[q])              voltage over that of node 0, driven from the end
    toward[p] = s / (1 + r s),   s = toward[p - 1] + g[p - 1]             what it sees of all between it and the end

Positions go along the first axis, lines along the second.  Kirchhoff's laws.
"""

from __future__ import annotations

import numpy as np

from dbpsim.kernels.policy import kernel


@kernel
def ladders(g, r):
    """Return (away, fall), both (positions, lines), for cells `g` (S) and segments of `r` ohm."""
    n, lines = g.shape
    away, fall = np.empty_like(g), np.empty_like(g)
    for k in range(lines):
        away[n - 1, k] = g[n - 1, k]
        fall[0, k] = 1.0
    for p in range(n - 2, -1, -1):
        for k in range(lines):
            factor = 1.0 / (1.0 + r * away[p + 1, k])
            fall[p + 1, k] = factor
            away[p, k] = g[p, k] + away[p + 1, k] * factor
    for p in range(1, n):
        for k in range(lines):
            fall[p, k] *= fall[p - 1, k]
    return away, fall


@kernel
def toward_end(g, r, end):
    """Return `toward`, (positions, lines) S; node 0 reaches the end through `end` ohm."""
    n, lines = g.shape
    toward = np.empty_like(g)
    for k in range(lines):
        toward[0, k] = 1.0 / end
    for p in range(1, n):
        for k in range(lines):
            s = toward[p - 1, k] + g[p - 1, k]
            toward[p, k] = s / (1.0 + r * s)
    return toward
