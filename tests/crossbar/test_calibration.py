"""Calibration: residuals that fall with the reads, what it does to a product, its place in state and activity, bad input."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import CrossbarDense, load_hardware

SPREAD = {"adc.gain_sigma": 0.05, "adc.offset_sigma_lsb": 3.0}
FIXED = {"dac.range": "fixed", "dac.limit": 1.0, "dac.transposed_range": "fixed"}
FIXED |= {"adc.range": "fixed", "adc.limit": 1.0, "adc.transposed_range": "fixed"}
RNG = np.random.default_rng(8)
W = RNG.uniform(-1, 1, (24, 40))  # out, in
A, D = RNG.uniform(-1, 1, (50, 40)), RNG.uniform(-1, 1, (50, 24))


def operator(seed=1, **changes):
    base = {"links": "digital", "dac.bits": 12, "adc.bits": 10, "tile.rows": 16, "tile.columns": 16} | SPREAD
    return CrossbarDense(W, load_hardware("ideal", base | {k.replace("__", "."): v for k, v in changes.items()}), "fc", seed)


def left(found):
    """Root mean square of what the corrections miss of gains and offsets (share of full scale)."""
    gain = found.corrected_gain / found.gain - 1
    return np.sqrt(np.square(gain).mean()), np.sqrt(np.square(found.corrected_offset - found.offset / 511).mean())


@pytest.mark.parametrize("way", [0, 1])
def test_residuals_fall_as_one_over_the_root_of_the_pairs(way):
    few, many = ([], [])
    for seed in range(4):  # noise well above a step
        for pairs, seen in ((16, few), (16 * 64, many)):
            bar = operator(seed, read__output_noise=0.05, **FIXED)
            bar.calibrate(W, pairs)
            seen.append(left(bar.tiles.columns[way]))
    ratios = np.mean(few, axis=0) / np.mean(many, axis=0)
    np.testing.assert_allclose(ratios, 8, rtol=0.25)


@pytest.mark.parametrize("changes", [{}, FIXED, {"mapping.scale": "column"}, {"mapping.scale": "tile"}])
def test_products_come_close_to_those_of_converters_without_spread(changes):
    bar = operator(**changes)
    rounded = operator(**changes, adc__gain_sigma=0.0, adc__offset_sigma_lsb=0.0)

    def errors(of):
        return [np.square(of.forward(A) - A @ W.T).mean() ** 0.5, np.square(of.transpose(D) - D @ W).mean() ** 0.5]

    before, floor = errors(bar), errors(rounded)
    bar.calibrate(W, 1000)
    after = errors(bar)
    assert (np.array(before) > 5 * np.array(floor)).all()
    assert (np.array(after) < 1.25 * np.array(floor)).all()


def test_the_null_of_the_stress_path_is_what_it_shows_with_the_cost_switched_off():
    bar, zero = operator(**FIXED), np.zeros((1, 24))
    step = np.abs(W).max() * 16 / 511
    shown = bar.transpose(zero)
    assert np.abs(shown).max() > 3 * step
    forward = bar.forward(A)
    bar.calibrate(W, 400, null_only=True)
    # two stacks of tiles, each read of zeros rounded by half a step at most
    assert np.abs(bar.transpose(zero)).max() < 2 * 0.6 * step
    assert bar.activity.transposed.vectors == 802
    assert bar.activity.forward.vectors == len(A)
    np.testing.assert_array_equal(bar.forward(A), forward)
    assert (bar.tiles.columns[1].corrected_gain == 1).all()


def test_weights_of_zero_keep_their_gain():
    bar = CrossbarDense(0 * W, operator().hardware, "fc", 1)
    bar.calibrate(0 * W, 8)
    assert (bar.tiles.columns[0].corrected_gain == 1).all()
    assert np.isfinite(bar.forward(A)).all()


def test_corrections_are_part_of_the_state_and_reads_are_counted():
    hardware = load_hardware("pcm", SPREAD)
    chip, other = (dbp.Chip.program(dbp.models.mlp(12, 8, 4, seed=2), hardware, seed=1) for _ in range(2))
    chip.calibrate(20)
    first = next(iter(chip.activity.stages.values()))
    assert first.forward.vectors == first.transposed.vectors == 40
    assert first.forward.adc == 40 * 8
    assert first.forward.power_W > 0
    other.load_state(chip.state())
    x = RNG.uniform(-1, 1, (6, 12))
    np.testing.assert_array_equal(other.forward(x), chip.forward(x))
    fresh = dbp.Chip.program(dbp.models.mlp(12, 8, 4, seed=2), hardware, seed=1)
    chip.load_state(fresh.state())  # a state of before calibration takes the corrections back
    np.testing.assert_array_equal(fresh.forward(x), chip.forward(x))


def test_converters_that_only_round_can_be_calibrated_for_the_cells_they_read():
    chip = dbp.Chip.program(dbp.models.mlp(40, 24, 4, seed=2), load_hardware("pcm", {"effects.read_noise": False}), seed=1)
    chip.wait(1e7)  # drift takes a share of every column
    bar, weight = next(iter(chip.crossbars.values())), next(iter(chip.parameters.values()))
    exact = A @ weight.T
    before = np.square(bar.forward(A) - exact).mean()
    chip.calibrate(200)
    assert np.square(bar.forward(A) - exact).mean() < 0.5 * before


@pytest.mark.parametrize("pairs", [0, -1, 1.5, True, "8", 1 << 20, float("nan")])
def test_pairs_that_cannot_be_read_are_refused(pairs):
    chip = dbp.Chip.program(dbp.models.mlp(4, 2), "pcm", seed=1)
    with pytest.raises(ValueError, match="calibrate: pairs: found .*; accepted: a whole number from 1 to 65536"):
        chip.calibrate(pairs)
    assert next(iter(chip.activity.stages.values())).forward.vectors == 0


def test_hardware_without_converters_has_none_to_calibrate():
    with pytest.raises(ValueError, match="calibrate: ecram has no ADC"):
        dbp.Chip.program(dbp.models.mlp(4, 2), "ecram", seed=1).calibrate()
