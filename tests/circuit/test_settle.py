"""Settling in continuous time: against Erlang's law, scipy, backpropagation, and the clocked relaxation."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import gammainc

import dbpsim as dbp
from dbpsim.circuit.collocation import NODES, Cascade
from dbpsim.circuit.dense import dense_circuit, derivative, split
from dbpsim.network.layers import Dense

TAU = 1e-8


def _net():
    return dbp.models.mlp(5, 6, 4, 3, activation="tanh", dtype="float64", seed=3)


def _data(n=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 5)), np.arange(n) % 3


def _chain(depth):
    net = dbp.Network([dbp.Stage(f"s{i}", [Dense(1)]) for i in range(1, depth + 1)], (1,),
                      loss=dbp.losses.MeanSquaredError(), dtype="float64")  # fmt: skip
    net.assign({k: np.ones_like(p) if k.endswith("weight") else np.zeros_like(p) for k, p in net.parameters.items()})
    return net


@pytest.mark.parametrize("coupling", ["midpoint", "split"])
@pytest.mark.parametrize("method", ["collocation", "dormand_prince"])
def test_a_linear_chain_settles_by_erlangs_law(method, coupling):
    depth, x, y = 5, np.ones((1, 1)), np.zeros((1, 1))
    run = dbp.settle(
        _chain(depth), x, y, tau=TAU, t_stop=12 * TAU, method=method, accuracy=1e-11, coupling=coupling, record=True
    )
    t = run.trajectory.time / TAU
    assert len(t) == (NODES if method == "collocation" else 1) * run.steps + 1 > 20
    for l in range(1, depth + 1):  # noqa: E741
        assert np.abs(run.trajectory.activations[f"s{l}"].ravel() - gammainc(l, t)).max() < 1e-8
        assert np.abs(run.trajectory.stress[f"s{l}"].ravel() - gammainc(2 * depth - l + 1, t)).max() < 1e-8


@pytest.mark.parametrize("states", ["ms", "xz"])
@pytest.mark.parametrize("method", ["collocation", "dormand_prince"])
def test_agrees_with_scipy_on_the_circuits_own_equations(method, states):
    net, (x, y) = _net(), _data(1)
    run = dbp.settle(net, x, y, tau=TAU, t_stop=4 * TAU, method=method, accuracy=1e-10, states=states)
    circuit = dense_circuit(net, x, y[0])
    v = solve_ivp(lambda _, v: derivative(circuit, v), (0, 4), np.zeros(2 * circuit.neurons), "DOP853", rtol=1e-12, atol=1e-13)
    for stage, xs, zs in zip(net.stages, *split(circuit, v.y[:, -1]), strict=True):
        assert np.allclose(run.activations[stage.name][0], (xs + zs) / 2, atol=1e-9)
        assert np.allclose(run.stress[stage.name][0], xs - zs, atol=1e-9)


def _slope_of_errors(method, steps, net, x, y):
    exact = dbp.settle(net, x, y, tau=TAU, t_stop=2 * TAU, accuracy=1e-12, method="dormand_prince").stress["dense1"]
    errors = []
    for n in steps:
        v = _fixed(method, net, x, y, n)
        errors.append(np.abs(v - exact).max())
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


def _fixed(method, net, x, y, n):
    # runs of one step each, whose accuracy refuses nothing: fixed steps of either method
    start, run = "zero", None
    for _ in range(n):
        run = dbp.settle(net, x, y, tau=TAU, t_stop=2 * TAU / n, step=2 * TAU / n, method=method, accuracy=1e6, init=start)
        m, s = run.activations, run.stress
        start = ({k: m[k] + s[k] / 2 for k in m}, {k: m[k] - s[k] / 2 for k in m})
    return run.stress["dense1"]


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    [
        ("exponential_euler", 1, (40, 80, 160)),
        ("heun", 2, (40, 80, 160)),
        ("dormand_prince", 5, (24, 36, 54)),
        ("collocation", 2 * NODES, (1, 2, 3)),
    ],
)
def test_orders_of_convergence(method, order, steps):
    assert -_slope_of_errors(method, steps, _net(), *_data()) == pytest.approx(order, abs=0.35 if order < 6 else 1.2)


def test_gradients_are_backpropagations_and_stages_settle_as_waves():
    net, (x, y) = _net(), _data()
    exact = dbp.backprop(net, x, y)
    run = dbp.settle(net, x, y, tau=TAU, tolerance=1e-8)
    assert run.loss == pytest.approx(exact.loss, rel=1e-7)
    for name, gradient in exact.gradients.items():
        assert np.linalg.norm(run.gradients[name] - gradient) < 1e-6 * np.linalg.norm(gradient)
    times = run.settling_time
    assert 0 < times["dense3"] < times["dense2"] < times["dense1"] <= run.time  # stress runs back
    assert max(run.residual.values()) <= 1e-8


def test_a_step_of_exponential_euler_is_a_clock():
    net, (x, y), period = _net(), _data(), 0.7 * TAU
    run = dbp.settle(net, x, y, tau=TAU, t_stop=9 * period, step=period, method="exponential_euler")
    clocked = dbp.relax(net, x, y, eta=1 - np.exp(-0.7), max_steps=9, eps=None)
    assert run.steps == clocked.steps == 9
    for name, gradient in clocked.gradients.items():
        assert np.allclose(run.gradients[name], gradient, rtol=1e-12, atol=1e-15)


def test_float32_networks_and_noisy_chips_settle():
    net, x, y = dbp.models.mlp(5, 6, 3), *_data()
    assert max(dbp.settle(net, x, y, tau=TAU).residual.values()) <= 1e-4
    chip = dbp.Chip.program(net, "pcm", seed=1)
    with pytest.raises(ValueError, match="noisy"):
        dbp.settle(chip, x, y, tau=TAU, method="dormand_prince")
    run = dbp.settle(chip, x, y, tau=TAU, method="exponential_euler")
    assert np.isfinite(run.loss)
    assert set(run.gradients) == set(net.parameters)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"tau": 0.0}, "tau"), ({"tau": -1.0}, "tau"), ({"tau": np.nan}, "tau"), ({"tolerance": 0.0}, "tolerance"),
     ({"tolerance": 2.0}, "tolerance"), ({"t_stop": -1.0}, "t_stop"), ({"step": 0.0}, "step"), ({"accuracy": -1.0}, "accuracy"),
     ({"method": "euler"}, "exponential_euler"), ({"states": "mz"}, "xz"), ({"max_steps": 0}, "max_steps")],
)  # fmt: skip
def test_bad_arguments_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        dbp.settle(_net(), *_data(), **{"tau": TAU, **wrong})


def test_what_cannot_be_met_says_where_and_leaves_what_it_has():
    with pytest.raises(dbp.IntegrationError, match=r"at 2e-08 s, stage dense[123], neuron [0-5]: residual") as late:
        dbp.settle(_net(), *_data(), tau=TAU, t_stop=2 * TAU, tolerance=1e-6)
    assert late.value.time == late.value.partial.time == pytest.approx(2 * TAU)
    assert np.isnan(late.value.partial.settling_time["dense1"])
    with pytest.raises(dbp.IntegrationError, match="after 3 steps") as short:
        dbp.settle(_net(), *_data(), tau=TAU, max_steps=3)
    assert short.value.partial.steps + short.value.partial.rejected == 3
    with pytest.raises(dbp.IntegrationError, match="accuracy"):  # below what float64 can tell
        dbp.settle(_net(), *_data(), tau=TAU, accuracy=1e-30, init="random")


def _deep(layers, **options):
    net = dbp.models.mlp(5, *[6] * layers, 3, activation="tanh", dtype="float64", seed=3, **options)
    for name, p in net.parameters.items():
        if name.endswith("bias"):
            p += 0.2 * np.random.default_rng(len(name)).standard_normal(p.shape)
    return net


def _branched(normalised):
    # two paths, one longer, joined; normalised over the batch or not
    extra = [dbp.normalisation.BatchNorm()] if normalised else []
    stages = [
        dbp.Stage("a", [Dense(6), *extra, dbp.activations.Activation("tanh")]),
        dbp.Stage("b", [Dense(6), *extra, dbp.activations.Activation("tanh")], ["a"]),
        dbp.Stage("c", [dbp.layers.Add()], ["a", "b"]),
        dbp.Stage("d", [Dense(3)], ["c"]),
    ]
    return dbp.Network(stages, (5,), dtype="float64", seed=1)


_GRAPHS = [_branched(False), _branched(True), _deep(3), dbp.models.tiny_vit(width=8, blocks=1, dtype="float64")]


@pytest.mark.parametrize("net", _GRAPHS, ids=str)
@pytest.mark.parametrize("init", ["zero", "random"])
def test_collocation_follows_dormand_and_prince_on_any_graph(net, init):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((4, *net.input_shape)), np.arange(4) % 3
    runs = [
        dbp.settle(net, x, y, tau=TAU, t_stop=3 * TAU, accuracy=1e-6, method=method, init=init)
        for method in ("collocation", "dormand_prince")
    ]
    for name, s in runs[1].stress.items():
        assert np.allclose(runs[0].activations[name], runs[1].activations[name], rtol=1e-5, atol=1e-6)
        assert np.linalg.norm(runs[0].stress[name] - s) < 1e-4 * np.linalg.norm(s) + 1e-8


def test_a_loose_accuracy_leaves_the_settled_state_and_its_time_alone():
    net, (x, y) = _deep(4), _data()
    exact = dbp.backprop(net, x, y).gradients
    loose = dbp.settle(net, x, y, tau=TAU, tolerance=1e-5)
    tight = dbp.settle(net, x, y, tau=TAU, tolerance=1e-5, method="dormand_prince", accuracy=1e-8)
    for name, time in tight.settling_time.items():
        assert loose.settling_time[name] == pytest.approx(time, rel=2e-3)
    for name, gradient in exact.items():
        assert np.linalg.norm(loose.gradients[name] - gradient) < 1e-4 * np.linalg.norm(gradient)
    assert loose.evaluations < tight.evaluations / 4
    assert tight.spared == 0 < 0.15 < loose.spared < 1


def test_stages_that_stand_still_are_not_evaluated_again():
    net, (x, y) = _deep(12), _data()
    zero = {stage.name: np.zeros((2, *stage.shape)) for stage in net.stages}
    on_its_way = Cascade(net, x, y, zero, zero, 1e-7)
    everything = Cascade(net, x, y, zero, zero, 0.0)
    for _ in range(12):
        for cascade in (on_its_way, everything):
            step = cascade.step(4.0)
            off = [
                {k: np.linalg.norm(aim[k][-1] - v[k][-1]) / np.linalg.norm(aim[k][-1]) for k in zero}
                for aim, v in ((step.drives, step.activations), (step.feedback, step.stress))
            ]
            cascade.take(step, {k: (off[0][k], off[1][k]) for k in zero})
    assert on_its_way.made < 0.9 * everything.made
    for name in zero:
        assert np.allclose(on_its_way.now.stress[name][-1], everything.now.stress[name][-1], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("method", "accuracy"), [("collocation", 1e-7), ("dormand_prince", 1e-8)])
@pytest.mark.parametrize("states", ["ms", "xz"])
def test_the_trajectory_at_given_times_is_scipys(method, accuracy, states):
    net, (x, y) = _net(), _data(1)
    times = np.array([0.1, 0.11, 0.5, 1.7, 2.9, 4.0]) * TAU
    run = dbp.settle(net, x, y, tau=TAU, t_stop=4 * TAU, method=method, accuracy=accuracy, states=states, record=times)
    circuit = dense_circuit(net, x, y[0])
    v = solve_ivp(
        lambda _, v: derivative(circuit, v), (0, 4), np.zeros(2 * circuit.neurons), "DOP853", times / TAU, rtol=1e-12, atol=1e-13
    )
    assert np.allclose(run.trajectory.time, times)
    for column in range(len(times)):
        for stage, xs, zs in zip(net.stages, *split(circuit, v.y[:, column]), strict=True):
            assert np.allclose(run.trajectory.activations[stage.name][column, 0], (xs + zs) / 2, atol=3e-7)
            assert np.allclose(run.trajectory.stress[stage.name][column, 0], xs - zs, atol=3e-7)


@pytest.mark.parametrize(
    ("record", "method", "said"),
    [(np.array([2.0, 1.0]), None, "rising"), (np.array([0.0]), None, "rising"), (np.array([1.0]), "heun", "collocation")],
)
def test_times_that_cannot_be_kept_are_refused(record, method, said):
    with pytest.raises(ValueError, match=said):
        dbp.settle(_net(), *_data(), tau=TAU, record=record, method=method)
