"""The library's figures against the formulas they come from, in the conventions of their sources.

NeuroSim states curves G(P) and noise in shares of the window, aihwkit steps in weights of -1 to 1, CrossSim currents in nA:
each is written down here as its source has it, and has to agree with the converted file.
"""

import math

import numpy as np
import pytest

from dbpsim.devices import load_device
from dbpsim.devices.drift import drift_exponent
from dbpsim.devices.programming import programming_sigma
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.retention import retained
from dbpsim.devices.update import mean_steps

ONE_READ = math.sqrt(math.log((1.0 + 512e-9) / 1024e-9))


def step(device, g, direction):
    """Mean change of a pulse, from the keys of the file by the equations in update_laws."""
    law, window = device.update, device.conductance
    xi = (2 * g - window.g_max_S - window.g_min_S) / window.span_S
    if law.law == "soft_bounds":
        slopes = {+1: 1.0, -1: 1.0}
    else:
        slopes = {+1: law.gamma_up, -1: law.gamma_down}
    return direction * law.step_S * (1 + direction * law.asymmetry) * (1 - direction * slopes[direction] * xi)


@pytest.mark.parametrize(
    ("name", "a_up", "a_down", "pulses", "noise"),
    [("taox_wu2018", 31.56, -1.997, 128, 0.037), ("fefet_jerry2017", 0.702, 0.8485, 32, 0.005)],
)
def test_pulses_follow_neurosims_curve(name, a_up, a_down, pulses, noise):
    # MLP+NeuroSim V3.0 manual, eq. 8.1 to 8.3: G(P) = B (1 - exp(-P / A)) + G_min, B = span / (1 - exp(-P_max / A)), A in
    # units of P_max here; depression runs down its own curve, whose A is negative where the label is.
    device = load_device(name)
    low, span = device.conductance.g_min_S, device.conductance.span_S
    p = np.arange(pulses + 1)

    def curve(a):
        return low + span * (1 - np.exp(-p / (a * pulses))) / (1 - np.exp(-1 / a))

    up, down = [low], [low + span]
    for _ in range(pulses):
        up.append(up[-1] + step(device, up[-1], +1))
        down.append(down[-1] + step(device, down[-1], -1))
    assert np.abs(np.array(up) - curve(a_up)).max() < 1e-3 * span
    assert np.abs(np.array(down) - curve(a_down)[::-1]).max() < 1e-3 * span
    assert device.update.step_sigma * device.update.step_S == pytest.approx(noise * span, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "dw", "w_max", "w_min", "gammas"),
    [
        ("ecram_mo_kim2019", 2.8214e-4, 1.1714, -0.8286, (0.4152, 0.7342)),
        ("ecram_li_tang2018", 0.002, 1.1724, -0.8276, (0.1153, 0.5085)),
        ("capacitor_li2018", 0.005, 1.0, -1.0, (0.05, 0.05)),
        ("reram_om_gong2022", 0.0949, 1.0, -1.0, (1.0, 1.0)),
    ],
)
def test_steps_are_aihwkits_in_weights(name, dw, w_max, w_min, gammas):
    # linear step there: up dw (1 - gamma_up w / w_max), down dw (1 - gamma_down w / w_min); soft bounds: gammas of one
    device = load_device(name)
    w = np.linspace(w_min, w_max, 9)
    siemens_a_weight = device.conductance.span_S / (w_max - w_min)
    g = device.conductance.g_min_S + (w - w_min) * siemens_a_weight
    assert np.allclose(step(device, g, +1) / siemens_a_weight, dw * (1 - gammas[0] * w / w_max), rtol=1e-3, atol=1e-4 * dw)
    assert np.allclose(-step(device, g, -1) / siemens_a_weight, dw * (1 - gammas[1] * w / w_min), rtol=1e-3, atol=1e-4 * dw)


def test_pcm_steps_are_aihwkits_exponential():
    # ExpStep there: dw (1 - A_up exp(gamma_up z)), z = 2 a w / (w_max - w_min) + b with a = -1, b = 0 on w of 0 to 2
    device = load_device("pcm_nandakumar2020")
    w = np.linspace(0, 2, 9)
    siemens_a_weight = device.conductance.span_S / 2
    up, _ = mean_steps(device.update, device.conductance.g_min_S + w * siemens_a_weight, device.conductance)
    assert np.allclose(up / siemens_a_weight, 0.01 * (1 + 27.235 * np.exp(-2.5 * w)), rtol=1e-9)


def test_hafnia_steps_are_aihwkits_exponential_with_the_downward_step_lowered():
    # ReRamES there: up dw (1 - A_up exp(gamma_up z)), down (1 - up_down) dw (1 - A_down exp(-gamma_down z)), w of -1 to 1
    device = load_device("reram_hfo2_gong2018")
    w = np.linspace(-1, 1, 9)
    z = -0.5 * w - 0.5
    siemens_a_weight = device.conductance.span_S / 2
    g = device.conductance.g_min_S + (w + 1) * siemens_a_weight
    up, down = (np.abs(d) / siemens_a_weight for d in mean_steps(device.update, g, device.conductance))
    assert np.allclose(up, 0.00135 * np.maximum(1 + 1.18445 * np.exp(5 * z), 0), rtol=1e-3)
    assert np.allclose(down, 0.740641 * 0.00135 * np.maximum(1 + 0.081404 * np.exp(-5 * z), 0), rtol=1e-3)


@pytest.mark.parametrize("x", [0.01, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_hermes_figures_are_the_published_piecewise_fits(x):
    device = load_device("pcm_hermes")
    g = np.array(x * 10.35e-6)
    prog = 0.15781817 + 2.32443916 * x - 2.16310839 * x**2 + 0.68841818 * x**3  # uS
    assert float(programming_sigma(g, device)) == pytest.approx(prog * 1e-6, rel=1e-6)
    if x < 0.1591:
        q = min(max(-0.0078 * math.log(x) + 0.0038, 0.0179), 0.04)
    else:
        q = 0.0664 * x**3 - 0.1352 * x**2 + 0.0768 * x + 0.0088
    assert float(read_sigma(g, device)) == pytest.approx(g * q * ONE_READ, rel=1e-6)
    mean = min(max(-0.0387 * math.log(x) - 0.0182, 0.072), 0.13) if x < 0.0945 else -0.0436 * x**2 - 0.0126 * x + 0.0736
    sigma = min(max(-0.012 * math.log(x) - 0.0023, 0.0124), 0.04) if x < 0.3039 else -0.0165 * x**2 + 0.0116 * x + 0.0104
    nu = drift_exponent(np.full(20_000, g), device, np.random.default_rng(1))
    assert abs(nu.mean() - mean) < 5 * sigma / math.sqrt(nu.size)
    assert abs(nu.std() / sigma - 1) < 5 / math.sqrt(2 * nu.size)


WAN = {
    0: (0.348, 16.03, -43.853, 45.393, -16.815), 1: (0.701, 22.086, -50.773, 47.095, -16.458),
    2: (0.782, 20.274, -43.507, 37.062, -11.934),
}  # fmt: skip


@pytest.mark.parametrize("days", [0, 1, 2])
@pytest.mark.parametrize("x", [0.2, 0.5, 0.9])
def test_neurram_errors_are_the_fits_of_their_day(x, days):
    device, n = load_device("reram_wan2022"), 40_000
    g = np.full(n, x * 40e-6)
    random = np.random.default_rng(2)
    programmed = g + programming_sigma(g, device) * random.standard_normal(n)
    later = retained(programmed, random.standard_normal(n), 86400.0 * days, device)
    expected = sum(c * x**k for k, c in enumerate(WAN[days])) * 1e-6
    first = sum(c * x**k for k, c in enumerate(WAN[0])) * 1e-6
    # a cell's error can only grow: where the fit of a later day lies below the first, the first stays
    assert abs((later - g).std() / max(expected, first) - 1) < 0.02 + 5 / math.sqrt(2 * n)


@pytest.mark.parametrize(("days", "a", "b"), [(0, 19.88665, 176.3115), (1, 25.59102, 186.85544), (5, 34.57909, 207.34309)])
def test_sonos_errors_are_crosssims_currents(days, a, b):
    device, n = load_device("sonos_agrawal2022"), 40_000
    g = np.full(n, 8e-6)  # 800 nA at 0.1 V
    random = np.random.default_rng(3)
    programmed = g + programming_sigma(g, device) * random.standard_normal(n)
    later = retained(programmed, random.standard_normal(n), 86400.0 * days, device)
    assert abs(later.std() * 0.1e9 / (a * (1 - math.exp(-800 / b))) - 1) < 0.01 + 5 / math.sqrt(2 * n)
    assert float(read_sigma(8e-6, device)) * 0.1e9 == pytest.approx(12.58037 * (1 - math.exp(-800 / 215.36557)), rel=1e-6)


@pytest.mark.parametrize("g_uS", [9.0, 20.0, 45.0, 88.2])
def test_cmo_read_noise_is_within_its_stated_fit(g_uS):
    device = load_device("reram_cmo_falcone2025")
    expected = 0.0277316483 * math.log10(g_uS) * math.sqrt(math.log((1.0 + 1e-6) / 2e-6))
    assert float(read_sigma(g_uS * 1e-6, device)) * 1e6 == pytest.approx(expected, rel=0.073)
    assert float(programming_sigma(g_uS * 1e-6, device)) * 1e6 == pytest.approx(0.0112185 + 0.0112903 * g_uS, rel=1e-3)
