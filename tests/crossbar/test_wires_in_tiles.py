"""Wires in tiles: reads of a chip against the nodal solve of each tile, both ways, and what follows from it."""

import numpy as np
import pytest

from dbpsim.crossbar import CrossbarDense, load_hardware
from dbpsim.crossbar.wires import Wires, effective_conductance, solve

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
        ({"wires.method": "guess"}, ["wires.method", "guess", "exact"]),
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
