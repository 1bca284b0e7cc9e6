"""Energy is conserved in the bookkeeping and agrees with the anchors; latency follows the clock."""

import csv
import json
import math
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.cost import cost, estimate, load_components, with_values
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


@pytest.mark.parametrize("view", ["by_stage", "by_component", "by_phase"])
def test_every_view_is_a_sum_of_the_same_lines(chip, view):
    table = cost(chip, samples=5, states={"conv": 288, "fc": 3})
    assert math.fsum(getattr(table, view).values()) == pytest.approx(table.total_J, rel=1e-12)
    assert math.fsum(v for row in table.phase_J.values() for v in row.values()) == pytest.approx(table.total_J, rel=1e-12)
    assert math.fsum(table.area_by_component_m2.values()) == pytest.approx(table.total_area_m2, rel=1e-12)


COUNTS = st.builds(
    Counts, vectors=st.integers(0, 9), outputs=st.integers(0, 99), sensed=st.integers(99, 199), dac=st.integers(0, 99),
    adc=st.integers(0, 99), power_W=st.floats(0, 1), pulses=st.integers(0, 99), slots=st.integers(0, 99),
)  # fmt: skip
STAGES = st.builds(StageActivity, st.integers(1, 600), st.integers(1, 600), st.integers(1, 9), COUNTS, COUNTS, COUNTS)


@given(st.dictionaries(st.sampled_from("abc"), STAGES, min_size=1), st.sampled_from(["pcm", "ecram", "neurram"]), st.booleans())
def test_energy_is_conserved_for_any_activity(stages, name, gated):
    hardware = load_hardware(name, {"architecture.power_gated": gated})
    table = estimate(hardware, Activity(MappingProxyType(stages)), samples=3, states={"a": 7})
    for view in (table.by_stage, table.by_component, table.by_phase):
        assert math.fsum(view.values()) == pytest.approx(table.total_J, rel=1e-12)
    assert all(line.energy_J >= 0 for line in table.lines)


def by_hand(preset="pcm", **changes):
    """A 256 x 128 matrix on one tile: 3 vectors forward, 2 back, a library of round figures."""
    hardware = load_hardware(preset, {"tile.columns": 128, "read.v_read_V": 0.5, **changes})
    counts = [
        Counts(vectors=3, outputs=384, sensed=384, dac=768, adc=384, power_W=1.0),
        Counts(vectors=2, outputs=512, sensed=512, dac=256, adc=512, power_W=0.5),
        Counts(pulses=1000, slots=10, cells=900, vectors=2),
    ]
    return hardware, Activity(MappingProxyType({"a": StageActivity(256, 128, 1, *counts)}))


ROUND = with_values(
    load_components(),
    {
        "driver.capacitance_per_cell_F": 1e-15, "driver.fixed_capacitance_F": 0.0, "adc.energy_J[8]": 1e-12, "control.share": 0.1,
        "dac.capacitance_per_bit_F": 1e-13 / 8, "dac.supply_V": 1.0, "alu.add_J.fp16": 1e-13, "alu.multiply_J.fp16": 2e-13,
        "buffer.energy_per_bit_J": 1e-14, "network_on_chip.energy_per_bit_J": 1e-15, "pulse_generator.voltage_V": 2.0,
    },
)  # fmt: skip


def test_each_component_costs_what_it_does_by_hand():
    hardware, activity = by_hand()
    table = estimate(hardware, activity, components=ROUND, samples=2, states={"a": 128})
    forward, transposed, update = (table.phase_J[phase] for phase in ("forward", "transposed", "update"))
    assert forward["array"] == pytest.approx(1.0 * 1.3e-7)
    assert forward["regulation"] == pytest.approx(1.3e-7 * (0.9 / 0.5 - 1))  # 0.9 V for 0.5 V
    assert forward["driver"] == pytest.approx(3 * 256 * 256e-15 * 0.25)  # 128 pairs on a word line
    assert transposed["driver"] == pytest.approx(2 * 128 * 512e-15 * 0.25)
    assert forward["dac"] == pytest.approx(768 * 1e-13)
    assert forward["adc"] == pytest.approx(384e-12)
    assert forward["alu"] == pytest.approx(2 * 384 * 1e-13)
    assert transposed["alu"] == pytest.approx(512 * 1e-13 + 2 * 128 * 2e-13)
    assert forward["buffer"] == pytest.approx((3 * 256 * 8 + 2 * 384 * 16) * 1e-14)
    assert transposed["network_on_chip"] == pytest.approx(512 * 16e-15)
    assert update["pulses"] == pytest.approx(1000 * 3.3e-10)
    assert update["pulse_generator"] == pytest.approx(10 * 129 * 512e-15 * 4.0)
    assert update["alu"] == pytest.approx(2 * 256 * 128 * 3e-13)
    assert update["buffer"] == pytest.approx((2 * 384 * 16 + 256 * 128 * 32) * 1e-14)
    for phase in (forward, transposed, update):
        assert phase["control"] == pytest.approx(0.1 * (sum(phase.values()) - phase["control"]))


def test_a_clock_that_blends_reads_and_updates_states():
    hardware, activity = by_hand()
    unit, blend = (estimate(hardware, activity, components=ROUND, eta=eta).phase_J["forward"] for eta in (1.0, 0.5))
    assert blend["alu"] - unit["alu"] == pytest.approx(384 * 2 * 4e-13)
    assert blend["buffer"] - unit["buffer"] == pytest.approx(384 * 2 * 16e-14)


def test_analog_links_convert_at_the_edge_for_products_that_are_digital():
    hardware, activity = by_hand("ecram")
    table = estimate(hardware, activity, components=ROUND, samples=2, states={"a": 128})
    assert table.by_component["edge"] == pytest.approx(2 * 2 * 128 * 1e-12)
    assert table.by_component["neuron"] > 0
    assert table.by_component["buffer"] == table.phase_J["update"]["buffer"]


def test_replicas_share_positions_and_are_all_written():
    hardware, activity = by_hand()
    copies = load_hardware(hardware, {"architecture.replicas": {"a": 4}})
    one, four = (estimate(each, activity, components=ROUND, samples=2) for each in (hardware, copies))
    assert four.read_s == pytest.approx(one.read_s / 4)
    assert four.phase_J["forward"] == one.phase_J["forward"]
    assert four.by_component["pulses"] == pytest.approx(4 * one.by_component["pulses"])
    assert four.area_m2["a"]["array"] == pytest.approx(4 * one.area_m2["a"]["array"])
    with pytest.raises(ValueError, match="replicas: found stage 'b'; accepted: a"):
        estimate(load_hardware(hardware, {"architecture.replicas": {"b": 4}}), activity)


def test_arrays_that_stay_on_cost_their_mean_power_all_the_time():
    hardware, activity = by_hand(**{"architecture.power_gated": False})
    table = estimate(hardware, activity, components=ROUND)
    idle = (1.0 / 3) * (table.latency_s - 3 * table.period_s) + 0.25 * (table.latency_s - 2 * table.period_s)
    assert table.by_component["idle_array"] == pytest.approx(0.9 / 0.5 * idle)


def test_a_pipeline_is_as_fast_as_its_busiest_stage():
    stage = lambda n: StageActivity(4, 4, 1, Counts(vectors=n * 10))  # noqa: E731
    activity = Activity(MappingProxyType({"a": stage(6), "b": stage(2)}))
    plain, piped = (load_hardware("pcm", {"architecture.pipelined": on}) for on in (False, True))
    period = plain.clock.period_s
    assert estimate(plain, activity, schedule="wavefront", samples=10).read_s == pytest.approx(80 * period)
    assert estimate(piped, activity, schedule="wavefront", samples=10).read_s == pytest.approx((8 + 9 * 6) * period)
    assert estimate(piped, activity, samples=10).read_s == pytest.approx(60 * period)  # synchronous: all stages step anyway


def test_a_replica_for_the_way_back_is_read_at_once():
    hardware, activity = by_hand(**{"mapping.transpose": "replica"})
    assert estimate(hardware, activity).read_s == pytest.approx(3 * 1.3e-7)
    assert estimate(hardware, activity, schedule="wavefront").read_s == pytest.approx(5 * 1.3e-7)


def test_columns_that_share_a_converter_take_turns():
    hardware, activity = by_hand(**{"architecture.columns_per_adc": 8})
    alone, shared = (estimate(h, activity, components=ROUND) for h in (by_hand()[0], hardware))
    assert shared.period_s == pytest.approx(8 * alone.period_s)
    assert shared.area_m2["a"]["adc"] == pytest.approx(alone.area_m2["a"]["adc"] / 8)
    assert shared.by_component["sample_and_hold"] == pytest.approx((384 + 512) * 1.3e-14 * 0.25)


@pytest.mark.parametrize(("rate_Hz", "columns", "slow"), [(1.2e9, 1, False), (8e6, 1, False), (8e6, 2, False), (7e6, 2, True)])
def test_a_converter_that_is_too_slow_for_the_clock_is_pointed_out(rate_Hz, columns, slow):
    # one conversion in each 130 ns, 7.7 million a second, whether or not columns take turns: turns lengthen the period
    hardware = load_hardware("pcm", {"architecture.columns_per_adc": columns})
    read = Counts(vectors=1, outputs=8, sensed=8, dac=8, adc=8, power_W=1e-6)
    activity = Activity(MappingProxyType({"fc": StageActivity(8, 8, 1, read)}))
    table = estimate(hardware, activity, components=with_values(load_components(), {"adc.rate_Hz": rate_Hz}))
    assert any(note.startswith("warning") and "7.69 MHz" in note for note in table.notes) is slow


def test_the_edge_of_the_chip_converts_what_comes_in_and_goes_out():
    parts = load_components()
    for preset in ("pcm", "ecram"):
        hardware, activity = by_hand(preset)
        bare, whole = (estimate(hardware, activity, samples=3, states=s) for s in ({"a": 10}, {"a": 10, "input": 100}))
        more = {c: whole.by_component[c] - bare.by_component[c] for c in ("dram", "edge")}
        assert more["dram"] == pytest.approx(300 * 8 * parts.dram.energy_per_bit_J)
        conversions = 330 * parts.dac.energy_J(8) + 30 * parts.adc.energy_J(8) if preset == "ecram" else 0.0
        assert more["edge"] == pytest.approx(conversions)


def test_area_is_that_of_its_parts():
    hardware, activity = by_hand()
    parts, row = load_components(), estimate(*by_hand(), states={"a": 128, "join": 10}).area_m2
    assert row["a"]["array"] == pytest.approx(256 * 128 * 2 * 16 * 3.2e-8**2)
    assert row["a"]["adc"] == pytest.approx(256 * 1.2e-9)
    assert row["a"]["driver"] == pytest.approx(384 * 2.9e-11)
    assert row["join"]["states"] == pytest.approx(10 * 2 * 16 * parts.buffer.area_per_bit_m2)
    assert row["a"]["control"] == pytest.approx(0.04 * (sum(row["a"].values()) - row["a"]["control"]))


def test_the_digital_product_takes_its_time():
    hardware, activity = by_hand()
    assert estimate(hardware, activity).write_s == pytest.approx(10 * 6e-6 + 2 * 256 * 128 / 256e9)


def test_a_run_counts_the_outer_products_it_forms_digitally():
    net = dbp.models.mlp(20, 8, 10)
    x, y = np.random.default_rng(0).standard_normal((6, 20)), np.arange(6)
    for mode, products in (("mixed_precision", 6), ("stochastic_pulses", 0)):
        chip = dbp.Chip.program(net, load_hardware("ecram", {"update.mode": mode}))
        before = chip.activity
        run = dbp.relax(chip, x, y)
        assert [s.write.vectors for s in (chip.activity - before).stages.values()] == [products] * 2
        assert cost(chip, run).samples == 6
        assert (cost(chip, run).phase_J["update"]["edge"] > 0) == (products > 0)
