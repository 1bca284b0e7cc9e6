"""Node voltages of a resistive crossbar with wire resistance, exact to rounding, for a batch of inputs.

Word line i is a chain of nodes u[i, j], bit line j a chain of nodes b[i, j], a cell G[i, j] between the two:

    A u - G b = g_in V (at column 0),    B b - G u = 0,    g_in = 1 / (driver + segment),  g_out = 1 / (sense + segment)

A (along rows) and B (along columns) are tridiagonal.  Eliminating u leaves (B - G A^-1 G) b = G A^-1 g_in V, symmetric and
positive definite, solved by conjugate gradients preconditioned with B.  Eight inputs go side by side in the last axis.
Ordinary nodal analysis; elimination and preconditioner are ours.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dbpsim.kernels.policy import kernel, parallel_kernel

LANES = 8


@kernel
def _pivots(g, along, first, last):
    # Inverse pivots of the chains along the second axis of g; ends tied by `first` and `last`.
    w = np.empty_like(g)
    rows, n = g.shape
    for i in range(rows):
        before = 0.0
        for j in range(n):
            d = g[i, j] + (first if j == 0 else along) + (last if j == n - 1 else along)
            before = 1.0 / (d - along * along * before)
            w[i, j] = before
    return w


@kernel
def _solve_rows(w, along, x):
    # x <- A^-1 x
    rows, n = w.shape
    for i in range(rows):
        for k in range(LANES):
            x[i, 0, k] *= w[i, 0]
        for j in range(1, n):
            for k in range(LANES):
                x[i, j, k] = (x[i, j, k] + along * x[i, j - 1, k]) * w[i, j]
        for j in range(n - 2, -1, -1):
            for k in range(LANES):
                x[i, j, k] += along * w[i, j] * x[i, j + 1, k]


@kernel
def _solve_columns(w, along, x):
    # x <- B^-1 x; w has the shape of the array
    m, columns = w.shape
    for i in range(m):
        for j in range(columns):
            for k in range(LANES):
                above = along * x[i - 1, j, k] if i > 0 else 0.0
                x[i, j, k] = (x[i, j, k] + above) * w[i, j]
    for i in range(m - 2, -1, -1):
        for j in range(columns):
            for k in range(LANES):
                x[i, j, k] += along * w[i, j] * x[i + 1, j, k]


@kernel
def _times(g, x, out):
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            for k in range(LANES):
                out[i, j, k] = g[i, j] * x[i, j, k]


@kernel
def _dot(a, b):
    total = np.zeros(LANES)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for k in range(LANES):
                total[k] += a[i, j, k] * b[i, j, k]
    return total


@kernel
def _schur(g, wa, row, column, g_out, p, u, q):
    # q <- (B - G A^-1 G) p, with u for scratch
    m, n = g.shape
    _times(g, p, u)
    _solve_rows(wa, row, u)
    for i in range(m):
        for j in range(n):
            below = g_out if i == m - 1 else column
            d = g[i, j] + below + (column if i > 0 else 0.0)
            for k in range(LANES):
                value = d * p[i, j, k] - g[i, j] * u[i, j, k]
                if i > 0:
                    value -= column * p[i - 1, j, k]
                if i < m - 1:
                    value -= column * p[i + 1, j, k]
                q[i, j, k] = value


@kernel
def _solve_lanes(g, wa, wb, row, column, g_in, g_out, v, tolerance, limit, u, b):
    # v (rows, LANES); fills u and b; returns the iterations, -1 if `limit` did not do.
    m, n = g.shape
    u[:] = 0.0
    for i in range(m):
        for k in range(LANES):
            u[i, 0, k] = g_in * v[i, k]
    _solve_rows(wa, row, u)
    r, q = np.empty_like(u), np.empty_like(u)
    _times(g, u, r)
    b[:] = 0.0
    z = r.copy()
    _solve_columns(wb, column, z)
    p = z.copy()
    rz = _dot(r, z)
    goal = rz * tolerance * tolerance
    count = -1
    for step in range(limit):
        if np.all(rz <= goal):
            count = step
            break
        _schur(g, wa, row, column, g_out, p, u, q)
        pq = _dot(p, q)
        alpha = np.zeros(LANES)
        for k in range(LANES):
            if rz[k] > goal[k]:
                alpha[k] = rz[k] / pq[k]
        for i in range(m):
            for j in range(n):
                for k in range(LANES):
                    b[i, j, k] += alpha[k] * p[i, j, k]
                    r[i, j, k] -= alpha[k] * q[i, j, k]
                    z[i, j, k] = r[i, j, k]
        _solve_columns(wb, column, z)
        new = _dot(r, z)
        for i in range(m):
            for j in range(n):
                for k in range(LANES):
                    beta = new[k] / rz[k] if rz[k] > goal[k] else 0.0
                    p[i, j, k] = z[i, j, k] + beta * p[i, j, k]
        rz = new
    _times(g, b, u)
    for i in range(m):
        for k in range(LANES):
            u[i, 0, k] += g_in * v[i, k]
    _solve_rows(wa, row, u)
    return count


@parallel_kernel
def solve_nodes(g, row, column, g_in, g_out, v, tolerance, limit, keep):
    """Return (iterations, currents, u, b): per block of LANES inputs; u, b hold one block where `keep` is False.

    g (m, n) S; row, column: segment conductances; v (blocks, m, LANES) V; currents (blocks, n, LANES) A.
    """
    m, n = g.shape
    blocks = v.shape[0]
    wa = _pivots(g, row, g_in, 0.0)
    wb = np.ascontiguousarray(_pivots(np.ascontiguousarray(g.T), column, 0.0, g_out).T)
    held = blocks if keep else 0
    us, bs = np.empty((held, m, n, LANES)), np.empty((held, m, n, LANES))
    currents, counts = np.empty((blocks, n, LANES)), np.empty(blocks, np.int64)
    for t in prange(blocks):
        u, b = np.empty((m, n, LANES)), np.empty((m, n, LANES))
        counts[t] = _solve_lanes(g, wa, wb, row, column, g_in, g_out, v[t], tolerance, limit, u, b)
        for j in range(n):
            for k in range(LANES):
                currents[t, j, k] = g_out * b[m - 1, j, k]
        if keep:
            us[t] = u
            bs[t] = b
    return counts, currents, us, bs
