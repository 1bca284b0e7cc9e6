"""Whole recipes: what makes a network of this package learn well, under one name.

*fast* is for `vgg9_fast` and a few ten epochs, after Jordan 2024 (arXiv:2404.00498) and his later version with Muon
(github.com/KellerJordan/cifar10-airbench, airbench94_muon): a first convolution whitened from data, whose weights stay and
whose bias learns for three epochs; Muon for the other filters, Nesterov's momentum for biases and head; all rates fall
linearly to zero; smoothed labels, reflected shifts, alternating flips.  His rates are those of a loss
summed over the batch and of a head divided by its number of inputs; ours are of the mean and of the plain head: times the
batch, and by the inputs squared.  Ours whitens 3x3 patches along their twelve largest axes in place of all twelve axes of
2x2: where colour is stored coarsely, as in JPEG, half of the latter hold next to nothing, and the convolution costs the same.
His Muon turns filters by 0.24 rad a step for 200 steps; for the 1500 of thirty epochs that is far too hot, and ours turns them
by 0.07 (docs/training.md).  Thirty epochs also want more variety: shifts by four pixels in place of two, a square of 12 hidden.

*classic* is the long way round: plain stochastic gradient descent with momentum along half a cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbpsim.network.graph import Network
from dbpsim.network.losses import CrossEntropy
from dbpsim.network.whitening import whiten
from dbpsim.training.augmentation import Augmentation
from dbpsim.training.configuration import TrainingConfig
from dbpsim.training.datasets import Dataset
from dbpsim.training.groups import Group
from dbpsim.training.optimisers import SGD, Muon

_WHITENED_FROM = 5000  # images


def fast(
    network: Network, train_set: Dataset, *, label_smoothing: float = 0.2, filter_rate: float = 0.07, **changes: Any
) -> TrainingConfig:
    """Prepare a `vgg9_fast` for training on `train_set`, and return the settings.

    Sets the first convolution and the network's loss.  `changes` are fields of `TrainingConfig`.  `filter_rate` is Muon's,
    the angle in radians by which a step may turn a filter.

    Raises
    ------
    ValueError
        For a network without the stages that the recipe speaks of.
    """
    missing = {"whiten.weight", "head.weight"} - network.parameters.keys()
    if missing:
        raise ValueError(f"recipe fast: found model {network.name}; accepted: vgg9_fast.")
    network.loss = CrossEntropy(label_smoothing)
    seed = changes.get("seed", 0)
    images, _ = next(train_set.batches(min(_WHITENED_FROM, len(train_set)), seed=seed, dtype=network.dtype))
    whiten(network, images, size=3)
    epochs, batch = changes.get("epochs", 30), changes.get("batch", min(1000, len(train_set)))
    decay = 2e-6 * batch  # of a step at the peak rate
    bias_rate = 0.053 * batch
    head_rate = 0.67 * batch / network.parameters["head.weight"].shape[1] ** 2
    biases = SGD(0.85, decay / bias_rate, decays_vectors=True)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "micro_batch": 250 if batch % 250 == 0 else None,
        "rate": head_rate,
        "momentum": 0.85,
        "weight_decay": decay / head_rate,
        "groups": (
            Group("whiten.weight", 0.0),
            Group("whiten.bias", bias_rate, biases, epochs=min(3, epochs)),
            Group("*.shift", bias_rate, biases),
            Group("conv*.weight", filter_rate, Muon(0.6)),
        ),
        "schedule": "linear",
        "augment": Augmentation("alternating", 4, cutout=12),
        "views": "flip-shift",
    }
    return TrainingConfig(**settings | changes)


def classic(network: Network, train_set: Dataset, *, label_smoothing: float = 0.0, **changes: Any) -> TrainingConfig:
    """Return the settings of a long training by momentum; sets the network's loss."""
    network.loss = CrossEntropy(label_smoothing)
    settings: dict[str, Any] = {
        "epochs": 100,
        "batch": min(128, len(train_set)),
        "rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "warm_up": min(1.0, changes.get("epochs", 100)),
        "augment": Augmentation("random", 4),
        "views": "flip",
    }
    return TrainingConfig(**settings | changes)


RECIPES: dict[str, Callable[..., TrainingConfig]] = {"fast": fast, "classic": classic}
