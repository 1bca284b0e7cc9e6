"""Neurons as circuits: noise against kT/C, delays and fixed points against closed forms, mismatch, calibration."""

import numpy as np
import pytest
from scipy.special import gammainc

import dbpsim as dbp
from dbpsim.circuit.neuron import draw_neurons
from dbpsim.crossbar.neuron_circuit import BOLTZMANN_J_per_K, NeuronCircuit
from dbpsim.network.layers import Dense

TAU = 1e-8


def hardware(**keys: object) -> dbp.Hardware:
    return dbp.load_hardware("ideal", {f"neuron.{key}": value for key, value in keys.items()})


def net(activation: str = "tanh", depth: int = 4, seed: int = 0) -> dbp.Network:
    found = dbp.models.mlp(5, *[6] * (depth - 1), 3, activation=activation, dtype="float64", seed=seed)
    random = np.random.default_rng(seed)
    for name, values in found.parameters.items():
        if name.endswith("bias"):
            values += 0.1 * random.standard_normal(values.shape)
    return found


def data(n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(1).standard_normal((n, 5)), np.arange(n) % 3


def chain(depth: int) -> dbp.Network:
    found = dbp.Network([dbp.Stage(f"s{i}", [Dense(1)]) for i in range(1, depth + 1)], (1,),
                        loss=dbp.losses.MeanSquaredError(), dtype="float64")  # fmt: skip
    found.assign({k: np.ones_like(p) if k.endswith("weight") else np.zeros_like(p) for k, p in found.parameters.items()})
    return found


def error(found: dict, exact: dict) -> float:
    return max(float(np.linalg.norm(found[k] - g) / np.linalg.norm(g)) for k, g in exact.items())


@pytest.mark.parametrize("method", ["exponential_euler", "heun"])
def test_a_compartment_at_rest_has_the_variance_kt_over_c(method: str) -> None:
    wide = dbp.Network([dbp.Stage("a", [Dense(4000)])], (1,), loss=dbp.losses.MeanSquaredError(), dtype="float64")
    wide.assign({"a.weight": np.zeros((4000, 1)), "a.bias": np.zeros(4000)})
    chip = hardware(noise_K=300.0, capacitance_F=1e-13, leak_S=1e-5, unit_V=0.5)
    run = dbp.settle(
        wide, np.zeros((1, 1)), np.zeros((1, 4000)), hardware=chip, t_stop=8 * TAU, method=method, step=TAU / 20, seed=5
    )
    m, s = run.activations["a"].ravel(), run.stress["a"].ravel()
    wanted = BOLTZMANN_J_per_K * 300 / 1e-13 / 0.5**2
    assert np.var(m) == pytest.approx(wanted / 2, rel=5 * np.sqrt(2 / 4000))
    assert np.mean(m) == pytest.approx(0, abs=5 * np.sqrt(wanted / 2 / 4000))
    # ds = -s + m: half the variance of m, and the amplifier's own 2 kT/C
    assert np.var(s) == pytest.approx(2 * wanted + wanted / 4, rel=5 * np.sqrt(2 / 4000) + 0.03)


def test_shot_and_excess_noise_add_in_variance() -> None:
    thermal = NeuronCircuit(noise_K=300.0).noise_rms
    assert NeuronCircuit(noise_K=300.0, excess_noise=3.0).noise_rms == pytest.approx(2 * thermal)
    shot = NeuronCircuit(bias_A=1e-7).noise_rms
    assert shot**2 * 0.25 == pytest.approx(1.602176634e-19 * 1e-7 / (2 * 1e-13 * 1e-5))
    assert NeuronCircuit(noise_K=300.0, bias_A=1e-7).noise_rms == pytest.approx(np.hypot(thermal, shot))


def test_noise_depends_on_the_seed_alone() -> None:
    runs = [dbp.settle(net(), *data(), hardware=hardware(noise_K=300.0), seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0].gradients["dense1.weight"], runs[1].gradients["dense1.weight"])
    assert not np.array_equal(runs[0].gradients["dense1.weight"], runs[2].gradients["dense1.weight"])


@pytest.mark.parametrize("states", ["xz", "ms"])
@pytest.mark.parametrize("coupling", ["midpoint", "split"])
def test_neurons_without_an_imperfection_that_matters_are_ideal(states: str, coupling: str) -> None:
    held, how = {"states": states, "coupling": coupling}, {"t_stop": 6 * TAU, "accuracy": 1e-9, "method": "dormand_prince"}
    ideal = dbp.settle(net(), *data(), tau=TAU, **held, **how)
    circuit = hardware(**held, saturation_V=1e6)  # so large that nothing saturates
    found = dbp.settle(net(), *data(), hardware=circuit, **how)
    assert found.method == "dormand_prince"
    assert error(found.gradients, ideal.gradients) < 1e-7


@pytest.mark.parametrize("states", ["xz", "ms"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_free_running_neurons_settle_at_the_gradient_in_spite_of_mismatched_rates(activation: str, states: str) -> None:
    network, (x, y) = net(activation, 6), data()
    exact = dbp.backprop(network, x, y).gradients
    circuit = hardware(states=states, capacitor_matching_um=0.1, capacitor_area_um2=1.0, tau_spread=0.1)
    run = dbp.settle(network, x, y, hardware=circuit, tolerance=1e-5)
    assert error(run.gradients, exact) < 1e-3
    ideal = dbp.settle(network, x, y, tau=TAU, tolerance=1e-5)
    assert run.time < 1.5 * ideal.time


def clocks_to(activation: str, states: str, mismatch: float, seed: int, limit: int = 150) -> int:
    """Return the switched-capacitor clocks after which the first stage's gradient stays within 1e-4, or `limit` + 1."""
    random = np.random.default_rng(seed)
    network = dbp.models.mlp(16, *[32] * 8, 10, activation=activation, dtype="float64", seed=seed)
    for name, values in network.parameters.items():
        if name.endswith("bias"):
            values += 0.1 * random.standard_normal(values.shape)
    random = np.random.default_rng(1)
    x, y = random.standard_normal((8, 16)), random.integers(0, 10, 8)
    wanted = dbp.backprop(network, x, y).gradients["dense1.weight"]
    circuit = NeuronCircuit(states=states, capacitor_matching_um=mismatch, capacitor_area_um2=1.0)
    neurons, first, wrong = draw_neurons(network, circuit, seed=3), network.stages[0], 0
    held = {s.name: (np.zeros((8, *s.shape)), np.zeros((8, *s.shape))) for s in network.stages}
    for count in range(1, limit + 1):
        held = neurons.clock(network, x, y, held)
        memory = network.evaluate(x).memory["dense1"]  # of the clamped input alone
        stress = neurons.frame.read(*held["dense1"])[1]
        found = first.pullback(memory, stress, inputs=False, gradients=True)[1]["weight"]
        if not np.linalg.norm(found - wanted) < 1e-4 * np.linalg.norm(wanted):
            wrong = count
    return wrong + 1


def test_unit_clocks_with_unequal_rates_close_a_loop() -> None:
    # theory.md, fact 9: L = 9, eta = 1
    assert clocks_to("tanh", "xz", 0.0, 0) == clocks_to("relu", "xz", 0.0, 0) == 18
    assert 25 < clocks_to("tanh", "xz", 0.1, 0) < 60
    assert clocks_to("relu", "xz", 0.1, 0) > 150  # rectifiers keep switching
    assert clocks_to("relu", "xz", 0.1, 1) > 150
    assert max(clocks_to(activation, "ms", 0.1, seed) for activation in ("relu", "tanh") for seed in (0, 1)) < 30


def test_null_calibration_takes_offsets_of_the_stress_out() -> None:
    network, (x, y) = net(), data()
    exact = dbp.backprop(network, x, y).gradients
    raw = dbp.settle(network, x, y, hardware=hardware(difference_offset_V=0.005), tolerance=1e-7)
    nulled = dbp.settle(network, x, y, hardware=hardware(difference_offset_V=0.005, null_calibration=True), tolerance=1e-7)
    assert error(raw.gradients, exact) > 0.03
    assert error(nulled.gradients, exact) < 1e-5


def test_a_gain_error_of_the_difference_amplifiers_multiplies_on_the_way_back() -> None:
    # one neuron a stage: the gradient of the n-th stage from the end has n factors
    network, x, y = chain(4), np.ones((1, 1)), np.zeros((1, 1))
    circuit = NeuronCircuit(difference_gain_error=0.05)
    gains = [draw_neurons(network, circuit, seed=7).gains[f"s{i}"][1][0] for i in range(1, 5)]
    run = dbp.settle(network, x, y, hardware=hardware(difference_gain_error=0.05), tolerance=1e-9, seed=7)
    exact = dbp.backprop(network, x, y).gradients
    for first in range(4):
        ratio = run.gradients[f"s{first + 1}.weight"] / exact[f"s{first + 1}.weight"]
        assert ratio[0, 0] == pytest.approx(np.prod(gains[first:]), rel=1e-6)


def test_offsets_of_the_derivative_circuits_change_gradients_and_not_the_loss() -> None:
    network, (x, y) = net("relu"), data()
    exact = dbp.backprop(network, x, y)
    run = dbp.settle(network, x, y, hardware=hardware(gate_offset_V=0.2), tolerance=1e-7)
    assert run.loss == pytest.approx(exact.loss, rel=1e-6)
    assert error(run.gradients, exact.gradients) > 1e-2
    assert np.array_equal(network.parameters["dense1.bias"], net("relu").parameters["dense1.bias"])


def test_delays_shift_erlangs_law() -> None:
    depth, late = 3, 2.0
    chip = hardware(delay_s=late * TAU)
    run = dbp.settle(chain(depth), np.ones((1, 1)), np.zeros((1, 1)), hardware=chip, t_stop=20 * TAU, step=TAU / 100, record=True)
    t = run.trajectory.time / TAU
    for l in range(1, depth + 1):  # noqa: E741
        forward, back = (l - 1) * late, (2 * depth - l) * late
        assert np.abs(run.trajectory.activations[f"s{l}"].ravel() - gammainc(l, np.maximum(t - forward, 0))).max() < 5e-3
        wanted = gammainc(2 * depth - l + 1, np.maximum(t - back, 0))
        assert np.abs(run.trajectory.stress[f"s{l}"].ravel() - wanted).max() < 8e-3


def test_saturation_bends_what_is_passed_on() -> None:
    network, x, y = chain(2), np.ones((1, 1)), np.full((1, 1), 0.5)
    run = dbp.settle(network, x, y, hardware=hardware(states="ms", saturation_V=0.5, unit_V=0.5), tolerance=1e-9)
    assert run.activations["s1"][0, 0] == pytest.approx(np.tanh(1.0), rel=1e-6)
    assert run.activations["s2"][0, 0] == pytest.approx(np.tanh(np.tanh(1.0)), rel=1e-6)


def test_the_sections_tau_is_the_circuits() -> None:
    run = dbp.settle(net(), *data(), hardware=hardware(capacitance_F=2e-13))
    plain = dbp.settle(net(), *data(), tau=2e-8)
    assert run.time == pytest.approx(plain.time)
    chip = dbp.Chip.program(net(), "ideal")
    assert dbp.settle(chip, *data()).time == pytest.approx(dbp.settle(net(), *data(), hardware="ideal").time, rel=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [("capacitance_F", -1e-13), ("leak_S", 0.0), ("tau_spread", 1.5), ("states", "zx"), ("delay_s", -1.0), ("capacitor_um", 2.0)],
)
def test_bad_keys_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        hardware(**{key: value})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "neither tau nor hardware"),
        ({"tau": TAU, "hardware": "ideal"}, "both tau and hardware"),
        ({"hardware": hardware(noise_K=300.0), "method": "dormand_prince"}, "noisy neurons"),
        ({"hardware": hardware(delay_s=1e-9), "method": "heun"}, "delays; accepted: exponential_euler"),
        ({"hardware": hardware(tau_spread=0.1), "method": "collocation"}, "imperfect neurons"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        dbp.settle(net(), *data(), **arguments)


def test_amplifiers_with_a_bandwidth_are_a_lag_more() -> None:
    # with B = 1 / (2 pi tau) an amplifier is a lag like a compartment, and Erlang's law counts it
    band = 1 / (2 * np.pi * TAU)
    circuit = hardware(bandwidth_Hz=band)
    run = dbp.settle(chain(2), np.ones((1, 1)), np.zeros((1, 1)), hardware=circuit, t_stop=12 * TAU, accuracy=1e-8, record=True)
    t = run.trajectory.time / TAU
    assert np.abs(run.trajectory.activations["s2"].ravel() - gammainc(3, t)).max() < 1e-6
    assert np.abs(run.trajectory.stress["s1"].ravel() - gammainc(7, t)).max() < 1e-6


def test_fast_amplifiers_are_none_and_slow_ones_cost_time() -> None:
    network, (x, y) = net(), data()
    exact = dbp.backprop(network, x, y).gradients
    times = []
    for band in (1e9, 2e7):
        run = dbp.settle(network, x, y, hardware=hardware(bandwidth_Hz=band), tolerance=1e-5)
        assert error(run.gradients, exact) < 1e-3
        times.append(run.time)
    ideal = dbp.settle(network, x, y, tau=TAU, tolerance=1e-5).time
    assert ideal < times[0] < 1.1 * ideal
    assert times[1] > 1.2 * ideal


def test_a_slew_limit_holds_back_large_steps_only() -> None:
    network, x = chain(1), np.ones((1, 1))
    slow = hardware(bandwidth_Hz=1e9, slew_V_per_s=5e6)  # 0.1 units of 0.5 V in 10 ns
    run = dbp.settle(network, x, np.zeros((1, 1)), hardware=slow, t_stop=2 * TAU, accuracy=1e-6)
    assert run.activations["s1"][0, 0] == pytest.approx(0.2, rel=0.02)
    done = dbp.settle(network, x, np.zeros((1, 1)), hardware=slow, t_stop=40 * TAU, accuracy=1e-6)
    assert done.activations["s1"][0, 0] == pytest.approx(1.0, abs=1e-4)


def test_an_amplifiers_noise_is_that_of_its_band() -> None:
    wide = dbp.Network([dbp.Stage("a", [Dense(4000)])], (1,), loss=dbp.losses.MeanSquaredError(), dtype="float64")
    wide.assign({"a.weight": np.zeros((4000, 1)), "a.bias": np.zeros(4000)})
    band, density = 1e8, 1e-8
    chip = hardware(bandwidth_Hz=band, amplifier_noise_V_rtHz=density, unit_V=0.5)
    run = dbp.settle(wide, np.zeros((1, 1)), np.zeros((1, 4000)), hardware=chip, t_stop=10 * TAU, step=TAU / 50, seed=2)
    wanted = density**2 * np.pi / 2 * band / 0.5**2
    assert np.var(run.activations["a"]) == pytest.approx(wanted, rel=5 * np.sqrt(2 / 4000) + 0.02)


@pytest.mark.parametrize("key", ["slew_V_per_s", "amplifier_noise_V_rtHz"])
def test_what_an_amplifier_has_needs_its_bandwidth(key: str) -> None:
    with pytest.raises(ValueError, match="bandwidth_Hz"):
        hardware(**{key: 1e-3})
