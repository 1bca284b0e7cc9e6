"""A cell's random numbers are its own: distribution, and independence of the company they are drawn in."""

import numpy as np
import pytest
from scipy import stats

from dbpsim.kernels.cell_random import CellRandom

KEY = np.uint64(77)


@pytest.mark.parametrize("draw", ["standard_normal", "random"])
def test_numbers_belong_to_cells_not_to_the_order_of_asking(draw):
    together = CellRandom(KEY, np.arange(1000))
    first, second = (getattr(together, draw)(1000) for _ in range(2))
    some = np.random.default_rng(0).permutation(1000)[:137]
    alone = CellRandom(KEY, some)
    assert np.array_equal(getattr(alone, draw)(137), first[some])
    assert np.array_equal(getattr(alone, draw)((137,)), second[some])
    assert not np.array_equal(first, second)
    assert not np.array_equal(getattr(CellRandom(np.uint64(78), np.arange(1000)), draw)(1000), first)


def test_their_distributions_are_normal_and_uniform():
    cells = CellRandom(KEY, np.arange(200_000))
    normal, again, uniform = cells.standard_normal((400, 500)), cells.standard_normal(), cells.random()
    assert normal.dtype == np.float32
    assert stats.kstest(normal.ravel().astype("f8"), "norm").pvalue > 1e-4
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(normal.ravel(), again)[0, 1]) < 5 / np.sqrt(200_000)
    assert abs(np.corrcoef(normal.ravel()[:-1], normal.ravel()[1:])[0, 1]) < 5 / np.sqrt(200_000)
