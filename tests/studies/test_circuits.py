"""The task `circuit`: ideal neurons, each imperfection against what it must do."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dbpsim.circuit.neuron import draw_neurons
from dbpsim.credit.relax import relax
from dbpsim.credit.settling import time_to
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.network import models
from dbpsim.studies.tasks import run_task
from dbpsim.studies.tasks.circuit import _period

DEEP = "mlp:16-12-12-12-12-12-12-12-12-10"


def settled(**settings):
    given = {"model": "mlp:16-12-10", "activation": "tanh", "dtype": "float64", "cost_gain": 1.0}
    return run_task("circuit", given | settings)[0]


def test_ideal_switched_neurons_are_exact_after_two_depth_clocks():
    found = settled(clocking="switched", **{"neuron.states": "ms"})
    assert found["settled"]
    assert found["clocks_taken"] == 5  # the fifth sees that nothing moves
    assert found["relative_error"] < 1e-14


def test_free_neurons_settle_when_the_law_says():
    found = settled(model=DEEP, bias=0.1)
    assert found["settled"]
    assert found["settling_time_tau"] == pytest.approx(time_to(1e-4, 9), rel=0.25)
    assert found["relative_error"] < 1e-3


def test_an_offset_is_an_error_that_gain_divides_and_calibration_removes():
    off = {"neuron.difference_offset_V": 1e-3}
    low, high = (settled(cost_gain=gain, **off)["relative_error"] for gain in (1.0, 16.0))
    assert low / high == pytest.approx(16, rel=0.2)
    assert settled(cost_gain=1.0, **off, **{"neuron.null_calibration": True})["relative_error"] < 0.02 * low


@pytest.mark.parametrize("clocking", ["free", "switched"])
def test_thermal_noise_falls_with_the_root_of_the_capacitance(clocking):
    errors, energies = [], []
    for capacitance in (1e-14, 1e-12):
        keys = {"neuron.noise_K": 300.0, "neuron.capacitance_F": capacitance, "neuron.leak_S": capacitance * 1e8}
        found = settled(clocking=clocking, clocks=12, **keys)
        errors.append(found["relative_error"])
        energies.append(found["state_energy_J"])
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)
    assert energies[1] / energies[0] == pytest.approx(100, rel=0.1)


def test_unequal_rates_cost_clocks_in_x_and_z_and_few_in_m_and_s():
    def clocks(states, mismatch):
        keys = {"neuron.states": states, "neuron.capacitor_matching_um": mismatch, "neuron.capacitor_area_um2": 1.0}
        return settled(model=DEEP, bias=0.1, clocking="switched", **keys)["clocks_taken"]

    assert clocks("xz", 0.0) <= 19
    assert clocks("ms", 0.1) < clocks("xz", 0.01)


def test_switched_neurons_of_equal_rates_are_relaxation_clock_by_clock():
    net = models.mlp(16, 12, 12, 10, activation="gelu", dtype="float64", seed=2)
    x, y = np.random.default_rng(0).standard_normal((4, 16)), np.array([0, 3, 5, 9])
    neurons = draw_neurons(net, NeuronCircuit(states="ms"), seed=0)
    held = {stage.name: (np.zeros((4, *stage.shape)),) * 2 for stage in net.stages}
    for clock in range(1, 7):
        held = neurons.clock(net, x, y, held)
        steps = relax(net, x, y, max_steps=clock, gain=1.0, record=True)
        for name, (m, s) in held.items():
            np.testing.assert_allclose(m, steps.activations[name], rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(s, steps.stress[name], rtol=1e-13, atol=1e-15)


def test_small_rates_are_the_continuous_loop_of_mean_and_stress():
    # fact 9: dm/dt = P (f - m) + Q (b - s) / 2, ds/dt = 2 Q (f - m) + P (b - s); clocks of dt p are Euler's method for it
    net = models.mlp(5, 4, 4, 3, activation="tanh", dtype="float64", seed=3)
    random = np.random.default_rng(1)
    x, y = random.standard_normal((1, 5)), np.array([1])
    sizes, weights = (4, 4, 3), [net.parameters[f"dense{n}.weight"] for n in (1, 2, 3)]
    half, apart = 0.5 * random.uniform(1.8, 2.2, 11), 0.5 * random.uniform(-0.3, 0.3, 11)

    def motion(_, state):
        m, s = np.split(state[:11], (4, 8)), np.split(state[11:], (4, 8))
        u = [w @ before for w, before in zip(weights, (x[0], m[0], m[1]), strict=True)]
        f = [np.tanh(u[0]), np.tanh(u[1]), u[2]]
        shares = np.exp(m[2] - m[2].max()) / np.exp(m[2] - m[2].max()).sum()
        b = [weights[1].T @ ((1 - f[1] ** 2) * s[1]), weights[2].T @ s[2], shares - np.eye(3)[1]]
        off, wrong = np.concatenate(f) - state[:11], np.concatenate(b) - state[11:]
        return np.concatenate([half * off + apart * wrong / 2, 2 * apart * off + half * wrong])

    until = 6.0
    exact = solve_ivp(motion, (0, until), np.zeros(22), "DOP853", rtol=1e-11, atol=1e-13).y[:, -1]

    def clocked(count):
        neurons = draw_neurons(net, NeuronCircuit(states="xz"), seed=0)
        rates = zip(np.split(half + apart, (4, 8)), np.split(half - apart, (4, 8)), strict=True)
        neurons.rates = {s.name: (until / count * p, until / count * q) for s, (p, q) in zip(net.stages, rates, strict=True)}
        held = {s.name: (np.zeros((1, n)),) * 2 for s, n in zip(net.stages, sizes, strict=True)}
        for _ in range(count):
            held = neurons.clock(net, x, y, held)
        read = [neurons.frame.read(*held[s.name]) for s in net.stages]
        return np.concatenate([m[0] for m, _ in read] + [s[0] for _, s in read])

    coarse, fine = clocked(400), clocked(800)
    assert np.abs(fine - exact).max() < 0.6 * np.abs(coarse - exact).max()
    np.testing.assert_allclose(2 * fine - coarse, exact, atol=2e-5)  # Richardson


def test_a_cycle_is_told_from_what_still_comes_nearer():
    keys = {"neuron.capacitor_matching_um": 0.1, "neuron.capacitor_area_um2": 1.0}
    rectifiers = {"model": DEEP, "bias": 0.1, "clocking": "switched", "activation": "relu", "cost_gain": 64.0}
    round_and_round = settled(**rectifiers, **keys)
    assert round_and_round["limit_cycle"] == round_and_round["unsettled"] == 1
    cut_short = settled(**rectifiers | {"cost_gain": 0.1, "clocks": 10}, **keys)
    assert (cut_short["unsettled"], cut_short["limit_cycle"]) == (1, 0)


def test_the_period_is_how_long_ago_everything_was_where_it_is():
    def at(angle):
        return {"a": (np.array([np.cos(angle)]), np.array([np.sin(angle)]))}

    turns = [at(2 * np.pi * clock / 7) for clock in range(30)]
    assert _period(turns[-1], turns[:-1]) == 7
    assert _period(at(0.1 * 29), [at(0.1 * clock) for clock in range(29)]) is None  # not round yet


def test_no_cost_gain_takes_out_a_gain_error_and_training_lets_that_of_the_sum_grow():
    keys = {"neuron.sum_gain_error": 1e-3}
    low, high = (settled(cost_gain=gain, **keys)["relative_error"] for gain in (1.0, 64.0))
    assert low == pytest.approx(high, rel=0.05)
    digits = {"model": "mlp:64-32-32-32-10", "data": "digits", "batch": 64, "training_batch": 32, "training_rate": 0.03}
    fresh, trained = (settled(**digits | keys, training_steps=steps)["relative_error"] for steps in (0, 100))
    assert trained > 2 * fresh  # p - y is small then, the logits are not


def test_gain_buys_fidelity_with_energy_at_a_better_rate_than_capacitors_do_until_stress_dominates():
    keys = {"neuron.noise_K": 300.0}
    found = [settled(cost_gain=gain, **keys) for gain in (1 / 8, 1.0, 64.0, 512.0)]
    price = [row["relative_error"] ** 2 * row["state_energy_J"] for row in found]  # capacitors alone leave this as it is
    assert price[0] > 30 * price[1]
    assert price[2] == pytest.approx(price[3], rel=0.1)
