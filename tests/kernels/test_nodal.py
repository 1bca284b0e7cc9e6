"""Parts of the nodal solve beside plain NumPy: vector code, pivots of chains, the bound that sets the number of steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dbpsim.kernels.nodal import _column_pivots, _largest_eigenvalue, _plan, _row_pivots
from dbpsim.kernels.nodal_lanes import LANES, mix_word_line, solve_chain, solve_word_line, sum_of_three, sum_of_two
from dbpsim.kernels.policy import kernel


@kernel
def _two(out, o, a, x, i, b, y, j):
    sum_of_two(out, o, a, x, i, b, y, j)


@kernel
def _three(out, o, a, x, i, b, y, j, c, z, k):
    sum_of_three(out, o, a, x, i, b, y, j, c, z, k)


@kernel
def _chain(w, at, n, along, x):
    solve_chain(w, at, n, along, x)


@kernel
def _word_line(f, at, beside, y, t, drive, g, wa, wp, wn, cell, n, along, link):
    solve_word_line(f, at, beside, y, t, drive, g, wa, wp, wn, cell, n, along, link)


@kernel
def _mixed_line(f, at, beside, y, t, drive, g, wa, wp, wn, cell, n, along, link, a, b, x, c, old):
    mix_word_line(f, at, beside, y, t, drive, g, wa, wp, wn, cell, n, along, link, a, b, x, c, old)


def test_sums_are_those_of_numpy_and_touch_nothing_else():
    x, y, z = np.random.default_rng(0).standard_normal((3, 5 * LANES))
    out = np.full(5 * LANES, 7.0)
    _two(out, 3, 2.0, x, 5, -0.5, y, 11)
    expected = np.full(5 * LANES, 7.0)
    expected[3 : 3 + LANES] = 2 * x[5 : 5 + LANES] - 0.5 * y[11 : 11 + LANES]
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    again = x.copy()
    _three(again, 4, 2.0, again, 4, -0.5, y, 1, 3.0, z, 2)  # in place
    expected = x.copy()
    expected[4 : 4 + LANES] = 2 * x[4 : 4 + LANES] - 0.5 * y[1 : 1 + LANES] + 3 * z[2 : 2 + LANES]
    np.testing.assert_allclose(again, expected, rtol=1e-14, atol=1e-15)


def _chains(g, along, first, last):
    # one dense matrix a row of g
    found = []
    for row in g:
        n = len(row)
        links = along * (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1))
        links[0, 0] -= along
        links[-1, -1] -= along
        links[0, 0] += first
        links[-1, -1] += last
        found.append(links + np.diag(row))
    return found


@pytest.mark.parametrize("n", [1, 2, 9])
def test_a_chain_is_solved_as_a_dense_matrix_is(n):
    random = np.random.default_rng(n)
    g = random.uniform(0, 2, (3, n))
    w = _row_pivots(g, 1.5, 0.7)
    for i, matrix in enumerate(_chains(g, 1.5, 0.7, 0.0)):
        x = random.standard_normal((n, LANES))
        found = x.ravel().copy()
        _chain(w.ravel(), i * n, n, 1.5, found)
        np.testing.assert_allclose(found.reshape(n, LANES), np.linalg.solve(matrix, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_a_word_line_goes_through_a_step_as_dense_matrices_say(n, mixed):
    random = np.random.default_rng(n)
    g, wp, wn = random.uniform(0.1, 2, (3, 3, n))
    f, y, drive = random.standard_normal((3, n, LANES)), random.standard_normal((n, LANES)), random.standard_normal(LANES)
    matrix = _chains(g, 1.5, 0.7, 0.0)[1]
    below = f[1] + 0.3 * wp[1][:, None] * y
    x, old = random.standard_normal((2, 3, n, LANES))
    new = 1.2 * below - 0.4 * x[1] + 0.7 * old[1] if mixed else below
    flow = g[1][:, None] * new
    flow[0] += 1.5 * drive
    u = np.linalg.solve(matrix, flow)
    expected = f.copy()
    expected[1] = wn[1][:, None] * (g[1][:, None] * u + 0.3 * f[2])
    flat, held, t = f.ravel().copy(), y.ravel().copy(), np.zeros(n * LANES)
    wa, size = _row_pivots(g, 1.5, 0.7).ravel(), n * LANES
    arguments = flat, size, 2 * size, held, t, drive, g.ravel(), wa, wp.ravel(), wn.ravel(), n, n, 1.5, 0.3
    if mixed:
        mixture = old.ravel().copy()
        _mixed_line(*arguments, 1.2, -0.4, x.ravel(), 0.7, mixture)
        np.testing.assert_allclose(mixture.reshape(old.shape), np.stack([old[0], new, old[2]]), rtol=1e-13, atol=1e-14)
    else:
        _word_line(*arguments)
    np.testing.assert_allclose(held.reshape(n, LANES), below, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(flat.reshape(3, n, LANES), expected, rtol=1e-12, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(
    shape=some.tuples(some.integers(1, 9), some.integers(1, 9)), row=some.floats(1e-3, 1e3), column=some.floats(1e-3, 1e3),
    seed=some.integers(0, 99),
)  # fmt: skip
def test_the_bound_holds_and_is_not_far_off(shape, row, column, seed):
    m, n = shape
    g = np.random.default_rng(seed).uniform(0, 1, (m, n)) * np.random.default_rng(seed + 1).choice([0, 1, 1], (m, n))
    g_in, g_out = row / 3, column / 2
    rows, columns = _chains(g, row, g_in, 0.0), _chains(g.T, column, 0.0, g_out)
    a, b = np.zeros((m * n, m * n)), np.zeros((m * n, m * n))
    at = np.arange(m * n).reshape(m, n)
    for i in range(m):
        a[np.ix_(at[i], at[i])] = rows[i]
    for j in range(n):
        b[np.ix_(at[:, j], at[:, j])] = columns[j]
    t = np.linalg.solve(b, g.ravel()[:, None] * np.linalg.solve(a, np.diag(g.ravel())))
    largest = np.abs(np.linalg.eigvals(t)).max()
    down = _column_pivots(g, column, g_out, False)
    bound = _largest_eigenvalue(g, _row_pivots(g, row, g_in), down, row, column, g_in, g_out)
    assert largest * (1 - 1e-9) <= bound < 1 or largest == bound == 0
    assert 1 - bound > 0.2 * (1 - largest)


def test_steps_are_plain_where_that_is_less_work():
    assert _plan(0.0, 1e-12) == (1, True)
    assert _plan(1e-3, 1e-12) == (4, True)
    steps, plain = _plan(0.9, 1e-12)
    assert not plain
    assert 40 < steps < 60
    assert _plan(1.0, 1e-12)[0] > 1e9
