"""Every layer's pullback is the adjoint of its derivative, its gradients are slopes, and dtype is kept."""

import numpy as np
import pytest

from dbpsim.network.activations import ACTIVATIONS, Activation
from dbpsim.network.attention import Attention, Position
from dbpsim.network.layers import Add, Concat, Conv2d, Dense, Flatten
from dbpsim.network.normalisation import BatchNorm, LayerNorm
from dbpsim.network.pooling import AveragePool, GlobalPool, MaxPool

IMAGE = (6, 5, 3)
CASES = {
    "dense": (Dense(4), (5,)),
    "dense without bias": (Dense(4, bias=False), (5,)),
    "dense on tokens": (Dense(4), (3, 5)),
    "conv 3x3": (Conv2d(4), IMAGE),
    "conv 1x1": (Conv2d(4, 1), IMAGE),
    "conv 3x3 stride 2": (Conv2d(4, 3, stride=2), IMAGE),
    "conv stride over kernel": (Conv2d(2, 2, stride=3, padding=0), IMAGE),
    "conv oblong": (Conv2d(2, (2, 3), stride=(1, 2), padding=(1, 0), bias=False), IMAGE),
    "conv wide padding": (Conv2d(2, 3, padding=2), IMAGE),
    "conv of one pixel": (Conv2d(2, 3), (1, 1, 2)),
    "max-pool": (MaxPool(2), IMAGE),
    "max-pool overlapping": (MaxPool(3, stride=2), IMAGE),
    "max-pool oblong": (MaxPool((2, 1), stride=(1, 2)), IMAGE),
    "average pool": (AveragePool(2), IMAGE),
    "average pool overlapping": (AveragePool((3, 2), stride=(2, 1)), IMAGE),
    "global average": (GlobalPool("average"), IMAGE),
    "global max": (GlobalPool("max"), IMAGE),
    "global average of tokens": (GlobalPool("average"), (4, 3)),
    "batch norm of images": (BatchNorm(), IMAGE),
    "batch norm without scale": (BatchNorm(scale=False), (3,)),
    "layer norm": (LayerNorm(), (4, 6)),
    "attention": (Attention(2), (4, 12)),
    "attention one head": (Attention(1), (3, 6)),
    "position": (Position(), (4, 3)),
    "flatten": (Flatten(), IMAGE),
    "flatten to tokens": (Flatten(2), IMAGE),
    "add": (Add(), [(4, 3)] * 3),
    "add one": (Add(), [(4, 3)]),
    "concat": (Concat(), [(4, 3), (4, 1), (4, 2)]),
    **{kind: (Activation(kind), (4, 3)) for kind in ACTIVATIONS},
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def built(case, dtype="float64", seed=0):
    """Return the layer with random parameters and buffers, and random inputs: one array or a list."""
    layer, shape = case
    random = np.random.default_rng(seed)
    layer.build(shape, np.dtype(dtype), random)
    for value in (*layer.parameters.values(), *layer.buffers.values()):
        value += 0.3 * random.random(value.shape).astype(dtype)
    shapes = shape if layer.joins else [shape]
    x = [random.standard_normal((3, *s)).astype(dtype) for s in shapes]
    return layer, x, random


def call(layer, x, training):
    return layer.forward(x if layer.joins else x[0], training)


def difference(function, h=1e-5):
    """Central difference at 0 of a function of one number: errs by h^2 (1e-10) and epsilon / h (2e-11)."""
    return (function(h) - function(-h)) / (2 * h)


TOLERANCE = 1e-7  # of the product of norms: the difference's own error times the third derivatives of a normalisation


@pytest.mark.parametrize("training", [True, False])
def test_pullback_is_the_adjoint_of_the_forward_maps_derivative(case, training):
    layer, x, random = built(case)
    y, memory = call(layer, x, training)
    d = random.standard_normal(y.shape)
    pulled = layer.pullback(memory, d.copy())
    pulled = pulled if layer.joins else [pulled]
    assert [p.shape for p in pulled] == [a.shape for a in x]
    for _ in range(2):
        v = [random.standard_normal(a.shape) for a in x]
        pushed = difference(lambda t, v=v: call(layer, [a + t * b for a, b in zip(x, v, strict=True)], training)[0])
        inner = sum(np.vdot(p, b) for p, b in zip(pulled, v, strict=True))
        assert abs(np.vdot(d, pushed) - inner) <= TOLERANCE * np.linalg.norm(d) * np.linalg.norm(pushed)


@pytest.mark.parametrize("training", [True, False])
def test_parameter_gradients_are_slopes(case, training):
    layer, x, random = built(case)
    y, memory = call(layer, x, training)
    d = random.standard_normal(y.shape)
    found = layer.gradients(memory, d)
    assert found.keys() == layer.parameters.keys()
    for name, parameter in layer.parameters.items():
        v, kept = random.standard_normal(parameter.shape), parameter.copy()

        def moved(t, parameter=parameter, v=v, kept=kept):
            parameter[...] = kept + t * v
            out = call(layer, x, training)[0].copy()
            parameter[...] = kept
            return out

        pushed = difference(moved)
        assert found[name].shape == parameter.shape
        assert abs(np.vdot(d, pushed) - np.vdot(found[name], v)) <= TOLERANCE * np.linalg.norm(d) * np.linalg.norm(pushed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_results_have_the_dtype_of_the_input(case, dtype, training):
    layer, x, random = built(case, dtype)
    y, memory = call(layer, x, training)
    d = random.standard_normal(y.shape).astype(dtype)
    pulled = layer.pullback(memory, d)
    arrays = [y, *(pulled if layer.joins else [pulled])]
    arrays += [*layer.gradients(memory, d).values(), *layer.statistics(memory).values()]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_forward_and_pullback_leave_their_arguments_alone(case):
    layer, x, random = built(case)
    kept = [a.copy() for a in x]
    y, memory = call(layer, x, True)
    d = random.standard_normal(y.shape)
    before = d.copy()
    layer.gradients(memory, d)
    layer.pullback(memory, d)
    np.testing.assert_array_equal(d, before)
    for a, b in zip(x, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_norm_has_mean_zero_and_variance_one_in_training():
    layer, (x,), _ = built(CASES["batch norm of images"])
    layer.parameters["scale"][...] = 1
    layer.parameters["shift"][...] = 0
    y, _ = layer.forward(100 + 3 * x, True)
    rows = y.reshape(-1, 3)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-12)  # the mean of 90 numbers of size 100, less the running mean
    np.testing.assert_allclose(rows.var(0), 1, rtol=1e-5)  # epsilon, 1e-5, over a variance near 9


def test_batch_norm_evaluates_with_its_running_averages_and_collects_none():
    layer, (x,), _ = built(CASES["batch norm of images"])
    y, memory = layer.forward(x, False)
    mean, variance = layer.buffers["mean"], layer.buffers["variance"]
    wanted = layer.parameters["scale"] * (x - mean) / np.sqrt(variance + layer.epsilon) + layer.parameters["shift"]
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)  # the same sum in another order
    assert layer.statistics(memory) == {}


def test_batch_norm_statistics_blend_mean_and_unbiased_variance():
    layer, (x,), _ = built(CASES["batch norm of images"])
    before = {k: v.copy() for k, v in layer.buffers.items()}
    _, memory = layer.forward(x, True)
    found, rows = layer.statistics(memory), x.reshape(-1, 3)
    np.testing.assert_allclose(found["mean"], 0.9 * before["mean"] + 0.1 * rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["variance"], 0.9 * before["variance"] + 0.1 * rows.var(0, ddof=1), rtol=1e-12)
    for name, value in layer.buffers.items():
        np.testing.assert_array_equal(value, before[name])  # forward itself moves nothing


def test_layer_norm_has_mean_zero_and_variance_one():
    layer, (x,), _ = built((LayerNorm(epsilon=1e-12), (4, 6)))
    layer.parameters["scale"][...] = 1
    layer.parameters["shift"][...] = 0
    y, _ = layer.forward(5 + 2 * x, True)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(-1), 1, rtol=1e-10)  # epsilon over the variance


def test_attention_to_equal_keys_is_the_mean_of_the_values():
    layer = Attention(2)
    layer.build((4, 12), np.dtype("float64"), np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 4, 12))
    x[..., 4:8] = 1.0  # K
    y, _ = layer.forward(x, True)
    np.testing.assert_allclose(y, np.broadcast_to(x[..., 8:].mean(1, keepdims=True), y.shape), rtol=1e-12)


def test_attention_and_softmax_do_not_overflow():
    layer = Attention(1)
    layer.build((2, 3), np.dtype("float64"), np.random.default_rng(0))
    y, _ = layer.forward(np.array([[[1e3, 1e3, 1.0], [1e3, -1e3, 2.0]]]), True)
    np.testing.assert_array_equal(y[0, :, 0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (Conv2d(4), (5,), "Conv2d expects (height, width, channels); found (5,)"),
        (Conv2d(4, 7, padding=0), (6, 6, 1), "does not fit"),
        (MaxPool(7), (6, 6, 1), "does not fit"),
        (AveragePool(2), (6,), "AveragePool expects"),
        (GlobalPool(), (6,), "GlobalPool expects"),
        (Attention(2), (4, 10), "Attention expects"),
        (Add(), [(2,), (3,)], "Add expects inputs of one shape; found (2,), (3,)"),
        (Concat(), [(2, 1), (3, 1)], "Concat expects"),
        (Flatten(2), (3,), "Flatten(2) expects at least 2 axes"),
        (Flatten(0), (3,), "Flatten(0) expects"),
    ],
    ids=lambda v: str(v) if isinstance(v, str) else "",
)
def test_layers_refuse_inputs_they_cannot_take(layer, shape, words):
    with pytest.raises(ValueError) as caught:
        layer.build(shape, np.dtype("float64"), np.random.default_rng(0))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2d(4, 0),
        lambda: Conv2d(4, 3, stride=0),
        lambda: Conv2d(4, 3, padding=-1),
        lambda: Conv2d(4, 3, padding="valid"),
        lambda: Conv2d(4, (3, 3, 3)),
        lambda: MaxPool(0),
        lambda: GlobalPool("min"),
        lambda: Activation("swish"),
        lambda: BatchNorm(epsilon=0),
        lambda: BatchNorm(momentum=1),
        lambda: LayerNorm(epsilon=float("nan")),
    ],
)
def test_layers_refuse_figures_out_of_range_and_say_what_is_accepted(make):
    with pytest.raises(ValueError, match=r"found .*; accepted: "):
        make()
