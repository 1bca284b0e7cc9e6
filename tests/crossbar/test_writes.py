"""What writes do to cells, and what is counted."""

import numpy as np
import pytest

from dbpsim.crossbar import CrossbarDense, load_hardware
from dbpsim.crossbar.cells import Cells
from dbpsim.devices import load_device
from dbpsim.devices.effects import WriteVerify

W = np.random.default_rng(0).standard_normal((30, 400)).astype(np.float32)


def chip(hardware, changes=None):
    return CrossbarDense(W, load_hardware(hardware, changes), "fc", 0)


def test_an_ideal_write_is_exact_and_knows_no_window():
    ideal = chip("ideal")
    ideal.write(3 * W)
    assert np.abs(ideal.weight - 3 * W).max() < 1e-6 * np.abs(3 * W).max()


@pytest.mark.parametrize("hardware", ["pcm", "ecram"])
def test_changes_below_a_step_wait_until_they_have_grown_to_one(hardware):
    c = chip(hardware, {"effects.update_noise": False, "mapping.headroom": 1.5})
    update, tiles = c.hardware.device.update, c.tiles
    step = update.step_S * tiles.cells.w_max.item() / c.hardware.device.conductance.span_S
    before, programmed = c.weight, c.activity.write
    for part in (0.3, 0.6, 0.9):
        c.write(W + np.float32(part * step))
        assert np.array_equal(c.weight, before)
    assert c.activity.write == programmed
    c.write(W + np.float32(1.2 * step))
    moved = np.abs(c.weight - before - step) < 1e-3 * step
    assert moved.mean() > 0.95  # the rest: cells at the edge of their window, or refreshed
    assert (c.activity.write - programmed).pulses >= W.size * 0.95


def test_noiseless_two_sided_writes_follow_the_weights_within_a_step():
    c = chip("ecram", {"effects.update_noise": False, "mapping.headroom": 2.0})
    step = c.hardware.device.update.step_S * c.tiles.cells.w_max.item() / c.hardware.device.conductance.span_S
    random, weight = np.random.default_rng(1), W.copy()
    for _ in range(10):
        weight += (0.05 * random.standard_normal(W.shape)).astype(np.float32)
        c.write(weight)
        assert np.abs(c.weight - weight).max() < 1.01 * step
    assert (
        np.minimum(c.tiles.cells.g_plus, c.tiles.cells.g_minus).max() < 1.01 * c.hardware.device.update.step_S
    )  # one cell rests


def test_writes_have_the_devices_noise():
    c = chip("ecram", {"mapping.headroom": 2.0})
    g = c.tiles.cells.g_plus.copy()
    step = c.hardware.device.update.step_S
    up = np.where(c.tiles.cells.believed > 0, np.float32(100 * step), 0)
    weight = (c.tiles.cells.believed + up) * c.tiles.cells.w_max.item() / c.hardware.device.conductance.span_S
    c.write(np.ascontiguousarray(weight.T))
    change = (c.tiles.cells.g_plus - g)[up > 0] / step
    assert (
        abs(change.mean() - 100) < 5 * 3 / np.sqrt(change.size) + 0.5
    )  # half the cells round down to 99 pulses
    assert abs(change.std() / 3.0 - 1) < 0.05  # sqrt(100) x 0.3


def test_one_sided_cells_only_rise_until_they_are_refreshed():
    c = chip(
        "pcm", {"effects.update_noise": False, "effects.programming_error": False, "mapping.headroom": 1.5}
    )
    plus, minus = c.tiles.cells.g_plus.copy(), c.tiles.cells.g_minus.copy()
    c.write(0.9 * W)
    assert (c.tiles.cells.g_plus >= plus).all()
    assert (c.tiles.cells.g_minus >= minus).all()
    for sign in (-1, 1) * 8:  # shake the weights until pairs are full
        c.write((0.9 + 0.2 * sign) * W)
    assert np.maximum(c.tiles.cells.g_plus, c.tiles.cells.g_minus).max() <= 25e-6 * (1 + 1e-6)
    step = 1.25e-7 * c.tiles.cells.w_max.item() / c.hardware.device.conductance.span_S
    assert np.abs(c.weight - 1.1 * W).max() < 1.05 * step  # refreshed pairs hold what the others do


def test_writing_the_same_weights_costs_nothing():
    c = chip("pcm")
    before = c.activity.write
    c.write(W)
    assert c.activity.write == before


def test_programming_counts_cells_pulses_and_rows():
    written = chip("pcm").activity.write
    assert (written.cells, written.pulses, written.slots) == (2 * W.size, 40 * W.size, 256 * 20)


def test_pulses_of_a_row_are_given_together():
    c = chip("ecram", {"effects.update_noise": False, "mapping.headroom": 2.0})
    step = c.hardware.device.update.step_S * c.tiles.cells.w_max.item() / c.hardware.device.conductance.span_S
    weight, before = W.copy(), c.activity.write
    weight[:, 3] += np.float32(5.5 * step)  # one row of the first tile, 30 cells
    weight[4, 300] += np.float32(2.5 * step)  # a row of the second: at the same time
    c.write(weight)
    done = c.activity.write - before
    assert 150 <= done.pulses - 2 <= 181
    assert done.slots in (5, 6)


def test_a_device_with_a_write_verify_loop_is_written_by_it_and_its_pulses_are_counted():
    loop = WriteVerify(tolerance_S=2e-8, step_S=1e-7, step_sigma=0.2, max_pulses=40, source="a test")
    device = load_device("ideal").model_copy(update={"write_verify": loop})
    hardware = load_hardware("ideal").model_copy(update={"device": device})
    weight = np.random.default_rng(0).standard_normal((40, 30))
    cells = Cells(weight, hardware, "w", seed=1)
    limit = cells.w_max / device.conductance.span_S
    assert 0 < np.abs((cells.g_plus - cells.g_minus) * limit - weight).max() <= 2e-8 * limit * (1 + 1e-6)
    least = np.ceil((np.abs(weight) / limit - 2e-8) / 1e-7 - 1e-9).clip(0).sum()  # without noise
    assert least < cells.written.pulses < 3 * least
    off = hardware.effects.model_copy(update={"programming_error": False})
    exact = Cells(weight, hardware.model_copy(update={"effects": off}), "w", seed=1)
    assert np.allclose((exact.g_plus - exact.g_minus) * limit, weight, rtol=1e-12)


def test_switching_the_error_off_leaves_the_pulses_of_programming():
    hardware = load_hardware("pcm")
    off = hardware.effects.model_copy(update={"programming_error": False})
    weight = np.random.default_rng(0).standard_normal((8, 6))
    counts = [Cells(weight, h, "w", seed=1).written for h in (hardware, hardware.model_copy(update={"effects": off}))]
    assert counts[0] == counts[1]
    assert counts[0].pulses == 2 * 48 * 20


@pytest.mark.parametrize("hardware", ["ecram", "reram", "capacitor", "fefet"])
def test_pulses_keep_two_sided_cells_in_their_window(hardware):
    c = chip(hardware, {"effects.levels": False})
    window, update = c.hardware.device.conductance, c.hardware.device.update
    before = [g.copy() for _, g in c.tiles.cells.sides]
    random, weight = np.random.default_rng(1), W.copy()
    for _ in range(3):
        weight += (0.3 * random.standard_normal(W.shape)).astype(np.float32)
        c.write(weight)
    if update.lower_spread == 0 == update.upper_spread:  # else every cell has bounds of its own
        for old, (_, g) in zip(before, c.tiles.cells.sides, strict=True):
            assert (g >= np.minimum(old, window.g_min_S) - 1e-6 * window.g_max_S).all()
            assert (g <= np.maximum(old, window.g_max_S) * (1 + 1e-5)).all()
    assert all((g >= 0).all() for _, g in c.tiles.cells.sides)
    assert any((g != old).any() for old, (_, g) in zip(before, c.tiles.cells.sides, strict=True))
