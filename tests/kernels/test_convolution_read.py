"""Reads of convolutions an image at a time against the same reads step by step."""

import numba
import numpy as np
import pytest

from dbpsim.crossbar import CrossbarConvolution, load_hardware
from dbpsim.crossbar.tiles import TiledMatrix
from dbpsim.kernels.convolution_read import read_convolution, read_convolution_transposed

SHAPES = [  # input, kernel, outputs, stride, padding
    ((5, 7, 3), (3, 3), 4, (1, 1), (1, 1)),
    ((6, 5, 2), (2, 3), 5, (2, 1), (0, 2)),
    ((1, 9, 1), (1, 4), 3, (1, 3), (0, 0)),
    ((14, 13, 4), (3, 3), 9, (1, 1), (1, 1)),  # more positions than are taken at once, odd numbers of results
]


def operators(case: int, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch, dtype: type = np.float32) -> list:
    shape, size, outputs, stride, padding = SHAPES[case]
    random = np.random.default_rng(case)
    weight = random.standard_normal((*size, shape[2], outputs)).astype(dtype) * 0.1
    a = random.standard_normal((3, *shape)).astype(dtype)
    found = []
    for plain in (True, False):
        with monkeypatch.context() as patch:
            if not plain:
                patch.setattr(TiledMatrix, "plain", lambda self, transposed: False)
            hardware = load_hardware("pcm", {"tile.rows": 7, "tile.columns": 4} | changes)
            operator = CrossbarConvolution(weight, hardware, "conv", 5, shape, stride, padding)
            assert operator.tiles.plain(False) == operator.tiles.plain(True) == plain
            d = random.standard_normal((3, *operator.output_size, outputs)).astype(dtype) if plain else found[0][3]
            found.append((operator.forward(a), operator.transpose(d), operator.activity, d))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", range(len(SHAPES)))
@pytest.mark.parametrize("device", ["pcm", "reram_hfo2_gong2018"])  # with noise in its reads, and without
def test_by_image_and_step_by_step_agree(case: int, device: str, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"device": device, "adc.bits": 16, "dac.bits": 16}  # a code that falls the other way is a small step
    fast, slow = operators(case, changes, monkeypatch, dtype)
    for way in (0, 1):
        assert np.abs(fast[way] - slow[way]).max() < 3e-4 * np.abs(slow[way]).max()
    for way in ("forward", "transposed"):
        counts = [getattr(each[2], way) for each in (fast, slow)]
        assert counts[0].power_W == pytest.approx(counts[1].power_W, rel=1e-5)
        assert counts[0].lost == pytest.approx(counts[1].lost, abs=5)
        for key in ("vectors", "outputs", "sensed", "dac", "adc", "saturated"):
            assert getattr(counts[0], key) == getattr(counts[1], key)


def test_fixed_ranges_saturate_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    dac = {"dac.range": "fixed", "dac.limit": 2.0, "dac.transposed_range": "fixed"}
    adc = {"adc.range": "fixed", "adc.limit": 0.05, "adc.transposed_range": "fixed", "device": "reram_hfo2_gong2018"}
    fast, slow = operators(0, dac | adc, monkeypatch)
    for way in ("forward", "transposed"):
        counts = [getattr(each[2], way) for each in (fast, slow)]
        assert counts[0].saturated == pytest.approx(counts[1].saturated, abs=3)
        assert counts[0].saturated > 10
    for way in (0, 1):
        assert np.mean(np.abs(fast[way] - slow[way]) > 1e-5) < 0.02


def test_threads_do_not_change_a_read() -> None:
    random = np.random.default_rng(1)
    a, w = random.standard_normal((5, 6, 6, 8)).astype(np.float32), random.standard_normal((72, 10)).astype(np.float32)
    d, window = random.standard_normal((5, 6, 6, 10)).astype(np.float32), ((3, 3), (1, 1), (1, 1))
    before, found = numba.get_num_threads(), []
    for threads in (1, before):
        numba.set_num_threads(threads)
        forward = read_convolution(a, w, w**2, window, 32, np.uint64(1), 0.0, 127)
        found.append((*forward, *read_convolution_transposed(d, w, w**2, (6, 6, 8), window, 4, np.uint64(1), 0.0, 127)))
    numba.set_num_threads(before)
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][3], found[1][3])
