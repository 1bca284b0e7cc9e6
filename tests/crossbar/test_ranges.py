"""Ranges that a batch sets: their values by hand, each direction its own, in the state, and refused where they mean nothing."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import load_hardware

RNG = np.random.default_rng(3)
X, Y = RNG.uniform(-1, 1, (20, 12)), RNG.integers(0, 4, 20)
BOTH = {f"{converter}.{key}": "calibrated" for converter in ("dac", "adc") for key in ("range", "transposed_range")}


def hardware(**changes):
    base = {"links": "digital", "dac.bits": 12, "adc.bits": 12, "tile.rows": 8, "dac.percentile": 100, "adc.percentile": 100}
    return load_hardware("ideal", base | BOTH | {k.replace("__", "."): v for k, v in changes.items()})


def chip_on(hardware):
    return dbp.Chip.program(dbp.models.mlp(12, 8, 4, seed=2), hardware, seed=1)


def test_limits_are_those_of_the_batch():
    chip = chip_on(hardware(dac__percentile=90))
    chip.calibrate_ranges(X, Y)
    bar, weight = next(iter(chip.crossbars.values())), next(iter(chip.parameters.values()))
    dac, adc = bar.tiles.ranges.limits[0]
    assert dac == pytest.approx(np.percentile(np.abs(X), 90))
    largest = max(np.abs(X[:, cut] @ weight.T[cut]).max() / min(8, 12) for cut in (slice(0, 8), slice(8, 12)))
    assert adc == pytest.approx(largest / (np.abs(weight).max() * dac), rel=2e-3)  # inputs and results in 12 bits
    assert bar.activity.forward.vectors == 20


def test_reads_keep_them_and_stress_has_its_own():
    chip, exact = chip_on(hardware()), dbp.backprop(dbp.models.mlp(12, 8, 4, seed=2), X, Y)
    chip.calibrate_ranges(X, Y)
    last = list(chip.crossbars.values())[-1]
    assert last.tiles.ranges.limits[1][0] < 0.2 * last.tiles.ranges.limits[0][0]  # stress of a mean loss is a batch's share
    found = dbp.backprop(chip, X, Y).gradients
    for name, gradient in exact.gradients.items():
        assert np.linalg.norm(found[name] - gradient) < 0.01 * np.linalg.norm(gradient)
    first = next(iter(chip.crossbars.values()))
    before = first.activity.forward
    first.forward(10 * X)  # beyond what calibration saw
    assert (first.activity.forward - before).clipped > 0.5 * X.size


def test_stress_read_in_the_forward_range_is_lost_where_a_range_of_its_own_keeps_it():
    fixed = {"dac.limit": 1.0, "adc.limit": 1.0, "adc.bits": 8, "dac.bits": 8}
    fixed |= {f"{converter}.{key}": "fixed" for converter in ("dac", "adc") for key in ("range", "transposed_range")}
    kept = {"dac.transposed_range": "calibrated", "adc.transposed_range": "calibrated"}
    tiny = 1e-3 * RNG.uniform(-1, 1, (20, 4))
    shares = []
    for changes in (fixed, fixed | kept):
        chip = chip_on(load_hardware(hardware(), changes))
        last = list(chip.crossbars.values())[-1]
        if changes is not fixed:
            chip.calibrate_ranges(X, Y)
        stress = tiny if changes is fixed else tiny / np.abs(tiny).max() * last.tiles.ranges.limits[1][0]
        shares.append(np.mean(last.transpose(stress) == 0))
    assert shares[0] == 1
    assert shares[1] < 0.05


def test_limits_are_part_of_the_state():
    chip, other = chip_on(hardware()), chip_on(hardware())
    chip.calibrate_ranges(X, Y)
    other.load_state(chip.state())
    np.testing.assert_array_equal(other.forward(3 * X), chip.forward(3 * X))
    fresh = chip_on(hardware())
    chip.load_state(fresh.state())
    np.testing.assert_array_equal(fresh.forward(3 * X), chip.forward(3 * X))


def test_before_calibration_each_sample_has_its_own():
    sample = {f"{converter}.{key}": "sample" for converter in ("dac", "adc") for key in ("range", "transposed_range")}
    np.testing.assert_array_equal(chip_on(hardware()).forward(X), chip_on(load_hardware(hardware(), sample)).forward(X))


def test_gain_and_offset_are_calibrated_in_these_ranges_too():
    chip = chip_on(hardware(adc__gain_sigma=0.05, adc__offset_sigma_lsb=20.0))
    chip.calibrate_ranges(X, Y)
    weight, bar = next(iter(chip.parameters.values())), next(iter(chip.crossbars.values()))
    before = np.square(bar.forward(X) - X @ weight.T).mean()
    chip.calibrate(200)
    assert np.square(bar.forward(X) - X @ weight.T).mean() < 0.05 * before
    known = bar.activity.forward.vectors - 20 * 3  # those of the batch, and the two reads here
    assert known % 400 == 0
    assert known >= 800  # signs at full scale are beyond what the batch asked for: read again at half the size


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dac.percentile": 0}, "dac.percentile"),
        ({"adc.percentile": 101}, "adc.percentile"),
        ({"dac.range": "sample"}, 'adc.range = "calibrated"'),
        ({"dac.transposed_range": "sample"}, 'adc.transposed_range = "calibrated"'),
        ({"adc.limit": 1.0}, "a fixed range needs limit"),
        ({"dac.range": "calibrate"}, "dac.range"),
    ],
)
def test_ranges_that_mean_nothing_are_refused(changes, words):
    with pytest.raises(ValueError, match="ideal") as error:
        load_hardware(hardware(), changes)
    assert words in str(error.value)


def test_nothing_to_calibrate_is_said():
    with pytest.raises(ValueError, match="calibrate_ranges: none in pcm"):
        chip_on("pcm").calibrate_ranges(X, Y)


def test_a_batch_that_is_refused_leaves_the_ranges_as_they_were():
    chip = chip_on(hardware())
    chip.calibrate_ranges(X, Y)
    before = [bar.tiles.ranges for bar in chip.crossbars.values()]
    with pytest.raises(ValueError, match="."):
        chip.calibrate_ranges(X[:, :5], Y)
    assert [bar.tiles.ranges for bar in chip.crossbars.values()] == before


def test_the_health_check_says_that_ranges_are_not_set_and_that_they_are_too_small():
    def kinds(chip, x):
        return {warning.kind: warning.remedy for warning in dbp.check(chip, x, Y).warnings}

    chip = chip_on(hardware())
    assert "Chip.calibrate_ranges" in kinds(chip, X)["uncalibrated"]
    chip.calibrate_ranges(0.05 * X, Y)
    after = kinds(chip, X)
    assert "uncalibrated" not in after
    assert "calibrate ranges anew" in after["saturated"]
