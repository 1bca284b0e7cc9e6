"""Accuracy on a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.network.graph import Network
from dbpsim.training.datasets import Dataset


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: share of right answers, mean loss, and on how many images."""

    accuracy: float
    loss: float
    images: int


def evaluate(network: Network, data: Dataset, *, batch: int = 500, flips: bool = False) -> Evaluation:
    """Return accuracy and loss of `network` on all of `data`.

    Parameters
    ----------
    network : Network
        Or a `Chip`, whose arrays are then read.
    data : Dataset
    batch : int
    flips : bool
        Average the outputs over each image and its mirror image.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> from dbpsim.training.datasets import load
    >>> _, test = load("digits", limit=50, image_shape=(8, 8, 1))
    >>> evaluate(mlp(64, 10, input_shape=(8, 8, 1)), test).images
    50
    """
    right, loss = 0, 0.0
    for x, y in data.batches(min(batch, len(data)), drop_last=False, dtype=network.dtype):
        output = network.forward(x)
        if flips:
            output = 0.5 * (output + network.forward(np.ascontiguousarray(x[:, :, ::-1])))
        right += int((output.argmax(axis=-1) == y).sum())
        loss += network.loss.value(output, y) * len(y)
    return Evaluation(right / len(data), loss / len(data), len(data))
