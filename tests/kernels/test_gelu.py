"""The fitted kernel of u Phi(u) beside SciPy's error function in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from dbpsim.kernels.gelu import gelu, gelu_pullback

EVERYWHERE = np.linspace(-14, 14, 200_001).astype(np.float32)


def exact(u):
    u = u.astype(float)
    return u * ndtr(u), ndtr(u) + u * np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)


def test_values_and_slopes_are_float32_exact_to_rounding():
    value, slope = exact(EVERYWHERE)
    assert np.abs(gelu(EVERYWHERE) - value).max() < 1e-6  # 14 is rounded to 1e-6
    assert np.abs(gelu_pullback(np.ones_like(EVERYWHERE), EVERYWHERE) - slope).max() < 5e-7
    small = np.abs(EVERYWHERE) < 1
    assert np.abs(gelu(EVERYWHERE) - value)[small].max() < 1.5e-7


def test_the_tail_keeps_its_relative_precision():
    tail = EVERYWHERE[(EVERYWHERE < -1) & (EVERYWHERE > -12.9)]
    assert np.abs(gelu(tail) / exact(tail)[0] - 1).max() < 1e-5


def test_nan_passes_and_infinity_is_the_identity():
    bad = np.float32([np.nan, np.inf])
    assert np.isnan(gelu(bad)[0])
    assert gelu(bad)[1] == np.inf
    assert np.isnan(gelu_pullback(np.float32([1, np.nan]), np.float32([np.nan, 1]))).all()


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_any_number_gives_a_number_between_its_rectified_value_and_a_sixth_below(u):
    value = float(gelu(np.float32([u]))[0])
    assert max(u, 0) - 0.17 - 1e-6 * abs(u) <= value <= max(u, 0) + 1e-6 * abs(u)


@pytest.mark.parametrize("shape", [(0,), (3, 5), (2, 3, 4, 7)])
def test_shapes_are_kept(shape):
    u = np.zeros(shape, np.float32)
    assert gelu(u).shape == gelu_pullback(u, u).shape == shape
