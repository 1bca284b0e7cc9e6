"""The whitening convolution: outputs uncorrelated and of unit power over the data it was set from."""

import numpy as np
import pytest

from dbpsim.network.models import vgg9, vgg9_fast
from dbpsim.network.whitening import whiten, whitening_filters


def _images(n=200):
    """Return images whose neighbouring pixels and channels go together, as in photographs."""
    random = np.random.default_rng(5)
    noise = random.standard_normal((n, 17, 17, 3))
    smooth = noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[:, :-1, :-1]
    return (smooth @ random.standard_normal((3, 3))).astype("float32")


def test_whitened_patches_are_uncorrelated_and_of_unit_power():
    images = _images()
    net = vgg9_fast(input_shape=(16, 16, 3), width=2, dtype="float64")
    assert whiten(net, images, epsilon=0.0) == "whiten.weight"
    u, _ = net.stages[0].layers[0].forward(images.astype(float), True)
    inside = u[:, :-1, :-1]  # the filters look one pixel on: the last row and column see the padding
    rows = inside.reshape(-1, 24)
    moments = rows.T @ rows / len(rows)
    np.testing.assert_allclose(moments[:12, :12], np.eye(12), atol=1e-9)
    np.testing.assert_array_equal(u[..., 12:], -u[..., :12])


def test_larger_patches_keep_the_axes_of_most_power():
    images = _images().astype(float)
    net = vgg9_fast(input_shape=(16, 16, 3), width=2, dtype="float64")
    whiten(net, images, size=3, epsilon=0.0)
    u, _ = net.stages[0].layers[0].forward(images, True)
    rows = u[:, 1:-1, 1:-1].reshape(-1, 24)
    np.testing.assert_allclose(rows[:, :12].T @ rows[:, :12] / len(rows), np.eye(12), atol=1e-9)
    norms = np.linalg.norm(whitening_filters(images, size=3, epsilon=0.0).reshape(27, 54)[:, :27], axis=0)
    assert (np.diff(norms) > 0).all()  # the larger the power, the smaller the filter
    np.testing.assert_allclose(norms[:12], np.linalg.norm(net.parameters["whiten.weight"].reshape(27, 24)[:, :12], axis=0))


def test_directions_without_power_are_amplified_by_epsilon_only():
    images = np.repeat(_images()[..., :1], 3, axis=3)  # grey: eight of twelve directions hold nothing
    powers = np.sort(np.linalg.norm(whitening_filters(images, epsilon=1e-2).reshape(12, 24), axis=0))
    np.testing.assert_allclose(powers[8:], 10.0, rtol=1e-5)


def test_a_network_whose_first_stage_cannot_whiten_is_refused():
    with pytest.raises(ValueError, match="stage conv1: found Conv2d.*; accepted: .* to 24 channels at most"):
        whiten(vgg9(input_shape=(16, 16, 3), width=26), _images(4))
    with pytest.raises(ValueError, match="stage conv1: found 3 channels; accepted: an even number"):
        whiten(vgg9(input_shape=(16, 16, 3), width=3), _images(4))
