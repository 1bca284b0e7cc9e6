"""Small networks drawn by hypothesis, and the central differences their gradients are held against."""

import numpy as np
from hypothesis import strategies as st

from dbpsim.network.activations import Activation
from dbpsim.network.graph import INPUT, Network, Stage
from dbpsim.network.layers import Add, Concat, Conv2d, Dense, Flatten
from dbpsim.network.losses import CrossEntropy, MeanSquaredError
from dbpsim.network.normalisation import BatchNorm, LayerNorm
from dbpsim.network.pooling import AveragePool, GlobalPool, MaxPool

SMOOTH = ("tanh", "sigmoid", "gelu", "identity")
LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())
CLASSES = 3
_WINDOWS = [(1, 1, 0), (3, 1, "same"), (3, 2, 1), (2, 1, 1), ((3, 2), (1, 2), 1)]  # kernel, stride, padding
_MILD = 0.1  # added to variances: with 1e-5 two equal channels have third derivatives of 1e7, and no difference is a slope


@st.composite
def dags(draw, activations=SMOOTH):
    """A graph of dense stages: any earlier states are joined, and what nobody reads goes to the output."""
    width = draw(st.integers(1, 4))
    stages, names = [], [INPUT]
    for number in range(draw(st.integers(1, 5))):
        parents = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        layers = [Concat()] if len(parents) > 1 else []
        if len(parents) > 1 and INPUT not in parents and draw(st.booleans()):
            layers = [Add()]
        layers += [LayerNorm(epsilon=_MILD)] if draw(st.booleans()) else []
        stages.append(Stage(f"s{number}", [*layers, Dense(width), Activation(draw(st.sampled_from(activations)))], parents))
        names.append(f"s{number}")
    read = {p for stage in stages for p in stage.parents}
    ends = [stage.name for stage in stages if stage.name not in read]
    join = [Concat()] if len(ends) > 1 else []
    stages.append(Stage("out", [*join, Dense(CLASSES)], ends))
    order = draw(st.permutations(stages))
    return Network(order, (draw(st.integers(1, 4)),), **_options(draw), name="dag")


@st.composite
def image_chains(draw, activations=SMOOTH):
    """Convolutions of any stride and padding, pools and batch norm, then one or two dense stages."""
    stages = []
    for number in range(draw(st.integers(1, 2))):
        kernel, stride, padding = draw(st.sampled_from(_WINDOWS))
        layers = [Conv2d(draw(st.integers(1, 3)), kernel, stride=stride, padding=padding)]
        layers += [BatchNorm(epsilon=_MILD)] if draw(st.booleans()) else []
        layers.append(Activation(draw(st.sampled_from(activations))))
        if not number:
            layers += draw(st.sampled_from([[], [AveragePool(2)], [MaxPool(2)]]))
        stages.append(Stage(f"conv{number}", layers))
    flat = draw(st.sampled_from([Flatten(), GlobalPool("average"), GlobalPool("max")]))
    if draw(st.booleans()):
        stages.append(Stage("hidden", [flat, Dense(4), Activation(draw(st.sampled_from(activations)))]))
        flat = Flatten()
    stages.append(Stage("out", [flat, Dense(CLASSES)]))
    return Network(stages, (6, 5, 2), **_options(draw), name="images")


def _options(draw):
    return {"loss": draw(st.sampled_from(LOSSES)), "dtype": "float64", "seed": draw(st.integers(0, 2**16))}


def batch(net, n=3, seed=0):
    """Return inputs and labels for `net`."""
    random = np.random.default_rng(seed)
    return random.standard_normal((n, *net.input_shape)), random.integers(0, net.stages[-1].shape[-1], n)


def loss(net, x, y):
    """Return the loss of a training step, by plain evaluation."""
    return net.loss.value(net.sweep(net.as_input(x), training=True).values[net.output], y)


def slope(net, name, direction, x, y, h=1e-5):
    """Return the central difference of the loss along `direction` in one parameter array."""
    parameter, kept, found = net.parameters[name], net.parameters[name].copy(), []
    for sign in (1, -1):
        parameter[...] = kept + sign * h * direction
        found.append(loss(net, x, y))
    parameter[...] = kept
    return (found[0] - found[1]) / (2 * h)


def worst_slope_error(net, gradients, x, y, *, h=1e-5, seed=1):
    """Return the largest |slope - <gradient, direction>| over all arrays, each along one random unit direction."""
    random, worst = np.random.default_rng(seed), 0.0
    for name, parameter in net.parameters.items():
        direction = random.standard_normal(parameter.shape)
        direction /= np.linalg.norm(direction)
        worst = max(worst, abs(slope(net, name, direction, x, y, h) - np.vdot(gradients[name], direction)))
    return worst
