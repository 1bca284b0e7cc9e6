"""Modes of training side by side: anchors of reference/energy.md, and what must hold between them."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.cli import main
from dbpsim.cost import limits, load_components
from dbpsim.cost.digital import list_digital, load_digital, products
from dbpsim.cost.drives import matrix_shape
from dbpsim.cost.modes import Setting, _held, list_modes, mode_cost
from dbpsim.cost.workload import positions
from dbpsim.crossbar import Counts, StageActivity, load_hardware
from dbpsim.devices.library import load_device

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def network():
    return dbp.models.mlp(784, 100, 10)


def setting(network, hardware="ecram", **changes):
    return Setting(network, load_hardware(hardware, changes), load_components())


@pytest.mark.parametrize(("name", "pJ"), [("digital-gpu", 0.707), ("digital-gpu-fp32", 20.5)])
def test_joules_a_flop_at_peak_are_the_published_ones(name, pJ):
    machine = load_digital(name).model_copy(update={"utilisation": 1.0})
    assert sum(machine.energy_J(0.5).values()) == pytest.approx(pJ * 1e-12, rel=5e-3)
    assert machine.energy_J(0.5)["idle"] == 0
    half = machine.model_copy(update={"utilisation": 0.5})
    assert sum(half.energy_J(1).values()) == pytest.approx(2 * sum(machine.energy_J(1).values()))
    assert half.multiply_accumulate_s * machine.power_W == pytest.approx(sum(half.energy_J(1).values()))


def test_a_weight_and_sample_is_six_operations():
    # reference/energy.md section 2: H100 fp16 4.2 pJ a weight and sample at peak, A100 fp32 123
    count = products(dbp.models.mlp(1000, 1000, 1000, 1000))
    assert count.total == 3_000_000 * 3 - 1_000_000  # nothing goes back to the input
    peak = load_digital("digital-gpu").model_copy(update={"utilisation": 1.0})
    assert sum(peak.energy_J(3).values()) == pytest.approx(4.2e-12, rel=0.02)


def test_an_accelerator_s_operations_are_horowitz_s():
    asic = load_digital("digital-asic")
    assert asic.multiply_accumulate_J == pytest.approx(1.1e-12 + 0.4e-12)
    assert asic.access_J_per_bit * 64 == pytest.approx(10e-12, rel=0.01)


@pytest.mark.parametrize(("conductance_S", "fJ"), [(10e-6, 74.0), (1e-6, 7.4)])
def test_static_energy_of_a_free_running_weight(conductance_S, fJ):
    # energy.md section 4: 0.1 V rms, tau 10 ns, L = 4, B = 8, a pair of cells, both directions
    power = 2 * conductance_S * 0.1**2
    stage = StageActivity(1, 1, 1, Counts(vectors=1, outputs=1, power_W=power), Counts(vectors=1, outputs=1, power_W=power))
    case = setting(dbp.models.mlp(4, 4, 4, 4, 4))
    lines = _held("a", stage, case.hardware, case, case.components, limits.settling_time_s(4, 8, 10e-9))
    assert sum(line.energy_J for line in lines if line.component == "array") == pytest.approx(fJ * 1e-15, rel=0.01)


def test_a_pulse_of_tantalum_oxide_is_some_95_settles():
    settle = 4 * 1e-6 * 0.1**2 * limits.settling_time_s(4, 8, 10e-9)
    pulse = load_device("taox_wu2018").update.energy_per_pulse_J
    assert pulse == pytest.approx(0.7e-12, rel=0.01)
    assert pulse / settle == pytest.approx(95, rel=0.02)
    assert load_device("ecram").update.energy_per_pulse_J == pytest.approx(1e-15)
    assert load_device("pcm").update.energy_per_pulse_J == pytest.approx(0.3e-9, rel=0.15)


@pytest.mark.parametrize("name", [*list_modes()])
@pytest.mark.parametrize("hardware", ["pcm", "ecram"])
def test_every_mode_is_conserved_and_says_what_it_assumes(network, name, hardware):
    found = mode_cost(name, setting(network, hardware))
    table = found.table
    for view in (table.by_stage, table.by_component, table.by_phase):
        assert math.fsum(view.values()) == pytest.approx(table.total_J, rel=1e-12)
    assert found.energy_J > 0
    assert found.latency_s > 0
    assert found.table.total_area_m2 > 0
    assert found.assumptions


def reads(found, component="array"):
    return found.table.phase_J["forward"][component] + found.table.phase_J["transposed"][component]


def test_modes_differ_by_how_often_and_how_long_arrays_are_read(network):
    case = setting(network)
    wave, clocked, prop, classical = (
        mode_cost(name, case) for name in ("dyadic-wavefront", "dyadic-clocked", "equilibrium-propagation", "analog-bp")
    )
    assert reads(prop) == pytest.approx(40 * reads(wave), rel=1e-9)  # a dense network's commands: 30 + 10
    # 2 L clocks and one more read for the gradients; stages that nothing has reached take no power
    assert reads(wave) < reads(clocked) < (2 * network.depth + 1) * reads(wave)
    assert reads(classical) == pytest.approx(reads(wave))
    assert classical.table.by_component["adc"] > 0 == wave.table.by_component["adc"]
    free = mode_cost("dyadic-free", case)
    on = limits.settling_time_s(network.depth, 8, case.hardware.clock.tau_s)
    assert free.table.read_s == pytest.approx(on)
    assert reads(free) == pytest.approx(reads(wave) * on / case.hardware.clock.period_s, rel=1e-9)
    for component in ("dram", "edge"):  # a sample has to come in, whatever happens to it then
        assert reads(free, component) == pytest.approx(reads(wave, component))


def test_wavefront_relaxation_with_converters_costs_what_classical_training_does(network):
    case = setting(network, "pcm")
    assert mode_cost("dyadic-wavefront", case).energy_J == pytest.approx(mode_cost("analog-bp", case).energy_J)


def test_a_convolution_runs_free_only_with_an_array_a_position():
    net = dbp.models.vgg9(input_shape=(8, 8, 2), width=4, classes=4)
    free, wave = (mode_cost(name, setting(net)) for name in ("dyadic-free", "dyadic-wavefront"))
    first = net.weight_stages[0].name
    second = net.weight_stages[1].name  # nothing is read back through the first, so it needs no array for that
    assert free.table.area_m2[first]["array"] == pytest.approx(64 * wave.table.area_m2[first]["array"])
    assert free.table.area_m2[second]["array"] == pytest.approx(2 * 64 * wave.table.area_m2[second]["array"])
    assert free.table.area_m2[second]["neuron"] == pytest.approx(64 * wave.table.area_m2[second]["neuron"])
    assert free.latency_s < wave.latency_s
    # every copy is written: a step's pulse a cell, shared by 64 samples, counted by hand
    shapes = [(stage.weight_layer, number > 0) for number, stage in enumerate(net.weight_stages)]
    cells = sum(2 * math.prod(matrix_shape(layer)) * positions(layer) * (1 + back) for layer, back in shapes)
    pulses = free.table.phase_J["update"]["pulses"] / load_device("ecram").update.energy_per_pulse_J
    assert pulses == pytest.approx(cells / 64, rel=0.02)  # rounded up, stage by stage
    prop = mode_cost("equilibrium-propagation", setting(net))
    assert reads(prop) == pytest.approx(310 * reads(wave), rel=1e-9)
    assert "250 free" in prop.assumptions[0]


@pytest.mark.parametrize(("change", "times"), [
    ({"mapping.transpose": "replica"}, 2), ({"mapping.transpose": "digital"}, 1), ({"mapping.scheme": "bit_sliced"}, 2),
    ({}, 1),
])  # fmt: skip
def test_every_cell_of_a_weight_is_written(network, change, times):
    wave = mode_cost("dyadic-wavefront", setting(network, "pcm", **change))
    weights = 784 * 100 + 100 * 10
    pulses = wave.table.phase_J["update"]["pulses"] / load_device("pcm").update.energy_per_pulse_J
    assert pulses == pytest.approx(times * 2 * weights / 64, rel=1e-2)


@pytest.mark.parametrize("transpose", ["replica", "digital"])
def test_free_running_has_an_array_each_way_whatever_the_mapping_asks(network, transpose):
    settings = (setting(network, "pcm", **{"mapping.transpose": how}) for how in ("same", transpose))
    plain, other = (mode_cost("dyadic-free", each) for each in settings)
    assert other.table.by_component == pytest.approx(plain.table.by_component)
    assert other.table.total_area_m2 == pytest.approx(plain.table.total_area_m2)


@pytest.mark.parametrize("name", ["dyadic-wavefront", "analog-bp"])
def test_a_pipeline_is_filled_by_the_samples_of_a_step(network, name):
    case = setting(network, "ecram", **{"architecture.pipelined": True})
    found, period_s = mode_cost(name, case).table, case.hardware.clock.period_s
    # three reads a sample (the first stage is not read back), two at the busiest stage
    assert found.read_s == pytest.approx((3 + 63 * 2) / 64 * period_s)
    assert mode_cost(name, setting(network)).table.read_s == pytest.approx(3 * period_s)


def test_the_expected_wavefront_costs_what_a_recorded_one_does():
    net = dbp.models.mlp(64, 32, 10)
    chip = dbp.Chip.program(net, "pcm")
    x = np.maximum(np.random.default_rng(0).standard_normal((32, 64)), 0).astype(np.float32)
    run = dbp.relax(chip, x, np.arange(32) % 10, schedule="wavefront")
    recorded = dbp.cost(chip, run)
    expected = mode_cost("dyadic-wavefront", setting(net, "pcm")).table
    for phase in ("forward", "transposed"):
        assert expected.by_phase[phase] == pytest.approx(recorded.by_phase[phase] / 32, rel=0.1)


def test_the_comparison_as_data_and_as_text(network):
    found = dbp.compare(network, "pcm", images=1000, epochs=2)
    document = found.to_dict()
    assert [row["name"] for row in document["modes"]] == list_modes()
    for row in document["modes"]:
        assert row["energy_per_training_J"] == pytest.approx(2000 * row["energy_per_sample_J"])
        assert row["energy_per_step_J"] == pytest.approx(64 * row["energy_per_sample_J"])
        assert row["energy_delay_per_sample_Js"] == pytest.approx(row["energy_per_sample_J"] * row["latency_per_sample_s"])
    text = str(found)
    for words in ("GPU, H100", "endurance", "free-running keeps every array on", "a pulse of pcm takes 330 pJ"):
        assert words in text
    json.dumps(document)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": ["digital-gpo"]}, "did you mean digital-gpu"), ({"bits": 0}, "bits: found 0"), ({"eta": 1.5}, "0 < eta <= 1"),
        ({"images": -1}, "images: found -1"),
    ],
)  # fmt: skip
def test_impossible_comparisons_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        dbp.compare(network, "pcm", **options)


def test_a_network_needs_hardware_and_a_chip_brings_its_own(network):
    with pytest.raises(ValueError, match="needs hardware"):
        dbp.compare(network)
    chip = dbp.Chip.program(network, "ecram")
    assert dbp.compare(chip, modes=["analog-bp"]).setting.hardware.name == "ecram"
    with pytest.raises(ValueError, match="digital machine 'x': not known"):
        load_digital("x")
    assert set(list_digital()) <= set(list_modes())


def test_the_command(capsys):
    assert main(["compare", "mlp:784-100-10", "--hardware", "ecram", "--modes", "dyadic-wavefront,digital-gpu", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["modes"]] == ["dyadic-wavefront", "digital-gpu"]
    assert main(["compare", "mlp:784-100-10", "--hardware", "ecram", "--modes", "digital"]) == 2
    assert "not known" in capsys.readouterr().err


def test_the_page_is_what_the_model_says():
    spec = importlib.util.spec_from_file_location("modes_page", ROOT / "docs" / "modes.py")
    modes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modes)
    assert (ROOT / "docs" / "modes.md").read_text(encoding="utf-8") == modes.page(), "run python3 docs/modes.py"
