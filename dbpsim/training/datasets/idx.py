"""MNIST's idx files, as (Fashion-)MNIST comes in: big-endian header, then bytes.

    images   0x00000803, count, rows, columns, then count * rows * columns bytes
    labels   0x00000801, count, then count bytes

(Y. LeCun, C. Cortes and C. J. C. Burges, the MNIST page; the first two bytes are 0, the third the type, 8 for
uint8, the fourth the number of dimensions.)  Each of the four files may be gzip-compressed or not.
"""

from __future__ import annotations

import math
import struct
from functools import partial
from pathlib import Path

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.decoded import SPLITS, Decoded
from dbpsim.training.datasets.sources import Source, read_capped

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
FILES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
_DIMENSIONS = {"images": 3, "labels": 1}
_CAP_BYTES = 1 << 28  # five times MNIST
_LARGEST_SIDE = 512


def source(path: Path, name: str) -> Source | None:
    """Return how to read the folder `path` as "mnist" or "fashion-mnist"; None without the four files."""
    files = {part: _existing(path, stem) for part, stem in FILES.items()}
    if None in files.values():
        return None
    present = {part: file for part, file in files.items() if file is not None}
    return Source(name, path, tuple(present.values()), partial(_decode, present, CLASSES[name]))


def array(path: Path, part: str) -> np.ndarray:
    """Return the contents of an idx file, uint8, shape (N, H, W) for "images" or (N,) for "labels".

    Raises
    ------
    DatasetError
        Where magic number, sizes and length do not agree.
    """
    dimensions = _DIMENSIONS[part]
    data = read_capped(path, _CAP_BYTES)
    header = 4 * (1 + dimensions)
    if len(data) < header:
        raise DatasetError(f"{path}: {len(data)} bytes; an idx header of {header} bytes is accepted.")
    magic, *shape = struct.unpack_from(f">{1 + dimensions}I", data)
    if magic != 0x800 + dimensions:
        raise DatasetError(
            f"{path}: magic number 0x{magic:08x}; 0x{0x800 + dimensions:08x} ({part}) is accepted."
        )
    if any(not 0 < side <= _LARGEST_SIDE for side in shape[1:]):
        raise DatasetError(
            f"{path}: images of {shape[1]}x{shape[2]}; sides of 1 to {_LARGEST_SIDE} are accepted."
        )
    expected = header + math.prod(shape)
    if len(data) != expected:
        raise DatasetError(f"{path}: {len(data)} bytes; its header says {expected}: truncated or damaged.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _existing(folder: Path, stem: str) -> Path | None:
    for file in (folder / f"{stem}.gz", folder / stem):
        if file.is_file():
            return file
    return None


def _decode(files: dict[tuple[str, str], Path], classes: tuple[str, ...]) -> Decoded:
    images = {split: array(files[split, "images"], "images")[..., None] for split in SPLITS}
    labels = {split: array(files[split, "labels"], "labels").astype(np.int64) for split in SPLITS}
    return Decoded(images, labels, classes, "idx files")
