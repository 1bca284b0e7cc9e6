"""Ranges carried through to totals: closed forms, an independent sampler, reproducibility."""

import doctest
import math
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, sobol_indices, uniform

import dbpsim as dbp
from dbpsim.cost import Figure, estimate, figures, load_components, with_values
from dbpsim.cost.table import CostTable, Line
from dbpsim.cost.uncertainty import drawn, libraries, uncertainty
from dbpsim.crossbar import Activity, Counts, StageActivity, load_hardware

LIBRARY = load_components()
RANGED = [figure for figure in figures(LIBRARY) if figure.ranged]
ACTIVITY = Activity(MappingProxyType({"a": StageActivity(256, 128, 1, Counts(
    vectors=10, outputs=1280, sensed=1280, dac=2560, adc=1280, power_W=0.1), Counts(), Counts(vectors=10))}))  # fmt: skip


def pcm(parts):
    return estimate(load_hardware("pcm"), ACTIVITY, components=parts, samples=10)


@given(st.sampled_from(RANGED), st.lists(st.floats(0, 1), min_size=1))
def test_draws_stay_in_their_range_and_rise(figure, quantiles):
    values = drawn(figure, np.sort(quantiles))
    assert (figure.low <= values * (1 + 1e-12)).all()
    assert (values <= figure.high * (1 + 1e-12)).all()
    assert (np.diff(values) >= -1e-12 * figure.high).all()
    assert drawn(figure, np.array(0.5)) == pytest.approx(figure.value)


def test_draws_are_log_uniform_on_either_side_of_the_median():
    figure = Figure("x.y_J", 2.0, 0.5, 16.0, "J", 1e-8, "a test")
    values = drawn(figure, np.random.default_rng(0).random(20000))
    below, above = values[values < 2], values[values >= 2]
    assert kstest(np.log(below / 0.5) / math.log(4), "uniform").pvalue > 1e-3
    assert kstest(np.log(above / 2) / math.log(8), "uniform").pvalue > 1e-3
    assert len(below) / 20000 == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(20000))


def test_a_cost_that_is_one_figure_has_that_figure_s_percentiles():
    def one(parts):
        return CostTable("x", (Line("a", "forward", "adc", parts.adc.energy_factor),), {"a": 1}, 1.0, 0.0, 1.0, "wavefront")

    found = uncertainty(one, LIBRARY, draws=4000, seed=3)
    low, high = LIBRARY.adc.range["energy_factor"]
    assert found.energy_J[0] == pytest.approx(low * (1 / low) ** 0.1, rel=0.05)  # the 5th percentile is a tenth of the lower half
    assert found.energy_J[1] == pytest.approx(1.0, rel=0.1)
    assert found.energy_J[2] == pytest.approx(high**0.9, rel=0.05)
    assert [bar.path for bar in found.tornado] == ["adc.energy_factor"]
    assert (found.tornado[0].total_at_low, found.tornado[0].total_at_high) == (low, high)


def test_the_tornado_is_each_figure_by_itself():
    found = uncertainty(pcm, LIBRARY, draws=2)
    nominal = pcm(LIBRARY)
    assert found.nominal_J == nominal.total_J
    swings = [bar.swing for bar in found.tornado]
    assert swings == sorted(swings, reverse=True)
    by_path = {bar.path: bar for bar in found.tornado}
    # linear in the converter's factor: its share of the total, and control's on top
    share = nominal.by_component["adc"] * (1 + LIBRARY.control.share)
    high = LIBRARY.adc.range["energy_factor"][1]
    assert by_path["adc.energy_factor"].total_at_high == pytest.approx(nominal.total_J + (high - 1) * share, rel=1e-12)
    assert "neuron.capacitance_F" not in by_path  # digital links have no such neurons
    assert "array.area_F2" not in by_path  # takes area, no energy


def test_the_same_seed_is_the_same_draw_and_another_is_not():
    one, same, other = (uncertainty(pcm, LIBRARY, draws=20, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.energy_J != other.energy_J
    assert one.energy_J[0] < one.nominal_J < one.energy_J[2]
    assert all(low <= middle <= high for low, middle, high in one.by_component_J.values())


def test_every_ranged_figure_is_drawn():
    drawn_ones = libraries(LIBRARY, 12, 0)
    for figure in RANGED:
        values = {next(f.value for f in figures(parts) if f.path == figure.path) for parts in drawn_ones}
        assert len(values) > 1


def test_no_ranges_no_uncertainty():
    certain = with_values(LIBRARY, {figure.path: figure.value for figure in RANGED})
    found = uncertainty(pcm, certain, draws=3)
    assert found.energy_J == pytest.approx([found.nominal_J] * 3)
    assert found.tornado == ()
    with pytest.raises(ValueError, match="draws: found 0"):
        uncertainty(pcm, LIBRARY, draws=0)


def test_modes_have_ranges_too():
    found = dbp.compare(dbp.models.mlp(64, 32, 10), "ecram", modes=["dyadic-wavefront", "analog-bp", "digital-gpu"])
    ranges = found.ranges(draws=50)
    for row in found.rows:
        low, middle, high = ranges[row.name]
        assert low < middle < high
        assert low < row.energy_J < high
    assert ranges == found.ranges(draws=50)


def variance(figure):
    """Closed form: half of the draws log-uniform from low to the value, half from the value to high."""
    pieces = [(figure.low, figure.value), (figure.value, figure.high)]

    def moment(power):
        ends = [(b**power - a**power) / (power * math.log(b / a)) if b > a else a**power for a, b in pieces]
        return sum(ends) / 2

    return moment(2) - moment(1) ** 2


def test_sobol_s_indices_are_the_shares_of_variance_of_the_closed_form():
    paths = ("alu.energy_factor", "buffer.energy_per_bit_J", "dac.capacitance_per_bit_F")
    moved = [next(figure for figure in RANGED if figure.path == path) for path in paths]

    def totals(quantiles):
        values = [drawn(figure, row) for figure, row in zip(moved, quantiles, strict=True)]
        return np.array([pcm(with_values(LIBRARY, dict(zip(paths, row, strict=True)))).total_J for row in np.transpose(values)])

    def slope(figure):
        return (pcm(with_values(LIBRARY, {figure.path: 2 * figure.value})).total_J - pcm(LIBRARY).total_J) / figure.value

    found = sobol_indices(func=totals, n=128, dists=[uniform()] * 3, rng=0)
    parts = np.array([slope(figure) ** 2 * variance(figure) for figure in moved])
    assert found.first_order == pytest.approx(parts / parts.sum(), abs=0.03)
    assert found.total_order == pytest.approx(found.first_order, abs=0.03)  # the sum is linear: nothing acts together
    swings = {bar.path: bar.swing for bar in uncertainty(pcm, LIBRARY, draws=1).tornado}
    assert np.argsort([swings[path] for path in paths]).tolist() == np.argsort(found.first_order).tolist()


def test_the_draws_have_the_mean_and_variance_of_the_closed_form():
    figure = next(figure for figure in RANGED if figure.path == "adc.energy_factor")
    values = np.array([parts.adc.energy_factor for parts in libraries(LIBRARY, 4000, 5)])
    assert values.var() == pytest.approx(variance(figure), rel=0.05)


def test_a_draw_asks_for_one_cost_and_a_bar_for_two():
    asked = []

    def counted(parts):
        asked.append(parts)
        return pcm(parts)

    uncertainty(counted, LIBRARY, draws=7)
    assert len(asked) == 7 + 1 + 2 * len(RANGED)  # and the nominal


def test_the_page_s_example_runs():
    page = Path(__file__).parents[2] / "docs" / "uncertainty.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert (failed, tried) == (0, 12)
