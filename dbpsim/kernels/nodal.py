"""Node voltages of a resistive crossbar with wire resistance, exact to rounding, for a batch of inputs.

Word line i is a chain of nodes u[i, j], bit line j a chain of nodes b[i, j], a cell G[i, j] between the two, beside it (where
asked for) a source of the current S[i, j] into the word line and out of the bit line:

    A u = G b + g_in V (at column 0) + S,    B b = G u - S,    g_in = 1 / (driver + segment),  g_out = 1 / (sense + segment)

A (along rows) and B (along columns) are tridiagonal.  Eliminating u leaves b = T b + c with T = B^-1 G A^-1 G, whose
eigenvalues lie in [0, rho], rho < 1: Chebyshev's iteration takes as many steps as rho says and asks for no inner products.  Where
rho is small b <- T b + c itself does: more steps, but it keeps one array where Chebyshev's three terms keep three.

A step is one sweep over the array.  The sweep that substitutes back up the bit lines solves each word line as it comes by
and eliminates the bit lines for the next step, which then comes down: pivots from either end (`wd`, `wu`).
Pivots are found as conductances to ground in series and parallel: sums of positive numbers, so nothing cancels where
segments are a billion times better conductors than cells.

rho is the lesser of two bounds.  Collatz and Wielandt: T has no negative entry, so max (T x) / x for any x > 0; and

    rho <= 1 / ((1 + a / g_max) (1 + b / g_max)),   1 / a = trace(A_wires^-1) = sum over nodes of the path's resistance

Ordinary nodal analysis (Kirchhoff); Chebyshev's iteration: Golub and Van Loan, Matrix Computations, 4th ed., 11.2.8; the
elimination, the alternating sweeps and the second bound are ours.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from dbpsim.kernels.nodal_lanes import LANES, mix_word_line, solve_chain, solve_word_line, sum_of_three, sum_of_two
from dbpsim.kernels.policy import kernel, parallel_kernel

_PLAIN_COST = 0.6  # of a Chebyshev step: it moves less than half the memory
_NEVER = 1 << 40  # steps
_POWER_STEPS = 4  # of T on ones: the bound is then within a few per cent for arrays whose wires matter little


@kernel
def _row_pivots(g, along, first):
    m, n = g.shape
    w = np.empty_like(g)
    for i in range(m):
        leak = g[i, 0] + first
        for j in range(n):
            if j > 0:
                leak = g[i, j] + along * leak / (along + leak)
            w[i, j] = 1.0 / (leak + (along if j < n - 1 else 0.0))
    return w


@kernel
def _column_pivots(g, along, last, up):
    m, n = g.shape
    w = np.empty_like(g)
    leak = np.empty(n)
    for s in range(m):
        i = m - 1 - s if up else s
        for j in range(n):
            before = 0.0 if s == 0 else along * leak[j] / (along + leak[j])
            leak[j] = g[i, j] + before + (last if i == m - 1 else 0.0)
            w[i, j] = 1.0 / (leak[j] + (along if s < m - 1 else 0.0))
    return w


@kernel
def _times_t(g, wa, wd, row, column, x, y):
    # y <- T x, for one vector
    m, n = g.shape
    for i in range(m):
        before = 0.0
        for j in range(n):
            before = (g[i, j] * x[i, j] + row * before) * wa[i, j]
            y[i, j] = before
        after = 0.0
        for j in range(n - 1, -1, -1):
            after = y[i, j] + row * wa[i, j] * after
            y[i, j] = g[i, j] * after
        for j in range(n):
            above = column * y[i - 1, j] if i > 0 else 0.0
            y[i, j] = (y[i, j] + above) * wd[i, j]
    for i in range(m - 2, -1, -1):
        for j in range(n):
            y[i, j] += column * wd[i, j] * y[i + 1, j]


@kernel
def _largest_eigenvalue(g, wa, wd, row, column, g_in, g_out):
    # an upper bound of rho(T)
    m, n = g.shape
    a = 1.0 / (n / g_in + n * (n - 1) / 2 / row)
    b = 1.0 / (m / g_out + m * (m - 1) / 2 / column)
    most = g.max()
    bound = most * most / ((most + a) * (most + b))
    x, y = np.ones_like(g), np.empty_like(g)
    for _ in range(_POWER_STEPS):
        _times_t(g, wa, wd, row, column, x, y)
        top, scale = 0.0, y.max()
        for i in range(m):
            for j in range(n):
                if y[i, j] > top * x[i, j]:
                    top = y[i, j] / x[i, j]
        bound = min(bound, top)
        if scale == 0.0:
            break
        for i in range(m):
            for j in range(n):
                x[i, j] = max(y[i, j] / scale, 1e-100)
    return bound


@kernel
def _plan(rho, tolerance):
    # Steps, and whether they are plain ones
    if rho == 0.0:
        return 1, True
    if rho > 1 - 1e-12:
        return _NEVER, False
    sigma = rho / (2 - rho)
    chebyshev = math.ceil(math.log(tolerance / 2) / math.log(sigma / (1 + math.sqrt(1 - sigma * sigma))))
    plain = math.ceil(math.log(tolerance) / math.log(rho))
    if plain * _PLAIN_COST < chebyshev:
        return max(1, int(plain)), True
    return max(1, int(chebyshev)), False


@kernel
def _solve_lanes(g, wa, wd, wu, row, column, g_in, v, source, rho, steps, plain, x, old, f, t, y, into, u):
    """Return b of one block of inputs v (m, LANES); fill the currents `into` the word lines, and u unless it is empty.

    source, x, old, f, u are flat (m n LANES), source may be empty; t, y hold a word line; all but v and source are scratch.
    """
    m, n = g.shape
    chains, cells, ups, downs = wa.ravel(), g.ravel(), wu.ravel(), wd.ravel()
    drive = np.empty(LANES)
    gamma, sigma, omega = 2 / (2 - rho), rho / (2 - rho), 1.0
    for step in range(steps + 1):
        up = step % 2 == 1
        wp, wn = (wd, wu) if up else (wu, wd)
        if step == 2:
            omega = 1 / (1 - sigma * sigma / 2)
        elif step > 2:
            omega = 1 / (1 - sigma * sigma * omega / 4)
        for s in range(m):
            i = m - 1 - s if up else s
            start = i * n * LANES
            link, neighbour = (0.0, start) if s == 0 else (column, (i + 1 if up else i - 1) * n * LANES)
            if 0 < step < steps and not len(source):  # all of what follows, in one go
                for k in range(LANES):
                    drive[k] = g_in * v[i, k] / row
                past, coming = (downs, ups) if up else (ups, downs)
                if plain:
                    solve_word_line(f, start, neighbour, y, t, drive, cells, chains, past, coming, i * n, n, row, link)
                else:
                    a, b, c = omega * gamma, omega * (1 - gamma), 1 - omega
                    mix_word_line(
                        f, start, neighbour, y, t, drive, cells, chains, past, coming, i * n, n, row, link, a, b, x, c, old
                    )
                continue
            if step == 0:
                t[:] = 0.0
                if not plain:
                    x[start : start + n * LANES] = 0.0
                    old[start : start + n * LANES] = 0.0
            else:
                for j in range(n):
                    at, here = start + j * LANES, j * LANES
                    sum_of_two(y, here, 1.0, f, at, link * wp[i, j], y, here)
                    if plain:
                        sum_of_two(t, here, g[i, j], y, here, 0.0, y, here)
                        if step == steps:
                            sum_of_two(old, at, 1.0, y, here, 0.0, y, here)
                        continue
                    sum_of_three(old, at, omega * gamma, y, here, omega * (1 - gamma), x, at, 1 - omega, old, at)
                    sum_of_two(t, here, g[i, j], old, at, 0.0, old, at)
            if len(source):
                for j in range(n):
                    sum_of_two(t, j * LANES, 1.0, t, j * LANES, 1.0, source, start + j * LANES)
            for k in range(LANES):
                t[k] += g_in * v[i, k]
            solve_chain(chains, i * n, n, row, t)
            if step == steps:
                _read_word_line(g[i], t, old, source, start, into[i])
                if len(u):
                    u[start : start + n * LANES] = t
                continue
            for j in range(n):
                at, w = start + j * LANES, wn[i, j]
                sum_of_two(f, at, g[i, j] * w, t, j * LANES, link * w, f, neighbour + j * LANES)
                if len(source):
                    sum_of_two(f, at, 1.0, f, at, -w, source, at)
        if step > 0 and not plain:
            x, old = old, x
    return old if plain else x


@kernel
def _read_word_line(g, u, b, source, start, into):
    # What the cells of a word line take is what flows into it: no small difference of two voltages.
    into[:] = 0.0
    for j in range(len(g)):
        for k in range(LANES):
            at = start + j * LANES + k
            into[k] += g[j] * (u[j * LANES + k] - b[at])
            if len(source):
                into[k] -= source[at]


@parallel_kernel
def solve_nodes(g, row, column, g_in, g_out, v, source, tolerance, limit, keep, workers):
    """Return (steps, currents, into, u, b) of a batch in blocks of LANES inputs.

    Parameters: g (m, n) S; row, column: segment conductances; v (blocks, m, LANES) V; source (blocks, m n LANES) A, or
    (0, 0) for none; workers: threads to use.  Returned: steps of the iteration (-1 if they are above `limit`: then nothing is
    solved); currents (blocks, n, LANES) A out of the bit lines; into (blocks, m, LANES) A; u, b (blocks, m n LANES) V, empty
    unless `keep`.
    """
    m, n = g.shape
    blocks, nodes = v.shape[0], g.size * LANES
    wa = _row_pivots(g, row, g_in)
    wd, wu = _column_pivots(g, column, g_out, False), _column_pivots(g, column, g_out, True)
    rho = _largest_eigenvalue(g, wa, wd, row, column, g_in, g_out)
    steps, plain = _plan(rho, tolerance)
    held = blocks if keep else 0
    us, bs = np.empty((held, nodes)), np.empty((held, nodes))
    currents, into = np.empty((blocks, n, LANES)), np.empty((blocks, m, LANES))
    if steps > limit:
        return -1, currents, into, us, bs
    workers = min(workers, blocks)  # each with one set of arrays: fresh pages for every block cost as much as a step
    for worker in prange(workers):
        x, old, f = np.empty(nodes), np.empty(nodes), np.empty(nodes)  # pages of what is not used are never fetched
        t, y = np.empty(n * LANES), np.empty(n * LANES)
        none = np.empty(0)
        for block in range(worker, blocks, workers):
            y[:] = 0.0  # these are multiplied by 0 before they are set
            f[: n * LANES] = 0.0
            drive = source[block] if len(source) else none
            u = us[block] if keep else none
            b = _solve_lanes(
                g, wa, wd, wu, row, column, g_in, v[block], drive, rho, steps, plain, x, old, f, t, y, into[block], u
            )
            for j in range(n):
                for k in range(LANES):
                    currents[block, j, k] = g_out * b[((m - 1) * n + j) * LANES + k]
            if keep:
                bs[block] = b
    return steps, currents, into, us, bs
