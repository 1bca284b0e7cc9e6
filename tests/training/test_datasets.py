"""Datasets: every format gives the images that were put into it, and the batches are the ones promised."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_up_sets import (
    BATCHES,
    PER_FILE,
    batches,
    binary_members,
    encoded,
    idx_members,
    image_members,
    python2_batch,
    python_members,
    tar,
    written,
    zipped,
)
from PIL import Image

from dbpsim.training import datasets
from dbpsim.training.augmentation import Augmentation
from dbpsim.training.datasets import DatasetError, cache, cifar, embedded

_REPOSITORY = Path(__file__).parents[2]
_REAL = Path(os.environ.get("DBPSIM_TEST_CIFAR", _REPOSITORY / "../shared/data/cifar10-jpeg.zip"))
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DBPSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DBPSIM_DATA", raising=False)
    monkeypatch.setattr(cifar, "IMAGES_PER_FILE", PER_FILE)


def cifar_forms(tmp_path):
    """Yield every form in which CIFAR-10 is distributed, made of the same images."""
    for name, members in {
        "binary": binary_members(),
        **{f"python{protocol}": python_members(protocol=protocol) for protocol in range(5)},
        "python2": {
            f"{cifar.PYTHON_FOLDER}/{b}": python2_batch(*content) for b, content in batches().items()
        },
    }.items():
        archive = tmp_path / f"{name}.tar.gz"
        archive.write_bytes(tar(members))
        yield archive
        yield written(tmp_path / name, members)  # the folder around
        yield tmp_path / name / next(iter(members)).split("/")[0]


def test_every_form_of_cifar10_gives_the_same_images(tmp_path):
    content = batches()
    rows = np.concatenate([content[b][0] for b in BATCHES])
    labels = np.concatenate([content[b][1] for b in BATCHES])
    for form in cifar_forms(tmp_path):
        train, test = datasets.load("cifar10", form)
        images = np.concatenate([train.images, test.images])
        # red, green and blue planes, row by row: pixel (y, x) of channel c is byte 1024 c + 32 y + x
        assert images[7, 3, 5, 2] == rows[7, 2048 + 32 * 3 + 5]
        np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(rows.shape), rows)
        np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), labels)
        assert len(train) == 5 * PER_FILE
        assert len(test) == PER_FILE
        assert train.classes[3] == "cat"
        assert train.label.startswith("CIFAR-10 (")


@pytest.mark.parametrize("outer", ["", "pets/"])
def test_an_image_set_is_read_in_turn_from_every_class(tmp_path, outer):
    members, pixels = image_members(classes=("dog", "cat"))
    source = tmp_path / "pets.zip"
    source.write_bytes(zipped({f"{outer}{name}": data for name, data in members.items()} | {"README": b""}))
    train, test = datasets.load("images", source)
    assert train.classes == ("cat", "dog")
    assert test.label == "images (pets.zip, PNG copy)"
    np.testing.assert_array_equal(train.labels, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(train.images[3], pixels["train/dog/0001.png"])
    np.testing.assert_array_equal(test.images[2], pixels["test/cat/0001.png"])


def test_a_folder_and_its_zip_hold_the_same_set(tmp_path):
    members, _ = image_members(suffix=".jpg")
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(members))
    folder = written(tmp_path / "a", members | {"train/cat/.hidden": b"", ".DS_Store": b""})
    one, other = datasets.load("images", archive)[0], datasets.load(str(folder))[0]
    np.testing.assert_array_equal(one.images, other.images)
    assert "JPEG copy" in one.label
    assert one.source_sha256 != other.source_sha256


def test_images_with_cifars_classes_are_called_the_copy_they_are(tmp_path):
    members, _ = image_members(cifar.CLASSES, size=(32, 32), suffix=".jpg")
    (tmp_path / "c.zip").write_bytes(zipped(members))
    by_name, by_path = datasets.load("cifar10", tmp_path / "c.zip"), datasets.load(str(tmp_path / "c.zip"))
    assert by_name[0].label == by_path[0].label == "CIFAR-10 (JPEG copy, 30 + 20 images)"


def test_grey_and_palette_images_become_rgb(tmp_path):
    members, _ = image_members(size=(4, 4))
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    members["train/cat/0000.png"] = encoded(grey)
    (tmp_path / "a.zip").write_bytes(zipped(members))
    train, _ = datasets.load("images", tmp_path / "a.zip")
    np.testing.assert_array_equal(train.images[0], grey[..., None].repeat(3, 2))


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files_are_read_compressed_or_not(tmp_path, compressed):
    plain = idx_members(compressed=False)
    folder = written(tmp_path / "set", idx_members(compressed=compressed))
    train, test = datasets.load("mnist", folder)
    assert train.images.shape == (12, 4, 4, 1)
    assert len(test) == 8
    assert train.label == "MNIST"
    assert train.images.tobytes() == plain["train-images-idx3-ubyte"][16:]
    assert datasets.load("mnist", folder, image_shape=(8, 8, 3))[0].label == "MNIST (4x4 upsampled to 8x8)"


def test_the_embedded_digits_need_nothing(tmp_path):
    train, test = datasets.load("digits")
    assert (len(train), len(test)) == (1500, 297)
    assert train.image_shape == (32, 32, 3)
    assert train.label == "digits (embedded, 8x8 upsampled to 32x32)"
    assert not (tmp_path / "cache").exists()
    small, _ = datasets.load("digits", image_shape=(8, 8, 1))
    # the first row of the UCI file, 0 0 5 13 9 1 0 0, in 16ths of 255
    np.testing.assert_array_equal(
        small.images[0, 0, :, 0], np.rint(np.array([0, 0, 5, 13, 9, 1, 0, 0]) * 255 / 16)
    )
    assert small.labels[:10].tolist() == list(range(10))


def test_enlarging_reproduces_planes_and_keeps_constants():
    ramp = (10 * np.arange(8, dtype=np.uint8))[None, None, :, None].repeat(8, 1)
    large = embedded.resized(ramp, (32, 32, 3))
    inner = large[0, 16, 2:30, 0].astype(float)  # beyond the outermost centres it is clamped
    np.testing.assert_allclose(
        inner, 10 * ((np.arange(2, 30) + 0.5) / 4 - 0.5), atol=0.5
    )  # rounding to bytes
    assert (large[..., 0] == large[..., 2]).all()
    with pytest.raises(ValueError, match="image_shape 4x4x1: images are 8x8x1"):
        embedded.resized(ramp, (4, 4, 1))


def test_batches_are_standardised_with_the_training_moments():
    train, test = datasets.load("digits", image_shape=(8, 8, 1))
    x, y = train.batch(len(train), dtype=np.float64)
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12
    assert y.dtype == np.int64
    assert train.batch(4)[0].dtype == np.float32
    assert (test.mean, test.std) == (train.mean, train.std)
    np.testing.assert_array_equal(train.batch(10, 2)[1], train.labels[20:30])
    pixel = train.images[20, 3, 4, 0] / 255
    assert train.batch(10, 2, dtype=np.float64)[0][0, 3, 4, 0] == (pixel - train.mean[0]) / train.std[0]


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    train, _ = datasets.load("digits", image_shape=(8, 8, 1), limit=103)

    def order(**options):
        shown = np.concatenate([x for x, _ in train.batches(10, drop_last=False, **options)])
        stored, _ = train.batch(len(train))
        return [int(np.flatnonzero((stored == x).all((1, 2, 3)))[0]) for x in shown]

    assert order() == sorted(order(seed=0)) == list(range(103))
    assert order(seed=0, epoch=1) == order(seed=0, epoch=1)
    assert len({tuple(order(seed=s, epoch=e)) for s in (0, 1) for e in (0, 1)}) == 4
    sizes = [len(y) for _, y in train.batches(10, seed=0)]
    assert sizes == [10] * 10


def test_batches_apply_the_augmentation_of_the_epoch():
    train, _ = datasets.load("digits", limit=64)
    augment = Augmentation(flip="alternating", shift=0)
    first, second = (next(train.batches(64, epoch=e, augment=augment))[0] for e in (0, 1))
    np.testing.assert_array_equal(first, second[:, :, ::-1])


def test_a_limit_draws_with_the_seed_and_says_so():
    train, test = datasets.load("digits", limit=400)
    assert len(train) == 400
    assert len(test) == 297
    assert train.label.endswith(", 400 of 1500 train images")
    again, other = (datasets.load("digits", limit=400, seed=s)[0] for s in (0, 1))
    np.testing.assert_array_equal(train.images, again.images)
    assert not np.array_equal(train.labels, other.labels)


def test_datasets_cannot_be_written_through():
    for image_shape in ((32, 32, 3), (8, 8, 1)):
        train, _ = datasets.load("digits", image_shape=image_shape)
        with pytest.raises(ValueError, match="read-only"):
            train.images[0] = 0


def test_misuse_says_what_is_accepted(tmp_path):
    train, _ = datasets.load("digits", image_shape=(8, 8, 1))
    (tmp_path / "pets.zip").write_bytes(zipped(image_members()[0]))
    for call, words in (
        (lambda: datasets.load("cifar10", tmp_path / "pets.zip"), "2 classes .cat, dog.*CIFAR-10's ten"),
        (lambda: train.batch(128, 11), "has 1500 images, which is 11 such batches"),
        (lambda: train.batches(1501), "1 to 1500"),
        (lambda: train.batches(0), "1 to 1500"),
        (lambda: train.reduced(0), "1 image or more"),
        (lambda: datasets.load("cifra10"), "Did you mean 'cifar10'"),
        (lambda: datasets.load("images"), "no path given"),
        (lambda: datasets.load("digits", image_shape=(32, 32)), "three whole numbers .H, W, C."),
        (lambda: datasets.load("digits", image_shape=(32.5, 32, 3)), "three whole numbers"),
        (lambda: datasets.load("images", tmp_path / "none.zip"), "no such file"),
        (lambda: datasets.load("images", tmp_path), "not recognised as images"),
        (lambda: datasets.load("mnist", tmp_path), "four idx files"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_a_second_load_maps_the_cached_file(tmp_path, monkeypatch):
    from safetensors.numpy import load_file

    members, _ = image_members()
    (tmp_path / "a.zip").write_bytes(zipped(members))
    first, _ = datasets.load("images", tmp_path / "a.zip")
    (file,) = (tmp_path / "cache" / "datasets").iterdir()
    np.testing.assert_array_equal(load_file(file)["train.images"], first.images)  # an independent reader
    monkeypatch.setattr(cache, "store", None)
    (tmp_path / "moved.zip").write_bytes(zipped(members))
    second, _ = datasets.load("images", tmp_path / "moved.zip")
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.mean, first.std) == (second.mean, second.std)


def test_a_damaged_cache_is_made_anew(tmp_path):
    members, _ = image_members()
    (tmp_path / "a.zip").write_bytes(zipped(members))
    expected = datasets.load("images", tmp_path / "a.zip")[0].images.copy()
    (file,) = (tmp_path / "cache" / "datasets").iterdir()
    sound = file.read_bytes()
    for damaged in (
        b"",
        sound[:7],
        sound[:-1],
        b"\xff" * 20,
        sound[:-9] + b"\0" + sound[-8:],
        sound[:60] + sound[61:],
    ):
        file.unlink()  # readers may still map the old one
        file.write_bytes(damaged)
        np.testing.assert_array_equal(datasets.load("images", tmp_path / "a.zip")[0].images, expected)
        assert file.read_bytes() == sound
    assert list(file.parent.iterdir()) == [file]


def test_no_flipped_bit_of_a_cached_header_gets_through(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(image_members()[0]))
    train, _ = datasets.load("images", tmp_path / "a.zip")
    (file,) = (tmp_path / "cache" / "datasets").iterdir()
    sound = file.read_bytes()
    for place in range(8 + int.from_bytes(sound[:8], "little")):
        damaged = bytearray(sound)
        damaged[place] ^= 1
        file.unlink()  # the set above still maps the first one
        file.write_bytes(damaged)
        kept = cache.opened(file, train.source_sha256)
        if kept is not None:  # a space that became another: no value changed
            assert (kept.mean, kept.std, kept.decoded.classes) == (train.mean, train.std, train.classes)
            np.testing.assert_array_equal(kept.decoded.images["train"], train.images)


def test_the_same_files_read_under_another_name_are_another_set(tmp_path):
    folder = written(tmp_path / "set", idx_members())
    for name, first in (("mnist", "0"), ("fashion-mnist", "T-shirt/top"), ("mnist", "0")):
        assert datasets.load(name, folder)[0].classes[0] == first


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped(image_members()[0]))
    (tmp_path / "occupied").write_bytes(b"")
    monkeypatch.setenv("DBPSIM_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(DatasetError, match="set DBPSIM_CACHE to a folder that can be written"):
        datasets.load("images", tmp_path / "a.zip")


@pytest.mark.skipif(not _REAL.is_file(), reason=f"no {_REAL}; set DBPSIM_TEST_CIFAR")
def test_the_cifar10_copy_at_hand_is_the_one_its_readme_describes():
    train, test = datasets.load("cifar10", _REAL)
    assert (train.source_sha256, train.label) == (
        "0800b0020976bdd9abe8b4aa3f601f02deb7f237014a3a50474397ec01c4a422",
        "CIFAR-10 (JPEG copy)",
    )
    assert train.classes == test.classes == cifar.CLASSES
    np.testing.assert_array_equal(np.bincount(train.labels), 5000)
    np.testing.assert_array_equal(np.bincount(test.labels), 1000)
    # half a unit of the readme's last digit
    np.testing.assert_allclose(train.mean, (0.4913, 0.4821, 0.4465), atol=5.1e-5)
    np.testing.assert_allclose(train.std, (0.2452, 0.2428, 0.2606), atol=5.1e-5)
    with zipfile.ZipFile(_REAL) as archive, Image.open(archive.open("train/deer/4321.jpg")) as image:
        np.testing.assert_array_equal(train.images[4321 * 10 + 4], np.asarray(image))


@pytest.mark.skipif(not _DEBIAN.is_dir(), reason="no Debian package dataset-fashion-mnist")
def test_debians_fashion_mnist_is_found_by_itself():
    train, test = datasets.load("fashion-mnist")
    assert train.images.shape == (60000, 28, 28, 1)
    assert len(test) == 10000
    np.testing.assert_array_equal(np.bincount(train.labels), 6000)
    assert train.classes[train.labels[0]] == "Ankle boot"  # the first picture of the set
    np.testing.assert_allclose((*train.mean, *train.std), (0.2860, 0.3530), atol=5.1e-5)  # as commonly quoted
