"""Noise of what senses a line: its size in every mapping, direction and layer, and that it can be switched off."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, load_hardware

SIGMA = 0.05
W = np.random.default_rng(0).uniform(-0.5, 0.5, (24, 40)).astype(np.float32)  # out, in
W[3, 7] = 0.8  # the largest


def hardware(**changes):
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load_hardware("ideal", {"links": "digital", "tile.rows": 16, "tile.columns": 16, "read.output_noise": SIGMA} | dotted)


def noise(operator, exact, a, transposed=False):
    """Spread of 400 reads of one vector, a line."""
    many = np.repeat(a[None], 400, axis=0).astype(np.float32)
    read = operator.transpose(many) if transposed else operator.forward(many)
    np.testing.assert_allclose(read.mean(axis=0), exact, atol=6 * read.std(axis=0).max() / 20)
    return read.std(axis=0)


A, D = (np.random.default_rng(k).standard_normal(n).astype(np.float32) for k, n in ((1, 40), (2, 24)))


def test_every_tile_adds_a_share_of_one_full_cell_at_full_input():
    operator = CrossbarDense(W, hardware(), "fc", 0)
    assert operator.noisy
    forward = noise(operator, W @ A, A)
    assert forward.mean() == pytest.approx(SIGMA * 0.8 * np.abs(A).max() * np.sqrt(3), rel=0.04)  # 40 rows are three tiles
    transposed = noise(operator, W.T @ D, D, True)
    assert transposed.mean() == pytest.approx(SIGMA * 0.8 * np.abs(D).max() * np.sqrt(2), rel=0.04)
    # 400 reads of 24 lines: every line's own sigma lies within five of its standard errors
    assert np.abs(forward / forward.mean() - 1).max() < 5 / np.sqrt(2 * 400)


def test_on_analog_links_the_currents_of_stacked_tiles_are_sensed_once():
    operator = CrossbarDense(W, hardware(links="analog"), "fc", 0)
    assert noise(operator, W @ A, A).mean() == pytest.approx(SIGMA * 0.8 * np.abs(A).max(), rel=0.04)


def test_it_is_in_units_of_the_column_and_of_the_tile_where_those_are_scaled():
    column = noise(CrossbarDense(W, hardware(mapping__scale="column"), "fc", 0), W @ A, A)
    np.testing.assert_allclose(column, SIGMA * np.abs(W).max(axis=1) * np.abs(A).max() * np.sqrt(3), rtol=0.2)
    tile = noise(CrossbarDense(W, hardware(mapping__scale="tile"), "fc", 0), W @ A, A)
    largest = [[np.abs(W[i : i + 16, j : j + 16]).max() for j in (0, 16, 32)] for i in (0, 16)]
    wanted = SIGMA * np.abs(A).max() * np.repeat(np.linalg.norm(largest, axis=1), 16)[:24]
    np.testing.assert_allclose(tile, wanted, rtol=0.2)


def test_a_sample_of_zeros_and_a_batch_of_unlike_samples():
    operator = CrossbarDense(W, hardware(), "fc", 0)
    batch = np.stack([0 * A, A, 100 * A])
    off = operator.forward(batch) - batch @ W.T
    assert (off[0] == 0).all()
    assert off[2].std() == pytest.approx(100 * off[1].std(), rel=0.8)


def test_a_convolution_has_it_in_both_directions():
    kernel = np.random.default_rng(3).uniform(-1, 1, (3, 3, 2, 4)).astype(np.float32)
    images = np.random.default_rng(4).standard_normal((60, 6, 6, 2)).astype(np.float32)
    both = [hardware(tile__rows=18, read__output_noise=sigma) for sigma in (0, SIGMA)]
    bars = [CrossbarConvolution(kernel, each, "c", 0, (6, 6, 2)) for each in both]
    off = bars[1].forward(images) - bars[0].forward(images)
    full = np.abs(images).reshape(60, -1).max(axis=1)
    assert (off.reshape(60, -1) / full[:, None]).std() == pytest.approx(SIGMA * np.abs(kernel).max(), rel=0.04)
    d = np.random.default_rng(5).standard_normal((60, 4, 4, 4)).astype(np.float32)
    back = bars[1].transpose(d) - bars[0].transpose(d)
    assert 0.5 < back.std() / (SIGMA * np.abs(d).reshape(60, -1).max(axis=1).mean()) < 3.5  # up to nine reads overlap


def test_with_it_switched_off_a_chip_is_the_chip_without_it():
    net, x = dbp.models.mlp(40, 24, 10, seed=0), np.stack([A, -A])
    quiet = load_hardware("pcm", {"read.output_noise": SIGMA, "effects.output_noise": False})
    chips = [dbp.Chip.program(net, h, seed=1) for h in ("pcm", quiet)]
    losses = [dbp.relax(chip, x, np.array([0, 1]), schedule="wavefront").loss for chip in chips]
    assert losses[0] == losses[1]


def test_large_reads_have_it_too():
    # beyond the size from which plain reads take one pass
    large = hardware(tile__rows=512, tile__columns=512, dac__bits=8, adc__bits=16)
    operator = CrossbarDense(np.eye(512, dtype=np.float32), large, "fc", 0)
    a = np.random.default_rng(0).choice([-1.0, 1.0], (128, 512)).astype(np.float32)
    assert (operator.forward(a) - a).std() == pytest.approx(SIGMA, rel=0.02)


def test_a_negative_share_is_refused():
    with pytest.raises(ValueError, match=r"read\.output_noise: found -0\.1"):
        hardware(read__output_noise=-0.1)
