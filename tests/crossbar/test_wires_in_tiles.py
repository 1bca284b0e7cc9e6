"""Wires in tiles: reads of a chip against the nodal solve of each tile, both ways, and what follows from it."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.crossbar import CrossbarConvolution, CrossbarDense, list_hardware, load_hardware, tile_wires, views, wire_cost
from dbpsim.crossbar.tile_wires import between_ends
from dbpsim.crossbar.wire_cost import solve_bytes, solve_seconds
from dbpsim.crossbar.wires import Wires, effective_conductance, end_currents, solve
from dbpsim.devices.read_noise import read_sigma
from dbpsim.kernels.im2col import fold, patches

SEGMENTS = {
    "wires.segment_row_ohm": 8.0, "wires.segment_column_ohm": 5.0, "wires.driver_ohm": 60.0, "wires.sense_ohm": 30.0,
}  # fmt: skip
WIRES = Wires(8.0, 5.0, 60.0, 30.0)
QUIET = {"dac.bits": "none", "adc.bits": "none", "effects.read_noise": False, "tile.rows": 16, "tile.columns": 8}
MAPPINGS = [
    {},
    {"mapping.scheme": "offset_column", "update.mode": "write_verify"},
    {"mapping.scheme": "bit_sliced", "mapping.slices": 2},
    {"mapping.scale": "tile"},
    {"mapping.scale": "column"},
    {"mapping.transpose": "replica"},
]
W = np.random.default_rng(0).standard_normal((18, 37))  # (out, in): tiles of 16 + 16 + 5 rows by 8 + 8 + 2 columns


def dense(changes, preset="pcm", weight=W):
    return CrossbarDense(weight, load_hardware(preset, QUIET | changes), "fc", 3)


def array_of(cells, rows, columns):
    """The tile as the layout says, bit line by bit line, and the weight per siemens of each output current."""
    plus, minus = cells.g_plus[rows, columns], cells.g_minus[rows, columns]
    if len(cells.sides) == 1:
        return np.concatenate([plus, minus[:, :1]], axis=1)
    lines = np.empty((plus.shape[0], 2 * plus.shape[1]))
    lines[:, 0::2], lines[:, 1::2] = plus, minus
    return lines


def outputs_of(chip, transposed):
    """W as one explicit nodal solve a tile, slice and driven line says, and the same without wires."""
    bank = chip.tiles.banks[-1 if transposed else 0]
    shape, tile, found = chip.tiles.shape, chip.hardware.tile, []
    for wires in (WIRES, Wires(1e-7, 1e-7)):
        total = np.zeros(shape)
        for cells in bank.slices:
            window = cells.device.conductance
            for i in range(0, shape[0], tile.rows):
                for j in range(0, shape[1], tile.columns):
                    rows, columns = slice(i, i + tile.rows), slice(j, j + tile.columns)
                    seen = effective_conductance(array_of(cells, rows, columns), wires, transposed=transposed)
                    one = len(cells.sides) == 1
                    difference = seen[:, :-1] - seen[:, -1:] if one else seen[:, 0::2] - seen[:, 1::2]
                    size = {(1, 1): cells.w_max, (1, shape[1]): cells.w_max[:, columns]}.get(
                        cells.w_max.shape, cells.w_max[i // tile.rows :, j // tile.columns :][:1, :1]
                    )
                    total[rows, columns] += difference * size * (2 if one else 1) / window.span_S
        found.append(total)
    return found


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_reads_are_those_of_every_tile_solved_by_itself(mapping):
    digital = {"links": "digital"} if mapping.get("mapping.scale") == "tile" else {}
    chip = dense(SEGMENTS | mapping | digital)
    random = np.random.default_rng(1)
    a, d = random.standard_normal((5, 37)), random.standard_normal((5, 18))
    forward, without = outputs_of(chip, False)
    np.testing.assert_allclose(chip.forward(a), a @ forward, rtol=1e-8, atol=1e-9)
    transposed, back_without = outputs_of(chip, True)
    np.testing.assert_allclose(chip.transpose(d), d @ transposed.T, rtol=1e-8, atol=1e-9)
    assert np.abs(forward / without - 1).max() > 0.01
    assert np.abs(forward - transposed).max() > 1e-4 * np.abs(forward).max()
    bare = dense(mapping | digital)
    np.testing.assert_allclose(bare.forward(a), a @ without, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bare.transpose(d), d @ back_without.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transposed", [False, True])
def test_thin_resistance_is_no_resistance(transposed):
    bare = dense({})
    v = np.random.default_rng(1).standard_normal((5, 18 if transposed else 37))
    errors = []
    for r in (1e-1, 1e-2, 1e-3):
        chip = dense({"wires.segment_row_ohm": r, "wires.segment_column_ohm": r})
        read = [bar.transpose(v) if transposed else bar.forward(v) for bar in (chip, bare)]
        errors.append(np.linalg.norm(read[0] - read[1]) / np.linalg.norm(read[1]))
    assert np.array(errors[:2]) / errors[1:] == pytest.approx(10, rel=0.02)  # and the loss goes as the resistance
    assert errors[-1] < 1e-5


def test_a_switch_takes_the_wires_out_bit_for_bit():
    a, d = np.random.default_rng(1).standard_normal((4, 37)), np.random.default_rng(2).standard_normal((4, 18))
    off, bare = dense(SEGMENTS | {"effects.wires": False}), dense({})
    assert off.tiles.views[0] is off.tiles.views[1]
    np.testing.assert_array_equal(off.forward(a), bare.forward(a))
    np.testing.assert_array_equal(off.transpose(d), bare.transpose(d))
    assert off.activity.forward.power_W == bare.activity.forward.power_W


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wires.segment_row_ohm": -1.0}, ["wires.segment_row_ohm", "-1"]),
        ({"wires.segment_column_ohm": 0.0}, ["wires.segment_column_ohm", "0"]),
        ({"wires.driver_ohm": -5}, ["wires.driver_ohm", "-5"]),
        ({"wires.sense_ohm": float("nan")}, ["wires.sense_ohm", "nan"]),
        ({"wires.method": "guess"}, ["wires.method", "guess", "exact", "first_order"]),
        ({"wires.segment_ohm": 1.0}, ["wires.segment_ohm"]),
    ],
)
def test_bad_wires_are_named(change, words):
    with pytest.raises(ValueError, match="wires") as error:
        load_hardware("pcm", SEGMENTS | change)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("transposed", [False, True])
def test_read_energy_is_what_the_sources_give(mapping, transposed):
    digital = {"links": "digital"} if mapping.get("mapping.scale") == "tile" else {}
    chip = dense(SEGMENTS | mapping | digital)
    v = np.random.default_rng(1).standard_normal((5, 18 if transposed else 37))
    (chip.transpose if transposed else chip.forward)(v)
    activity = chip.activity.transposed if transposed else chip.activity.forward
    bank, tile = chip.tiles.banks[-1 if transposed else 0], chip.hardware.tile
    gain = chip.tiles.input_gain(transposed)
    volts = v if gain is None else v * gain
    volts = volts / np.abs(volts).max(axis=1, keepdims=True) * chip.hardware.read.v_read_V
    expected = heat = 0.0
    for cells in bank.slices:
        for i in range(0, 37, tile.rows):
            for j in range(0, 18, tile.columns):
                array = array_of(cells, slice(i, i + tile.rows), slice(j, j + tile.columns))
                if not transposed:
                    found = solve(array, volts[:, i : i + tile.rows], WIRES)
                else:  # turned over, so that bit lines come in from the left
                    given = volts[:, j : j + tile.columns]
                    if len(cells.sides) == 1:
                        lines = np.concatenate([given, -given.sum(axis=1, keepdims=True)], axis=1)
                    else:
                        lines = np.stack([given, -given], axis=2).reshape(len(given), -1)
                    found = solve(np.ascontiguousarray(array[::-1, ::-1].T), lines[:, ::-1], Wires(5.0, 8.0, 60.0, 30.0))
                expected += found.source_power.sum()
                heat += found.cell_power.sum() + found.wire_power.sum()
    assert activity.power_W == pytest.approx(expected, rel=1e-9)
    assert activity.power_W == pytest.approx(heat, rel=1e-9)


@pytest.mark.parametrize("transposed", [False, True])
def test_read_noise_goes_through_the_wires_to_first_order(transposed):
    """Against the exact law sum_cells sigma^2 (dI / dG)^2, derivatives by central differences of the nodal solve."""
    matrix = W[:8, :16]
    ohm = {"wires.segment_row_ohm": 100.0, "wires.segment_column_ohm": 100.0, "wires.driver_ohm": 20.0, "wires.sense_ohm": 20.0}
    wires = Wires(100.0, 100.0, 20.0, 20.0)
    noise = {"effects.read_noise": True}
    chip, bare = dense(ohm | noise, weight=matrix), dense(noise, weight=matrix)
    cells, g = chip.tiles.cells, array_of(chip.tiles.cells, slice(0, 16), slice(0, 8))
    unit = cells.w_max.item() / cells.device.conductance.span_S
    sigma, v = read_sigma(g, cells.device) * unit, np.random.default_rng(1).standard_normal((6, 8 if transposed else 16))
    exact = np.zeros((6, 16 if transposed else 8))
    for i, j in zip(*np.nonzero(sigma), strict=True):
        step = np.zeros_like(g)
        step[i, j] = 1e-3 * g[i, j]
        change = sum(k * effective_conductance(g + k * step, wires, transposed=transposed) for k in (1, -1)) / (2 * step[i, j])
        slope = change[:, 0::2] - change[:, 1::2]
        exact += sigma[i, j] ** 2 * (v @ (slope.T if transposed else slope)) ** 2
    found, without = (o.tiles.currents(v, transposed)[1] / exact for o in (chip, bare))
    assert np.abs(chip.tiles.views[0].weights / bare.tiles.views[0].weights - 1).mean() > 0.05
    assert np.abs(found - 1).max() < 0.15
    assert abs(found.mean() - 1) < 0.06 < 0.2 < without.mean() - 1


@pytest.mark.parametrize("mode", ["write_verify", "mixed_precision", "stochastic_pulses"])
@pytest.mark.parametrize("preset", ["pcm", "ecram"])
def test_views_follow_the_cells_that_a_write_changes(mode, preset):
    noise = {"effects.read_noise": True, "effects.update_noise": True}
    chip = dense(SEGMENTS | noise | {"update.mode": mode}, preset)
    matrix = W.copy()
    matrix[2:4, 20:22] += 0.7  # in the array: rows 20, 21, columns 2, 3, one tile of nine
    if mode == "stochastic_pulses":
        a, d = (np.random.default_rng(k).standard_normal((3, n)) for k, n in ((1, 37), (2, 18)))
        chip.descend(d, a, 0.1)
    else:
        chip.write(matrix)
        assert set(chip.tiles.views[0].admittance) == {(i, j) for i in range(3) for j in range(3)}
    other = dense(SEGMENTS | noise | {"update.mode": mode}, preset)
    other.load_state(chip.state())
    for view, fresh in zip(chip.tiles.views, other.tiles.views, strict=True):
        np.testing.assert_array_equal(view.weights, fresh.weights)
        np.testing.assert_array_equal(view.variance, fresh.variance)
    a, d = np.random.default_rng(1).standard_normal((4, 37)), np.random.default_rng(2).standard_normal((4, 18))
    np.testing.assert_array_equal(chip.forward(a), other.forward(a))
    np.testing.assert_array_equal(chip.transpose(d), other.transpose(d))
    assert chip.activity == other.activity


def test_only_tiles_that_hold_a_changed_cell_are_solved_again(monkeypatch):
    chip, solved = dense(SEGMENTS | {"update.mode": "write_verify"}), []
    monkeypatch.setattr(views, "between_ends", lambda plus, *rest: solved.append(plus.shape) or between_ends(plus, *rest))
    matrix = W.copy()
    matrix[2:4, 20:22] += 0.1
    chip.write(matrix)
    assert solved == [(16, 8)]
    chip.wait(10.0)
    assert len(solved) == 1 + 9


def test_ageing_and_its_compensation_see_the_wires():
    chip = dense(SEGMENTS)
    chip.wait(1e5, compensate=True)
    forward, _ = outputs_of(chip, False)
    held = np.repeat(np.repeat(chip.tiles.banks[0].scale, 16, axis=0)[:37], 8, axis=1)[:, :18]
    a = np.random.default_rng(1).standard_normal((5, 37))
    np.testing.assert_allclose(chip.forward(a), a @ (forward * held), rtol=1e-8, atol=1e-9)
    assert chip.tiles.banks[0].scale.min() > 1.05


def test_a_convolution_reads_its_patches_through_wires():
    random = np.random.default_rng(4)
    weight, images = random.standard_normal((3, 3, 4, 6)), random.standard_normal((3, 6, 5, 4))
    hardware = load_hardware("pcm", QUIET | SEGMENTS)
    chip = CrossbarConvolution(weight, hardware, "conv", 0, (6, 5, 4), padding=(1, 1))
    fully = CrossbarDense(weight.reshape(36, 6).T, hardware, "conv", 0)
    rows = patches(images, (3, 3), (1, 1), (1, 1))
    found, expected = chip.forward(images), fully.forward(rows)
    np.testing.assert_allclose(found.reshape(-1, 6), expected, rtol=1e-12)
    back = chip.transpose(found)
    stress = fully.transpose(expected.reshape(-1, 6))
    np.testing.assert_allclose(back, fold(stress, images.shape, (3, 3), (1, 1), (1, 1)), rtol=1e-9, atol=1e-12)
    volts = rows.reshape(3, -1) / np.abs(images).max(axis=(1, 2, 3))[:, None] * hardware.read.v_read_V
    power = fully.tiles.power_of(volts.reshape(-1, 36), np.ones(3), False) / hardware.read.v_read_V**2
    assert chip.activity.forward.power_W == pytest.approx(power, rel=1e-9)


@pytest.mark.parametrize("mapping", MAPPINGS[:3])
def test_alike_ends_make_the_two_reads_adjoint_by_reciprocity(mapping):
    alike, unlike = (dense(SEGMENTS | mapping | {"wires.sense_ohm": ohm}).tiles.views for ohm in (60.0, 0.0))
    size = np.abs(alike[0].weights).max()
    np.testing.assert_allclose(alike[0].weights, alike[1].weights, rtol=0, atol=1e-9 * size)
    assert np.abs(unlike[0].weights - unlike[1].weights).max() > 1e-3 * size


def test_an_object_without_wires_takes_some():
    bare = load_hardware("pcm")
    assert bare.wires is None
    assert load_hardware(bare, SEGMENTS) == load_hardware("pcm", SEGMENTS)


def test_float32_chips_see_float32_weights():
    chip, wide = dense(SEGMENTS, weight=W.astype("f4")), dense(SEGMENTS)
    a = np.random.default_rng(1).standard_normal((4, 37)).astype("f4")
    assert chip.forward(a).dtype == chip.tiles.views[1].admittance[0, 0].dtype == np.float32
    expected = wide.forward(a.astype(float))
    assert np.linalg.norm(chip.forward(a) - expected) < 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize(("mapping", "lines"), [({}, 32), ({"mapping.scheme": "offset_column"}, 17)])
def test_time_is_told_before_the_work(mapping, lines, monkeypatch):
    changes = QUIET | SEGMENTS | mapping | {"tile.rows": 64, "tile.columns": 16}
    hardware = load_hardware("ecram", changes)
    clock = iter([5.0, 5.5])
    monkeypatch.setattr(wire_cost, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    tiles, told = solve_seconds([(320, 32)], hardware)
    solved = []  # cells times driven lines, of every solve there is
    monkeypatch.setattr(tile_wires, "end_currents", lambda g, v, w: solved.append(g.size * len(v)) or end_currents(g, v, w))
    whole = lambda g, w, transposed: solved.append(g.size * len(g)) or effective_conductance(g, w, transposed=transposed)  # noqa: E731
    monkeypatch.setattr(tile_wires, "effective_conductance", whole)
    chip = CrossbarDense(np.random.default_rng(0).standard_normal((32, 320)), hardware, "fc", 0)
    assert tiles == 10 == len(chip.tiles.views[0].admittance)
    assert told == pytest.approx(0.5 * sum(solved) / (64 * lines * 32))  # the half second was for 32 driven lines of a tile
    assert solve_seconds([(320, 32)], load_hardware("ecram", changes | {"effects.wires": False})) == (0, 0.0)
    assert solve_seconds([(8, 8)], hardware) == (1, 0.0)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_first_order_wires_are_near_the_exact_ones(mapping):
    digital = {"links": "digital"} if mapping.get("mapping.scale") == "tile" else {}
    exact, near, bare = (dense(mapping | digital | wires) for wires in (SEGMENTS, SEGMENTS | {"wires.method": "first_order"}, {}))
    a, d = np.random.default_rng(1).standard_normal((5, 37)), np.random.default_rng(2).standard_normal((5, 18))
    for read, v in (("forward", a), ("transpose", d)):
        reads = [getattr(chip, read)(v) for chip in (exact, near, bare)]
        error, loss = (np.linalg.norm(found - reads[0]) for found in reads[1:])
        assert error < 0.05 * loss
    for transposed in (False, True):  # of inputs of random sign
        lines = np.random.default_rng(3).uniform(0, 1, 18 if transposed else 37)
        watts = [chip.tiles.power(lines, transposed) for chip in (exact, near)]
        assert watts[1] == pytest.approx(watts[0], rel=1e-3)
    gain = near.tiles.input_gain(True)
    d = d if gain is None else d * gain
    squares = ((d / np.abs(d).max(axis=1, keepdims=True)) ** 2).sum(axis=0)
    assert near.activity.transposed.power_W == pytest.approx(near.tiles.power(squares, True), rel=1e-12)
    assert solve_seconds([(2304, 256)], near.hardware) == (0, 0.0)


def test_a_long_solve_is_a_warning(monkeypatch):
    net, told = dbp.models.mlp(37, 18), []
    monkeypatch.setattr(dbp.chip, "solve_seconds", lambda shapes, _: told.append(list(shapes)) or (9, 75.0))
    with pytest.warns(UserWarning, match=r"wires of 9 tiles takes about 75 s.*effects\.wires = false"):
        dbp.Chip.program(net, load_hardware("pcm", QUIET | SEGMENTS))
    assert told == [[(37, 18)]]


@pytest.mark.parametrize(("method", "words"), [("exact", "what the sources give"), ("first_order", "inputs of random sign")])
def test_the_cost_of_a_run_has_the_wires_in_it(method, words):
    net = dbp.models.mlp(20, 10)
    x, y = np.random.default_rng(0).standard_normal((6, 20)), np.arange(6)
    wires = SEGMENTS | {"wires.method": method, "wires.source": "a test"}
    chip, bare = (dbp.Chip.program(net, load_hardware("pcm", QUIET | changes)) for changes in (wires, {}))
    for each in (chip, bare):
        dbp.backprop(each, x, y)
    table, without = dbp.cost(chip), dbp.cost(bare)
    power = sum(stage.forward.power_W + stage.transposed.power_W for stage in chip.activity.stages.values())
    assert table.by_component["array"] == pytest.approx(power * chip.hardware.clock.period_s, rel=1e-12)
    assert 0.9 < table.by_component["array"] / without.by_component["array"] < 0.995
    assert any(words in note and "a test" in note for note in table.notes)
    assert not any("wires" in note for note in without.notes)


@pytest.mark.parametrize("preset", [h.name for h in list_hardware()])
def test_with_all_effects_off_every_preset_with_wires_is_the_ideal_network(preset):
    off = {f"effects.{key}": False for key in load_hardware(preset).effects.model_dump()}
    hardware = load_hardware(preset, off | SEGMENTS | {"dac.bits": "none", "adc.bits": "none"})
    chip = CrossbarDense(W, hardware, "fc", 0)
    a, d = np.random.default_rng(1).standard_normal((4, 37)), np.random.default_rng(2).standard_normal((4, 18))
    np.testing.assert_allclose(chip.forward(a), a @ W.T, rtol=0, atol=1e-11)
    np.testing.assert_allclose(chip.transpose(d), d @ W, rtol=0, atol=1e-11)


def test_views_do_not_depend_on_threads():
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, min(2, before)):
            numba.set_num_threads(threads)
            found.append(dense(SEGMENTS | {"wires.sense_ohm": 0.0}).tiles.views)
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one.weights, two.weights)
        for place, y in one.admittance.items():
            np.testing.assert_array_equal(y, two.admittance[place])


def test_a_tile_too_large_to_solve_is_refused_before_any_work():
    net, wires = dbp.models.mlp(37, 18), SEGMENTS | {"tile.rows": 65536, "tile.columns": 65536}
    huge = [(65536, 65536)]
    assert solve_bytes(huge, load_hardware("pcm", wires)) > 2**40
    assert solve_bytes(huge, load_hardware("pcm", wires | {"wires.method": "first_order"})) == 0
    assert 0 < solve_bytes([(37, 18)], load_hardware("pcm", wires)) < 2**20 * numba.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbp.chip, "_shapes", lambda _: huge)
        with pytest.raises(ValueError, match=r"do not fit into the .* smaller tiles"):
            dbp.Chip.program(net, load_hardware("pcm", wires))


@pytest.mark.parametrize("mapping", [*MAPPINGS[:3], MAPPINGS[5]])
def test_every_other_effect_goes_on_behind_wires(mapping):
    """Faulty cells, frozen noise, drift and writes: a chip resumed from its state reads the same bits."""
    faults = {"stuck_on": 0.02, "stuck_off": 0.03, "dead_rows": 0.05, "dead_columns": 0.05, "source": "a test"}
    noise = {"effects.read_noise": True, "read.slow_noise": "frozen", "device.read_noise.white_share": 0.01}
    changes = SEGMENTS | noise | mapping | {"update.mode": "write_verify", "device.faults": faults}
    chip, other = dense(changes), dense(changes)
    chip.wait(1e4, compensate=True)
    chip.write(W + np.where(np.random.default_rng(3).random(W.shape) < 0.01, 0.3, 0.0))
    other.load_state(chip.state())
    a, d = np.random.default_rng(1).standard_normal((4, 37)), np.random.default_rng(2).standard_normal((4, 18))
    assert chip.noisy
    for read, v in (("forward", a), ("transpose", d)):
        found = getattr(chip, read)(v)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, getattr(other, read)(v))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 99), st.booleans(), st.floats(0, 0.9),
    st.tuples(*[st.floats(1e-2, 1e3)] * 2, *[st.sampled_from([0.0, 50.0, 700.0])] * 2),
)  # fmt: skip
def test_what_goes_into_a_tile_comes_out(rows, columns, seed, paired, empty, ohms):
    random = np.random.default_rng(seed)
    plus, minus = random.uniform(0, 1e-4, (2, rows, columns)) * (random.random((2, rows, columns)) > empty)
    minus = minus if paired else minus[:, :1]
    wires = Wires(*ohms)
    found = between_ends(plus, minus, wires, (False, True))
    size = max(plus.max(), minus.max(), 1e-12)
    for ends in found.values():
        assert (ends.plus >= -1e-12 * size).all()
        seen, held = (p.sum(axis=1) + m.sum(axis=1) for p, m in ((ends.plus, ends.minus), (plus, minus)))
        assert (seen <= held + 1e-11 * size).all()  # a line gives no more than its cells would without wires
        np.testing.assert_allclose(ends.admittance, ends.admittance.T, rtol=0, atol=1e-10 * size)
        assert np.linalg.eigvalsh(ends.admittance).min() >= -1e-9 * size
    # all rows at once: what they take is what the bit lines and the other rows' drivers give back
    out = found[False].plus.sum(axis=1) + found[False].minus.sum(axis=1)
    np.testing.assert_allclose(found[False].admittance.sum(axis=0), out, rtol=0, atol=1e-10 * size)
