"""Hardware files: presets are valid, changes are checked, mistakes are named."""

import math

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import list_hardware, load_hardware
from dbpsim.crossbar.mapping import differential, pair, tile_count, weight_limits, weights


def test_presets_load_and_say_what_they_are():
    names = ["capacitor", "ecram", "fefet", "hermes", "ideal", "mram", "neurram", "pcm", "reram", "sonos"]
    assert [h.name for h in list_hardware()] == names
    pcm = load_hardware("pcm")
    assert (pcm.tile.rows, pcm.tile.columns, pcm.dac.bits, pcm.adc.bits, pcm.links) == (
        256,
        256,
        8,
        8,
        "digital",
    )
    assert pcm.noisy
    assert not load_hardware("ideal").noisy
    assert load_hardware(pcm) is pcm


FIXED = {"dac.range": "fixed", "dac.limit": 1.0, "adc.range": "fixed", "adc.limit": 0.1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adc.bits": 0}, ["pcm.toml", "adc.bits", "found 0", "from 2 to 16", "'none'"]),
        ({"adc.bitts": 6}, ["adc.bitts", "did you mean bits?"]),
        ({"tile.rows": 0}, ["tile.rows", "found 0"]),
        ({"clock.tau_s": -1e-9}, ["clock.tau_s", "found -1e-09", "greater than 0"]),
        ({"read.v_read_V": math.nan}, ["read.v_read_V", "found nan"]),
        ({"links": "wireless"}, ["links", "'analog' or 'digital'"]),
        ({"links": "analog"}, ["no converters between layers"]),
        ({"device": "pmc"}, ["device", "did you mean pcm?"]),
        ({"device.conductance.g_min_S": -1.0}, ["device.conductance.g_min_S", "found -1.0"]),
        ({"adc.range": "fixed"}, ["adc", "needs limit"]),
        ({"dac.transposed_range": "fixed"}, ["dac", 'accepted with range = "fixed"']),
        ({**FIXED, "adc.transposed_range": "fixed"}, ['needs dac.transposed_range = "fixed"']),
        ({"name.first": 1}, ["name.first", "not a table"]),
    ],
)
def test_a_bad_change_is_refused_by_key_and_value(changes, words):
    with pytest.raises(ValueError) as error:
        load_hardware("pcm", changes)
    for word in words:
        assert word in str(error.value)


def test_changes_reach_into_objects_and_devices():
    pcm = load_hardware("pcm", {"device.read_noise.q_scale": 0.01})
    assert pcm.device.read_noise.q_scale == 0.01
    assert load_hardware(pcm, {"adc.bits": "none"}).adc.levels == 0
    assert load_hardware("pcm").device.read_noise.q_scale == 0.0088


def test_a_users_hardware_names_a_device_beside_it(tmp_path):
    (tmp_path / "cell.toml").write_text(
        'name="c"\nfamily="f"\n[conductance]\ng_min_S=0.0\ng_max_S=1e-5\nsource="a test"\n'
    )
    (tmp_path / "chip.toml").write_text('name = "mine"\ndevice = "./cell.toml"\n[tile]\nrows = 128\n')
    mine = load_hardware(tmp_path / "chip.toml")
    assert (mine.device.name, mine.tile.rows, mine.links) == ("c", 128, "analog")
    with pytest.raises(ValueError, match="hardware 'pmc': no such preset; did you mean pcm"):
        load_hardware("pmc")


def test_the_clock_is_the_euler_step():
    clock = load_hardware("pcm", {"clock.period_s": 1e-8 * math.log(10), "clock.tau_s": 1e-8}).clock
    assert clock.eta == pytest.approx(0.9, rel=1e-12)


@pytest.mark.parametrize("headroom", [1.0, 2.0])
def test_weights_survive_the_way_to_conductances_and_back(headroom):
    hardware = load_hardware("pcm", {"mapping.headroom": headroom})
    window, matrix = hardware.device.conductance, np.random.default_rng(0).standard_normal((30, 20))
    w_max = weight_limits(matrix, hardware)
    plus, minus = pair(differential(matrix, w_max, window), window)
    assert np.allclose(weights(plus, minus, w_max, window), matrix, atol=1e-14)
    assert np.minimum(plus, minus).max() == window.g_min_S
    assert max(plus.max(), minus.max()) == pytest.approx(window.g_min_S + window.span_S / headroom)


def test_tiles_are_counted_up():
    tile = load_hardware("pcm").tile
    assert tile_count((256, 257), tile) == (1, 2)
    assert tile_count((1, 1), tile) == (1, 1)


@pytest.mark.parametrize("preset", [h.name for h in list_hardware()])
def test_every_preset_computes_and_learns_and_says_what_it_cost(preset):
    net = dbp.models.mlp(20, 12, 3, seed=0)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((64, 20)).astype("f4"), random.integers(0, 3, 64)
    x[:, :3] += 2 * np.eye(3, dtype="f4")[y]
    chip = dbp.Chip.program(net, preset, seed=1)
    first = dbp.backprop(chip, x, y).loss
    for _ in range(20):
        for name, gradient in dbp.backprop(chip, x, y).gradients.items():
            chip.parameters[name] -= 0.3 * gradient
        chip.write()
    run = dbp.relax(chip, x, y, schedule="wavefront")
    assert run.loss < 0.8 * first
    assert dbp.cost(chip, run).total_J > 0
