"""Labelled image sets: ``train, test = load("cifar10", "path/or/nothing")``.

===============  =====================================================================================
name             what is read
===============  =====================================================================================
"digits"         embedded: 1,797 handwritten digits, 8x8, enlarged to 32x32x3; no files, no network
"cifar10"        the official binary or Python archive or folder, or images as below
"fashion-mnist"  four idx files; Debian's package ``dataset-fashion-mnist`` is found by itself
"mnist"          four idx files
"images"         a folder or zip ``train/<class>/*``, ``test/<class>/*`` of JPEG or PNG images of one size
===============  =====================================================================================

A path in place of a name reads an image set or a CIFAR-10 archive.  The first reading of a set decodes it
into the cache (`cache`), the next ones map that file.  Files are read as if an enemy had made them: see
`sources`, `pickles`.
"""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Iterable
from pathlib import Path

from dbpsim.training.datasets import cache, cifar, embedded, folders, idx
from dbpsim.training.datasets.dataset import Dataset, DatasetError, moments, read_only
from dbpsim.training.datasets.decoded import SPLITS, Decoded
from dbpsim.training.datasets.download import located
from dbpsim.training.datasets.sources import Source

__all__ = ["NAMES", "Dataset", "DatasetError", "image_shape_for", "load"]

NAMES = ("cifar10", "digits", "fashion-mnist", "images", "mnist")
_TITLES = {"cifar10": "CIFAR-10", "fashion-mnist": "Fashion-MNIST", "mnist": "MNIST"}
_OFFICIAL_COUNTS = {"train": 50_000, "test": 10_000}
_FORMATS = {
    "cifar10": "a CIFAR-10 .tar.gz (binary or Python), its folder, or train/<class>/*, test/<class>/* images",
    "images": "a folder or zip with train/<class>/* and test/<class>/*",
    "fashion-mnist": "a folder with the four idx files",
    "mnist": "a folder with the four idx files",
}


def load(
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    image_shape: tuple[int, int, int] | None = None,
) -> tuple[Dataset, Dataset]:
    """Return the training and the test split of an image set.

    Parameters
    ----------
    name : str
        One of `NAMES`, or the path of an image set or CIFAR-10 archive.
    path : path-like, optional
        The set's archive or folder.  Without it a named set is looked for, then downloaded (`download`).
    seed : int
        Chooses the images that `limit` keeps.
    data_dir : path-like, optional
        Where named sets are looked for first, and downloaded to.
    limit : int, optional
        Keep at most so many images of each split.
    image_shape : (H, W, C), optional
        Enlarge the images (bilinear) and copy a single channel; the digits come as (32, 32, 3) unless asked.

    Returns
    -------
    train, test : Dataset
        With one `label`, which says what the set really is.

    Raises
    ------
    DatasetError
        Where the set is missing, damaged or something else.
    ValueError
        Where `limit` or `image_shape` cannot be had.

    Examples
    --------
    >>> train, test = load("digits", limit=100, image_shape=(8, 8, 1))
    >>> test
    digits (embedded), 100 of 297 test images, test: 100 images of 8x8x1, 10 classes
    """
    shape = None if image_shape is None else _whole_numbers(image_shape)
    if name not in NAMES:
        name, path = _named_by_path(name, path)
    if name == "digits":
        kept = cache.Kept(embedded.digits(), embedded.DIGITS_SHA256, (), ())
        shape = shape or (32, 32, 3)
    else:
        kept = cache.kept(_source(name, path, data_dir))
    label = _label(name, kept.decoded, path)
    both = _datasets(name, label, kept, shape)
    return both if limit is None else (both[0].reduced(limit, seed=seed), both[1].reduced(limit, seed=seed))


def image_shape_for(model: str, name: str) -> tuple[int, int, int] | None:
    """Return the shape that images of set `name` are brought to for `model`; None leaves them as they are.

    Examples
    --------
    >>> image_shape_for("mlp:64-10", "digits"), image_shape_for("vgg9", "digits"), image_shape_for("vgg9", "cifar10")
    ((8, 8, 1), (32, 32, 3), None)
    """
    if name not in ("digits", "mnist", "fashion-mnist"):
        return None
    if not model.startswith("mlp:"):
        return 32, 32, 3
    return {"64": (8, 8, 1), "784": (28, 28, 1), "3072": (32, 32, 3)}.get(model[4:].split("-")[0])


def _whole_numbers(image_shape: Iterable[int]) -> tuple[int, int, int]:
    try:
        height, width, channels = map(operator.index, image_shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_shape {image_shape!r}: three whole numbers (H, W, C) are accepted."
        ) from None
    return height, width, channels


def _named_by_path(name: str, path: str | os.PathLike[str] | None) -> tuple[str, str | os.PathLike[str]]:
    if path is None and os.path.exists(name):
        return "images" if folders.source(Path(name)) else "cifar10", name
    close = difflib.get_close_matches(name, NAMES, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DatasetError(f"{name}: no such data set or file; {', '.join(NAMES)} or a path is accepted.{hint}")


def _source(
    name: str, path: str | os.PathLike[str] | None, data_dir: str | os.PathLike[str] | None
) -> Source:
    if path is None and name == "images":
        raise DatasetError(f"images: no path given; {_FORMATS[name]} is accepted.")
    place = located(name, data_dir) if path is None else Path(path).expanduser()
    if not place.exists():
        raise DatasetError(f"{place}: no such file or folder; {_FORMATS[name]} is accepted.")
    if name in idx.CLASSES:
        found = idx.source(place, name)
    else:
        found = folders.source(place) or (cifar.source(place) if name == "cifar10" else None)
    if found is None:
        raise DatasetError(f"{place}: not recognised as {name}; {_FORMATS[name]} is accepted.")
    return found


def _label(name: str, decoded: Decoded, path: str | os.PathLike[str] | None) -> str:
    """Say what the set is; an image set with CIFAR-10's classes and size is called the copy it is."""
    counts = {split: len(decoded.labels[split]) for split in SPLITS}
    like_cifar = decoded.classes == cifar.CLASSES and decoded.images["train"].shape[1:] == (32, 32, 3)
    if name == "cifar10" and not like_cifar:
        raise DatasetError(
            f"{path}: {len(decoded.classes)} classes ({', '.join(decoded.classes[:3])}, ...); "
            "CIFAR-10's ten and 32x32 pixels are accepted. For other images say 'images', not 'cifar10'."
        )
    if name == "digits":
        return "digits (embedded)"
    if name == "cifar10" or (name == "images" and like_cifar):
        size = "" if counts == _OFFICIAL_COUNTS else f", {counts['train']} + {counts['test']} images"
        return f"CIFAR-10 ({decoded.kind}{size})"
    return _TITLES.get(name) or f"images ({Path(path or '').name}, {decoded.kind})"


def _datasets(
    name: str, label: str, kept: cache.Kept, shape: tuple[int, int, int] | None
) -> tuple[Dataset, Dataset]:
    images, stored = kept.decoded.images, kept.decoded.images["train"].shape[1:]
    mean, std = kept.mean, kept.std
    if shape is not None and shape != stored:
        images = {split: embedded.resized(images[split], shape) for split in SPLITS}
        same = shape[:2] == stored[:2]
        change = "grey copied" if same else f"{stored[0]}x{stored[1]} upsampled to {shape[0]}x{shape[1]}"
        label = f"{label[:-1]}, {change})" if label.endswith(")") else f"{label} ({change})"
    if images is not kept.decoded.images or not mean:
        mean, std = moments(images["train"])
    train, test = (
        Dataset(
            read_only(images[split]), read_only(kept.decoded.labels[split]), kept.decoded.classes,
            name, label, split, kept.source_sha256, mean, std,
        )
        for split in SPLITS
    )  # fmt: skip
    return train, test
