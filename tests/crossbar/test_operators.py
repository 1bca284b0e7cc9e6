"""Crossbar operators are the digital ones but for what the hardware adds, and that is reproducible."""

import tracemalloc

import numba
import numpy as np
import pytest

from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, load_hardware, operators
from dbpsim.kernels import readout
from dbpsim.network.operators import ConvolutionOperator, DenseOperator

TOLERANCE = {
    "float32": 1e-6,
    "float64": 1e-13,
}  # rounding of products of a few hundred terms and of W -> G -> W
SHAPE = (11, 9, 6)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def dense(hardware, dtype="float32", seed=0, name="fc"):
    weight = np.random.default_rng(5).standard_normal((70, 600)).astype(dtype)
    return CrossbarDense(weight, load_hardware(hardware), name, seed), DenseOperator(weight)


def convolution(hardware, dtype="float32", stride=(1, 1), padding=(1, 1), seed=0):
    weight = np.random.default_rng(5).standard_normal((3, 3, SHAPE[2], 10)).astype(dtype)
    chip = CrossbarConvolution(weight, load_hardware(hardware), "conv", seed, SHAPE, stride, padding)
    return chip, ConvolutionOperator(weight, SHAPE, stride, padding)


def inputs(dtype="float32", samples=9):
    random = np.random.default_rng(6)
    return random.standard_normal((samples, 600)).astype(dtype), random.standard_normal(
        (samples, *SHAPE)
    ).astype(dtype)


@pytest.mark.parametrize("hardware", ["ideal", "ecram"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_with_every_effect_off_reads_equal_the_digital_operator(hardware, dtype):
    a, images = inputs(dtype)
    for chip, digital, x in (
        (*dense(hardware, dtype), a),
        *((*convolution(hardware, dtype, s), images) for s in ((1, 1), (2, 1))),
    ):
        u = digital.forward(x)
        assert chip.forward(x).dtype == dtype
        assert not chip.noisy
        assert relative(chip.forward(x), u) < TOLERANCE[dtype]
        assert relative(chip.transpose(u), digital.transpose(u)) < TOLERANCE[dtype]
        assert relative(chip.outer(u, x), digital.outer(u, x)) < TOLERANCE[dtype]
        assert relative(chip.weight, digital.weight) < TOLERANCE[dtype]


def test_switches_make_any_device_exact():
    weight, a = (
        np.random.default_rng(0).standard_normal((8, 300)),
        np.random.default_rng(1).standard_normal((4, 300)),
    )
    changes = {
        "effects.clipping": False,
        "effects.programming_error": False,
        "effects.read_noise": False,
        "dac.bits": "none",
        "adc.bits": "none",
    }
    chip = CrossbarDense(weight, load_hardware("pcm", changes), "fc", 0)
    assert relative(chip.forward(a), a @ weight.T) < 1e-13


def test_dense_acts_on_the_last_axis():
    chip, digital = dense("ideal")
    a = np.random.default_rng(0).standard_normal((3, 5, 600)).astype("float32")
    assert relative(chip.forward(a), digital.forward(a)) < 1e-6
    assert chip.activity.forward.vectors == 15


def test_transposed_read_is_the_adjoint_of_the_forward_read_of_the_same_cells():
    changes = {"effects.read_noise": False, "dac.bits": "none", "adc.bits": "none"}
    weight = np.random.default_rng(5).standard_normal((3, 3, SHAPE[2], 10))
    chip = CrossbarConvolution(weight, load_hardware("pcm", changes), "conv", 0, SHAPE, (1, 1), (1, 1))
    a, d = (
        np.random.default_rng(0).standard_normal((2, *SHAPE)),
        np.random.default_rng(1).standard_normal((2, 11, 9, 10)),
    )
    u, b = chip.forward(a), chip.transpose(d)
    assert relative(chip.weight, weight) > 1e-3  # programming error is in the cells, not in the read
    assert abs((u * d).sum() - (a * b).sum()) < 1e-12 * np.abs(u * d).sum()


def test_reads_differ_and_seeds_repeat_them():
    a, images = inputs()
    for make, x in ((dense, a), (convolution, images)):
        first, second = make("pcm")[0], make("pcm")[0]
        assert first.noisy
        one, two = first.forward(x), first.forward(x)
        assert not np.array_equal(one, two)
        assert np.array_equal(one, second.forward(x))
        assert np.array_equal(two, second.forward(x))
        assert not np.array_equal(one, make("pcm", seed=1)[0].forward(x))
        assert np.array_equal(first.transpose(one), second.transpose(one))


def test_names_have_their_own_streams():
    a, _ = inputs()
    assert not np.array_equal(dense("pcm", name="fc1")[0].forward(a), dense("pcm", name="fc2")[0].forward(a))


def test_reads_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(readout, "_SMALL", 0)  # threads even for these small arrays
    _, images = inputs()
    chips = [convolution("pcm")[0] for _ in range(2)]
    threads = numba.get_num_threads()
    try:
        many = chips[0].forward(images), chips[0].transpose(np.ones((9, 11, 9, 10), "float32"))
        numba.set_num_threads(1)
        one = chips[1].forward(images), chips[1].transpose(np.ones((9, 11, 9, 10), "float32"))
        monkeypatch.setattr(readout, "_SMALL", 1 << 30)
        chip = convolution("pcm")[0]
        serial = chip.forward(images), chip.transpose(np.ones((9, 11, 9, 10), "float32"))
    finally:
        numba.set_num_threads(threads)
    for a, b, c in zip(many, one, serial, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


@pytest.mark.parametrize("changes", [{}, {"dac.bits": "none", "adc.bits": "none"}])
def test_reads_do_not_depend_on_how_the_batch_is_cut(monkeypatch, changes):
    _, images = inputs("float64")
    weight = np.random.default_rng(5).standard_normal((3, 3, SHAPE[2], 10))
    found = []
    for chunk in (1 << 22, 11 * 9 * 54 * 2):
        monkeypatch.setattr(operators, "_CHUNK", chunk)
        chip = CrossbarConvolution(weight, load_hardware("pcm", changes), "c", 0, SHAPE, (1, 1), (1, 1))
        u = chip.forward(images)
        found.append((u, chip.transpose(u)))
    # Products of differently cut matrices may round differently; noise and codes must not move.
    assert all(np.allclose(a, b, rtol=0, atol=1e-12 * np.abs(a).max()) for a, b in zip(*found, strict=True))


def test_a_resumed_chip_goes_on_as_if_nothing_had_happened():
    a, _ = inputs()
    chip, digital = dense("pcm")
    chip.forward(a)
    chip.write(digital.weight * 1.1)
    saved = chip.state()
    going_on = [chip.forward(a), chip.transpose(chip.forward(a))]
    chip.write(digital.weight * 1.3)
    resumed = CrossbarDense(np.zeros_like(digital.weight), load_hardware("pcm"), "fc", 0)
    resumed.load_state(saved)
    again = [resumed.forward(a), resumed.transpose(resumed.forward(a))]
    resumed.write(digital.weight * 1.3)
    assert all(np.array_equal(x, y) for x, y in zip(going_on, again, strict=True))
    assert np.array_equal(chip.weight, resumed.weight)
    assert chip.activity == resumed.activity


def test_a_foreign_state_is_refused():
    chip, _ = dense("pcm")
    state = chip.state()
    with pytest.raises(ValueError, match="fc: chip state lacks believed"):
        chip.load_state({k: v for k, v in state.items() if k != "believed"})
    with pytest.raises(ValueError, match="found shape"):
        chip.load_state({**state, "g_plus": np.zeros((2, 2))})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_with_the_stages_name(bad):
    weight = np.ones((3, 4))
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="stage7: weights hold NaN or infinity"):
        CrossbarDense(weight, load_hardware("ideal"), "stage7", 0)
    chip = CrossbarDense(np.ones((3, 4)), load_hardware("ideal"), "stage7", 0)
    with pytest.raises(ValueError, match="stage7: weights hold"):
        chip.write(weight)
    with pytest.raises(ValueError, match=r"found a weight of shape \(4, 3\)"):
        chip.write(weight.T)


def test_a_programmed_matrix_stays_within_six_times_its_weights_while_it_is_programmed_too():
    weight = np.random.default_rng(0).standard_normal((1024, 2048)).astype(np.float32)
    hardware = load_hardware("pcm")
    CrossbarDense(weight[:2, :2], hardware, "fc", 0)  # compiles
    tracemalloc.start()
    chip = CrossbarDense(weight, hardware, "fc", 0)
    held, peak = tracemalloc.get_traced_memory()
    more, tiles = np.float32(1.001) * weight, chip.tiles
    tracemalloc.reset_peak()
    chip.write(more)
    writing = tracemalloc.get_traced_memory()[1] - more.nbytes
    tracemalloc.stop()
    assert tiles.views[0] is tiles.views[1]
    assert 4.9 * weight.nbytes < held < 5.1 * weight.nbytes  # and the digital weight itself
    assert peak < 6 * weight.nbytes
    assert writing < 6 * weight.nbytes


def test_partial_sums_of_tiles_are_converted_one_by_one():
    weight, a = (
        np.random.default_rng(0).standard_normal((3, 500)),
        np.random.default_rng(1).standard_normal((6, 500)),
    )
    hardware = load_hardware("pcm", {"device": "ideal", "dac.bits": "none", "adc.bits": 5, "effects.clipping": False})
    chip = CrossbarDense(weight, hardware, "fc", 0)
    expected = np.zeros((6, 3))
    for cut in (slice(0, 256), slice(256, 500)):
        part = a[:, cut] @ weight[:, cut].T
        limit = np.abs(part).max(axis=1, keepdims=True)
        expected += np.round(part / limit * 15) * limit / 15
    assert relative(chip.forward(a), expected) < 1e-12
    assert chip.activity.forward.adc == 6 * 3 * 2
    assert chip.activity.tiles == 2


def test_small_stress_survives_an_eight_bit_transposed_read():
    chip, digital = dense("pcm")
    d = (np.random.default_rng(0).standard_normal((9, 70)) * 1e-9).astype("float32")
    assert (
        relative(chip.transpose(d), digital.transpose(d)) < 0.3
    )  # device noise, no more than for d of order one
    assert chip.activity.transposed.lost_fraction < 0.02


def test_a_fixed_range_that_is_too_wide_loses_values_and_too_narrow_saturates():
    fixed = {"dac.range": "fixed", "dac.limit": 4.0, "adc.range": "fixed"}
    weight, a = (
        np.random.default_rng(0).standard_normal((20, 256)),
        np.random.default_rng(1).standard_normal((50, 256)),
    )
    wide = CrossbarDense(weight, load_hardware("pcm", {**fixed, "adc.limit": 1.0}), "fc", 0)
    narrow = CrossbarDense(weight, load_hardware("pcm", {**fixed, "adc.limit": 0.001}), "fc", 0)
    wide.forward(a), narrow.forward(a)
    assert wide.activity.forward.lost_fraction > 0.3
    assert wide.activity.forward.saturated == 0
    assert narrow.activity.forward.saturated_fraction > 0.3
    assert wide.activity.forward.clipped == np.count_nonzero(np.abs(np.round(a / 4 * 127)) > 127)


def test_transposed_reads_keep_fixed_ranges_only_where_told_to():
    fixed = {"dac.range": "fixed", "dac.limit": 1.0, "adc.range": "fixed", "adc.limit": 0.05, "links": "digital"}
    weight, d = np.random.default_rng(0).standard_normal((20, 64)), np.random.default_rng(1).standard_normal((50, 20))
    own = CrossbarDense(weight, load_hardware("ideal", fixed), "fc", 0)
    both = {**fixed, "dac.transposed_range": "fixed", "adc.transposed_range": "fixed"}
    same = CrossbarDense(weight, load_hardware("ideal", both), "fc", 0)
    assert relative(own.transpose(1e-3 * d), 1e-3 * d @ weight) < 0.02
    assert own.activity.transposed.inputs == 0
    assert not same.transpose(1e-3 * d).any()  # below half of 1 / 127
    assert same.activity.transposed.dropped_fraction == 1.0
    step, w_max = 1 / 127, np.abs(weight).max()
    expected = np.clip(np.round(d / step), -127, 127) * step @ weight
    reach = 0.05 * 20 * w_max
    expected = np.clip(np.round(expected / reach * 127), -127, 127) * reach / 127
    assert np.abs(same.transpose(d) - expected).max() < 1.01 * reach / 127  # a code apart where rounding decides
    counts = same.activity.transposed
    assert counts.clipped == np.count_nonzero(np.abs(d / step).round() > 127)
    assert counts.inputs == 2 * d.size
    assert counts.dropped == d.size + np.count_nonzero(np.abs(d / step) < 0.5)
