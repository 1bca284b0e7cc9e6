"""Accuracy on a data set, of images as they are or averaged over several views of each.

    flip         the image and its mirror image
    flip-shift   those, half the weight; the other half to both of the image shifted by one pixel up and left, and down and
                 right, what a shift uncovers being reflected (Jordan 2024, arXiv:2404.00498, sec. 3.5)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.network.graph import Network
from dbpsim.training.datasets import Dataset

VIEWS = ("plain", "flip", "flip-shift")


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: share of right answers, mean loss, and on how many images."""

    accuracy: float
    loss: float
    images: int


def evaluate(network: Network, data: Dataset, *, batch: int = 500, views: str = "plain") -> Evaluation:
    """Return accuracy and loss of `network` on all of `data`.

    Parameters
    ----------
    network : Network
        Or a `Chip`, whose arrays are then read.
    data : Dataset
    batch : int
    views : {"plain", "flip", "flip-shift"}
        What outputs are averaged over: one, two or six views of each image.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> from dbpsim.training.datasets import load
    >>> _, test = load("digits", limit=50, image_shape=(8, 8, 1))
    >>> evaluate(mlp(64, 10, input_shape=(8, 8, 1)), test).images
    50
    """
    if views not in VIEWS:
        raise ValueError(f"views: found {views!r}; accepted: {', '.join(VIEWS)}.")
    right, loss = 0, 0.0
    for x, y in data.batches(min(batch, len(data)), drop_last=False, dtype=network.dtype):
        output = _output(network, x, views)
        right += int((output.argmax(axis=-1) == y).sum())
        loss += network.loss.value(output, y) * len(y)
    return Evaluation(right / len(data), loss / len(data), len(data))


def _output(network: Network, x: np.ndarray, views: str) -> np.ndarray:
    if views == "plain":
        return network.forward(x)
    both = 0.5 * (network.forward(x) + network.forward(np.ascontiguousarray(x[:, :, ::-1])))
    if views == "flip":
        return both
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [_output(network, padded[:, at : at + height, at : at + width], "flip") for at in (0, 2)]
    return 0.5 * both + 0.25 * (shifted[0] + shifted[1])
