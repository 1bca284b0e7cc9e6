"""Nodal solve of a crossbar against a sparse direct solve, closed forms and conservation laws."""

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from dbpsim.crossbar.wires import Wires, effective_conductance, end_currents, solve

WIRES = Wires(1.0, 2.0, 50.0, 30.0)


def _cells(m, n, seed=1):
    random = np.random.default_rng(seed)
    return random.uniform(1e-5, 1e-4, (m, n)), random.uniform(-1, 1, (11, m))


def _direct(g, v, w):
    # resistors one by one: (node, node, siemens), -1 the ground, sources as currents
    m, n = g.shape
    parts, rhs = [], np.zeros((2 * m * n, len(v)))
    for i in range(m):
        for j in range(n):
            a, b = i * n + j, m * n + i * n + j
            parts.append((a, b, g[i, j]))
            if j:
                parts.append((a - 1, a, 1 / w.r_segment_row_ohm))
            if i:
                parts.append((b - n, b, 1 / w.r_segment_column_ohm))
    g_in, g_out = 1 / (w.r_driver_ohm + w.r_segment_row_ohm), 1 / (w.r_sense_ohm + w.r_segment_column_ohm)
    parts += [(i * n, -1, g_in) for i in range(m)] + [(m * n + (m - 1) * n + j, -1, g_out) for j in range(n)]
    for i in range(m):
        rhs[i * n] = g_in * v[:, i]
    entries = []
    for a, b, s in parts:
        entries.append((a, a, s))
        if b >= 0:
            entries += [(b, b, s), (a, b, -s), (b, a, -s)]
    at, to, value = zip(*entries, strict=True)
    nodes = spsolve(coo_matrix((value, (at, to))).tocsc(), rhs).reshape(2, m, n, len(v))
    return g_out * nodes[1, -1].T


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 23), (31, 6), (32, 32)])
def test_currents_are_those_of_a_sparse_direct_solve(shape):
    g, v = _cells(*shape)
    expected = _direct(g, v, WIRES)
    assert np.abs(solve(g, v, WIRES).currents - expected).max() <= 1e-9 * np.abs(expected).max()
    assert np.abs(v @ effective_conductance(g, WIRES) - expected).max() <= 1e-9 * np.abs(expected).max()


def test_source_power_is_what_cells_and_wires_turn_into_heat():
    found = solve(*_cells(24, 17), WIRES)
    np.testing.assert_allclose(found.cell_power + found.wire_power, found.source_power, rtol=1e-9)
    assert (found.wire_power > 0.001 * found.source_power).all()


def test_transposed_read_is_that_of_the_crossbar_turned_over():
    g, _ = _cells(12, 19)
    turned = effective_conductance(np.ascontiguousarray(g[::-1, ::-1].T), Wires(2.0, 1.0, 50.0, 30.0))
    np.testing.assert_allclose(turned[::-1, ::-1].T, effective_conductance(g, WIRES, transposed=True), rtol=1e-10)
    assert np.abs(effective_conductance(g, WIRES) / turned[::-1, ::-1].T - 1).max() > 1e-4


def test_without_resistance_left_the_matrix_is_the_cells():
    g, _ = _cells(8, 8)
    np.testing.assert_allclose(effective_conductance(g, Wires(1e-6, 1e-6)), g, rtol=1e-7)
    np.testing.assert_allclose(effective_conductance(g, Wires(1e-12, 1e-12)), g, rtol=1e-11)


def test_one_cell_is_a_series_circuit():
    assert effective_conductance(np.array([[1e-3]]), Wires(100, 200, 300, 400))[0, 0] == pytest.approx(1 / 2000, rel=1e-12)


@pytest.mark.parametrize("bad", [{"r_driver_ohm": -1.0}, {"r_segment_row_ohm": 0.0}, {"r_sense_ohm": float("nan")}])
def test_bad_resistances_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Wires(**{"r_segment_row_ohm": 1.0, "r_segment_column_ohm": 1.0, **bad})


def test_bad_arrays_are_named():
    with pytest.raises(ValueError, match="conductances"):
        solve(-np.ones((2, 2)), np.ones((1, 2)), WIRES)
    with pytest.raises(ValueError, match=r"voltages of shape \(1, 3\)"):
        solve(np.ones((2, 2)), np.ones((1, 3)), WIRES)


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (25, 25)])
@pytest.mark.parametrize("ohm", [1e2, 1e4])
def test_lines_that_lose_nearly_everything_are_solved_as_well(shape, ohm):
    g, v = _cells(*shape)
    g[shape[0] // 2] = g[:, shape[1] // 2] = 0  # a word line and a bit line without cells
    wires = Wires(ohm, 2 * ohm, 3 * ohm, ohm)
    expected = _direct(g, v, wires)
    assert np.abs(solve(g, v, wires).currents - expected).max() <= 1e-9 * np.abs(expected).max()
    found = effective_conductance(g, wires)
    assert np.abs(v @ found - expected).max() <= 1e-9 * np.abs(expected).max()
    assert found.sum() < 0.8 * g.sum()


def test_no_cells_no_currents():
    assert not effective_conductance(np.zeros((3, 4)), WIRES).any()


def test_results_do_not_depend_on_the_number_of_threads():
    g, v = _cells(17, 29)
    some = get_num_threads()
    several = end_currents(g, v, WIRES)
    set_num_threads(1)
    try:
        one = end_currents(g, v, WIRES)
    finally:
        set_num_threads(some)
    assert all(np.array_equal(a, b) for a, b in zip(several, one, strict=True))


def test_what_cannot_be_solved_is_said():
    with pytest.raises(ValueError, match=r"wires: an array of 900 x 900 cells of up to 1 S .* loses nearly all"):
        effective_conductance(np.ones((900, 900)), Wires(1e4, 1e4))
    with pytest.raises(ValueError, match="loses nearly all"):
        effective_conductance(np.ones((5, 5)), Wires(1e18, 1e18))
