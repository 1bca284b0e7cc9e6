"""The fast recipe by PyTorch: what the same layers learn from the same images, for checking ours and for trying settings.

    python -m venv .venv-recipe && .venv-recipe/bin/pip install torch==2.13.0 .
    .venv-recipe/bin/python benchmarks/recipe_in_pytorch.py --data cifar10-jpeg.zip --filter-rate 0.08 --activation gelu

Images, augmentation and whitening filters are dbpsim's; network, gradient (autograd, bfloat16 products), Newton-Schulz and both
optimisers are written anew with PyTorch.  Initial weights and the order of images are its own, so runs are like ours, not ours.
With processors that multiply bfloat16 matrices (AMX) it takes half the time of float32; it is no measure of speed.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator

import dbpsim as dbp

# isort: split
import numpy as np

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError:
    print(f"skipped: this interpreter has no PyTorch.\n{__doc__}")
    raise SystemExit(0) from None

from dbpsim.network.whitening import whitening_filters
from dbpsim.training.augmentation import Augmentation
from dbpsim.training.datasets.dataset import standard_table

MICRO_BATCH = 250
WIDTHS = (64, 64, 256, 256, 256, 256, 256)
ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu}


class Vgg9Fast(nn.Module):
    """The layers of `dbpsim.models.vgg9_fast`, whitened."""

    def __init__(self, filters: np.ndarray, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.whiten = nn.Conv2d(3, 24, 3, padding=1)
        self.whiten.weight.data = torch.tensor(filters, dtype=torch.float32).permute(3, 2, 0, 1).contiguous()
        self.whiten.bias.data.zero_()
        self.convolutions, self.norms, channels = nn.ModuleList(), nn.ModuleList(), 24
        for width in WIDTHS:
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            nn.init.kaiming_uniform_(convolution.weight, a=math.sqrt(5))
            nn.init.dirac_(convolution.weight.data[:channels])
            self.convolutions.append(convolution)
            self.norms.append(nn.BatchNorm2d(width, momentum=0.1))
            self.norms[-1].weight.requires_grad = False
            channels = width
        self.head = nn.Linear(channels, 10, bias=False)
        nn.init.normal_(self.head.weight, std=1 / channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.whiten(x))
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolution(x)
            if number in (0, 2, 4):
                x = functional.max_pool2d(x, 2)
            x = self.activation(norm(x))
        return self.head(x.amax((2, 3)))


def outputs(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the logits, products in bfloat16."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network(x.contiguous(memory_format=torch.channels_last)).float()


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Return three Newton-Schulz iterations of `matrix`."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


@torch.no_grad()
def descend(network: nn.Module, velocity: dict[str, torch.Tensor], options: argparse.Namespace, done: float) -> None:
    """Take one step; `done` is the share of the training behind it."""
    decay = 2e-6 * options.batch
    for name, w in network.named_parameters():
        if w.grad is None or name == "whiten.weight":
            continue
        v = velocity[name]
        if name.startswith("convolutions"):
            v.mul_(0.6).add_(w.grad)
            w.mul_(math.sqrt(w.shape[0]) / w.norm())
            slope = (w.grad + 0.6 * v).reshape(w.shape[0], -1)
            w.sub_(options.filter_rate * (1 - done) * orthogonalised(slope).reshape(w.shape))
            continue
        peak = options.batch * (0.67 / WIDTHS[-1] ** 2 if name == "head.weight" else 0.053)
        share = max(0.0, 1 - done * options.epochs / 3) if name == "whiten.bias" else 1 - done
        if share:
            slope = w.grad + decay / peak * w
            v.mul_(0.85).add_(slope)
            w.sub_(peak * share * (slope + 0.85 * v))


def batches(train: dbp.datasets.Dataset, options: argparse.Namespace, epoch: int, order: np.ndarray) -> Iterator[tuple]:
    """Yield images (NCHW) and labels, augmented as in `epoch`."""
    augment = Augmentation("alternating", options.shift, "reflect", options.cutout)
    table = standard_table(train.mean, train.std, "float32")
    for start in range(0, len(order) - options.batch + 1, options.batch):
        index = order[start : start + options.batch]
        x = augment.gather(train.images, index, table, seed=options.seed, epoch=epoch)
        yield torch.from_numpy(x).permute(0, 3, 1, 2), torch.tensor(train.labels[index].astype(np.int64))


@torch.no_grad()
def accuracy(network: nn.Module, test: dbp.datasets.Dataset, *, six_views: bool) -> float:
    """Return the share of `test` that is right, plain or averaged over the six views of `dbpsim.evaluate`."""

    def both(x: torch.Tensor) -> torch.Tensor:
        return outputs(network, x) + outputs(network, x.flip(3))

    network.eval()
    right = 0
    for images, labels in test.batches(500, drop_last=False, dtype="float32"):
        x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        if six_views:
            padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
            out = 0.5 * both(x) + 0.25 * (both(padded[:, :, :32, :32]) + both(padded[:, :, 2:, 2:]))
        else:
            out = outputs(network, x)
        right += int((out.argmax(1).numpy() == labels).sum())
    network.train()
    return right / len(test)


def train(options: argparse.Namespace) -> None:
    """Train and print accuracies, epoch by epoch."""
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    train_set, test_set = dbp.datasets.load("cifar10", options.data)
    images, _ = next(train_set.batches(5000, seed=options.seed, dtype="float32"))
    network = Vgg9Fast(whitening_filters(images, size=3, axes=12), options.activation).to(memory_format=torch.channels_last)
    velocity = {name: torch.zeros_like(w) for name, w in network.named_parameters()}
    steps, step, start = len(train_set) // options.batch * options.epochs, 0, time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        right, total = 0, 0.0
        for x, y in batches(train_set, options, epoch, random.permutation(len(train_set))):
            network.zero_grad(set_to_none=True)
            for part, labels in zip(x.split(MICRO_BATCH), y.split(MICRO_BATCH), strict=True):
                out = outputs(network, part)
                loss = functional.cross_entropy(out, labels, label_smoothing=0.2)
                (loss * (len(labels) / options.batch)).backward()
                right += int((out.argmax(1) == labels).sum())
                total += loss.item() * len(labels)
            descend(network, velocity, options, step / steps)
            step += 1
        found = accuracy(network, test_set, six_views=False)
        seconds = time.perf_counter() - start
        loss_and_train = f"loss {total / len(train_set):.4f}, train {right / len(train_set):.2%}"
        print(f"epoch {epoch}: {loss_and_train}, test {found:.2%}, {seconds:.0f} s", flush=True)
    print(f"test, six views: {accuracy(network, test_set, six_views=True):.2%}")


def main(argv: list[str] | None = None) -> int:
    """Run; return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", help="archive or folder of CIFAR-10, as dbpsim reads it")
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--batch", type=int, default=1000)
    options.add_argument("--filter-rate", type=float, default=0.08)
    options.add_argument("--activation", choices=ACTIVATIONS, default="relu")
    options.add_argument("--shift", type=int, default=2)
    options.add_argument("--cutout", type=int, default=0)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args(argv)
    print(" ".join(f"{name}={value}" for name, value in vars(chosen).items() if name != "data"))
    train(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
