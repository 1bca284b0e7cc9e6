"""The Brian2 bridge: Brian2's own integration of the two-compartment neurons against `settle`, `backprop` and closed forms."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.circuit.brian import CORTICAL, REVERSAL_V, Membrane, compartments, equal_membrane, to_brian
from dbpsim.circuit.dense import dense_circuit, gradients, split

pytestmark = [
    pytest.mark.skipif(find_spec("brian2") is None, reason="Brian2 is not installed: pip install 'dbpsim[brian]'"),
    # Brian2 2.9 calls pyparsing by names that it has since renamed
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TAU = 0.01


@pytest.fixture(autouse=True)
def plain_numpy() -> Iterator[None]:
    """Without a compiler run for every network.

    Brian2 is imported by tests, not by this file: it replaces pytest's collector of doctests, and would meet ours.
    """
    import brian2

    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    yield
    brian2.prefs.codegen.target = before


def run(brian: Any, seconds: float) -> None:
    import brian2

    brian.run(seconds * brian2.second)


def network(activation: str, loss: str) -> tuple[dbp.Network, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    means = loss == "mean_squared_error"
    net = dbp.models.mlp(
        6, 8, 5, 3, activation=activation, dtype="float64", loss=dbp.losses.MeanSquaredError() if means else None
    )
    for values in net.parameters.values():
        values += 0.3 * random.standard_normal(values.shape)
    return net, random.standard_normal((1, 6)), random.standard_normal((1, 3)) if means else np.array([1])


def read(brian: object, net: dbp.Network, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return gradients(dense_circuit(net, x, y), compartments(brian))


def worst(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    return max(float(np.linalg.norm(found[k] - wanted[k]) / np.linalg.norm(wanted[k])) for k in wanted)


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
def test_unit_euler_steps_are_exact_backpropagation_after_twice_the_depth(activation: str, loss: str) -> None:
    net, x, y = network(activation, loss)
    exact = dbp.backprop(net, x, y).gradients
    brian = to_brian(net, x, y, tau=TAU, step=TAU, method="euler")
    run(brian, 5 * TAU)
    assert worst(read(brian, net, x, y), exact) > 1e-2
    run(brian, TAU)
    assert worst(read(brian, net, x, y), exact) < 1e-13


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_brian_follows_settle(activation: str) -> None:
    net, x, y = network(activation, "cross_entropy")
    brian = to_brian(net, x, y, tau=TAU, step=TAU / 16)
    for clocks in (40, 48, 80):  # in one run after the other
        run(brian, (clocks - round(float(brian.t) / TAU * 16)) * TAU / 16)
        held = dbp.settle(net, x, y, tau=TAU, t_stop=clocks * TAU / 16, method="exponential_euler", step=TAU / 16)
        assert worst(read(brian, net, x, y), held.gradients) < 1e-11


def test_the_step_s_error_falls_with_the_step() -> None:
    net, x, y = network("tanh", "cross_entropy")
    free = dbp.settle(net, x, y, tau=TAU, t_stop=5 * TAU, accuracy=1e-10).gradients
    errors = []
    for parts in (20, 40):
        brian = to_brian(net, x, y, tau=TAU, step=TAU / parts)
        run(brian, 5 * TAU)
        errors.append(worst(read(brian, net, x, y), free))
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.15)


def test_a_coupling_between_equal_compartments_shrinks_the_gradient_and_keeps_its_direction() -> None:
    net, x, y = network("tanh", "mean_squared_error")
    exact = dbp.backprop(net, x, y).gradients
    plain = equal_membrane(TAU)
    membrane = Membrane(plain.apical_F, plain.soma_F, plain.apical_S, plain.soma_S, coupling_S=0.3 * plain.soma_S)
    brian = to_brian(net, x, y, membrane=membrane, step=TAU / 2)
    run(brian, 40 * TAU)
    found = read(brian, net, x, y)
    for power, name in ((3, "dense1"), (2, "dense2"), (1, "dense3")):
        assert worst({name: found[f"{name}.weight"]}, {name: exact[f"{name}.weight"] / 1.6**power}) < 1e-8


def test_reversal_potentials_shunt_inputs() -> None:
    # one neuron: g U h (E_r - V) / (E_r - E) = g (V - E) where it settles
    net = dbp.models.mlp(1, 1, activation="identity", dtype="float64", loss=dbp.losses.MeanSquaredError())
    net.parameters["dense1.weight"][...] = 1.0
    membrane = Membrane(1e-10, 1e-10, 1e-8, 1e-8, reversal_V=REVERSAL_V)
    brian = to_brian(net, np.array([[0.8]]), np.array([[0.5]]), membrane=membrane)
    run(brian, 0.5)
    x, z = compartments(brian)
    b = (x + z) / 2 - 0.5
    for v, drive in ((x, 0.8 + b / 2), (z, 0.8 - b / 2)):
        assert v == pytest.approx(drive * (1 - v / (0.07 / 0.015)), abs=1e-9)


def test_the_cortical_constants_are_those_of_the_paper() -> None:
    assert CORTICAL.apical_F / CORTICAL.apical_S == pytest.approx(7e-3)
    assert CORTICAL.soma_F / CORTICAL.soma_S == pytest.approx(16e-3)


def test_a_chip_s_conductances_are_taken() -> None:
    net, x, y = network("tanh", "cross_entropy")
    chip = dbp.Chip.program(net, "pcm", seed=2)
    brian = to_brian(chip, x, y, tau=TAU, step=TAU, method="euler")
    run(brian, 6 * TAU)
    circuit = dense_circuit(chip, x, y)
    d = split(circuit, compartments(brian))
    assert len(d[0]) == 3
    assert worst(gradients(circuit, compartments(brian)), dbp.backprop(net, x, y).gradients) > 1e-4


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "one of them"),
        ({"tau": 0.01, "membrane": CORTICAL}, "one of them"),
        ({"tau": -1.0}, "tau"),
        ({"tau": 0.01, "step": 0.0}, "step"),
        ({"tau": 0.01, "method": "rk4"}, "exponential_euler, euler"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, word: str) -> None:
    net, x, y = network("tanh", "cross_entropy")
    with pytest.raises(ValueError, match=word):
        to_brian(net, x, y, **arguments)


@pytest.mark.parametrize("changed", [{"apical_F": 0.0}, {"soma_S": -1.0}, {"coupling_S": -1.0}, {"reversal_V": (-0.08, -0.075)}])
def test_bad_membranes_are_refused(changed: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(changed))):
        Membrane(**({"apical_F": 1e-10, "soma_F": 1e-10, "apical_S": 1e-8, "soma_S": 1e-8} | changed))
