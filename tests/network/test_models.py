"""The ready-made models: their counts, their gradients against central differences, their seeds."""

import numpy as np
import pytest
from drawn_networks import batch, worst_slope_error

from dbpsim.credit.backprop import backprop
from dbpsim.network.losses import CrossEntropy, MeanSquaredError
from dbpsim.network.models import MODELS, by_name, mlp, resnet18, tiny_vit, vgg9, vgg9_fast

SMALL = {
    "mlp": lambda **o: mlp(12, 7, 6, 4, input_shape=(2, 2, 3), **o),
    "mlp tanh mse": lambda **o: mlp(5, 7, 4, activation="tanh", loss=MeanSquaredError(), **o),
    "vgg9": lambda **o: vgg9(input_shape=(8, 8, 2), width=2, classes=4, **o),
    "vgg9 normalised": lambda **o: vgg9(input_shape=(8, 8, 2), width=2, classes=4, normalise=True, **o),
    "vgg9_fast": lambda **o: vgg9_fast(input_shape=(16, 16, 2), width=2, classes=4, loss=CrossEntropy(0.2), **o),
    "resnet18": lambda **o: resnet18(input_shape=(8, 8, 2), width=2, classes=4, loss=CrossEntropy(0.1), **o),
    "resnet18 plain": lambda **o: resnet18(input_shape=(8, 8, 2), width=2, classes=4, normalise=False, **o),
    "tiny_vit": lambda **o: tiny_vit(input_shape=(8, 8, 2), width=8, heads=2, blocks=1, classes=4, **o),
}


def multiply_accumulates(net):
    return sum(stage.weight_layer.multiply_accumulates for stage in net.weight_stages)


def size(net):
    return sum(p.size for p in net.parameters.values())


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_slopes(name):
    net = SMALL[name](dtype="float64", seed=1)
    for value in net.parameters.values():  # away from biases of zero and scales of one, and from the kinks there
        value += 0.05 * np.random.default_rng(2).standard_normal(value.shape)
    x, y = batch(net, 4)
    # h = 1e-6 keeps clear of the rectifiers' kinks; rounding then errs by epsilon / h = 2e-10 of a loss of a few, and
    # batch norm over 4 samples at 1 x 1 pixels has third derivatives of 1e4.
    assert worst_slope_error(net, backprop(net, x, y).gradients, x, y, h=1e-6) < 1e-7


def test_vgg9_has_nine_weight_layers_and_the_documented_counts():
    net = vgg9()
    assert [s.name for s in net.weight_stages] == [*(f"conv{i}" for i in range(1, 7)), "dense7", "dense8", "dense9"]
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    dense = [(4096, 512), (512, 256), (256, 10)]
    assert size(net) == sum(9 * i * o + o for i, o in convolutions) + sum(i * o + o for i, o in dense) == 3_376_970
    pixels = [1024, 1024, 256, 256, 64, 64]
    wanted = sum(p * 9 * i * o for p, (i, o) in zip(pixels, convolutions, strict=True)) + sum(i * o for i, o in dense)
    assert multiply_accumulates(net) == wanted == 154_995_200


def test_vgg9_fast_has_nine_weight_layers_and_the_documented_counts():
    net = vgg9_fast()
    assert [s.name for s in net.weight_stages] == ["whiten", *(f"conv{i}" for i in range(2, 9)), "head"]
    channels = [3, 24, 64, 64, 256, 256, 256, 256, 256]
    pixels = [1024, 1024, 256, 256, 64, 64, 16, 16]  # of a convolution's output, before its pooling
    weights = [9 * i * o for i, o in zip(channels, channels[1:], strict=False)] + [2560]
    assert size(net) == sum(weights) + sum(channels[1:]) == 2_562_080
    wanted = sum(p * w for p, w in zip(pixels, weights, strict=False)) + 2560
    assert multiply_accumulates(net) == wanted == 156_379_648


def test_vgg9_fast_begins_as_the_identity_where_there_are_channels_for_it():
    net = vgg9_fast(width=16, seed=4)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 64)).astype("float32")
    conv5 = next(s for s in net.stages if s.name == "conv5").layers[0]
    np.testing.assert_allclose(conv5.forward(x, True)[0], x, rtol=1e-4, atol=1e-5)
    wide = net.parameters["conv4.weight"]  # 16 to 64 channels: 16 filters hand on, 48 are drawn
    assert np.array_equal(wide[1, 1, :, :16], np.eye(16))
    assert wide[..., 16:].std() == pytest.approx(1 / np.sqrt(3 * 9 * 16), rel=0.05)


def test_resnet18_has_eleven_million_parameters():
    net = resnet18()
    assert net.depth == 26
    assert size(net) == 11_173_962  # the CIFAR form with batch norm and without convolution biases
    assert multiply_accumulates(net) == 555_422_720  # likewise
    assert len(net.weight_stages) == 1 + 16 + 3 + 1


def test_tiny_vit_has_the_documented_size():
    assert tiny_vit().depth == len(tiny_vit().stages) == 16
    assert tiny_vit(blocks=1).depth == 9
    assert size(tiny_vit()) == 107_978


def test_mlp_counts():
    net = mlp(784, 256, 10)
    assert (net.depth, size(net), multiply_accumulates(net)) == (2, 785 * 256 + 257 * 10, 784 * 256 + 256 * 10)


@pytest.mark.parametrize("name", SMALL)
def test_one_seed_is_one_set_of_weights_in_both_precisions(name):
    single, double, other = (SMALL[name](dtype=d, seed=s) for d, s in (("float32", 3), ("float64", 3), ("float64", 4)))
    assert single.parameters.keys() == double.parameters.keys()
    for key, value in double.parameters.items():
        np.testing.assert_array_equal(single.parameters[key], value.astype("float32"))
        drawn = key.endswith("weight") and set(np.unique(value)) != {0, 1}  # an identity is the same under every seed
        assert not drawn or not np.array_equal(value, other.parameters[key])


def test_initial_weights_keep_the_scale_of_the_signal():
    weight = vgg9(seed=0).parameters["conv4.weight"]
    # He: standard deviation sqrt(2 / fan-in); of 147,456 draws it is known to 1 / sqrt(2 n) = 0.2 %, four of these allowed.
    assert weight.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.008)


def test_models_are_found_by_name():
    for name in MODELS:
        assert by_name(name, seed=2).name == name
    net = by_name("mlp:6-5-4", dtype="float64")
    assert (net.name, net.dtype, net.input_shape) == ("mlp:6-5-4", np.float64, (6,))


@pytest.mark.parametrize("name", ["vgg", "", "mlp", "mlp:", "mlp:4", "mlp:4-x", "mlp:4--2", "mlp:0-2", "mlp:-4-2", "MLP:4-2"])
def test_unknown_models_are_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"model: found .*; accepted: .*mlp:"):
        by_name(name)


def test_an_mlp_says_which_width_is_wrong():
    with pytest.raises(ValueError, match="has 12 elements; the first width is 10"):
        mlp(10, 2, input_shape=(2, 2, 3))
    with pytest.raises(ValueError, match="at least two positive"):
        mlp(10)
