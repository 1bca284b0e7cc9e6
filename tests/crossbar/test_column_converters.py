"""Converters that differ: their law by hand, their moments, their switches, and room for them in a sample's own range."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, load_hardware

FIXED = {"dac.range": "fixed", "dac.limit": 1.0, "adc.range": "fixed", "adc.limit": 1.0}
SPREAD = {"adc.gain_sigma": 0.03, "adc.offset_sigma_lsb": 1.5, "adc.inl_sigma_lsb": 0.8}
RNG = np.random.default_rng(5)
W = RNG.uniform(-1, 1, (24, 40))  # out, in
A = RNG.uniform(-1, 1, (9, 40))


def hardware(**changes):
    base = {"links": "digital", "dac.bits": 12, "adc.bits": 8, "tile.rows": 16, "tile.columns": 16}
    return load_hardware("ideal", base | {key.replace("__", "."): value for key, value in changes.items()})


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_every_stack_of_tiles_is_converted_as_the_law_says(limit):
    operator = CrossbarDense(W, hardware(**(SPREAD | (FIXED if limit else {}))), "fc", 3)
    own, largest, levels = operator.tiles.columns[0], np.abs(W).max(), 127
    full = np.abs(A).max(axis=1, keepdims=True) if not limit else np.ones((9, 1))
    driven = np.round(A / full * 2047) / 2047 * full
    wanted = np.zeros((9, 24))
    for k, cut in enumerate((slice(0, 16), slice(16, 32), slice(32, 40))):
        x = driven[:, cut] @ W.T[cut]
        room = 1 - (np.abs(own.offset[k]).max() + np.abs(own.bow[k]).max()) / levels
        scale = np.full((9, 1), 16 * largest) if limit else np.abs(x * own.gain[k]).max(axis=1, keepdims=True) / room
        t = x / scale
        code = np.clip(np.round(levels * t * own.gain[k] + own.offset[k] + own.bow[k] * (1 - t**2)), -levels, levels)
        wanted += code / levels * scale
    np.testing.assert_allclose(operator.forward(A), wanted, atol=1e-9)
    assert operator.activity.forward.saturated == 0


def test_converters_have_the_spread_of_the_file_and_are_those_of_their_seed():
    many = np.zeros((500, 64))
    operators = [CrossbarDense(many, hardware(**SPREAD), "fc", seed) for seed in (1, 1, 2)]
    for way, count in ((0, 4 * 500), (1, 32 * 64)):
        first, same, other = (operator.tiles.columns[way] for operator in operators)
        assert (first.gain == same.gain).all()
        assert (first.gain != other.gain).any()
        for drawn, sigma in ((first.gain - 1, 0.03), (first.offset, 1.5), (first.bow, 0.8)):
            assert drawn.size == count
            assert abs(drawn.mean()) < 5 * sigma / np.sqrt(count)
            assert drawn.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * count))


def test_each_has_a_switch_of_its_own_and_off_means_as_if_absent():
    names = ("converter_gain", "converter_offset", "converter_nonlinearity")
    plain = CrossbarDense(W, hardware(), "fc", 3).forward(A)
    every = CrossbarDense(W, hardware(**SPREAD), "fc", 3).forward(A)
    for name in names:
        others = {f"effects.{each}": False for each in names if each != name}
        only = CrossbarDense(W, hardware(**SPREAD, **others), "fc", 3)
        assert (only.forward(A) != plain).any()
        assert (only.forward(A) != every).any()
    off = CrossbarDense(W, hardware(**SPREAD, **{f"effects.{each}": False for each in names}), "fc", 3)
    assert off.tiles.columns == [None, None]
    np.testing.assert_array_equal(off.forward(A), plain)


def test_a_convolution_goes_through_the_same_converters_both_ways():
    weight = RNG.uniform(-1, 1, (3, 3, 2, 5))
    operator = CrossbarConvolution(weight, hardware(**SPREAD, tile__rows=64), "conv", 3, (6, 6, 2))
    dense = CrossbarDense(weight.reshape(18, 5).T, hardware(**SPREAD, tile__rows=64), "conv", 3)
    images = RNG.uniform(-1, 1, (3, 3, 3, 2))  # one position an image
    single = CrossbarConvolution(weight, hardware(**SPREAD, tile__rows=64), "conv", 3, (3, 3, 2))
    np.testing.assert_allclose(single.forward(images).reshape(3, 5), dense.forward(images.reshape(3, 18)), atol=1e-12)
    stress = RNG.uniform(-1, 1, (3, 1, 1, 5))
    np.testing.assert_allclose(single.transpose(stress).reshape(3, 18), dense.transpose(stress.reshape(3, 5)), atol=1e-12)
    assert np.isfinite(operator.transpose(operator.forward(RNG.uniform(-1, 1, (2, 6, 6, 2))))).all()


def test_samples_are_converted_alike_however_a_batch_is_cut():
    operator = CrossbarDense(W, hardware(**SPREAD), "fc", 3)
    np.testing.assert_allclose(operator.forward(A), np.concatenate([operator.forward(a[None]) for a in A]), atol=1e-12)
    assert (operator.forward(np.zeros((2, 40))) == 0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adc.gain_sigma": -0.1}, "greater than or equal to 0"),
        ({"adc.gain_sigma": 0.5}, "less than or equal to 0.2"),
        ({"adc.offset_sigma_lsb": -1}, "0"),
        ({"adc.inl_sigma_lsb": float("nan")}, "adc.inl_sigma_lsb"),
        ({"adc.bits": "none", "adc.gain_sigma": 0.1}, "accepted with bits from 2 to 16"),
        ({"adc.bits": 0}, "an integer from 2 to 16"),
        ({"dac.gain_sigma": 0.1}, "dac.gain_sigma"),
    ],
)
def test_what_no_converter_is_like_is_refused(changes, words):
    with pytest.raises(ValueError, match="adc|dac") as error:
        load_hardware("pcm", changes)
    assert words in str(error.value)


def test_a_network_trains_through_them():
    net = dbp.models.mlp(12, 8, 4)
    chip = dbp.Chip.program(net, load_hardware("pcm", SPREAD), seed=1)
    gradients = dbp.backprop(chip, RNG.uniform(-1, 1, (5, 12)), RNG.integers(0, 4, 5)).gradients
    assert all(np.isfinite(g).all() for g in gradients.values())
