"""Every mapping holds the weights, reads both ways as adjoints, and lies where the table says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.crossbar import CrossbarDense, list_hardware, load_hardware
from dbpsim.crossbar.hardware import WeightMapping
from dbpsim.crossbar.mapping import blocks, limits_at, limits_of_rows, slice_factor, sliced, weight_limits

OFF = {"effects." + name: False for name in load_hardware("pcm").effects.model_dump()} | {
    "dac.bits": "none", "adc.bits": "none", "links": "digital",
}  # fmt: skip
MAPPINGS = [
    {},
    {"mapping.scheme": "offset_column", "update.mode": "write_verify"},
    {"mapping.scheme": "bit_sliced", "mapping.slices": 3},
    {"mapping.scale": "tile"},
    {"mapping.scale": "column"},
    {"mapping.transpose": "replica"},
    {"mapping.transpose": "digital"},
    {"mapping.scheme": "bit_sliced", "mapping.scale": "tile", "mapping.transpose": "replica"},
]
NO_CLIPPING = {"effects.clipping": False}
W = np.random.default_rng(0).standard_normal((20, 45)) * np.linspace(0.2, 3, 20)[:, None]
TILE = {"tile.rows": 16, "tile.columns": 8}


def dense(hardware, changes, weight=W, seed=0):
    return CrossbarDense(weight, load_hardware(hardware, changes), "fc", seed)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("preset", [h.name for h in list_hardware()])
def test_with_all_effects_off_every_mapping_of_every_preset_is_the_matrix(preset, mapping):
    chip = dense(preset, OFF | TILE | mapping)
    a, d = np.random.default_rng(1).standard_normal((6, 45)), np.random.default_rng(2).standard_normal((6, 20))
    assert not chip.noisy
    assert relative(chip.forward(a), a @ W.T) < 1e-13
    assert relative(chip.transpose(d), d @ W) < 1e-13
    assert chip.clipped == 0


@pytest.mark.parametrize("mapping", MAPPINGS[:5])
def test_both_reads_of_the_same_cells_are_adjoint(mapping):
    errors = {"effects.read_noise": False, "dac.bits": "none", "adc.bits": "none"}
    chip = dense("pcm", errors | TILE | mapping)
    a, d = np.random.default_rng(1).standard_normal((6, 45)), np.random.default_rng(2).standard_normal((6, 20))
    u, b = chip.forward(a), chip.transpose(d)
    assert relative(chip.weight, W) > 1e-3
    assert abs((u * d).sum() - (a * b).sum()) < 1e-12 * np.abs(u * d).sum()


def test_a_replica_has_errors_of_its_own():
    quiet = NO_CLIPPING | {"effects.read_noise": False, "dac.bits": "none", "adc.bits": "none"}
    chip, same = dense("pcm", quiet | {"mapping.transpose": "replica"}), dense("pcm", quiet)
    eye = np.eye(20)
    assert np.array_equal(chip.weight, same.weight)  # the forward arrays are the same ones
    transport = relative(chip.transpose(eye), same.transpose(eye))
    programming = relative(same.weight, W)
    assert transport == pytest.approx(np.sqrt(2) * programming, rel=0.15)  # two independent errors
    assert chip.activity.write.cells == 2 * same.activity.write.cells
    assert chip.activity.tiles == 2 * same.activity.tiles


DIGITAL = {"mapping.transpose": "digital", "update.mode": "ideal"}


def test_a_digital_way_back_is_arithmetic_on_the_weights_held_and_reads_nothing():
    chip = dense("pcm", TILE | DIGITAL)
    d = np.random.default_rng(2).standard_normal((2, 3, 20))
    assert relative(chip.weight, W) > 1e-3
    assert relative(chip.transpose(d), d @ chip.weight) < 1e-13
    counts = chip.activity.transposed
    assert (counts.vectors, counts.outputs) == (6, 6 * 45)
    assert (counts.dac, counts.adc, counts.sensed, counts.power_W) == (0, 0, 0, 0.0)
    chip.forward(np.ones((1, 45)))
    assert chip.activity.forward.adc > 0


def test_networks_train_calibrate_and_are_checked_with_a_digital_way_back():
    net = dbp.models.vgg9(input_shape=(8, 8, 2), width=4, classes=4, seed=1)
    noisy, exact = (dbp.Chip.program(net, load_hardware("pcm", {"update.mode": "ideal"} | way)) for way in ({}, DIGITAL))
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 8, 8, 2)).astype("f4"), random.integers(0, 4, 16)
    whole = dbp.backprop(net, x, y)
    errors = [dbp.fidelity(dbp.backprop(chip, x, y).gradients, whole.gradients).whole.relative_error for chip in (noisy, exact)]
    assert errors[1] < errors[0]
    assert dbp.relax(exact, x, y).steps == 18
    exact.calibrate()
    dbp.check(exact, x, y)
    ranged = dbp.Chip.program(net, load_hardware("pcm", DIGITAL | {"dac.range": "calibrated", "adc.range": "calibrated"}))
    ranged.calibrate_ranges(x, y)
    assert dbp.fidelity(dbp.backprop(ranged, x, y).gradients, whole.gradients).whole.relative_error < 1
    table = dbp.cost(exact, dbp.backprop(exact, x, y))
    back = table.phase_J["transposed"]
    assert {name for name, value in back.items() if value > 0} == {"alu", "buffer", "control"}
    expected = dbp.expected_cost(net, exact.hardware, batch=16, schedule="backprop").phase_J["transposed"]
    assert expected == pytest.approx(back)


@pytest.mark.parametrize("scale", ["tile", "column"])
def test_a_largest_weight_of_its_own_brings_small_columns_above_the_converters_step(scale):
    weight = W * np.logspace(0, -4, 20)[:, None]  # columns of the array of very different size
    changes = NO_CLIPPING | {"device": "ideal", "dac.bits": "none", "adc.bits": 8, "tile.columns": 1}
    a = np.random.default_rng(1).standard_normal((6, 45))
    plain, scaled = (dense("pcm", changes | {"mapping.scale": s}, weight) for s in ("matrix", scale))
    small = slice(15, 20)
    lost, kept = (relative(chip.forward(a)[:, small], (a @ weight.T)[:, small]) for chip in (plain, scaled))
    assert lost > 0.3
    assert kept < 0.05


def test_a_columns_gain_is_in_front_of_the_converter_when_it_drives():
    changes = NO_CLIPPING | {"device": "ideal", "adc.bits": "none", "dac.bits": 6, "mapping.scale": "column"}
    chip = dense("pcm", changes)
    d, gain = np.random.default_rng(2).standard_normal((6, 20)), np.abs(W).max(axis=1)
    driven = d * gain
    full = np.abs(driven).max(axis=1, keepdims=True)
    expected = (np.round(driven / full * 31) * full / 31 / gain) @ W
    assert relative(chip.transpose(d), expected) < 1e-12


@pytest.mark.parametrize("scheme", ["offset_column", "bit_sliced"])
def test_pulses_follow_the_weights_within_a_step_on_other_mappings(scheme):
    quiet = {"effects.update_noise": False, "effects.programming_error": False, "mapping.headroom": 2.0}
    chip = dense("ecram", quiet | {"mapping.scheme": scheme}, W.astype("f4"))
    tiles, update = chip.tiles.cells, chip.hardware.device.update
    step = update.step_S * tiles.w_max.item() / chip.hardware.device.conductance.span_S * (2 if scheme == "offset_column" else 1)
    before = chip.weight
    chip.write(W.astype("f4") + np.float32(10 * step))
    assert abs((chip.weight - before).mean() / step - 10) < 2.5


@given(*[st.integers(1, 40)] * 2, *[st.integers(1, 12)] * 2, st.sampled_from(["matrix", "tile", "column"]))
@settings(max_examples=60, deadline=None)
def test_a_cells_largest_weight_is_the_same_by_rows_and_by_index(rows, columns, down, across, scale):
    hardware = load_hardware("ideal", {"links": "digital", "tile.rows": down, "tile.columns": across, "mapping.scale": scale})
    matrix = np.random.default_rng(rows * 41 + columns).standard_normal((rows, columns))
    limits = weight_limits(matrix, hardware)
    by_rows = np.concatenate([
        np.broadcast_to(limits_of_rows(limits, cut.start, columns, hardware.tile), (cut.stop - cut.start, columns))
        for cut in blocks(rows, down)
    ])  # fmt: skip
    at = np.arange(matrix.size)
    assert np.array_equal(np.broadcast_to(limits_at(limits, at, columns, hardware.tile), at.shape), by_rows.ravel())
    assert (np.abs(matrix) <= by_rows).all()
    assert np.isclose(np.abs(matrix / by_rows).max(), 1)


@given(*[st.integers(1, 30)] * 2, *[st.integers(1, 12)] * 2, st.sampled_from(MAPPINGS))
@settings(max_examples=60, deadline=None)
def test_tiles_of_any_size_add_up_to_the_matrix(rows, columns, down, across, mapping):
    weight = np.random.default_rng(rows * 31 + columns).standard_normal((columns, rows))
    fine = {"dac.bits": "none", "adc.bits": 16}  # a converter on every partial sum, fine enough
    chip = dense("pcm", OFF | mapping | fine | {"tile.rows": down, "tile.columns": across}, weight)
    a, d = np.random.default_rng(1).standard_normal((3, rows)), np.random.default_rng(2).standard_normal((3, columns))
    for found, exact in ((chip.forward(a), a @ weight.T), (chip.transpose(d), d @ weight)):
        assert np.abs(found - exact).max() < 1e-3 * max(np.abs(weight).max(), 1e-9) * max(rows, columns)
    assert relative(chip.weight, weight) < 1e-12


@given(st.integers(2, 6), st.integers(1, 6), st.floats(1e-6, 1e6))
@settings(max_examples=60, deadline=None)
def test_slices_add_up_and_each_fits_its_cells(slices, bits, w_max):
    cut = WeightMapping(scheme="bit_sliced", slices=slices, bits_per_slice=bits)
    matrix = np.random.default_rng(slices * 7 + bits).uniform(-1.2, 1.2, 500) * w_max
    parts = [sliced(matrix, np.array(w_max), k, cut) for k in range(slices)]
    for number, part in enumerate(parts):
        full = w_max * slice_factor(cut) ** number
        assert np.abs(part).max() <= full * (1 + 1e-9)
        if number < slices - 1:  # whole steps of 2^bits - 1 a side
            steps = part / full * (2**bits - 1)
            assert np.abs(steps - np.rint(steps)).max() < 1e-6
    assert np.allclose(sum(parts), np.clip(matrix, -w_max, w_max), rtol=0, atol=1e-12 * w_max)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mapping.scale": "tile"}, ["mapping.scale", "links"]),
        ({"mapping.scheme": "offset_column", "update.mode": "stochastic_pulses"}, ["stochastic_pulses", "pair"]),
        ({"mapping.scheme": "pairs"}, ["mapping.scheme", "found 'pairs'", "offset_column"]),
        ({"mapping.slices": 1}, ["mapping.slices", "found 1"]),
        ({"temperature_K": -3.0}, ["temperature_K", "-3"]),
    ],
)
def test_mappings_that_cannot_be_are_named(changes, words):
    with pytest.raises(ValueError, match="ecram") as error:
        load_hardware("ecram", changes)
    assert all(word in str(error.value) for word in words)


def test_cells_that_only_rise_need_a_pair():
    with pytest.raises(ValueError, match="only rise"):
        load_hardware("pcm", {"mapping.scheme": "offset_column"})
