"""Energy is conserved in the bookkeeping and agrees with the anchors; latency follows the clock."""

import csv
import json
import math
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from dbpsim.cost import cost, estimate, load_components
from dbpsim.crossbar import (
    Activity,
    Counts,
    CrossbarConvolution,
    CrossbarDense,
    StageActivity,
    load_hardware,
    measure,
)


@pytest.fixture(scope="module", params=["pcm", "ecram", "ideal"])
def chip(request):
    random, hardware = np.random.default_rng(0), load_hardware(request.param)
    conv = CrossbarConvolution(
        random.standard_normal((3, 3, 4, 8)), hardware, "conv", 0, (6, 6, 4), (1, 1), (1, 1)
    )
    head = CrossbarDense(random.standard_normal((3, 288)), hardware, "fc", 0)
    u = conv.forward(random.standard_normal((5, 6, 6, 4)))
    head.transpose(head.forward(u.reshape(5, -1)))
    conv.transpose(u)
    head.write(head.weight * 1.05)
    return SimpleNamespace(hardware=hardware, activity=measure({"conv": conv, "fc": head}))


def test_components_and_stages_add_up_to_the_total(chip):
    table = cost(chip)
    assert table.total_J > 0
    assert sum(table.by_stage.values()) == pytest.approx(table.total_J, rel=1e-12)
    assert sum(table.by_component.values()) == pytest.approx(table.total_J, rel=1e-12)


def test_shares_of_runs_add_up(chip):
    empty = chip.activity - chip.activity
    assert cost(chip, empty).total_J == 0.0
    assert cost(chip, chip.activity + chip.activity).total_J == pytest.approx(
        2 * cost(chip).total_J, rel=1e-12
    )


def test_files_hold_the_table(chip, tmp_path):
    table = cost(chip)
    table.to_json(tmp_path / "cost.json")
    table.to_csv(tmp_path / "cost.csv")
    assert json.loads((tmp_path / "cost.json").read_text())["total_energy_J"] == table.total_J
    rows = list(csv.DictReader((tmp_path / "cost.csv").read_text().splitlines()))
    assert [r["stage"] for r in rows] == ["conv", "fc", "total"]
    assert float(rows[-1]["total_J"]) == table.total_J


def test_the_text_names_stages_sources_and_what_is_left_out(chip):
    text = str(cost(chip))
    for word in ("conv", "fc", "total", "latency", "array: sum V^2 G", "not counted"):
        assert word in text


def one_array(**counts):
    return Activity(MappingProxyType({"a": StageActivity(256, 256, 1, forward=Counts(**counts))}))


def test_an_array_costs_ten_femtojoules_a_cell_at_ten_microsiemens_and_a_tenth_of_a_volt():
    # reference/energy.md section 4: 256 x 256 cells of 10 uS at 0.1 V rms: 6.6 mW, 10 fJ a MAC in 100 ns.
    power = 256 * 256 * 10e-6 * 0.1**2
    table = estimate(load_hardware("ideal"), one_array(vectors=1, power_W=power))
    assert power == pytest.approx(6.55e-3, rel=1e-3)
    assert table.energy_J["a"]["array"] / 256**2 == pytest.approx(10e-15, rel=1e-12)


def test_a_real_array_reaches_the_same_anchor():
    hardware = load_hardware("ideal", {"device.conductance.g_max_S": 10e-6, "read.v_read_V": 0.1})
    array = CrossbarDense(
        np.ones((256, 256)), hardware, "a", 0
    )  # one cell of each pair at 10 uS, the other open
    array.forward(np.where(np.random.default_rng(0).random((4, 256)) < 0.5, -1.0, 1.0))  # +-0.1 V: 0.1 V rms
    table = estimate(hardware, measure({"a": array}))
    assert table.energy_J["a"]["array"] / table.multiply_accumulates["a"] == pytest.approx(10e-15, rel=1e-12)


def test_the_dac_and_adc_of_isaac_cost_what_they_cost_there():
    parts = load_components()
    assert parts.adc.energy_J(8) == 1.67e-12
    assert parts.dac.energy_J(8) == pytest.approx(0.324e-12, rel=1e-3)
    assert parts.adc.energy_J(12) == pytest.approx(16 * parts.adc.energy_J(10))


def test_latency_is_the_clock_times_the_vectors_of_the_busiest_stage(chip):
    table = cost(chip)
    assert table.read_s == pytest.approx(chip.hardware.clock.period_s * 2 * 5 * 36, rel=1e-12)
    assert cost(chip, schedule="wavefront").read_s == pytest.approx(
        chip.hardware.clock.period_s * 2 * 5 * 37, rel=1e-12
    )


def test_a_smaller_step_is_a_shorter_clock():
    hardware = load_hardware("ideal")
    run = SimpleNamespace(
        activity=one_array(vectors=7, power_W=1.0), eta=0.9, schedule="synchronous", hardware=hardware
    )
    table = cost(SimpleNamespace(hardware=hardware, activity=None), run)
    assert table.period_s == pytest.approx(hardware.clock.tau_s * math.log(10), rel=1e-12)
    assert table.energy_J["a"]["array"] == pytest.approx(table.period_s)


def test_implausibly_cheap_arithmetic_is_pointed_out():
    cheap = estimate(load_hardware("ideal"), one_array(vectors=1000, power_W=1e-6))
    assert any("5 fJ an operation" in note for note in cheap.notes)


@pytest.mark.parametrize("options", [{"eta": 0.0}, {"eta": 1.2}, {"schedule": "later"}])
def test_impossible_requests_are_refused(options):
    with pytest.raises(ValueError, match="accepted"):
        estimate(load_hardware("ideal"), one_array(vectors=1), **options)


def test_a_components_file_is_checked(tmp_path):
    path = tmp_path / "parts.toml"
    path.write_text('name = "x"\n[amplifer]\nenergy_J = 1e-13\n')
    with pytest.raises(ValueError, match="amplifer: unknown key; did you mean amplifier"):
        load_components(path)
