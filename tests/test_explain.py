"""Every constant has a unit and a source, and what depends on it is computed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbpsim.cli import main
from dbpsim.cost import load_components
from dbpsim.explain import constants, explain

EVERY = constants()
PATHS = [constant.path for constant in EVERY]


def test_no_constant_is_without_source_and_no_two_have_one_name():
    assert len(EVERY) > 600
    assert [constant.path for constant in EVERY if len(constant.source.strip()) < 5] == []
    assert len(set(PATHS)) == len(PATHS)
    kinds = {path.partition(".")[0] for path in PATHS}
    assert kinds == {"components", "device", "hardware", "digital", "physics", "cost", "check"}


def test_keys_that_name_a_unit_have_it():
    units = {constant.path: constant.unit for constant in EVERY}
    assert units["device.pcm.update.pulse_s"] == "s"
    assert units["device.pcm.programming.coefficients_S[0]"] == "S"
    assert units["hardware.pcm.read.v_read_V"] == "V"
    assert units["components.sample_and_hold.capacitance_density_F_per_m2"] == "F/m2"
    assert units["digital.digital-gpu.peak_FLOP_per_s"] == "FLOP/s"


@given(st.sampled_from([constant for constant in EVERY if constant.low is not None]))
def test_ranges_hold_their_values(constant):
    assert constant.low <= constant.value <= constant.high


@given(st.sampled_from(PATHS))
def test_a_path_finds_itself_and_a_part_of_it_finds_it_too(path):
    part = path.rpartition(".")[2]
    found = [c.path for c in (explain(part) if PATHS.count(part) != 1 and sum(part in p for p in PATHS) > 1 else explain(path))]
    assert path in found


@pytest.mark.parametrize(
    ("name", "elasticities"),
    [
        ("components.adc.energy_factor", {"adc": 1.0}),
        ("components.amplifier.feedback_factor", {"amplifier": -1.0}),
        ("hardware.pcm.read.v_read_V", {"array": 2.0, "driver": 2.0}),
        ("hardware.pcm.clock.period_s", {"array": 1.0}),
        ("components.dac.supply_V", {"dac": 2.0}),
    ],
)
def test_what_depends_is_the_power_in_the_formula(name, elasticities):
    (found,) = explain(name)
    for component, power in elasticities.items():
        assert found.depends[component] == pytest.approx(power, abs=0.02)
    assert "sample_and_hold" not in found.depends


def test_figures_that_no_cost_uses_move_nothing():
    assert explain("device.pcm.drift.t0_s")[0].depends == {}
    assert explain("physics.BOLTZMANN_J_per_K")[0].depends == {}


def test_another_library_and_another_hardware():
    mine = load_components().model_copy(update={"name": "mine"})
    (found,) = explain("components.neuron.capacitance_F", hardware="ecram", components=mine)
    assert 0.9 < found.depends["neuron"] <= 1.0
    assert explain("components.neuron.capacitance_F")[0].depends == {}  # pcm has digital links


def test_the_command(capsys):
    assert main(["explain", "adc.energy_factor"]) == 0
    text = capsys.readouterr().out
    for words in ("components.adc.energy_factor = 1", "range: 0.097 to 2.75", "source: table: ISAAC", "adc +1.00"):
        assert words in text
    assert main(["explain", "g_max_S", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) >= 17
    assert main(["explain", "feedbak_factor"]) == 2
    assert "feedback_factor" in capsys.readouterr().err
