"""Noise drawn once an output has the distribution of noise drawn once a cell."""

import math

import numpy as np
import pytest
from scipy import stats

from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, load_hardware
from dbpsim.devices.read_noise import read_sigma

QUIET = {"dac.bits": "none", "adc.bits": "none"}
N = 40_000
SIGMAS = 5.0  # standard errors


def per_cell(operator, a, random):
    """The plain way: every cell of every read has its own deviate."""
    tiles, window = operator.tiles, operator.hardware.device.conductance
    scale = tiles.cells.w_max.item() / window.span_S
    out = np.zeros((len(a), tiles.shape[1]))
    for sign, g in ((1, tiles.cells.g_plus), (-1, tiles.cells.g_minus)):
        sigma = read_sigma(g, operator.hardware.device)
        noisy = g + sigma * random.standard_normal((len(a), *g.shape))
        out += sign * scale * np.einsum("nj,njk->nk", a, noisy)
    return out


@pytest.fixture(scope="module", params=["forward", "transposed"])
def reads(request):
    """(reads by the chip, reads cell by cell) of one vector, N times."""
    random = np.random.default_rng(0)
    operator = CrossbarDense(random.standard_normal((4, 12)), load_hardware("pcm", QUIET), "fc", seed=3)
    if request.param == "forward":
        a = np.repeat(random.standard_normal((1, 12)), N, axis=0)
        return operator.forward(a), per_cell(operator, a, random)
    a = np.repeat(random.standard_normal((1, 4)), N, axis=0)
    chip = operator.transpose(a)
    cells = operator.tiles.cells
    cells.g_plus, cells.g_minus = cells.g_plus.T, cells.g_minus.T  # the reference reads rows
    return chip, per_cell(operator, a, random)


def test_mean_and_variance_agree(reads):
    chip, reference = reads
    error = reference.std(axis=0) / math.sqrt(N)
    assert (np.abs(chip.mean(axis=0) - reference.mean(axis=0)) < SIGMAS * math.sqrt(2) * error).all()
    ratio = chip.var(axis=0) / reference.var(axis=0)
    assert (np.abs(ratio - 1) < SIGMAS * math.sqrt(4 / N)).all()


def test_kurtosis_is_that_of_a_gaussian(reads):
    for sample in reads:
        assert (np.abs(stats.kurtosis(sample, axis=0)) < SIGMAS * math.sqrt(24 / N)).all()


def test_columns_are_uncorrelated(reads):
    for sample in reads:
        correlation = np.corrcoef(sample.T) - np.eye(sample.shape[1])
        assert np.abs(correlation).max() < SIGMAS / math.sqrt(N)


def test_distributions_are_the_same(reads):
    chip, reference = reads
    for column in range(chip.shape[1]):
        assert stats.ks_2samp(chip[:, column], reference[:, column]).pvalue > 1e-5


def test_variance_is_the_sum_over_cells_of_sigma_v_squared():
    random = np.random.default_rng(0)
    operator = CrossbarDense(random.standard_normal((4, 12)), load_hardware("pcm", QUIET), "fc", seed=3)
    tiles, v = operator.tiles, random.standard_normal((1, 12))
    scale = tiles.cells.w_max.item() / 24.75e-6
    cells = sum(read_sigma(g, operator.hardware.device) ** 2 for g in (tiles.cells.g_plus, tiles.cells.g_minus))
    exact = (v**2) @ cells * scale**2
    chip = operator.forward(np.repeat(v, N, axis=0))
    assert (np.abs(chip.var(axis=0) / exact - 1) < SIGMAS * math.sqrt(2 / N)).all()


def test_transposed_convolution_adds_the_noise_of_overlapping_reads():
    random = np.random.default_rng(1)
    weight, d = random.standard_normal((3, 3, 2, 5)), random.standard_normal((1, 4, 4, 5))
    one_by_one = CrossbarConvolution(weight, load_hardware("pcm", QUIET), "c", 0, (4, 4, 2), (1, 1), (1, 1))
    sigma2 = one_by_one.tiles.views[0].variance.reshape(3, 3, 2, 5)
    exact = np.zeros((6, 6, 2))
    for i in range(4):
        for j in range(4):
            exact[i : i + 3, j : j + 3] += sigma2 @ d[0, i, j] ** 2
    chip = one_by_one.transpose(np.repeat(d, 20_000, axis=0))
    ratio = chip.var(axis=0) / exact[1:5, 1:5]
    assert (np.abs(ratio - 1) < SIGMAS * math.sqrt(2 / 20_000)).all()


def test_noise_survives_float32_conductances():
    weight = np.random.default_rng(0).standard_normal((40, 300))
    operators = [
        CrossbarDense(weight.astype(dtype), load_hardware("pcm", QUIET), "fc", seed=3)
        for dtype in ("float32", "float64")
    ]
    v32, v64 = (o.tiles.views[0].variance for o in operators)
    assert v32.dtype == np.float32
    assert np.allclose(v32, v64, rtol=1e-3, atol=0)  # g near zero has the rounding of what cancelled in it
    assert np.median(np.abs(v32 - v64)) < 1e-6 * np.median(v64)
