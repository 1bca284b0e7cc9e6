"""Levels, drawn windows and pinned faults, as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.devices import load_device
from dbpsim.devices.effects import Faults, Levels, Spread
from dbpsim.devices.faults import faulty_cells, pin
from dbpsim.devices.schema import Conductance
from dbpsim.devices.window import quantised, windows
from dbpsim.kernels.random import stream

IDEAL = load_device("ideal")


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 300), st.floats(0, 0.9), st.lists(st.floats(0, 1.2), min_size=1, max_size=20))
def test_quantised_is_the_nearest_level_and_stays_there(count, low, shares):
    window = Conductance(g_min_S=low * 1e-6, g_max_S=1e-6, source="a test")
    device = IDEAL.model_copy(update={"conductance": window, "levels": Levels(count=count, source="a test")})
    wanted = np.array(shares) * 1e-6
    levels = np.linspace(window.g_min_S, window.g_max_S, count)
    nearest = np.abs(wanted[:, None] - levels).min(axis=1)
    found = quantised(wanted, device)
    assert np.allclose(np.abs(found - wanted), nearest, atol=1e-18)
    assert np.allclose(quantised(found, device), found, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 9))
def test_drawn_windows_are_open_and_not_negative_whatever_the_spread(low_sigma, high_sigma, seed):
    device = IDEAL.model_copy(update={"spread": Spread(g_min_sigma=low_sigma, g_max_sigma=high_sigma, source="a test")})
    low, high = windows((50,), device, stream(seed, "windows"))
    assert low.min() >= 0
    assert np.all(high > low)
    again = windows((50,), device, stream(seed, "windows"))
    assert np.array_equal(again[0], low)
    assert np.array_equal(again[1], high)


EXTREMES = [({"stuck_on": 1}, 1e-6), ({"stuck_off": 1}, 0.0), ({"dead_rows": 1}, 0.0), ({}, 5e-7)]


@pytest.mark.parametrize(("faults", "shown"), EXTREMES)
def test_faults_at_their_extremes(faults, shown):
    at, values = faulty_cells((3, 4), IDEAL.model_copy(update={"faults": Faults(**faults, source="a test")}), stream(0, "faults"))
    g = np.full((3, 4), 5e-7, np.float32)
    pin(g, at, values)
    assert np.allclose(g, shown)
    assert np.all(np.diff(at) > 0)


def test_an_open_line_beats_a_stuck_cell():
    both = Faults(stuck_on=1.0, dead_columns=1.0, source="a test")
    _, values = faulty_cells((2, 2), IDEAL.model_copy(update={"faults": both}), stream(0, "faults"))
    assert values.tolist() == [0, 0, 0, 0]


def test_pinning_reaches_into_views_or_says_no():
    # a transposed view has no flat order of its own: pin must not write into a copy
    g = np.ones((2, 3)).T
    with pytest.raises(ValueError, match="contiguous"):
        pin(g, np.array([0]), np.array([0.0]))
