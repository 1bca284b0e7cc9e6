"""Converters and read noise in one pass, against a few lines of numpy."""

import numpy as np
import pytest

from dbpsim.kernels import readout
from dbpsim.kernels.coincidences import reaches
from dbpsim.kernels.readout import digitise, largest, read_out, weighted_squares

KEY = np.uint64(11)


def quantised(x, limit, levels):
    return np.clip(np.round(x / limit * levels), -levels, levels) * limit / levels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 16, 300, 5000])
def test_digitise_rounds_to_the_codes_of_each_samples_range(dtype, size):
    a = np.random.default_rng(0).standard_normal((5, size)).astype(dtype)
    out, full_scale, clipped, dropped = digitise(a, 0.0, 127)
    assert out.dtype == dtype
    assert clipped == 0
    assert dropped == np.count_nonzero(out == 0) - np.count_nonzero(a == 0)
    assert np.array_equal(full_scale, np.abs(a).max(axis=1))
    # A code apart by one where rounding decides: half a step and the rounding of a division.
    assert (np.abs(out - a) <= full_scale[:, None] / 127 * 0.5001).all()


def test_a_fixed_range_clips_and_counts():
    out, full_scale, clipped, dropped = digitise(np.array([[0.4, 2.0, -3.0, 0.0]]), 1.0, 1)
    assert out.tolist() == [[0.0, 1.0, -1.0, 0.0]]
    assert full_scale.tolist() == [1.0]
    assert (clipped, dropped) == (2, 1)


def test_zeros_stay_zero_and_nan_stays_nan():
    assert digitise(np.zeros((1, 40)), 0.0, 127)[0].tolist() == [[0.0] * 40]
    assert np.isnan(digitise(np.array([[1.0, np.nan]]), 0.0, 127)[0][0, 1])


def test_read_out_adds_converts_and_counts():
    x = np.array([[0.2, -1.5, 0.01, 0.0]])
    out = np.ones((1, 4))
    saturated, lost = read_out(x.copy(), None, KEY, 0, 1.0, 7, out, accumulate=True)
    assert np.allclose(out - 1, quantised(x, 1.0, 7), atol=1e-15)
    assert (saturated, lost) == (1, 1)


@pytest.mark.parametrize("size", [3, 4096, 9000])
def test_noise_of_a_sample_does_not_depend_on_how_the_batch_was_cut(size):
    variance = np.random.default_rng(0).random((6, size)).astype(np.float32)
    whole, cut = np.empty_like(variance), np.empty_like(variance)
    read_out(np.zeros_like(variance), variance, KEY, 0, 0.0, 0, whole, accumulate=False)
    for first in (0, 2, 4):
        part = slice(first, first + 2)
        read_out(
            np.zeros_like(variance[part]), variance[part], KEY, first, 0.0, 0, cut[part], accumulate=False
        )
    assert np.array_equal(whole, cut)
    assert len(np.unique(whole)) > 0.99 * whole.size  # no sample repeats another's numbers


def test_weighted_squares_is_the_sum_it_says():
    random = np.random.default_rng(0)
    a, w = random.standard_normal((9, 2500)), random.random(9)
    assert np.allclose(weighted_squares(a, w), w @ a**2, rtol=1e-14)


def test_a_kernel_and_its_serial_twin_are_cached_under_names_of_their_own():
    # Numba's cache does not tell a parallel kernel from a serial one: under one name the first compiled serves for both.
    for parallel, serial in readout._serial.items():
        names = [getattr(kernel, "py_func", kernel).__qualname__ for kernel in (parallel, serial)]
        assert names[1] == names[0] + "_serial"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 17, 256])
def test_the_largest_magnitude_is_found_whatever_its_sign(dtype, size):
    x = np.random.default_rng(size).standard_normal((3, size)).astype(dtype)
    for row in (*x, -np.abs(x[0]), np.zeros(size, dtype), np.full(size, -np.inf, dtype)):
        assert largest(row) == np.abs(row).max()
    assert np.array_equal(reaches(x), np.abs(x).max(axis=1))
    x[1, 0] = np.nan
    assert np.isnan(reaches(x)).tolist() == [False, True, False]
