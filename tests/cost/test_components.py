"""The component library: formulas against their closed forms, files against the schema, every figure by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbpsim.cost import figures, list_components, load_components, with_values

DEFAULT = load_components()
EVERY = figures(DEFAULT)


def test_the_dac_and_adc_of_isaac_cost_what_they_cost_there():
    assert DEFAULT.adc.energy_J(8) == 1.67e-12
    assert DEFAULT.dac.energy_J(8) == pytest.approx(0.324e-12, rel=1e-3)
    assert DEFAULT.adc.energy_J(12) == pytest.approx(16 * DEFAULT.adc.energy_J(10))
    assert DEFAULT.adc.area_m2(11) == pytest.approx(2 * 3.002e-9)


def test_an_amplifier_settles_for_what_physics_says():
    # reference/physics.md 7: 2 k Vdd C_L (N + 1) ln2 / (beta gm/Id) = 0.15 pJ
    assert DEFAULT.amplifier.energy_J == pytest.approx(2 * 0.9 * 1e-13 * 9 * math.log(2) / (0.5 * 15), rel=1e-12)
    assert DEFAULT.amplifier.energy_J == pytest.approx(1.5e-13, rel=0.01)
    assert DEFAULT.amplifier.power_W(1e-9) == pytest.approx(DEFAULT.amplifier.energy_J / (9 * math.log(2) * 1e-9), rel=1e-12)


def test_a_neuron_charges_two_capacitors_and_holds_its_transconductors():
    n = DEFAULT.neuron
    assert n.charging_J == pytest.approx(6.5e-15)
    held = n.transconductors * n.supply_V * n.capacitance_F * 9 * math.log(2) / n.gm_over_id_per_V
    assert n.energy_J == pytest.approx(6.5e-15 + held, rel=1e-12)
    assert n.capacitance_F == pytest.approx(12 * 4.142e-21 * 4**8 / 0.5**2, rel=0.01)  # kT/C, physics.md 1


def test_figures_of_merit_of_a_converter_are_their_definitions():
    walden = DEFAULT.adc.model_copy(update={"model": "walden", "walden_J": 5e-15})
    assert walden.energy_J(10) == pytest.approx(5e-15 * 1024)
    schreier = DEFAULT.adc.model_copy(update={"model": "schreier", "schreier_dB": 170.0, "rate_Hz": 1.0})
    rate, energy = 1.0, schreier.energy_J(10)  # far below the corner
    signal_to_noise_dB = 6.02 * 10 + 1.76
    assert signal_to_noise_dB + 10 * math.log10(rate / (2 * energy * rate)) == pytest.approx(170.0)
    assert DEFAULT.adc.model_copy(update={"model": "schreier"}).energy_J(8) == pytest.approx(1.714e-12, rel=0.01)


@given(st.integers(1, 16), st.floats(1e3, 1e11))
def test_schreier_s_figure_falls_ten_decibels_a_decade_above_its_corner(bits, rate_Hz):
    def energy(rate):
        return DEFAULT.adc.model_copy(update={"model": "schreier", "rate_Hz": rate}).energy_J(bits)

    corner_Hz = DEFAULT.adc.corner_Hz
    assert energy(corner_Hz) == pytest.approx(math.sqrt(2) * energy(1.0))
    assert max(1.0, rate_Hz / corner_Hz) <= energy(rate_Hz) / energy(1.0) <= 1 + rate_Hz / corner_Hz
    # the five best of the survey: 186.7 dB at low rates
    reached_dB = 6.02 * bits + 1.76 + 10 * math.log10(1 / (2 * energy(rate_Hz)))
    assert reached_dB < 186.7 - 10 * math.log10(math.hypot(1, rate_Hz / 51.4e6))


def test_digital_operations_are_horowitz_s():
    alu = DEFAULT.alu
    macs = {p: alu.energy_J("add", p) + alu.energy_J("multiply", p) for p in ("int8", "fp16", "fp32")}
    assert macs == pytest.approx({"int8": 0.23e-12, "fp16": 1.5e-12, "fp32": 4.6e-12})


@pytest.mark.parametrize("name", list_components())
def test_every_figure_has_a_unit_a_source_and_a_range_around_it(name):
    for figure in figures(load_components(name)):
        assert len(figure.source) > 20
        assert figure.low <= figure.value <= figure.high
        plain = {"energy_factor", "stages", "feedback_factor", "transconductors", "units", "share", "linear_share"}
        assert figure.unit != "1" or figure.path.rpartition(".")[2] in plain


@given(st.sampled_from(EVERY), st.floats(1e-30, 1e9))
def test_one_figure_is_replaced_and_no_other(figure, value):
    changed = {f.path: f.value for f in figures(with_values(DEFAULT, {figure.path: value}))}
    assert changed == {f.path: f.value for f in EVERY} | {figure.path: value}


@pytest.mark.parametrize("path", ["amplifier.lod_F", "adc.energy_J[11]", "alu.add_J", "name", "x.y", "adc.model", "adc.range"])
def test_figures_that_are_not_there_are_refused(path):
    with pytest.raises(ValueError, match="no such figure"):
        with_values(DEFAULT, {path: 1.0})


def test_a_library_may_say_only_what_differs(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\nbased_on = "default"\n[adc]\nenergy_factor = 0.5\n')
    (tmp_path / "next.toml").write_text('name = "next"\nbased_on = "mine.toml"\n[control]\nshare = 0.1\n')
    mine = load_components(tmp_path / "next.toml")
    assert (mine.name, mine.control.share) == ("next", 0.1)
    assert mine.adc.energy_J(8) == pytest.approx(DEFAULT.adc.energy_J(8) / 2)
    assert mine.driver == DEFAULT.driver


PLAIN = [figure for figure in EVERY if figure.path.count(".") == 1 and "[" not in figure.path]


@given(st.sampled_from(PLAIN), st.floats(0.01, 100))
def test_any_figure_may_be_overridden_by_a_file_and_is_exact_then(tmp_path_factory, figure, factor):
    # whole numbers and shares stay what they are
    share = figure.path.endswith(("share", "feedback_factor", "gm_over_id_per_V"))
    whole = figure.path.endswith(("_bits", "units"))
    value = figure.value + 1 if whole else figure.value * (min(factor, 1.0) if share else factor)
    part, key = figure.path.split(".")
    path = tmp_path_factory.mktemp("library") / "mine.toml"
    path.write_text(f'name = "mine"\nbased_on = "default"\n[{part}]\n{key} = {int(value) if whole else repr(value)}\n')
    found = {f.path: (f.value, f.low, f.high) for f in figures(load_components(path))}
    assert found.pop(figure.path) == pytest.approx((value,) * 3)
    assert found == {f.path: (f.value, f.low, f.high) for f in EVERY if f.path != figure.path}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nbased_on = "default"\n[amplifer]\nload_F = 1e-13\n', "amplifer: unknown key; did you mean amplifier"),
        ('name = "x"\nbased_on = "default"\n[amplifier]\nload_F = -1\n', "amplifier.load_F"),
        ('name = "x"\nbased_on = "default"\n[amplifier]\nload_F = "100 fF"\n', "amplifier.load_F"),
        ('name = "x"\nbased_on = "default"\n[control.range]\nshare = [0.1, 0.2]\n', "accepted: 0 <= low <= 0.04 <= high"),
        ('name = "x"\nbased_on = "default"\n[control.range]\nshre = [0.1, 0.2]\n', "no figure shre"),
        ('name = "x"\nbased_on = "defalt"\n', "no such library; did you mean default"),
        ('name = "x"\nbased_on = "x.toml"\n', "rest on each other"),
        ('name = "x"\nbased_on = "default"\n[adc]\nbits = [8, 4]\n', "one value for each"),
        ('name = "x"\n', "driver"),
    ],
)
def test_bad_libraries_are_refused_in_a_line(tmp_path, text, message):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=".*") as error:
        load_components(path)
    assert message in str(error.value)
