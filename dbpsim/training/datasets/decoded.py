"""A decoded image set: what every reader returns and the cache keeps.

Readers check what they read; `checked` is the last gate, the same for all: shapes, types and labels that
belong to a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError

SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Decoded:
    """Both splits of an image set.

    Parameters
    ----------
    images : dict from split to ndarray, uint8, shape (N, H, W, C)
    labels : dict from split to ndarray, int64, shape (N,)
    classes : tuple of str
    kind : str
        What the source turned out to be, such as "binary archive" or "JPEG copy".
    """

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    classes: tuple[str, ...]
    kind: str


def checked(decoded: Decoded, origin: object) -> Decoded:
    """Return `decoded` if its parts fit together; `origin` names the file in the error.

    Raises
    ------
    DatasetError
    """
    for split in SPLITS:
        images, labels = decoded.images[split], decoded.labels[split]
        if (
            images.ndim != 4
            or images.dtype != np.uint8
            or labels.shape != images.shape[:1]
            or not len(labels)
        ):
            raise DatasetError(
                f"{origin}: {split} has images {images.dtype} {images.shape} and labels {labels.shape}; "
                "one label each for at least one uint8 image (N, H, W, C) is accepted."
            )
        worst = labels.max() if labels.max() >= len(decoded.classes) else labels.min()
        if not 0 <= worst < len(decoded.classes):
            where = int(np.flatnonzero(labels == worst)[0])
            raise DatasetError(
                f"{origin}: {split} image {where}: label {worst}; "
                f"0 to {len(decoded.classes) - 1} are accepted."
            )
    if decoded.images["train"].shape[1:] != decoded.images["test"].shape[1:]:
        raise DatasetError(f"{origin}: training and test images differ in shape; one shape is accepted.")
    return decoded
