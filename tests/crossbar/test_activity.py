"""Counts are those of the arrays that were read, and the power is Ohm's law at the actual voltages."""

import numpy as np
import pytest

from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, load_hardware, measure

RANDOM = np.random.default_rng(0)


def line_by_line(v, g_plus, g_minus):
    """sum over vectors, lines and cells of V^2 G, the long way."""
    return sum(
        float(v[n, j] ** 2 * (g_plus[j] + g_minus[j]).sum()) for n in range(len(v)) for j in range(v.shape[1])
    )


@pytest.mark.parametrize("hardware", ["ideal", "pcm"])
def test_power_of_a_dense_read_is_v_squared_g(hardware):
    chip = CrossbarDense(RANDOM.standard_normal((5, 40)), load_hardware(hardware), "fc", 0)
    a, d = RANDOM.standard_normal((6, 40)), RANDOM.standard_normal((6, 5))
    chip.forward(a), chip.transpose(d)
    levels = chip.hardware.dac.levels
    for x, counts, cells in (
        (a, chip.activity.forward, (chip.tiles.cells.g_plus, chip.tiles.cells.g_minus)),
        (d, chip.activity.transposed, (chip.tiles.cells.g_plus.T, chip.tiles.cells.g_minus.T)),
    ):
        share = x / np.abs(x).max(axis=1, keepdims=True)
        share = np.round(share * levels) / levels if levels else share
        assert counts.power_W == pytest.approx(line_by_line(0.2 * share, *cells), rel=1e-12)


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (1, 1)), ((2, 1), (0, 2))])
def test_power_of_a_convolution_is_that_of_its_windows(stride, padding):
    from dbpsim.kernels.im2col import patches

    weight, a = RANDOM.standard_normal((3, 3, 4, 7)), RANDOM.standard_normal((3, 6, 5, 4))
    chip = CrossbarConvolution(weight, load_hardware("ideal"), "c", 0, (6, 5, 4), stride, padding)
    u = chip.forward(a)
    chip.transpose(u)
    volts = 0.2 * a / np.abs(a).max(axis=(1, 2, 3), keepdims=True)
    rows = patches(volts, (3, 3), stride, padding)
    assert chip.activity.forward.power_W == pytest.approx(
        line_by_line(rows, chip.tiles.cells.g_plus, chip.tiles.cells.g_minus), rel=1e-12
    )
    columns = (0.2 * u / np.abs(u).max(axis=(1, 2, 3), keepdims=True)).reshape(-1, 7)
    expected = line_by_line(columns, chip.tiles.cells.g_plus.T, chip.tiles.cells.g_minus.T)
    assert chip.activity.transposed.power_W == pytest.approx(expected, rel=1e-12)
    assert chip.activity.forward.vectors == len(rows)


def test_conversions_are_counted_a_tile():
    chip = CrossbarDense(RANDOM.standard_normal((300, 700)), load_hardware("pcm"), "fc", 0)
    chip.forward(RANDOM.standard_normal((2, 700)))
    chip.transpose(RANDOM.standard_normal((2, 300)))
    stage = chip.activity
    assert stage.tiles == 6  # 3 down, 2 across
    assert (stage.forward.dac, stage.forward.adc) == (2 * 700 * 2, 2 * 300 * 3)
    assert (stage.transposed.dac, stage.transposed.adc) == (2 * 300 * 3, 2 * 700 * 2)
    assert stage.multiply_accumulates == 4 * 300 * 700


def test_analog_links_convert_nothing():
    chip = CrossbarDense(RANDOM.standard_normal((300, 700)), load_hardware("ecram"), "fc", 0)
    chip.forward(RANDOM.standard_normal((2, 700)))
    counts = chip.activity.forward
    assert (counts.dac, counts.adc, counts.sensed, counts.outputs) == (0, 0, 600, 600)


def test_a_silent_input_takes_no_power_and_loses_nothing():
    chip = CrossbarDense(RANDOM.standard_normal((3, 4)), load_hardware("pcm"), "fc", 0)
    assert chip.transpose(np.zeros((2, 3))).tolist() == np.zeros((2, 4)).tolist()
    assert chip.activity.transposed.power_W == 0.0
    assert chip.activity.transposed.lost == 0


def test_the_share_of_a_run_is_after_minus_before():
    chip = CrossbarDense(RANDOM.standard_normal((3, 4)), load_hardware("pcm"), "fc", 0)
    a = RANDOM.standard_normal((2, 4))
    before = measure({"fc": chip})
    chip.forward(a)
    after = measure({"fc": chip})
    share = after - before
    assert share.stages["fc"].forward.vectors == 2
    assert share.stages["fc"].write.pulses == 0
    assert (before + share).stages["fc"].forward == after.stages["fc"].forward
    with pytest.raises(ValueError, match="different chips"):
        after - measure({"other": chip})
