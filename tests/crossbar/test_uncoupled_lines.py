"""Wires to first order against the nodal solve: the error it states, and where it is exact."""

import numpy as np
import pytest

from dbpsim.crossbar.uncoupled_lines import first_order_admittance, first_order_conductance
from dbpsim.crossbar.wires import Wires, effective_conductance, end_currents


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
    assert _apart(first_order_conductance(g, wires), effective_conductance(g, wires)) == pytest.approx(stated, rel=0.15)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("wires", [Wires(20, 1e-7, 90, 0), Wires(1e-7, 20, 0, 90)])
def test_it_is_exact_where_one_family_of_lines_has_no_resistance(wires, transposed):
    g = _cells(14, 23)
    g[3] = g[:, 5] = 0  # dead lines
    if transposed:
        wires = Wires(wires.r_segment_row_ohm, wires.r_segment_column_ohm, wires.r_sense_ohm, wires.r_driver_ohm)
    exact = effective_conductance(g, wires, transposed=transposed)
    assert _apart(first_order_conductance(g, wires, transposed), exact) < 1e-7
    assert _apart(g, exact) > 1e-3


def test_it_is_closer_by_the_square_of_the_resistance():
    g = _cells(20, 33)
    errors = []
    for ohm in (8.0, 4.0, 2.0, 1.0):
        wires = Wires(ohm, 2 * ohm, 10 * ohm, 5 * ohm)
        out, into = end_currents(g, np.eye(20), wires)
        errors.append((_apart(first_order_conductance(g, wires), out), _apart(first_order_admittance(g, wires), into)))
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (ratios[:, 0] > 3.5).all()
    assert (ratios[:, 0] < 4.1).all()
    assert (ratios[:, 1] > 6).all()  # admittances: the cube


def test_admittance_is_symmetric_and_takes_power():
    y = first_order_admittance(_cells(40, 9), Wires(3, 5, 20, 10))
    np.testing.assert_array_equal(y, y.T)
    assert (np.linalg.eigvalsh(y) > 0).all()


def test_bad_arrays_are_named():
    with pytest.raises(ValueError, match="conductances"):
        first_order_conductance(-np.ones((2, 2)), Wires(1, 1))
