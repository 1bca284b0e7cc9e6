"""Programming error, read noise, drift and pulsed update against their published formulas."""

import math

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.devices import list_devices, load_device
from dbpsim.devices.ageing import aged
from dbpsim.devices.drift import drift_exponent, drifted
from dbpsim.devices.effects import WriteVerify
from dbpsim.devices.programming import program, programming_sigma, write_verify
from dbpsim.devices.read_noise import read_sigma, read_sigmas
from dbpsim.devices.retention import retained
from dbpsim.devices.update import whole_pulses
from dbpsim.devices.window import quantised

PCM = load_device("pcm")
ECRAM = load_device("ecram")
N = 200_000
SIGMAS = 5.0  # bounds are five standard errors: one false alarm in 1.7 million


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_programming_error_has_the_published_moments(share):
    g = share * 25e-6
    found = program(np.full(N, g), PCM, np.random.default_rng(1))
    sigma = (0.2635 + 1.965 * share - 1.173 * share**2) * 1e-6  # uS, Nandakumar 2019
    assert abs(found.mean() - g) < SIGMAS * sigma / math.sqrt(N)
    assert abs(found.var() / sigma**2 - 1) < SIGMAS * math.sqrt(2 / N)


def test_a_programmed_conductance_is_never_negative():
    found = program(np.zeros(10_000), PCM, np.random.default_rng(1))
    assert found.min() == 0.0
    assert np.count_nonzero(found) > 4000


def test_exact_programming_copies_the_target():
    target = np.array([1e-7, 2e-7])
    found = program(target, load_device("ideal"), np.random.default_rng(1))
    assert np.array_equal(found, target)
    assert found is not target
    assert programming_sigma(target, load_device("ideal")).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_device_functions_keep_the_dtype(dtype):
    g = np.linspace(0, 25e-6, 5, dtype=dtype)
    for found in (programming_sigma(g, PCM), read_sigma(g, PCM), program(g, PCM, np.random.default_rng(0))):
        assert found.dtype == dtype


def test_read_noise_follows_the_accumulated_one_over_f_law():
    g = np.array([0.02, 0.2, 1.0]) * 25e-6
    q = np.minimum(0.0088 / np.array([0.02, 0.2, 1.0]) ** 0.65, 0.2)
    expected = g * q * math.sqrt(math.log((1.0 + 250e-9) / 500e-9))
    assert np.allclose(read_sigma(g, PCM), expected, rtol=1e-12)  # the same formula written twice
    assert read_sigma(0.0, PCM) == 0.0


def test_drift_is_a_straight_line_in_logarithms_with_exponent_nu():
    nu = np.array([0.05, 0.1])
    for time in (20.0, 2e3, 2e6):
        slope = np.log(drifted(np.ones(2), nu, time, PCM)) / max(math.log(time / 20.0), 1e-9)
        assert np.allclose(slope, -nu if time > 20 else 0, atol=1e-12)


def test_drift_exponents_have_the_published_mean_and_spread():
    nu = drift_exponent(np.full(N, 25e-6), PCM, np.random.default_rng(2))
    assert abs(nu.mean() - 0.049) < SIGMAS * 0.008 / math.sqrt(N)  # both at their lower clip at g_max
    assert abs(nu.std() - 0.008) < SIGMAS * 0.008 / math.sqrt(2 * N)


def test_a_cell_without_drift_stands_still():
    g = np.array([1e-6])
    assert drifted(g, drift_exponent(g, ECRAM, np.random.default_rng(0)), 1e9, ECRAM) is g


def test_pulses_are_whole_steps_towards_zero():
    step = ECRAM.update.step_S
    assert whole_pulses(np.array([0.99, 1.0, 2.7, -0.99, -3.01]) * step, ECRAM.update).tolist() == [
        0,
        1,
        2,
        0,
        -3,
    ]


@pytest.mark.parametrize("name", [record.name for record in list_devices()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_effect_of_every_device_keeps_dtype_and_is_finite_and_not_negative(name, dtype):
    device, random = load_device(name), np.random.default_rng(0)
    g = np.linspace(0, device.conductance.g_max_S, 50, dtype=dtype)
    z = random.standard_normal(50, np.float32)
    nu = drift_exponent(g, device, random)
    found = {
        "sigma": programming_sigma(g, device), "read": read_sigma(g, device), "program": program(g, device, random),
        "frozen": read_sigmas(g, device, 1e-3)[0], "fresh": read_sigmas(g, device, 1e-3)[1],
        "drifted": drifted(g, nu, 1e6, device), "retained": retained(g, z, 1e6, device),
        "quantised": quantised(g, device), "aged": aged(g, 1e6, device, random),
        "write_verify": write_verify(np.zeros_like(g), g, device, random)[0],
    }  # fmt: skip
    for what, values in found.items():
        assert values.dtype == dtype, what
        assert np.isfinite(values).all() and values.min() >= 0, what  # noqa: PT018


def test_a_chip_of_any_device_learns_without_a_word(tmp_path):
    # every cell of the library in the same hardware: programs, reads both ways, writes
    hardware = dbp.load_hardware("ecram")
    x, y = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32), np.arange(4)
    for record in list_devices():
        net = dbp.models.by_name("mlp:64-16-10", seed=0)
        chip = dbp.Chip.program(net, hardware.model_copy(update={"device": load_device(record.name)}), seed=0)
        run = dbp.backprop(chip, x, y)
        assert np.isfinite(run.loss), record.name
        chip.assign({name: w - 0.1 * run.gradients[name] for name, w in chip.parameters.items()})
        assert np.isfinite(dbp.backprop(chip, x, y).loss), record.name


def test_a_cell_is_written_the_same_whatever_its_neighbours_want():
    loop = WriteVerify(tolerance_S=1e-8, step_S=1e-7, step_sigma=0.3, max_pulses=30, source="a test")
    device = load_device("sonos_agrawal2022").model_copy(update={"write_verify": loop})
    target = np.full(100, 8e-7)
    alone = write_verify(np.zeros(100), target, device, np.random.default_rng(1))
    target[:99] = 0.0  # they are done at once
    among = write_verify(np.zeros(100), target, device, np.random.default_rng(1))
    assert (alone[0][99], alone[1][99]) == (among[0][99], among[1][99])
