"""The optimiser, its schedules and the averages, against NumPy twins, PyTorch and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbpsim.network.models import mlp
from dbpsim.training.datasets import load
from dbpsim.training.evaluation import evaluate
from dbpsim.training.groups import Group, members
from dbpsim.training.optimisers import SGD, Muon, follow, orthogonalised, rate_at


def _walk(optimiser, rates, dtype="float64", seed=0):
    """Take len(rates) steps along drawn gradients, with a matrix and a vector parameter; return (start, gradients, end)."""
    random = np.random.default_rng(seed)
    parameters = {"weight": random.standard_normal((5, 3)).astype(dtype), "bias": random.standard_normal(4).astype(dtype)}
    velocities = {name: np.zeros_like(w) for name, w in parameters.items()}
    gradients = [{name: random.standard_normal(w.shape).astype(dtype) for name, w in parameters.items()} for _ in rates]
    start = {name: w.copy() for name, w in parameters.items()}
    for rate, gradient in zip(rates, gradients, strict=True):
        optimiser.step(parameters, gradient, velocities, rate)
    return start, gradients, parameters


def _twin(start, gradients, rates, momentum, decay):
    w, v = start.copy(), np.zeros_like(start)
    for rate, gradient in zip(rates, gradients, strict=True):
        g = gradient + decay * w
        v = momentum * v + g
        w = w - rate * (g + momentum * v)
    return w


@settings(max_examples=25, deadline=None)
@given(
    momentum=st.floats(0, 0.99), decay=st.floats(0, 0.1), rates=st.lists(st.floats(0, 0.5), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_nesterov_steps_are_those_of_their_numpy_twin(momentum, decay, rates, seed):
    start, gradients, found = _walk(SGD(momentum, decay), rates, seed=seed)
    for name, kept in (("weight", decay), ("bias", 0.0)):  # decay is for weights proper
        wanted = _twin(start[name], [g[name] for g in gradients], rates, momentum, kept)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-12, atol=1e-12)


def test_nesterov_steps_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    rates = [0.1, 0.05, 0.2, 0.01]
    start, gradients, found = _walk(SGD(0.9, 1e-2), rates, "float32")
    weight, bias = (torch.nn.Parameter(torch.tensor(start[name])) for name in ("weight", "bias"))
    groups = [{"params": [weight], "weight_decay": 1e-2}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)
    for rate, gradient in zip(rates, gradients, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate
        weight.grad, bias.grad = torch.tensor(gradient["weight"]), torch.tensor(gradient["bias"])
        optimiser.step()
    np.testing.assert_allclose(found["weight"], weight.detach().numpy(), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found["bias"], bias.detach().numpy(), rtol=2e-6, atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), iterations=st.integers(1, 6), size=st.floats(1e-3, 1e6),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_orthogonalising_acts_on_singular_values_as_its_polynomial(shape, iterations, size, seed):
    matrix = size * np.random.default_rng(seed).standard_normal(shape)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / (np.linalg.norm(s) + 1e-7)
    for _ in range(iterations):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(orthogonalised(matrix, iterations), (u * s) @ vt, rtol=1e-9, atol=1e-10)


def test_five_iterations_bring_singular_values_near_one_and_zero_stays_zero():
    matrix = np.random.default_rng(3).standard_normal((64, 200))
    values = np.linalg.svd(orthogonalised(matrix, 5), compute_uv=False)
    assert 0.65 < values.min() < values.max() < 1.25
    assert not orthogonalised(np.zeros((4, 3))).any()


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (3, 3, 2, 30), (6, 9)])
def test_muon_steps_are_those_of_their_numpy_twin(shape):
    random = np.random.default_rng(0)
    w = random.standard_normal(shape)
    outputs = shape[-1] if len(shape) == 4 else shape[0]
    held, velocity = {"w": w.copy()}, {"w": np.zeros(shape)}
    wanted, v = w.copy(), np.zeros(shape)
    for rate in (0.3, 0.1):
        g = random.standard_normal(shape)
        Muon(0.7, 2).step(held, {"w": g}, velocity, rate)
        v = 0.7 * v + g
        # filters as rows: the transpose of what the implementation takes
        rows = np.moveaxis(g + 0.7 * v, -1, 0) if len(shape) == 4 else g + 0.7 * v
        turn = orthogonalised(rows.reshape(outputs, -1), 2).reshape(rows.shape)
        turn = np.moveaxis(turn, 0, -1) if len(shape) == 4 else turn
        wanted = wanted / np.linalg.norm(wanted) * np.sqrt(outputs) - rate * turn
    np.testing.assert_allclose(held["w"], wanted, rtol=1e-10, atol=1e-12)


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match="b: found 1 axis; accepted by Muon"):
        Muon().step({"b": np.zeros(3)}, {"b": np.zeros(3)}, {"b": np.zeros(3)}, 0.1)


def test_a_parameter_belongs_to_the_first_group_that_fits():
    groups = [Group("a.bias", 0.0), Group("*.bias", 0.1), Group("*", 0.2)]
    assert members(groups, ["a.weight", "a.bias", "b.bias"]) == [["a.bias"], ["b.bias"], ["a.weight"]]
    with pytest.raises(ValueError, match=r"group c\*: found no parameter for it; accepted: one of a"):
        members([Group("c*", 0.1), Group("*", 0.1)], ["a"])
    with pytest.raises(ValueError, match="groups: found none for b"):
        members([Group("a", 0.1)], ["a", "b"])


@pytest.mark.parametrize("options", [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1e-4}, {"weight_decay": np.nan}])
def test_an_optimiser_out_of_range_names_the_value_and_what_is_accepted(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))}: found .*; accepted"):
        SGD(**options)


@given(steps=st.integers(1, 200), warm_up=st.integers(0, 50), kind=st.sampled_from(["cosine", "linear", "constant"]))
def test_the_rate_rises_to_its_peak_and_never_rises_again(steps, warm_up, kind):
    rates = np.array([rate_at(k, steps + warm_up, peak=0.3, warm_up=warm_up, kind=kind) for k in range(steps + warm_up)])
    assert (np.diff(rates[: warm_up + 1]) > 0).all()
    assert (np.diff(rates[warm_up:]) <= 1e-15).all()
    assert rates[warm_up] == pytest.approx(0.3)  # the first step after warming up is made at the peak
    assert (rates > 0).all()


@pytest.mark.parametrize(("kind", "half"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_half_way_and_at_the_end_the_rate_is_where_the_curve_says(kind, half):
    assert rate_at(60, 100, peak=2.0, warm_up=20, kind=kind) == pytest.approx(2.0 * half)
    assert rate_at(100, 100, peak=2.0, warm_up=20, kind=kind) == pytest.approx(0.0 if kind != "constant" else 2.0, abs=1e-12)
    assert rate_at(40, 100, peak=2.0, warm_up=20, kind="cosine") == pytest.approx(2.0 * np.cos(np.pi / 8) ** 2)


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="schedule: found 'step'; accepted: cosine, linear, constant"):
        rate_at(0, 10, peak=1.0, kind="step")


def test_an_average_of_weights_is_the_geometric_sum():
    values = np.random.default_rng(1).standard_normal((7, 6))
    average = {"w": values[0].copy()}
    for value in values[1:]:
        follow(average, {"w": value}, 0.8)
    shares = 0.2 * 0.8 ** np.arange(5, -1, -1)
    np.testing.assert_allclose(average["w"], 0.8**6 * values[0] + shares @ values[1:], rtol=1e-13)


def test_evaluating_with_shifts_weighs_six_views():
    _, test = load("digits", limit=40, image_shape=(8, 8, 1))
    net = mlp(64, 12, 10, input_shape=(8, 8, 1), seed=3)
    x, y = test.batch(len(test))
    where = np.abs(np.arange(-1, 9))
    where[-1] = 6  # rows -1 and 8 are the mirror images of 1 and 6
    wide = x[:, where][:, :, where]
    views = [(0.25, x), (0.125, wide[:, :8, :8]), (0.125, wide[:, 2:, 2:])]
    output = sum(share * (net.forward(v) + net.forward(np.ascontiguousarray(v[:, :, ::-1]))) for share, v in views)
    found = evaluate(net, test, batch=9, views="flip-shift")
    assert found.accuracy == (output.argmax(axis=1) == y).mean()
    assert found.loss == pytest.approx(net.loss.value(output, y), rel=1e-6)


def test_evaluating_with_flips_averages_an_image_and_its_mirror_image():
    _, test = load("digits", limit=60, image_shape=(8, 8, 1))
    net = mlp(64, 12, 10, input_shape=(8, 8, 1), seed=3)
    x, y = test.batch(len(test))
    both = 0.5 * (net.forward(x) + net.forward(np.ascontiguousarray(x[:, :, ::-1])))
    found = evaluate(net, test, batch=17, views="flip")
    assert found.accuracy == (both.argmax(axis=1) == y).mean()
    assert found.loss == pytest.approx(net.loss.value(both, y), rel=1e-6)
    assert found.loss != pytest.approx(evaluate(net, test).loss, rel=1e-6)  # the digits are not symmetric
