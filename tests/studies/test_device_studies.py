"""Studies of devices: effects one at a time, weight transport, networks made for cells that age."""

import numpy as np
import pytest

from dbpsim.chip import Chip
from dbpsim.credit.backprop import backprop
from dbpsim.crossbar.hardware import as_used, list_hardware, load_hardware
from dbpsim.devices.update import middle_step
from dbpsim.network.models import mlp
from dbpsim.studies.engine import run_study
from dbpsim.studies.study import Study
from dbpsim.studies.tasks import run_task
from dbpsim.studies.tasks.effects import EFFECTS, has_effect, with_only

EXTRAS = {
    "wires.segment_row_ohm": 200.0, "wires.segment_column_ohm": 200.0,
    "device.faults.stuck_random": 0.05, "device.faults.source": "a test",
}  # fmt: skip
PRESETS = [load_hardware(each, EXTRAS) for each in list_hardware()]
SHOWN = ("levels", "programming_error", "read_noise", "ir_drop", "adc_bits", "stuck_cells")  # by a gradient of a young chip
SWEPT = {"device.programming.knee_S": 1e-12, "device.programming.pulses_per_cell": 1, "device.programming.source": "a test"}


def _gradient(hardware):
    net = mlp(24, 12, 4, dtype="float64", seed=1)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 24)), random.integers(0, 4, 16)
    return [backprop(each, x, y).gradients["dense1.weight"] for each in (Chip.program(net, hardware, seed=2), net)]


@pytest.mark.parametrize("hardware", PRESETS, ids=lambda h: h.name)
def test_without_effects_every_chip_is_exact_and_each_effect_that_a_chip_has_shows(hardware):
    found, exact = _gradient(with_only(hardware, "none"))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9 * abs(exact).max())
    for effect in SHOWN:
        found, _ = _gradient(with_only(hardware, effect))
        shows = float(np.linalg.norm(found - exact) / np.linalg.norm(exact)) > 1e-6
        assert shows == has_effect(hardware, effect), effect


@pytest.mark.parametrize("hardware", PRESETS, ids=lambda h: h.name)
def test_an_effect_alone_leaves_the_others_out(hardware):
    assert with_only(hardware, "all") is hardware is with_only(hardware, None)
    sections = {
        "levels": ("levels",), "programming_error": ("write_verify",), "read_noise": ("read_noise", "random_telegraph"),
        "drift": ("drift", "retention"), "stuck_cells": ("faults",),
    }  # fmt: skip
    for effect in EFFECTS[:-1]:
        alone = with_only(hardware, effect)
        used = as_used(alone)
        for name in {name for group in sections.values() for name in group} - set(sections.get(effect, ())):
            assert getattr(used, name) is None, (effect, name)
        assert bool(alone.adc.levels or alone.dac.levels) == (effect == "adc_bits" and hardware.links == "digital")
        assert alone.wired == (effect == "ir_drop")
        anew, pulses = effect == "programming_error", effect.startswith("update")
        assert alone.update.mode == ("mixed_precision" if anew else hardware.update.mode if pulses else "ideal")
        assert not anew or used.update is None


@pytest.mark.parametrize("name", ["pcm_nandakumar2020", "reram_hfo2_gong2018", "capacitor_li2018", "reram_om_gong2022"])
def test_laws_of_the_update_effects(name):
    hardware = load_hardware("ecram", {"device": name})
    law = hardware.device.update
    steps, noise, asymmetry, whole = (
        as_used(with_only(hardware, e)).update for e in ("update_steps", "update_noise", "update_asymmetry", "update")
    )
    assert steps.law == noise.law == "constant_step"
    assert asymmetry.law == law.law
    assert middle_step(steps) == pytest.approx(middle_step(law)) == middle_step(noise)
    assert steps.step_sigma == steps.step_spread == asymmetry.step_sigma == asymmetry.step_spread == 0
    assert asymmetry.asymmetry == law.asymmetry
    fixed = law.noise == "fixed"
    assert noise.step_sigma * (noise.step_S if fixed else 1) == pytest.approx(law.step_sigma * (law.step_S if fixed else 1))
    assert whole == law


def test_a_point_without_its_effect_has_no_rows():
    assert run_task("gradient", {"model": "mlp:4-3-2", "hardware": "ecram", "effect": "drift"}) == []
    assert len(run_task("gradient", {"model": "mlp:4-3-2", "hardware": "pcm", "effect": "drift", "wait_s": 3600.0})) == 1
    with pytest.raises(ValueError, match="accepted with a hardware"):
        run_task("gradient", {"model": "mlp:4-3-2", "effect": "drift"})


def test_cells_take_the_place_of_the_hardwares_own_and_can_be_changed():
    point = {"model": "mlp:4-3-2", "hardware": "pcm", "device": "pcm_hermes", "effect": "stuck_cells", "batch": 4}
    assert run_task("gradient", point) == []
    (row,) = run_task("gradient", point | {"device.faults.stuck_random": 0.5, "device.faults.source": "a test"})
    assert row["relative_error"] > 0.01


def test_waiting_drifts_and_compensation_brings_back_the_mean_of_it():
    point = {"model": "mlp:64-32-10", "hardware": "pcm", "effect": "drift", "wait_s": 2.6e6}
    (young,) = run_task("gradient", point | {"wait_s": 0.0})
    (old,) = run_task("gradient", point)
    (kept,) = run_task("gradient", point | {"compensate": True})
    assert young["relative_error"] < 1e-5 < kept["relative_error"] < 0.7 * old["relative_error"]


def test_the_same_cells_give_the_gradient_of_what_they_hold_and_a_replica_does_not():
    # Independent: cells at g = 0 have no error here, so one cell of a pair errs, by plateau w_max / span a weight.
    settings = {"model": "mlp:40-60-30-10", "dtype": "float64", "batch": 16, "device.programming.plateau_S": 3e-8, **SWEPT}
    (same,) = run_task("transport", settings)
    assert same["relative_error_held"] < 1e-12
    assert same["transport_error"] == 0
    assert same["relative_error"] > 0.05
    weights = [v for k, v in mlp(40, 60, 30, 10, dtype="float64").parameters.items() if k.endswith("weight")]
    variance = sum((3e-2 * abs(w).max()) ** 2 * w.size for w in weights) / sum(float((w**2).sum()) for w in weights)
    assert same["weight_error"] == pytest.approx(np.sqrt(variance), rel=0.05)
    (replica,) = run_task("transport", settings | {"mapping.transpose": "replica"})
    assert replica["transport_error"] == pytest.approx(np.sqrt(2) * same["weight_error"], rel=0.05)
    assert 0.3 < replica["error_ratio"] < 3
    (digital,) = run_task("transport", settings | {"mapping.transpose": "digital", "method": "bp"})
    assert digital["relative_error_held"] < 1e-12


def test_networks_trained_with_the_chips_noise_keep_more_of_their_accuracy():
    changes = {"device.programming.coefficients_S": (4e-6,), "effect": "programming_error"}  # a sixth of the window
    settings = {"model": "mlp:64-24-10", "epochs": 12, "tuning_epochs": 3, "reads": 1, **changes}
    means = {}
    for approach in ("neither", "noise", "fine-tuned", "both"):
        runs = [run_task("ageing", settings | {"approach": approach, "seed": seed}) for seed in range(2)]
        assert all(row["digital_accuracy"] > 0.7 for rows in runs for row in rows)
        means[approach] = np.mean([rows[0]["test_accuracy"] for rows in runs])
    assert means["noise"] > means["neither"] + 0.02


def test_relaxation_at_a_small_rate_averages_read_noise_and_nothing_else():
    # White noise through an exponential average of rate eta keeps eta / (2 - eta) of its variance: a third at a half.
    # Derivatives f'(u) come of the last read alone, so more than that is left.
    settings = {"model": "mlp:64-32-10", "activation": "tanh", "hardware": "pcm", "steps": "law", "tolerance": 1e-4, "batch": 64}
    ways = ({"method": "bp"}, {"method": "relax", "eta": 1.0}, {"method": "relax", "eta": 0.5})
    found = {}
    for effect in ("read_noise", "programming_error"):
        points = [[settings | way | {"effect": effect, "seed": seed} for seed in range(3)] for way in ways]
        found[effect] = [np.mean([run_task("gradient", each)[0]["misalignment"] for each in seeds]) for seeds in points]
    once, unit, half = found["read_noise"]
    assert unit == pytest.approx(once, rel=0.35)
    assert once / 3 < half < 0.75 * once
    assert found["programming_error"][2] == pytest.approx(found["programming_error"][0], rel=0.01)


def test_a_study_counts_points_without_their_effect_as_done(tmp_path):
    axes = {"effect": ["none", "drift"], "hardware": ["ecram", "pcm"]}
    study = Study(name="a", task="gradient", settings={"model": "mlp:4-3-2", "batch": 4}, axes=axes)
    outcome = run_study(study, tmp_path, shard=(0, 1))
    assert (outcome.points, outcome.failed, len(outcome.rows)) == (4, 0, 3)
