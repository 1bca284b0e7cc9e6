"""What happens to cells after they were written: faults, drift, retention, slow noise; each effect has its switch."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import CrossbarDense, list_hardware, load_hardware
from dbpsim.devices.library import list_devices
from dbpsim.devices.read_noise import read_sigmas
from dbpsim.devices.window import windows

QUIET = {"effects.read_noise": False, "dac.bits": "none", "adc.bits": "none"}
STILL = {**QUIET, "effects.programming_error": False}
W = np.random.default_rng(0).standard_normal((64, 300)).astype(np.float32)
FAULTS = {"stuck_on": 0.02, "stuck_off": 0.03, "dead_rows": 0.02, "dead_columns": 0.01, "source": "a test"}
TRAP = {"amplitude": 0.2, "time_high_s": 1.0, "time_low_s": 1.0, "source": "a test"}


def dense(changes, hardware="pcm", seed=0, weight=W):
    return CrossbarDense(weight, load_hardware(hardware, changes), "fc", seed)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_faulty_cells_show_what_they_show_whatever_is_written():
    chip = dense(STILL | {"device.faults": FAULTS, "mapping.headroom": 2.0})
    window, cells = chip.hardware.device.conductance, chip.tiles.cells
    at_top = np.mean([(g == np.float32(window.g_max_S)).mean() for _, g in cells.sides])
    dead = np.mean([(g == 0).mean() for _, g in cells.sides])
    assert at_top == pytest.approx(0.02, abs=0.004)  # 38,400 cells: 4 standard errors are 0.003, and dead lines take some
    assert 0.005 < dead < 0.06
    empty = (cells.g_plus == 0).all(axis=1)
    assert np.array_equal(empty, (cells.g_minus == 0).all(axis=1))  # a word line is one for both sides
    before = [np.argwhere(g == 0) for _, g in cells.sides]
    chip.write(0.9 * W)
    assert all(np.array_equal(b, np.argwhere(g == 0)) for b, (_, g) in zip(before, cells.sides, strict=True))
    one, other = (dense(STILL | {"device.faults": FAULTS}, seed=seed).weight for seed in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("mode", ["mixed_precision", "stochastic_pulses"])
def test_pulses_keep_cells_in_windows_of_their_own(mode):
    spread = {"g_max_sigma": 0.2, "source": "a test"}
    chip = dense({"device.spread": spread, "update.mode": mode, "device.update.upper_spread": 0}, "ecram")
    cells, window = chip.tiles.cells, chip.hardware.device.conductance
    for _ in range(3):
        if chip.in_place:
            a = np.ones((8, 300), "f4")
            chip.descend(np.random.default_rng(0).standard_normal((8, 64)).astype("f4"), a, 30.0)
        else:
            chip.write(chip.weight * np.float32(3))
    low, high = windows(cells.shape, chip.hardware.device, cells.random("window", "plus", np.arange(cells.g_plus.size)))
    assert (cells.g_plus <= high * (1 + 1e-6)).all()
    assert high.std() == pytest.approx(0.2 * window.span_S, rel=0.03)
    assert (cells.g_plus >= high * (1 - 1e-6)).mean() > 0.02  # some are at their own end


def test_two_waits_are_one_long_wait():
    first, second = dense(QUIET), dense(QUIET)
    first.wait(100.0)
    first.wait(900.0)
    second.wait(1000.0)
    assert np.array_equal(first.weight, second.weight)


def test_drift_is_the_power_law_of_each_cell():
    chip = dense(STILL)
    law, cells = chip.hardware.device.drift, chip.tiles.cells
    before = cells.g_plus.copy()
    chip.wait(law.t0_s * 1000)
    large = before > 0.5 * before.max()
    nu = -np.log(cells.g_plus[large] / before[large]) / np.log(1000)
    x = before[large] / chip.hardware.device.conductance.g_max_S
    mean = np.clip(law.nu_mean.slope * np.log(x) + law.nu_mean.offset, law.nu_mean.low, law.nu_mean.high)
    assert nu.std() > 0.005
    assert abs((nu - mean).mean()) < 5 * nu.std() / np.sqrt(nu.size)


def test_one_scale_a_tile_undoes_the_mean_of_drift_and_counts_its_reads():
    month = 30 * 86400.0
    left, compensated = dense(QUIET), dense(QUIET)
    fresh, reads = left.weight, compensated.activity.forward.vectors
    left.wait(month)
    compensated.wait(month, compensate=True)
    assert relative(left.weight, fresh) > 0.3
    assert relative(compensated.weight, fresh) < 0.15
    assert compensated.activity.forward.vectors - reads == 2 * 32
    assert compensated.activity.forward.power_W > 0
    scale = compensated.tiles.banks[0].scale
    assert scale.shape == (2, 1)
    assert ((scale > 1.2) & (scale < 3)).all()
    with pytest.raises(ValueError, match=r"fc: compensate: found cells that have aged"):
        left.wait(1.0, compensate=True)


def test_a_replica_is_compensated_by_reads_of_its_own():
    chip = dense(QUIET | {"mapping.transpose": "replica"})
    fresh = chip.transpose(np.eye(64, dtype="f4"))
    chip.wait(1e6, compensate=True)
    assert relative(chip.transpose(np.eye(64, dtype="f4")), fresh) < 0.15
    assert chip.activity.transposed.vectors == 64 + 64 + 64


def test_a_capacitor_forgets():
    chip = dense({**QUIET, "links": "analog", "device": "capacitor_li2018"}, "ideal")
    held = chip.weight
    chip.wait(1e9)
    assert np.abs(chip.weight).max() < 0.2 * np.abs(held).max()


def test_a_chip_that_waited_goes_on_from_its_state_bit_for_bit():
    for changes in ({}, {"read.slow_noise": "frozen", "device.faults": FAULTS}, {"mapping.scheme": "bit_sliced"}):
        chip, other = dense(changes), dense(changes)
        chip.wait(1e4, compensate=True)
        chip.write(0.9 * W)
        other.load_state(chip.state())
        for one in (chip, other):
            one.wait(1e5, compensate=True)
            one.write(0.8 * W)
        a = np.random.default_rng(1).standard_normal((4, 300)).astype("f4")
        assert np.array_equal(chip.forward(a), other.forward(a))
        assert chip.activity == other.activity


def test_frozen_noise_is_one_draw_for_all_reads_until_the_next_wait():
    frozen = {"dac.bits": "none", "adc.bits": "none", "read.slow_noise": "frozen"}
    chip, a = dense(frozen), np.random.default_rng(1).standard_normal((4, 300)).astype("f4")
    assert not chip.noisy  # within a clock of 130 ns phase-change cells stand still
    u = chip.forward(a)
    assert np.array_equal(u, chip.forward(a))
    b = chip.transpose(u)
    assert abs((u * u).sum() - (a * b).sum()) < 1e-4 * (u * u).sum()  # the same draw both ways
    before = chip.weight
    chip.wait(1e-9)
    assert 0.005 < relative(chip.weight, before) < 0.2


def test_frozen_and_fresh_noise_together_have_the_variance_of_the_whole():
    device = load_hardware("pcm").device
    split = {"read.slow_noise": "frozen", "clock.period_s": 1e-3, "dac.bits": "none", "adc.bits": "none"}
    exact = dense({"effects.read_noise": False, "dac.bits": "none", "adc.bits": "none"})
    chip = dense(split)
    cells = exact.tiles.cells
    unit = cells.w_max.item() / device.conductance.span_S
    slow = np.concatenate([read_sigmas(g, device, 1e-3)[0].ravel() for _, g in cells.sides]).reshape(2, -1)
    slow, drawn = unit * np.hypot(*slow), (chip.tiles.views[0].weights - exact.tiles.views[0].weights).ravel()
    z = drawn[slow > 0] / slow[slow > 0]  # without pairs that programming left at zero, both cells
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)
    assert chip.noisy
    whole = dense({"dac.bits": "none", "adc.bits": "none"}).tiles.views[0].variance
    fresh = chip.tiles.views[0].variance
    assert np.allclose(fresh.ravel() + slow**2, whole.ravel(), rtol=1e-3)


EFFECTS = {
    "clipping": {"mapping.headroom": 0.5},
    "levels": {"device.levels": {"count": 16, "source": "a test"}},
    "spread": {"device.spread": {"g_max_sigma": 0.1, "source": "a test"}},
    "programming_error": {},
    "read_noise": {},
    "random_telegraph": {"device.random_telegraph": TRAP},
    "drift": {},
    "retention": {
        "device.retention": {"law": "logarithmic", "t0_s": 1.0, "spread_S": 1e-6, "spread_slope_S": 1e-7, "source": "a test"}
    },
    "faults": {"device.faults": FAULTS},
}
ALL = {key: value for changes in EFFECTS.values() for key, value in changes.items()}
OFF = {f"effects.{name}": False for name in EFFECTS} | {"dac.bits": "none", "adc.bits": "none"}


@pytest.mark.parametrize("slow_noise", ["fresh", "frozen"])
@pytest.mark.parametrize("effect", [*EFFECTS, None])
def test_every_effect_has_a_switch_of_its_own(effect, slow_noise):
    on = {} if effect is None else {f"effects.{effect}": True}
    chip = dense(ALL | OFF | on | {"read.slow_noise": slow_noise})
    a = np.random.default_rng(1).standard_normal((4, 300)).astype("f4")
    chip.wait(1e4)
    error = relative(chip.forward(a), a @ W.T)
    assert error < 1e-6 if effect is None else error > 1e-3


@pytest.mark.parametrize("name", [d.name for d in list_devices()])
def test_with_all_effects_off_every_device_is_the_ideal_network(name):
    off = {f"effects.{key}": False for key in load_hardware("ideal").effects.model_dump()}
    chip = dense({"device": name, **off}, "ideal", weight=W.astype("f8"))
    a, d = np.random.default_rng(1).standard_normal((4, 300)), np.random.default_rng(2).standard_normal((4, 64))
    chip.wait(1e6)
    assert relative(chip.forward(a), a @ W.astype("f8").T) < 1e-12
    assert relative(chip.transpose(d), d @ W.astype("f8")) < 1e-12


@pytest.mark.parametrize("preset", [h.name for h in list_hardware()])
def test_with_all_effects_off_every_preset_is_the_ideal_network(preset):
    net = dbp.models.vgg9(width=4, input_shape=(8, 8, 3), dtype="float64")
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 8, 8, 3)), random.integers(0, 10, 2)
    off = {f"effects.{key}": False for key in load_hardware(preset).effects.model_dump()}
    hardware = dbp.load_hardware(preset, off | {"dac.bits": "none", "adc.bits": "none"})
    chip = dbp.Chip.program(net, hardware)
    chip.wait(1e6)
    found = dbp.fidelity(dbp.backprop(chip, x, y).gradients, dbp.backprop(net, x, y).gradients)
    assert found.worst.relative_error < 1e-11


def test_warmth_is_noise_where_the_device_says_so():
    law = {"reference_K": 300.0, "noise_exponent": 1.0, "source": "a test"}
    warm = {"device.temperature": law, "effects.programming_error": False}
    at = [dense(warm | {"temperature_K": t}).tiles.views[0].variance for t in (300.0, 360.0)]
    assert np.median(at[1] / at[0]) == pytest.approx(1.44, rel=1e-3)


@pytest.mark.parametrize("mode", ["mixed_precision", "write_verify", "stochastic_pulses"])
def test_worn_cells_stop_where_they_are_and_a_switch_spares_them(mode):
    worn = {"device.endurance": {"cycles": 1.5, "source": "a test"}, "update.mode": mode}

    def swung(changes):
        chip = dense(STILL | changes, hardware="ecram", weight=np.sign(W))
        for sign in (-1, 1) * 5:
            if mode == "stochastic_pulses":
                chip.tiles.cells.descend(np.ones((40, 300), np.float32), np.full((40, 64), sign, np.float32), 0.05)
            else:
                chip.write(np.float32(sign) * np.sign(W))
        return chip

    chip, spared = swung(worn), swung(worn | {"effects.endurance": False})
    cells = chip.tiles.cells
    assert 1.5 <= cells.cycles < 3.0
    assert spared.tiles.cells.cycles > 1.5 * cells.cycles
    before = cells.g_plus.copy()
    chip.write(0.5 * W)
    assert np.array_equal(cells.g_plus, before)


def test_a_window_that_closes_takes_the_large_weights():
    closes = {"device.endurance": {"cycles": 1.0, "wear": "closes", "source": "a test"}}
    chip = dense(STILL | closes, hardware="ecram", weight=np.sign(W))
    for sign in (-1, 1) * 3:
        chip.write(np.float32(sign) * np.sign(W))
    cells = chip.tiles.cells
    assert cells.cycles > 1.5
    assert cells.g_plus.max() <= chip.hardware.device.conductance.span_S / cells.cycles * (1 + 1e-6)
