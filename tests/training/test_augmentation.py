"""Augmentation: what a training image becomes is a function of seed, epoch and image number."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dbpsim.kernels.augmentation import corner, flipped, offset
from dbpsim.kernels.random import stream_key
from dbpsim.training.augmentation import Augmentation
from dbpsim.training.datasets.dataset import standard_table

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 9, 7, 3), dtype=np.uint8)
TABLE = standard_table((0.4, 0.5, 0.6), (0.2, 0.3, 0.25), np.float32)
MODES = {"none": 0, "random": 1, "alternating": 2}
KINDS = [
    Augmentation(),
    Augmentation(flip="random", shift=4, padding="zero"),
    Augmentation(flip="none", shift=6, padding="reflect"),
    Augmentation(flip="random", shift=0),
    Augmentation(shift=1, cutout=4),
]


def keys(seed, epoch):
    return stream_key(seed, "augmentation", "side"), stream_key(seed, "augmentation", "epoch", epoch)


def naive(augment, images, index, table, *, seed, epoch):
    """A slow second implementation: look up, pad, cut out, mirror."""
    start, draws = keys(seed, epoch)
    s, (height, width) = augment.shift, images.shape[1:3]
    mode = "reflect" if augment.padding == "reflect" else "constant"
    out = []
    for i in index:
        x = np.stack([table[c][images[i, ..., c]] for c in range(images.shape[3])], axis=-1)
        dy, dx = (offset(draws, i, axis, s) for axis in (0, 1))
        x = np.pad(x, ((s, s), (s, s), (0, 0)), mode=mode)[s + dy :, s + dx :][:height, :width]
        x = x[:, ::-1].copy() if flipped(MODES[augment.flip], start, draws, epoch, i) else x.copy()
        cut, key = augment.cutout, stream_key(seed, "augmentation", "cutout", epoch)
        y, z = (corner(key, i, axis, n - cut + 1) for axis, n in enumerate((height, width)))
        x[y : y + cut, z : z + cut] = 0
        out.append(x)
    return np.stack(out)


@pytest.mark.parametrize("augment", KINDS, ids=repr)
def test_the_kernel_equals_its_slow_twin(augment):
    index = np.array([5, 0, 299, 5, 17])
    for seed, epoch in ((0, 0), (3, 8)):
        found = augment.gather(IMAGES, index, TABLE, seed=seed, epoch=epoch)
        # a pixel is looked up, not computed: equal to the bit
        np.testing.assert_array_equal(found, naive(augment, IMAGES, index, TABLE, seed=seed, epoch=epoch))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_result_has_the_tables_dtype(dtype):
    x = Augmentation().gather(IMAGES, np.arange(3), TABLE.astype(dtype), seed=0, epoch=0)
    assert x.dtype == dtype
    assert x.shape == (3, 9, 7, 3)


def test_neither_threads_nor_the_batch_change_an_image():
    augment, everything = Augmentation(flip="random", shift=3), np.arange(300)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = augment.gather(IMAGES, everything, TABLE, seed=1, epoch=2).copy()
    finally:
        numba.set_num_threads(threads)
    many = augment.gather(IMAGES, everything, TABLE, seed=1, epoch=2)
    np.testing.assert_array_equal(one, many)
    some = np.array([250, 3, 77])
    np.testing.assert_array_equal(augment.gather(IMAGES, some, TABLE, seed=1, epoch=2), many[some])


def test_the_square_is_cut_out_everywhere_it_fits_and_leaves_the_rest():
    plain, holed = Augmentation(shift=1), Augmentation(shift=1, cutout=3)
    before, after = (a.gather(IMAGES, np.arange(300), TABLE, seed=4, epoch=1).copy() for a in (plain, holed))
    hidden = (after == 0).all(axis=3)
    assert (hidden.sum(axis=(1, 2)) == 9).all()
    np.testing.assert_array_equal(after[~hidden], before[~hidden])
    corners = {(int(h.any(axis=1).argmax()), int(h.any(axis=0).argmax())) for h in hidden}
    assert corners == {(y, x) for y in range(7) for x in range(5)}
    assert not np.array_equal(hidden, (holed.gather(IMAGES, np.arange(300), TABLE, seed=4, epoch=2) == 0).all(axis=3))


def test_alternating_flip_shows_both_sides_in_any_two_epochs():
    augment = Augmentation(flip="alternating", shift=0)
    epochs = [augment.gather(IMAGES, np.arange(300), TABLE, seed=0, epoch=e).copy() for e in range(3)]
    np.testing.assert_array_equal(epochs[0], epochs[1][:, :, ::-1])
    np.testing.assert_array_equal(epochs[0], epochs[2])


@pytest.mark.parametrize("mode", ["random", "alternating"])
def test_half_of_the_images_are_flipped(mode):
    start, draws = keys(0, 5)
    count = 20_000
    flips = sum(flipped(MODES[mode], start, draws, 5, i) for i in range(count))
    assert abs(flips / count - 0.5) < 4 * 0.5 / count**0.5  # four standard errors of a fair coin


def test_random_flips_of_two_epochs_are_independent():
    count = 20_000
    first, second = (
        np.array([flipped(MODES["random"], *keys(0, epoch), epoch, i) for i in range(count)])
        for epoch in (0, 1)
    )
    assert abs(np.mean(first == second) - 0.5) < 4 * 0.5 / count**0.5


def test_shifts_are_uniform_and_their_axes_independent():
    limit, count = 2, 20_000
    _, draws = keys(0, 0)
    cells = np.zeros((5, 5))
    for i in range(count):
        cells[offset(draws, i, 0, limit) + limit, offset(draws, i, 1, limit) + limit] += 1
    expected = count / 25
    chi_squared = ((cells - expected) ** 2 / expected).sum()
    assert chi_squared < 24 + 4 * (2 * 24) ** 0.5  # 24 degrees of freedom, mean + 4 standard deviations


def test_zero_padding_is_the_mean_colour():
    white = np.full((1, 8, 8, 1), 255, np.uint8)
    table = standard_table((0.5,), (0.5,), np.float32)
    augment = Augmentation(flip="none", shift=3, padding="zero")
    seen = {
        v for e in range(20) for v in np.unique(augment.gather(white, np.array([0]), table, seed=0, epoch=e))
    }
    assert seen == {0.0, 1.0}


def test_impossible_augmentations_are_refused():
    for options in ({"flip": "vertical"}, {"padding": "wrap"}, {"shift": -1}, {"shift": 1.5}):
        with pytest.raises(ValueError, match=f"augmentation {next(iter(options))}.*accepted"):
            Augmentation(**options)
    with pytest.raises(ValueError, match="less than the image's side, 7 px"):
        Augmentation(shift=7).gather(IMAGES, np.arange(2), TABLE, seed=0, epoch=0)
