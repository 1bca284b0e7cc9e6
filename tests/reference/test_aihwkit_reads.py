"""Reads of imported tiles err as far as aihwkit's own (aihwkit_reads.py, run once with 1.1.0)."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import CrossbarDense

FORWARD, BACKWARD = 0.32480, 0.0024247


@pytest.mark.parametrize("name", ["IdealizedPreset", "MixedPrecisionIdealizedPreset"])  # one cell a weight; a pair
def test_reads_err_as_far_as_aihwkits_in_both_directions(name):
    random = np.random.default_rng(0)
    weights = random.uniform(-0.5, 0.5, (200, 256)).astype(np.float32)
    weights[0, 0] = 1.0
    x = random.standard_normal((512, 256)).astype(np.float32)
    d = (random.standard_normal((512, 200)) / 128).astype(np.float32)
    tile = CrossbarDense(weights, dbp.import_aihwkit(name)[0], "tile", 0)
    # its ADC has a fixed range (12 to 20 full inputs) and ours that of the sample: a tenth of the variance is rounding
    assert (tile.forward(x) - x @ tile.weight.T).std() == pytest.approx(FORWARD, rel=0.04)
    assert (tile.transpose(d) - d @ tile.weight).std() == pytest.approx(BACKWARD, rel=0.04)


def test_noise_of_weights_has_the_size_it_has_there():
    forward = {"w_noise": 0.05, "w_noise_type": "AdditiveConstant", "out_noise": 0.0, "inp_res": -1, "out_res": -1}
    weights = np.eye(64, 256, dtype=np.float32)
    x = np.random.default_rng(1).standard_normal((400, 256)).astype(np.float32)
    for device in ("GokmenVlasovPresetDevice", {"class": "MixedPrecisionCompound", "device": "GokmenVlasovPresetDevice"}):
        tile = CrossbarDense(weights, dbp.import_aihwkit({"device": device, "forward": forward})[0], "tile", 0)
        off = tile.forward(x) - x @ tile.weight.T
        # sum_j x_j xi_ij with xi ~ N(0, 0.05)
        np.testing.assert_allclose(off.std(), 0.05 * np.sqrt((x**2).sum(axis=1).mean()), rtol=0.02)
