"""Wires to first order against the nodal solve: the error it states, and where it is exact."""

import numpy as np
import pytest

from dbpsim.crossbar.uncoupled_lines import UncoupledLines
from dbpsim.crossbar.wires import Wires, effective_conductance, end_currents
from dbpsim.kernels.ladders import ladders, toward_end

UP, DOWN = np.array([0, 2, 9, 20]), np.array([1, 3, 30, 33])


def _cells(m, n, seed=1):
    return np.random.default_rng(seed).uniform(0, 2.5e-5, (m, n))


def _apart(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("size", "ohm", "stated"),
    [(32, 0.1, 2.2e-7), (32, 5, 5.2e-4), (64, 0.1, 3.4e-6), (64, 0.5, 8.2e-5), (64, 2, 1.2e-3), (64, 5, 6.7e-3), (128, 2, 1.4e-2),
     (128, 5, 5.6e-2)],
)  # fmt: skip
def test_the_error_is_that_of_the_table(size, ohm, stated):
    g, wires = _cells(size, size), Wires(ohm, ohm)
    assert _apart(UncoupledLines(g, wires).conductance(), effective_conductance(g, wires)) == pytest.approx(stated, rel=0.15)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("wires", [Wires(20, 1e-7, 90, 0), Wires(1e-7, 20, 0, 90)])
def test_it_is_exact_where_one_family_of_lines_has_no_resistance(wires, transposed):
    g = _cells(14, 23)
    g[3] = g[:, 5] = 0  # dead lines
    if transposed:
        wires = Wires(wires.r_segment_row_ohm, wires.r_segment_column_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
    exact = effective_conductance(g, wires, transposed=transposed)
    assert _apart(UncoupledLines(g, wires).conductance(transposed), exact) < 1e-7
    assert _apart(g, exact) > 1e-3


def test_it_is_closer_by_the_square_of_the_resistance():
    g = _cells(20, 34)
    errors = []
    for ohm in (8.0, 4.0, 2.0, 1.0):
        wires = Wires(ohm, 2 * ohm, 10 * ohm, 5 * ohm)
        out, into = end_currents(g, np.eye(20), wires)
        turned = end_currents(g[::-1, ::-1].T, np.eye(34), Wires(2 * ohm, ohm, 10 * ohm, 5 * ohm))[1][::-1, ::-1]
        pairs = turned[UP, UP] + turned[DOWN, DOWN] - 2 * turned[UP, DOWN]
        lines = UncoupledLines(g, wires)
        found = ((lines.conductance(), out), (lines.into_words(), into.diagonal()), (lines.into_bits(UP, DOWN), pairs))
        errors.append([_apart(near, exact) for near, exact in found])
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (ratios[:, 0] > 3.5).all()
    assert (ratios[:, 0] < 4.1).all()
    assert (ratios[:, 1:] > 6).all()  # admittances: the cube


def test_bad_arrays_are_named():
    with pytest.raises(ValueError, match="conductances"):
        UncoupledLines(-np.ones((2, 2)), Wires(1, 1))


def test_a_dead_end_of_a_long_line_is_no_nan():
    lines = UncoupledLines(np.full((400, 400), 1.0), Wires(1e3, 1e3))  # voltages fall by 1000 a cell
    for found in (lines.conductance(), lines.into_words(), lines.into_bits(UP, DOWN)):
        assert np.isfinite(found).all()


def test_ladders_are_lines_of_resistors():
    """One line at a time, node by node, as a tridiagonal system."""
    g, r, end = _cells(6, 4) * 1e3, 7.0, 11.0
    away, fall = ladders(g, r)
    toward = toward_end(g, r, end)
    for k in range(4):
        nodes = np.diag(g[:, k]) + (2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)) / r
        nodes[0, 0], nodes[-1, -1] = g[0, k] + 1 / r + 1 / end, g[-1, k] + 1 / r
        inverse = np.linalg.inv(nodes)
        np.testing.assert_allclose(fall[:, k], inverse[:, 0] / inverse[0, 0], rtol=1e-12)
        np.testing.assert_allclose(1 / (away[:, k] + toward[:, k]), np.diag(inverse), rtol=1e-12)
