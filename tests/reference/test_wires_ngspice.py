"""Wire resistance: the exact nodal solve beside ngspice, resistor by resistor, for a 32 x 32 array read either way."""

import shutil

import numpy as np
import pytest

from dbpsim.circuit.ngspice import run_ngspice
from dbpsim.crossbar.wires import Wires, effective_conductance, solve

ROWS = COLUMNS = 32
WIRES = Wires(2.5, 1.5, 80.0, 40.0)

pytestmark = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed: apt-get install ngspice")


def _array(seed):
    random = np.random.default_rng(seed)
    return random.uniform(1e-6, 1e-4, (ROWS, COLUMNS)), random.uniform(-0.2, 0.2, ROWS)


def _deck(g, drives, transposed):
    """Resistor by resistor; the driven lines end in sources of `drives`, the others in sources of 0 V that sense."""
    lines = ["crossbar with wire resistance"]
    for i in range(ROWS):
        for j in range(COLUMNS):
            lines.append(f"Rg_{i}_{j} u_{i}_{j} b_{i}_{j} {1 / g[i, j]:.17g}")
            left = f"u_{i}_{j - 1}" if j else f"left_{i}"
            lines.append(f"Rr_{i}_{j} {left} u_{i}_{j} {WIRES.r_segment_row_ohm:.17g}")
            below = f"b_{i + 1}_{j}" if i < ROWS - 1 else f"bottom_{j}"
            lines.append(f"Rc_{i}_{j} b_{i}_{j} {below} {WIRES.r_segment_column_ohm:.17g}")
    for row in (True, False):
        side = "left" if row else "bottom"
        driven = row != transposed
        ends = WIRES.r_driver_ohm if driven else WIRES.r_sense_ohm
        for k in range(ROWS if row else COLUMNS):
            lines.append(f"Re_{side}_{k} {side}_{k} end_{side}_{k} {ends:.17g}")
            lines.append(f"V{side}_{k} end_{side}_{k} 0 DC {drives[k] if driven else 0:.17g}")
    return "\n".join([*lines, ".options reltol=1e-12 vntol=1e-15 abstol=1e-18 gmin=1e-30 numdgt=15", ".op", ".end", ""])


@pytest.mark.parametrize("transposed", [False, True])
def test_every_current_is_that_of_ngspice(transposed):
    g, v = _array(3)
    drives, senses = ("bottom", "left") if transposed else ("left", "bottom")
    found = run_ngspice(_deck(g, v, transposed))
    sensed = found.columns([f"i(v{senses}_{k})" for k in range(COLUMNS)])[0]
    seen = effective_conductance(g, WIRES, transposed=transposed)
    expected = v @ (seen.T if transposed else seen)
    np.testing.assert_allclose(sensed, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert np.abs(v @ (g.T if transposed else g) / sensed - 1).max() > 0.05  # wires do something here
    # ngspice counts a source's current from plus to minus through the source, so what leaves it is negative
    given = -found.columns([f"i(v{drives}_{k})" for k in range(ROWS)])[0]
    if not transposed:
        solution = solve(g, v[None], WIRES)
        assert solution.source_power[0] == pytest.approx(float(given @ v), rel=1e-9)
        nodes = found.columns([f"v(b_{ROWS - 1}_{j})" for j in range(COLUMNS)])[0]
        np.testing.assert_allclose(solution.column_voltages[0, -1], nodes, rtol=1e-9, atol=1e-12)
