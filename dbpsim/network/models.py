"""Ready-made networks.

Each function returns a `Network` with fresh weights under `seed`.  A stage is a weight layer with its
nonlinearity and any pooling behind it, so the depth of a chain is its number of weight layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dbpsim.network.activations import Activation
from dbpsim.network.attention import Attention, Position
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Add, Conv2d, Dense, Flatten, Layer
from dbpsim.network.losses import Loss
from dbpsim.network.normalisation import BatchNorm, LayerNorm
from dbpsim.network.pooling import GlobalPool, MaxPool

_HE = math.sqrt(2.0)


def mlp(
    *widths: int,
    input_shape: Sequence[int] | None = None,
    activation: str = "relu",
    loss: Loss | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return a chain of dense stages dense1, dense2, ..., the last one linear.

    Parameters
    ----------
    *widths : int
        Inputs, hidden units, ..., outputs.
    input_shape : sequence of int, optional
        Shape of one sample where it is not ``(widths[0],)``; it is flattened.

    Examples
    --------
    >>> mlp(784, 256, 10)
    Network(mlp:784-256-10: 2 stages, depth 2, 203,530 parameters)
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"mlp: found widths {widths}; accepted: at least two positive integers, inputs to outputs.")
    shape = (widths[0],) if input_shape is None else tuple(input_shape)
    if math.prod(shape) != widths[0]:
        raise ValueError(f"mlp: input_shape {shape} has {math.prod(shape)} elements; the first width is {widths[0]}.")
    gain = _HE if activation in ("relu", "gelu") else 1.0
    stages = []
    for number, width in enumerate(widths[1:], 1):
        last = number == len(widths) - 1
        layers: list[Layer] = [Flatten()] if number == 1 and len(shape) > 1 else []
        layers.append(Dense(width, gain=1.0 if last else gain))
        if not last:
            layers.append(Activation(activation))
        stages.append(Stage(f"dense{number}", layers))
    name = "mlp:" + "-".join(map(str, widths))
    return Network(stages, shape, loss=loss, dtype=dtype, seed=seed, name=name)


def vgg9(
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: int = 64,
    normalise: bool = False,
    activation: str = "relu",
    loss: Loss | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return the 9-layer VGG: six 3x3 convolutions and three dense layers, L = 9.

    The nine weight layers are conv1 (3 to 64 channels), conv2 (64 to 64, then 2x2 max-pool), conv3 (64 to 128),
    conv4 (128 to 128, pool), conv5 (128 to 256), conv6 (256 to 256, pool), dense7 (4096 to 512), dense8 (512 to 256)
    and dense9 (256 to 10).  For 32 x 32 x 3 images and ten classes: 3,376,970 parameters and 155.0 million
    multiply-accumulates a sample, forward.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the others scale with it.
    normalise : bool
        Batch normalisation behind every convolution, for accuracy.  Without it (the default) the
        network has nothing but weights and rectifiers: that suits hardware.

    Examples
    --------
    >>> net = vgg9()
    >>> net.depth, sum(p.size for p in net.parameters.values())
    (9, 3376970)
    >>> sum(stage.weight_layer.multiply_accumulates for stage in net.weight_stages)
    154995200
    """
    stages = []
    for number, factor in enumerate((1, 1, 2, 2, 4, 4), 1):
        layers: list[Layer] = [Conv2d(factor * width, 3, bias=not normalise)]
        if normalise:
            layers.append(BatchNorm())
        layers.append(Activation(activation))
        if number % 2 == 0:
            layers.append(MaxPool(2))
        stages.append(Stage(f"conv{number}", layers))
    stages.append(Stage("dense7", [Flatten(), Dense(8 * width, gain=_HE), Activation(activation)]))
    stages.append(Stage("dense8", [Dense(4 * width, gain=_HE), Activation(activation)]))
    stages.append(Stage("dense9", [Dense(classes)]))
    return Network(stages, input_shape, loss=loss, dtype=dtype, seed=seed, name="vgg9")


def vgg9_fast(
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: int = 64,
    activation: str = "relu",
    loss: Loss | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return the 9-layer VGG that trains fast: a whitening layer, seven 3x3 convolutions and a linear head, L = 9.

    The layout of Jordan 2024 (arXiv:2404.00498, "airbench94") with a rectifier and one convolution more: `whiten` (3 to 24
    channels; see `dbpsim.network.whitening.whiten`, which fills it from data), then conv2 (to 64 channels), conv3 (64),
    conv4 to conv8 (256), of which conv2, conv4 and conv6 pool 2x2 before they normalise; batch normalisation without a
    learned scale; the largest value over all positions; `head` (256 to 10, no bias).  For 32 x 32 x 3 images and ten classes:
    2.56 million parameters and 156.4 million multiply-accumulates a sample, forward.

    Convolutions begin with an identity part.  The head begins with standard deviation 1 / channels, which is the unit head
    with its output divided by the channels; a rate for that head is this head's times channels squared.

    Parameters
    ----------
    width : int
        Channels of conv2 and conv3; the later ones have four times as many.

    Examples
    --------
    >>> net = vgg9_fast()
    >>> net.depth, sum(p.size for p in net.parameters.values())
    (9, 2562080)
    >>> sum(stage.weight_layer.multiply_accumulates for stage in net.weight_stages)
    156379648
    """
    filters = 8 * input_shape[2]  # both signs of the axes of 2x2 patches, or of as many of 3x3
    stages = [Stage("whiten", [Conv2d(filters, 3), Activation(activation)])]
    for number, factor in enumerate((1, 1, 4, 4, 4, 4, 4), 2):
        layers: list[Layer] = [Conv2d(factor * width, 3, bias=False, gain=1 / math.sqrt(3), identity=True)]
        if number in (2, 4, 6):
            layers.append(MaxPool(2))
        stages.append(Stage(f"conv{number}", [*layers, BatchNorm(scale=False), Activation(activation)]))
    stages.append(Stage("head", [GlobalPool("max"), Dense(classes, bias=False, gain=1 / math.sqrt(4 * width))]))
    return Network(stages, input_shape, loss=loss, dtype=dtype, seed=seed, name="vgg9_fast")


def resnet18(
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: int = 64,
    normalise: bool = True,
    loss: Loss | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return ResNet-18 in its CIFAR form (He et al. 2016, arXiv:1512.03385): a 3x3 stem and eight basic blocks.

    A block is three stages: conv, conv, and the addition with its rectifier; where the size changes a 1x1
    convolution sits on the skip.  11.2 million parameters at width 64; depth 1 + 8 x 3 + 1 = 26.

    Parameters
    ----------
    width : int
        Channels of the stem; the four groups have 1, 2, 4 and 8 times as many.
    normalise : bool
        Batch normalisation behind every convolution.

    Examples
    --------
    >>> resnet18(width=8).depth
    26
    """

    def conv(channels: int, kernel: int, stride: int, gain: float = _HE) -> list[Layer]:
        layers: list[Layer] = [Conv2d(channels, kernel, stride=stride, bias=not normalise, gain=gain)]
        return layers + [BatchNorm()] if normalise else layers

    stages = [Stage("stem", [*conv(width, 3, 1), Activation("relu")])]
    before, channels = "stem", width
    for group in range(4):
        for block in range(2):
            name, wide = f"block{group + 1}_{block + 1}", width * 2**group
            stride = 2 if group and not block else 1
            skip = before
            if stride > 1 or wide != channels:
                skip = f"{name}_skip"
                stages.append(Stage(skip, conv(wide, 1, stride, 1.0), [before]))
            stages.append(Stage(f"{name}_conv1", [*conv(wide, 3, stride), Activation("relu")], [before]))
            stages.append(Stage(f"{name}_conv2", conv(wide, 3, 1)))
            stages.append(Stage(name, [Add(), Activation("relu")], [f"{name}_conv2", skip]))
            before, channels = name, wide
    stages.append(Stage("head", [GlobalPool("average"), Dense(classes)]))
    return Network(stages, input_shape, loss=loss, dtype=dtype, seed=seed, name="resnet18")


def tiny_vit(
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: int = 64,
    heads: int = 4,
    blocks: int = 2,
    patch: int = 4,
    loss: Loss | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return a small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), pre-norm, mean-pooled.

    Patches of ``patch x patch`` pixels become tokens; a block is attention and a two-layer perceptron with
    a residual connection around each.  Depth 1 + 7 blocks + 1; width 64 and two blocks: 107,978 parameters.

    Examples
    --------
    >>> tiny_vit()
    Network(tiny_vit: 16 stages, depth 16, 107,978 parameters)
    """
    stages = [Stage("embed", [Conv2d(width, patch, stride=patch, padding=0, gain=1.0), Flatten(2), Position()])]
    before = "embed"
    for number in range(1, blocks + 1):
        stages += [
            Stage(f"project{number}", [LayerNorm(), Dense(3 * width)], [before]),
            Stage(f"attend{number}", [Attention(heads)]),
            Stage(f"merge{number}", [Dense(width)]),
            Stage(f"add{number}a", [Add()], [f"merge{number}", before]),
            Stage(f"up{number}", [LayerNorm(), Dense(4 * width, gain=_HE), Activation("gelu")]),
            Stage(f"down{number}", [Dense(width)]),
            Stage(f"add{number}b", [Add()], [f"down{number}", f"add{number}a"]),
        ]
        before = f"add{number}b"
    stages.append(Stage("head", [LayerNorm(), GlobalPool("average"), Dense(classes)]))
    return Network(stages, input_shape, loss=loss, dtype=dtype, seed=seed, name="tiny_vit")


FIXED_ACTIVATION = ("resnet18", "tiny_vit")  # all others take an `activation`
MODELS: dict[str, Callable[..., Network]] = {"vgg9": vgg9, "vgg9_fast": vgg9_fast, "resnet18": resnet18, "tiny_vit": tiny_vit}


def by_name(name: str, **options: object) -> Network:
    """Return the model called `name`: one of `MODELS`, or ``mlp:784-256-10``.

    Raises
    ------
    ValueError
        For an unknown name, with the ones there are.
    """
    kind, _, widths = name.partition(":")
    if kind == "mlp":
        try:
            return mlp(*(int(w) for w in widths.split("-")), **options)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"model: found {name!r}; accepted: widths as in mlp:784-256-10 ({error})") from None
    if name not in MODELS:
        raise ValueError(f"model: found {name!r}; accepted: {', '.join(MODELS)}, mlp:INPUTS-...-OUTPUTS.")
    return MODELS[name](**options)
