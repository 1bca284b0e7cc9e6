"""Sums over lines against NumPy's, of one thread and of several."""

import numba
import numpy as np
import pytest

from dbpsim.kernels.line_sums import line_sums


@pytest.mark.parametrize("shape", [(1, 1), (33, 17), (300, 401)])
def test_rows_and_columns_add_up_whatever_the_threads(shape):
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    rows, columns = line_sums(x)
    assert np.allclose(rows, x.sum(axis=1, dtype=np.float64), rtol=1e-14)
    assert np.allclose(columns, x.sum(axis=0, dtype=np.float64), rtol=1e-14)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    assert all(np.array_equal(*each) for each in zip(line_sums(x), (rows, columns), strict=True))
    numba.set_num_threads(threads)
