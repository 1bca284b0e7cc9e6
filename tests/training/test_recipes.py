"""The recipes: one whole step against PyTorch, both methods alike, and what they ask of a network."""

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.network.models import mlp, vgg9_fast
from dbpsim.training.journal import Journal
from dbpsim.training.optimisers import Muon
from dbpsim.training.recipes import RECIPES, classic, fast
from dbpsim.training.state import State
from dbpsim.training.step import take_step

IMAGES = 40


def _sets(limit=IMAGES):
    return dbp.datasets.load("digits", limit=limit)


def _prepared(dtype="float64", method="bp", **changes):
    """Return a small network with the recipe's settings, and a state to step with."""
    train_set, _ = _sets()
    net = vgg9_fast(width=4, dtype=dtype, seed=2)
    config = fast(net, train_set, method=method, epochs=2, **changes)
    zeros = {name: np.zeros_like(value) for name, value in net.parameters.items()}
    return net, train_set, config, State(zeros, {})


def _torch_step(torch, start, batches, batch, epochs):
    """Take the recipe's steps as PyTorch would, in the published form: loss summed, head divided by its inputs, unit rates."""
    nn = torch.nn.functional
    w = {}
    for name, value in start.items():
        turned = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value * (value.shape[1] if value.ndim == 2 else 1)
        w[name] = torch.nn.Parameter(torch.tensor(np.ascontiguousarray(turned)))
    biases = [p for name, p in w.items() if p.ndim == 1 and name != "whiten.bias"]
    rates = {"whiten": 0.053, "biases": 0.053, "head": 0.67}
    groups = {"whiten": [w["whiten.bias"]], "biases": biases, "head": [w["head.weight"]]}
    settings = [{"params": groups[k], "lr": rates[k], "weight_decay": 2e-6 * batch / rates[k]} for k in groups]
    optimiser = torch.optim.SGD(settings, momentum=0.85, nesterov=True)
    filters = [p for name, p in w.items() if name.startswith("conv") and p.ndim == 4]
    memory = [torch.zeros_like(p) for p in filters]
    losses, per_epoch = [], IMAGES // batch
    for number, (x, y) in enumerate(batches):
        a = torch.relu(nn.conv2d(torch.tensor(x.transpose(0, 3, 1, 2)), w["whiten.weight"].detach(), w["whiten.bias"], padding=1))
        for conv in range(2, 9):
            a = nn.conv2d(a, w[f"conv{conv}.weight"], padding=1)
            a = nn.max_pool2d(a, 2) if conv in (2, 4, 6) else a
            a = torch.relu(nn.batch_norm(a, None, None, None, w[f"conv{conv}.shift"], training=True, eps=1e-5))
        a = nn.max_pool2d(a, a.shape[2:]).flatten(1)
        loss = nn.cross_entropy(a @ w["head.weight"].T / a.shape[1], torch.tensor(y), label_smoothing=0.2, reduction="sum")
        optimiser.zero_grad()
        for p in filters:
            p.grad = None
        loss.backward()
        losses.append(loss.item() / len(y))
        left = 1 - number / (epochs * per_epoch)
        for group, rate in zip(optimiser.param_groups, rates.values(), strict=True):
            group["lr"] = rate * left
        optimiser.step()
        with torch.no_grad():
            for p, v in zip(filters, memory, strict=True):
                v.mul_(0.6).add_(p.grad)
                g = (p.grad + 0.6 * v).reshape(len(p), -1)
                x_k = g / (g.norm() + 1e-7)
                for _ in range(3):
                    square = x_k @ x_k.T
                    x_k = 3.4445 * x_k + (-4.7750 * square + 2.0315 * square @ square) @ x_k
                p.mul_(len(p) ** 0.5 / p.norm()).sub_(0.24 * left * x_k.reshape(p.shape))
    back = {name: p.detach().numpy() for name, p in w.items()}
    turned = {n: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v / (v.shape[1] if v.ndim == 2 else 1) for n, v in back.items()}
    return losses, turned


def test_steps_of_the_fast_recipe_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    net, train_set, config, state = _prepared(batch=20, filter_rate=0.24)
    batches = list(train_set.batches(20, seed=0, epoch=0, augment=config.augment, dtype="float64"))
    losses, wanted = _torch_step(torch, net.parameters, batches, 20, config.epochs)
    found = []
    for x, y in batches:
        take_step(net, x, y, config, len(batches), state, Journal(None))
        found.append(state.sums["loss"] / 20 - sum(found))
    np.testing.assert_allclose(found, losses, rtol=1e-7)
    for name, value in wanted.items():
        # the 1e-7 that keeps Newton-Schulz from dividing by zero is a smaller part of a summed loss's gradient
        assert np.abs(net.parameters[name] - value).max() < 1e-6 * np.abs(value).max(), name


def test_both_methods_take_the_same_steps_also_in_parts_and_every_check_is_exact():
    results = {}
    for method in ("bp", "relax"):
        net = vgg9_fast(width=4, seed=2)
        sets = _sets()
        config = fast(net, sets[0], method=method, epochs=2, batch=20, micro_batch=10, check_every=1)
        results[method] = net, dbp.train(net, *sets, config)
    nets = [net for net, _ in results.values()]
    for name, value in (nets[0].parameters | nets[0].buffers).items():
        assert np.array_equal(value, (nets[1].parameters | nets[1].buffers)[name]), name
    checks = results["relax"][1].checks
    assert len(checks) == 4
    assert all(check["misalignment"] == check["relative_error"] == 0 for check in checks)
    assert "views_accuracy" in results["bp"][1].epochs[-1]


def test_the_gradient_of_a_batch_in_parts_is_the_mean_of_the_parts():
    net, train_set, config, state = _prepared(batch=20, micro_batch=5, groups=(), momentum=0.0, weight_decay=0.0, rate=0.5)
    x, y = train_set.batch(20, dtype="float64")
    before = {name: value.copy() for name, value in net.parameters.items()}
    parts = []
    for at in range(0, 20, 5):
        run = dbp.backprop(net, x[at : at + 5], y[at : at + 5])
        parts.append(run.gradients)
        for name, value in run.statistics.items():  # sums are taken about the running mean
            net.buffers[name][...] = value
    fresh, _, _, _ = _prepared(batch=20)
    take_step(fresh, x, y, config, 2, state, Journal(None))
    for name, value in before.items():
        mean = sum(part[name] for part in parts) / 4
        np.testing.assert_allclose(fresh.parameters[name], value - 0.5 * mean, rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_whitening_filters_stay_and_their_bias_stops_after_three_epochs():
    net = vgg9_fast(width=4, seed=2)
    sets = _sets()
    config = fast(net, sets[0], epochs=5, batch=20)
    assert [config.rates(step, 10)[:2] for step in (0, 29, 30)] == [
        [0.0, 0.053 * 20], [0.0, pytest.approx(0.053 * 20 / 30)], [0.0, 0.0],
    ]  # fmt: skip
    before = net.parameters["whiten.weight"].copy()
    dbp.train(net, *sets, config)
    assert np.array_equal(net.parameters["whiten.weight"], before)
    assert net.parameters["whiten.bias"].any()
    assert any(isinstance(group.optimiser, Muon) for group in config.groups)


@pytest.mark.parametrize("name", RECIPES)
def test_settings_given_come_before_the_recipes(name):
    config = RECIPES[name](vgg9_fast(width=4), _sets()[0], batch=10, schedule="constant", label_smoothing=0.05)
    assert (config.batch, config.schedule) == (10, "constant")


def test_recipes_set_the_loss():
    net = vgg9_fast(width=4)
    fast(net, _sets()[0])
    assert net.loss == dbp.losses.CrossEntropy(0.2)
    classic(net, _sets()[0])
    assert net.loss == dbp.losses.CrossEntropy(0.0)


def test_the_fast_recipe_refuses_a_network_without_its_stages():
    with pytest.raises(ValueError, match="recipe fast: found model mlp:64-10; accepted: vgg9_fast"):
        fast(mlp(64, 10), _sets()[0])
