"""Pooling and the rectifier: against plain loops, and as adjoints."""

import naive
import numba
import numpy as np
import pytest

from dbpsim.kernels import pooling

# shape, size, stride; the last ones overlap, or leave rows and columns over
CASES = [
    ((3, 8, 8, 16), (2, 2), (2, 2)),
    ((2, 9, 7, 5), (2, 2), (2, 2)),
    ((2, 9, 11, 3), (3, 3), (2, 2)),
    ((1, 7, 8, 4), (3, 2), (1, 3)),
    ((2, 17, 17, 2), (17, 17), (1, 1)),  # more than 256 elements: 16-bit codes
]


def without_ties(shape, dtype):
    """Return distinct numbers in random order: which of equals wins is not what is compared here."""
    numbers = np.random.default_rng(0).permutation(int(np.prod(shape))) - 0.5 * np.prod(shape)
    return (numbers / 16).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "size", "stride"), CASES)
def test_max_pool_finds_the_largest_and_where_it_was(shape, size, stride, dtype):
    a = without_ties(shape, dtype)
    y, code = pooling.max_pool(a, size, stride)
    largest, where = naive.max_pool(a, size, stride)
    assert y.dtype == dtype
    assert np.array_equal(y, largest)
    assert np.array_equal(code, where)


def test_max_pool_takes_the_first_of_equals():
    y, code = pooling.max_pool(np.ones((1, 4, 4, 3), np.float32), (2, 2), (2, 2))
    assert np.all(y == 1)
    assert np.all(code == 0)


@pytest.mark.parametrize("where", list(np.ndindex(2, 2)))
def test_max_pool_passes_nan_on_from_any_element(where):
    a = np.zeros((1, 2, 4, 16), np.float32)
    a[0, where[0], where[1]] = np.nan
    y = pooling.max_pool(a, (2, 2), (2, 2))[0]
    assert np.isnan(y[0, 0, 0]).all()
    assert np.all(y[0, 0, 1] == 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "size", "stride"), CASES)
def test_pullbacks_are_adjoints(shape, size, stride, dtype):
    """<P a, d> = <a, P^T d>; a maximum is linear where the largest elements stay the same."""
    random = np.random.default_rng(1)
    a = without_ties(shape, dtype)
    y, code = pooling.max_pool(a, size, stride)
    d = random.standard_normal(y.shape).astype(dtype)
    back = pooling.max_pool_pullback(d, code, shape, size, stride)
    assert back.dtype == dtype
    scale = float(np.linalg.norm(y) * np.linalg.norm(d))
    bound = 20 * np.finfo(dtype).eps * scale  # overlapping windows add a few numbers each
    assert abs(np.vdot(y.astype(float), d) - np.vdot(a.astype(float), back)) < bound
    mean = pooling.average_pool(a, size, stride)
    spread = pooling.average_pool_pullback(d, shape, size, stride)
    assert mean.dtype == spread.dtype == dtype
    exact = naive.average_pool(a, size, stride)
    assert np.abs(mean - exact).max() < 20 * np.finfo(dtype).eps * np.abs(a).max()
    scale = float(np.linalg.norm(a) * np.linalg.norm(spread))
    assert abs(np.vdot(exact, d) - np.vdot(a.astype(float), spread)) < 300 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_and_its_derivative(dtype):
    u = np.random.default_rng(2).standard_normal((7, 5, 3)).astype(dtype)
    u[0, 0] = 0, -0.0, np.inf
    d = np.ones_like(u)
    a = pooling.relu(u)
    assert a.dtype == dtype
    assert np.array_equal(a, np.maximum(u, 0))
    assert np.array_equal(pooling.relu_pullback(d, a), (u > 0).astype(dtype))


def test_relu_passes_nan_on():
    """Weights that have diverged must reach the loss, where training looks for them."""
    u = np.full(40, np.nan, np.float32)
    a = pooling.relu(u)
    assert np.isnan(a).all()
    assert np.all(pooling.relu_pullback(np.ones_like(u), a) == 1)


def test_results_do_not_depend_on_the_number_of_threads():
    a = without_ties((5, 12, 12, 8), "float32")
    results = []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        before = numba.get_num_threads()
        numba.set_num_threads(count)
        try:
            y, code = pooling.max_pool(a, (3, 3), (2, 2))
            back = pooling.max_pool_pullback(y, code, a.shape, (3, 3), (2, 2))
            results.append((y, code, back, pooling.average_pool(a, (3, 3), (2, 2)), pooling.relu(a)))
        finally:
            numba.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)
