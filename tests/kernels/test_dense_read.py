"""A read in one pass against the same read step by step, and its plain NumPy twin."""

import numpy as np
import pytest

from dbpsim.crossbar import CrossbarDense, load_hardware
from dbpsim.crossbar import tiles as tiles_room
from dbpsim.kernels.dense_read import read_dense
from dbpsim.kernels.normals import fill_normals


def quantised(x: np.ndarray, levels: int) -> np.ndarray:
    reach = np.abs(x).max(axis=1, keepdims=True)
    step = np.where(reach > 0, reach, 1) / levels
    return np.rint(x / step) * step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 3, 2), (64, 20, 31), (65, 40, 17), (130, 7, 5)])
@pytest.mark.parametrize("transposed", [False, True])
def test_one_pass_is_the_read_in_plain_numpy(shape: tuple[int, int, int], dtype: type, transposed: bool) -> None:
    vectors, lines, outputs = shape
    random = np.random.default_rng(sum(shape))
    a = random.standard_normal((vectors, lines)).astype(dtype)
    a[0] = 0
    weights = random.standard_normal((outputs, lines) if transposed else (lines, outputs)).astype(dtype)
    weights = weights.T if transposed else weights
    variance = (weights**2 * 1e-2).astype(dtype)
    key = np.uint64(12345)
    out, squares, lost = read_dense(a, weights, variance, key, 127, 127)
    v = quantised(a.astype(float), 127)
    half = outputs // 2 + 1
    z = np.zeros((vectors, outputs))
    for s in range(vectors):
        drawn = np.empty(outputs + outputs % 2, np.float32)
        fill_normals(key, s * half, drawn)
        z[s] = drawn[:outputs]
    wanted = quantised(v @ weights.astype(float) + np.sqrt(v**2 @ variance.astype(float)) * z, 127)
    reach = np.abs(wanted).max(axis=1, keepdims=True)
    steps = np.abs(out - wanted) / np.where(reach > 0, reach / 127, 1)
    assert np.quantile(steps, 0.98) < 0.05  # a code may fall the other way by rounding
    assert steps.max() < 1.3
    scale = np.abs(a).max(axis=1, keepdims=True).astype(float)
    assert np.allclose(squares, ((v / np.where(scale > 0, scale, 1)) ** 2).sum(axis=0), rtol=1e-5)
    assert lost == np.count_nonzero(out[1:] == 0)  # the first vector is zero, and so is what it reads


@pytest.mark.parametrize("device", ["pcm", "reram_hfo2_gong2018"])  # with noise in its reads, and without
def test_one_pass_and_step_by_step_agree_and_count_alike(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((120, 200)).astype(np.float32) * 0.1
    a, d = random.standard_normal((96, 200)).astype(np.float32), random.standard_normal((96, 120)).astype(np.float32)
    found = []
    for least in (1, 1 << 60):
        monkeypatch.setattr(tiles_room, "_ONE_PASS", least)
        operator = CrossbarDense(weight, load_hardware("pcm", {"device": device}), "fc", seed=3)
        assert operator.tiles.one_pass(a, False) == (least == 1)
        found.append((operator.forward(a), operator.transpose(d), operator.activity))
    for fast, slow in zip(found[0][:2], found[1][:2], strict=True):
        step = np.abs(slow).max(axis=1, keepdims=True) / 127
        apart = np.abs(fast - slow) / step
        assert np.mean(apart > 0.5) < 2e-3
        assert apart.max() < 1.5
    fast, slow = found[0][2], found[1][2]
    for way in ("forward", "transposed"):
        counts = [getattr(each, way) for each in (fast, slow)]
        assert counts[0].power_W == pytest.approx(counts[1].power_W, rel=1e-5)
        for key in ("vectors", "outputs", "sensed", "dac", "adc", "saturated"):
            assert getattr(counts[0], key) == getattr(counts[1], key)
        assert counts[0].lost == pytest.approx(counts[1].lost, abs=5)


def test_threads_do_not_change_a_read() -> None:
    import numba

    random = np.random.default_rng(1)
    a, w = random.standard_normal((200, 64)).astype(np.float32), random.standard_normal((64, 48)).astype(np.float32)
    before, found = numba.get_num_threads(), []
    for threads in (1, before):
        numba.set_num_threads(threads)
        found.append(read_dense(a, w, w**2, np.uint64(1), 127, 127))
    numba.set_num_threads(before)
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
