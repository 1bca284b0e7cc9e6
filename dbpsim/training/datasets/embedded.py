"""The digits that ship with the package, and images brought to the shape a network expects.

The first 1,500 digits train and the last 297 test, in stored order.  Counts 0 .. 16 become bytes by v 255/16.

`resized` is bilinear interpolation with pixel centres at half-integers: output pixel j of n' looks at ``(j
+ 1/2) n/n' - 1/2`` of n input pixels, clamped to the image; one channel is copied to as many as asked for.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from io import BytesIO

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.decoded import SPLITS, Decoded

DIGITS_SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
_TRAIN_COUNT = 1500
_BLOCK = 1024


def digits() -> Decoded:
    """Return the embedded digits, 8x8x1.

    Raises
    ------
    DatasetError
        Where the installed file is damaged.
    """
    packed = resources.files("dbpsim.data").joinpath("digits.npz").read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != DIGITS_SHA256:
        raise DatasetError(
            f"dbpsim/data/digits.npz: sha256 {found}; {DIGITS_SHA256} is accepted. Reinstall dbpsim."
        )
    with np.load(BytesIO(packed), allow_pickle=False) as arrays:
        images = np.rint(arrays["images"][..., None] * (255 / 16)).astype(np.uint8)
        labels = arrays["labels"].astype(np.int64)
    parts = {"train": slice(None, _TRAIN_COUNT), "test": slice(_TRAIN_COUNT, None)}
    return Decoded(
        {split: images[parts[split]] for split in SPLITS},
        {split: labels[parts[split]] for split in SPLITS},
        tuple("0123456789"),
        "embedded",
    )


def interpolation(size: int, target: int) -> np.ndarray:
    """Return the bilinear weights from `size` pixels to `target` pixels, shape (target, size), rows sum to 1.

    Examples
    --------
    >>> interpolation(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    place = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))


def resized(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return uint8 images (N, H, W, C) brought to `shape` (H', W', C').

    Raises
    ------
    ValueError
        Where channels would have to be dropped, or pixels (H' < H or W' < W) be left out.
    """
    height, width, channels = images.shape[1:]
    if images.shape[1:] == shape:
        return images
    if shape[0] < height or shape[1] < width or (channels != 1 and shape[2] != channels):
        wanted, given = ("x".join(map(str, s)) for s in (shape, images.shape[1:]))
        raise ValueError(
            f"image_shape {wanted}: images are {given}; enlarging and copying one channel is accepted."
        )
    rows, columns = interpolation(height, shape[0]), interpolation(width, shape[1])
    out = np.empty((len(images), *shape), np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK].transpose(0, 3, 1, 2)
        enlarged = np.rint(rows @ block @ columns.T).astype(np.uint8)
        out[start : start + _BLOCK] = enlarged.transpose(0, 2, 3, 1)
    return out
