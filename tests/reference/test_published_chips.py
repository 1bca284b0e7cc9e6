"""Published chips against the cost model: gates of reference/energy.md section 3; docs/validation.md has the tables.

The inputs are written out, with their sources, in dbpsim/cost/published.toml.  The numbers compared with are written out
here once more, so that nobody moves a goal by editing a data file.
"""

import importlib.util
from pathlib import Path

import pytest

from dbpsim.cost import load_components, with_values
from dbpsim.cost.published import (
    at_node_of,
    hermes,
    inputs,
    isaac,
    marinella,
    neurram,
    neurram_from,
    neurram_published,
    relative,
    worst_and_mean,
)
from dbpsim.cost.uncertainty import uncertainty

ROOT = Path(__file__).resolve().parents[2]

# bits out, bits in: fJ an operation of word lines, neurons, inputs; TOPS.  Wan et al. 2022, digitised by CiMLoop.
NEURRAM = {
    (3, 1): (8.99, 10.62, 3.45, 2.122),
    (4, 2): (8.27, 12.39, 3.96, 1.793),
    (5, 3): (15.46, 20.12, 7.73, 1.165),
    (6, 4): (21.76, 29.11, 11.51, 0.744),
    (7, 5): (30.93, 44.21, 14.02, 0.525),
    (8, 6): (37.22, 52.48, 19.24, 0.418),
    (9, 7): (43.69, 61.83, 22.83, 0.344),
    (10, 8): (50.52, 75.86, 27.51, 0.264),
}


def parts(point):
    return [1e15 * value for value in (point.word_line_J_per_op, point.neuron_J_per_op, point.input_J_per_op)]


def test_the_published_points_are_those_of_the_literature():
    found = {(p.out_bits, p.in_bits): (*parts(p), p.tops) for p in neurram_published()}
    assert found.keys() == NEURRAM.keys()
    for key, values in NEURRAM.items():
        assert found[key] == pytest.approx(values, rel=1e-9)


@pytest.mark.parametrize("bits", NEURRAM)
def test_neurram_energy_is_within_eight_percent_and_its_parts_within_twenty(bits):
    *published, tops = NEURRAM[bits]
    model = neurram(*bits)
    assert abs(relative(1e15 * model.total_J_per_op, sum(published))) < 0.08
    for part, value in zip(parts(model), published, strict=True):
        assert abs(relative(part, value)) < 0.20
    assert abs(relative(model.tops, tops)) < 0.08


def test_neurram_errors_are_small_in_the_mean():
    totals = [relative(1e15 * neurram(*bits).total_J_per_op, sum(values[:3])) for bits, values in NEURRAM.items()]
    each = [
        relative(part, value)
        for bits, values in NEURRAM.items()
        for part, value in zip(parts(neurram(*bits)), values[:3], strict=True)
    ]
    assert worst_and_mean(totals)[1] < 0.04
    assert worst_and_mean(each)[1] < 0.07


def test_neurram_is_predicted_from_points_that_were_not_fitted():
    # reference/energy.md section 3 found 2.3 %, with other weights of the points
    fitted = neurram_from((4, 6, 10))
    for (out_bits, _), (*published, _) in NEURRAM.items():
        assert abs(relative(1e15 * fitted[out_bits], sum(published))) < (0.035 if out_bits > 3 else 0.06)


def test_neurram_s_efficiency_but_for_the_slip():
    said = dict(zip(NEURRAM, (43.08, 40.33, 23.09, 15.95, 11.03, 8.26, 7.75, 6.44), strict=True))
    assert inputs()["neurram"]["published"]["tops_per_W"] == list(said.values())
    slip = (8, 6)  # the breakdown there sums to 9.18: digitised wrongly, out of this gate only
    assert relative(said[slip], 1e3 / sum(NEURRAM[slip][:3])) < -0.08
    for bits, efficiency in said.items():
        if bits != slip:
            assert abs(relative(efficiency, 1e3 / sum(NEURRAM[bits][:3]))) < 0.02
            assert abs(relative(1e-12 / neurram(*bits).total_J_per_op, efficiency)) < 0.08


@pytest.mark.parametrize(("name", "power_W"), [("ima", 24.08e-3), ("tile", 329.8e-3), ("chip", 65.8)])
def test_isaac_s_parts_sum_to_its_powers(name, power_W):
    assert isaac()[name].total_J / 100e-9 == pytest.approx(power_W, rel=0.01)


def test_isaac_s_parts_sum_to_its_area():
    areas = {name: table.total_area_m2 for name, table in isaac().items()}
    assert areas["ima"] == pytest.approx((9600 + 170 + 40 + 200 + 240 + 2100 + 770) * 1e-12, rel=1e-3)
    assert areas["chip"] == pytest.approx(85.4e-6, rel=0.01)


def test_one_read_of_isaac_is_301_pJ():
    table = isaac()["ima"]
    assert table.total_J / 8 == pytest.approx(301e-12, rel=0.01)
    each = {"adc": 200e-12, "dac": 50e-12, "array": 30e-12, "adder": 2.5e-12, "buffer": 18e-12}
    for component, energy in each.items():
        assert table.by_component[component] / 8 == pytest.approx(energy, rel=0.03)
    adc = load_components().adc  # the library's own converter is that design at 1.2 GS/s
    assert adc.energy_J(8) == pytest.approx(16e-3 / 8 / 1.28e9, rel=0.08)


LIBRARIES = [pytest.param(load_components, id="as it stands"), pytest.param(None, id="at the chip's node")]


@pytest.mark.parametrize("library", LIBRARIES)
def test_hermes_is_predicted_within_a_factor_of_two(library):
    table = hermes(library() if library else at_node_of("hermes"))
    assert 0.5 < table.total_J / 13.4e-9 < 2
    assert table.multiply_accumulates == {"array": 65536}
    # reference/energy.md section 3: about 13 mW of static power in the cells
    assert table.by_component["array"] / 133e-9 == pytest.approx(13e-3, rel=0.02)


def test_the_area_of_hermes_is_predicted_within_a_factor_of_two():
    # 1.59 TOPS/mm2 (JSSC 2022, abstract), 131,072 operations in 130 ns (recalled)
    published_m2 = 2 * 256**2 / 130e-9 / 1.59e12 * 1e-6
    assert inputs()["hermes"]["published_m2"] == pytest.approx(published_m2, rel=1e-3)
    assert 0.5 < hermes(at_node_of("hermes")).total_area_m2 / published_m2 < 2


def test_without_the_current_drawn_from_the_supply_hermes_is_missed():
    # docs/validation.md says so; this is the structure the prediction rests on
    efficient = with_values(load_components(), {"driver.linear_share": 0.0})
    assert hermes(efficient).total_J / 13.4e-9 < 0.5


@pytest.mark.parametrize("library", LIBRARIES)
def test_marinella_s_training_step_is_within_a_factor_of_three(library):
    table = marinella(library() if library else at_node_of("marinella"))
    assert 1 / 3 < table.total_J / (3 * 1024**2) / 11e-15 < 3
    assert all(table.by_phase[phase] > 0 for phase in ("forward", "transposed", "update"))
    assert table.latency_s == pytest.approx(2 * 0.384e-6 + 0.512e-6, rel=1e-6)


def test_ranges_hold_marinella_and_are_too_narrow_for_hermes():
    # what the page says; should the library's ranges ever hold HERMES too, say so there
    low, _, high = uncertainty(marinella, at_node_of("marinella"), draws=100).energy_J
    assert low < 3 * 1024**2 * 11e-15 < high
    low, _, high = uncertainty(hermes, at_node_of("hermes"), draws=100).energy_J
    assert high < 13.4e-9 < 1.25 * high


def test_the_page_is_what_the_model_says():
    spec = importlib.util.spec_from_file_location("validation_page", ROOT / "docs" / "validation.py")
    validation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(validation)
    assert (ROOT / "docs" / "validation.md").read_text(encoding="utf-8") == validation.page(), "run python3 docs/validation.py"
