"""Imported cells, pulsed up and down, against what aihwkit's own tiles did (aihwkit_pulses.py, run once)."""

import json
from pathlib import Path

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import load_hardware
from dbpsim.crossbar.imports.aihwkit_tables import data
from dbpsim.devices.update import pulse

THEIRS = json.loads(Path(__file__).with_name("aihwkit_pulses.json").read_text(encoding="utf-8"))
SPREADS = ("step_spread", "asymmetry_spread", "upper_spread", "lower_spread", "step_sigma")


def after(name, size, changes, runs):
    """Mean and spread of our weights after the same pulses, in aihwkit's units."""
    device = load_hardware(dbp.import_aihwkit(f"{name}PresetDevice")[0], changes).device
    window, fields = device.conductance, data()["devices"][f"{name}PresetDevice"]
    low, high = fields["w_min"], fields["w_max"]
    g = np.full((size, size), window.g_min_S - low / (high - low) * window.span_S)
    before, found = (0, 0), []
    for number, run in enumerate(runs):
        given = run["pulses"] - (before[1] if before[0] == run["direction"] else 0)
        before = run["direction"], run["pulses"]
        counts = [np.full(g.shape, given * (run["direction"] == sign), np.int32) for sign in (1, -1)]
        pulse(g, *counts, device.update, window, np.uint64(100 + number), np.uint64(7))
        w = low + (g - window.g_min_S) / window.span_S * (high - low)
        found.append((w.mean(), w.std()))
    return np.array(found)


@pytest.mark.parametrize("name", THEIRS)
def test_without_spreads_the_weights_are_aihwkits(name):
    runs = THEIRS[name]["exact"]
    ours = after(name, 1, {f"device.update.{key}": 0.0 for key in SPREADS}, runs)
    np.testing.assert_allclose(ours[:, 0], [run["mean"] for run in runs], atol=6e-4)


LOG_NORMAL = ("ReRamArrayOM", "ReRamArrayHfO2")


@pytest.mark.parametrize("name", [name for name in THEIRS if name not in LOG_NORMAL])
def test_with_all_spreads_mean_and_spread_are_nearly_aihwkits(name):
    runs = THEIRS[name]["noisy"]
    ours = after(name, 200, {}, runs)
    spreads = np.array([run["spread"] for run in runs])
    # aihwkit's slopes differ from device to device (LinearStep) or tilt with a device's bounds (SoftBounds)
    share = 0.15 if name == "ReRamSB" else 0.06
    np.testing.assert_allclose(ours[:, 0], [run["mean"] for run in runs], atol=0.022)
    assert (np.abs(ours[:, 1] - spreads) < share * spreads + 0.004).all()


@pytest.mark.parametrize("name", LOG_NORMAL)
def test_log_normal_steps_are_approximated_and_said_to_be(name):
    runs = THEIRS[name]["noisy"]
    ours = after(name, 200, {}, runs)
    np.testing.assert_allclose(ours[:, 0], [run["mean"] for run in runs], atol=0.15)
    np.testing.assert_allclose(ours[:, 1], [run["spread"] for run in runs], rtol=0.27)
    report = dbp.import_aihwkit(f"{name}PresetDevice")[1]
    assert "device.dw_min_dtod_log_normal" in {field.field for field in report.of("approximated")}
