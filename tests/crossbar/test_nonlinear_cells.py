"""Crossbars of nonlinear cells behind wires: beside scipy's root finder, closed forms and conservation of power."""

import numpy as np
import pytest
from scipy.optimize import brentq, root

from dbpsim.crossbar.nonlinear_cells import solve_nonlinear
from dbpsim.crossbar.wires import Wires, solve

WIRES = Wires(30.0, 50.0, 80.0, 20.0)


def _cells(m, n, batch=2):
    random = np.random.default_rng(3)
    return random.uniform(1e-5, 1e-3, (m, n)), random.uniform(-1, 1, (batch, m))


def _leak(nodes, g, v0, v):
    # Kirchhoff's current law at every node, one node at a time
    m, n = g.shape
    u, b = nodes.reshape(2, m, n)
    left = np.zeros((2, m, n))
    for i in range(m):
        for j in range(n):
            cell = g[i, j] * v0 * np.sinh((u[i, j] - b[i, j]) / v0)
            before, r = (u[i, j - 1], 30.0) if j else (v[i], 110.0)
            left[0, i, j] = (before - u[i, j]) / r - cell
            if j < n - 1:
                left[0, i, j] += (u[i, j + 1] - u[i, j]) / 30.0
            after, r = (b[i + 1, j], 50.0) if i < m - 1 else (0.0, 70.0)
            left[1, i, j] = (after - b[i, j]) / r + cell
            if i:
                left[1, i, j] += (b[i - 1, j] - b[i, j]) / 50.0
    return left.ravel() * 1e3


@pytest.mark.parametrize("v0", [0.1, 0.3, 2.0])
def test_voltages_are_those_of_a_general_root_finder(v0):
    g, v = _cells(4, 5)
    found, linear = solve_nonlinear(g, v0, v, WIRES), solve(g, v, WIRES)
    for k in range(len(v)):
        start = np.stack([linear.row_voltages[k], linear.column_voltages[k]]).ravel()
        expected = root(_leak, start, args=(g, v0, v[k]), tol=1e-13)
        assert expected.success
        u, b = expected.x.reshape(2, 4, 5)
        np.testing.assert_allclose(found.row_voltages[k], u, atol=1e-9)
        np.testing.assert_allclose(found.column_voltages[k], b, atol=1e-9)
        np.testing.assert_allclose(found.currents[k], b[-1] / 70.0, atol=1e-11)
    assert np.abs(found.currents / linear.currents - 1).max() > 0.005


def test_convergence_is_quadratic():
    g, v = _cells(12, 9, 4)
    v0 = 0.3
    for changes in solve_nonlinear(g, v0, v, WIRES).changes:
        last = [(a, b) for a, b in zip(changes, changes[1:], strict=False) if 1e-5 < a < 0.3 * v0]
        assert last
        assert all(b < a * a / v0 for a, b in last)  # an error of a becomes one of a^2 / (2 v0), or less
        assert len(changes) < 10


def test_one_cell_carries_what_a_series_circuit_carries():
    wires, v = Wires(100, 200, 300, 400), np.array([[1.0], [-3.0], [0.0]])
    found = solve_nonlinear(np.array([[1e-3]]), 0.1, v, wires).currents[:, 0]
    for one, current in zip(v[:, 0], found, strict=True):
        across = brentq(lambda w, one=one: 1e-3 * 0.1 * np.sinh(w / 0.1) - (one - w) / 1000, -3, 3, xtol=1e-15)
        assert current == pytest.approx((one - across) / 1000, abs=1e-14)


def test_weak_nonlinearity_is_none_and_power_is_conserved():
    g, v = _cells(7, 11)
    np.testing.assert_allclose(solve_nonlinear(g, 1e5, v, WIRES).currents, solve(g, v, WIRES).currents, rtol=1e-8)
    reach = np.random.default_rng(1).uniform(0.1, 0.5, g.shape)  # every cell its own
    found = solve_nonlinear(g, reach, v, WIRES)
    np.testing.assert_allclose(found.cell_power + found.wire_power, found.source_power, rtol=1e-9)
    assert solve_nonlinear(g, 0.2, v[:0], WIRES).currents.shape == (0, 11)


def test_strong_cells_take_a_few_more_steps():
    g, v = _cells(5, 5, 1)
    found = solve_nonlinear(g, 0.03, np.ones_like(v), Wires(1.0, 1.0))
    np.testing.assert_allclose(found.cell_power + found.wire_power, found.source_power, rtol=1e-9)
    assert len(found.changes[0]) < 20


@pytest.mark.parametrize(("v0", "word"), [(0.0, "v0"), (-1.0, "v0"), (np.ones(3), r"\(3,\)"), (1e-3, "accepted is up to 50 v0")])
def test_bad_reaches_are_named(v0, word):
    with pytest.raises(ValueError, match=word):
        solve_nonlinear(np.ones((2, 2)), v0, np.ones((1, 2)), WIRES)
