"""Every constant has a unit and a source, and what depends on it is computed."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbpsim.cli import main
from dbpsim.cost import load_components
from dbpsim.crossbar import load_hardware
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


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("hardware.ecram.read.v_read_V", {"array": 2.0, "driver": 2.0}),  # on its own preset, though the reference is pcm
        ("device.ecram.conductance.g_max_S", {"array": 1.0}),  # in the reference's place of the cell, before as after
        ("digital.digital-gpu.utilisation", {"total": -1.0, "latency": -1.0}),
        ("hardware.pcm.architecture.columns_per_adc", {"array": 1.0}),  # a whole number: 1 and 2
    ],
)
def test_what_depends_is_seen_on_what_the_figure_is_of(name, moved):
    (found,) = explain(name)
    assert {key: found.depends[key] for key in moved} == pytest.approx(moved, abs=0.01)


def test_whole_numbers_move_a_cost_too():
    (rows,) = explain("hardware.pcm.tile.rows")  # 257 rows take as many tiles as 256; 512 take half
    assert rows.depends["driver"] < 0 or rows.depends["adc"] < 0
    (bits,) = explain("hardware.pcm.adc.bits")
    library = load_components().adc
    assert bits.depends["adc"] == pytest.approx(math.log(library.energy_J(9) / library.energy_J(8)) / math.log(9 / 8))


def test_what_has_no_elasticity_is_not_said_to_move_nothing():
    assert explain("hardware.pcm.read.output_noise")[0].value == 0
    assert explain("hardware.pcm.read.output_noise")[0].depends is None
    assert "reference cost" not in str(explain("hardware.pcm.read.output_noise")[0])


def test_patterns_of_paths():
    found = [constant.path for constant in explain("components.adc.energy_J[*")]
    assert found == [path for path in PATHS if path.startswith("components.adc.energy_J[")]
    assert len(found) > 3
    assert {constant.path for constant in explain("DEVICE.*.g_max_s")} == {
        path for path in PATHS if path.startswith("device.") and path.endswith("g_max_S")
    }
    with pytest.raises(ValueError, match="no such constant"):
        explain("components.*.colour")


def test_components_say_their_node():
    (found,) = explain("components.dac.capacitance_per_bit_F")
    assert found.node_m == pytest.approx(28e-9)
    assert "node: 28 nm" in str(found)
    assert all(constant.node_m for constant in EVERY if constant.path.startswith("components."))


def test_hardware_of_one_s_own_is_listed_and_seen():
    mine = load_hardware("pcm", {"name": "mine", "read.v_read_V": 0.1})
    (found,) = explain("hardware.mine.read.v_read_V", hardware=mine)
    assert (found.value, found.depends["array"]) == (0.1, pytest.approx(2.0))


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
