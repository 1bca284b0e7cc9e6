"""One split of a labelled image set, and the batches a network sees of it.

Bytes v become ``x = (v / 255 - mean) / std`` per channel, with the mean and standard deviation of the
*training* split, by one look-up per pixel (`dbpsim.kernels.augmentation`): the float32 value is the exact
one rounded once. The shuffled order of an epoch is the stream ("shuffle", epoch) of the run's seed and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dbpsim.kernels.random import stream
from dbpsim.training.augmentation import Augmentation

_AS_STORED = Augmentation(flip="none", shift=0)
_BLOCK = 1024


class DatasetError(ValueError):
    """A data set is missing, corrupt or not what it should be; the message says where, and what is."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with a label each.

    Parameters
    ----------
    images : ndarray, uint8, shape (N, H, W, C)
        Read-only, memory-mapped where the set comes from the cache.
    labels : ndarray, int64, shape (N,)
    classes : tuple of str
        ``classes[labels[i]]`` is what image i shows.
    name : str
        ``"cifar10"``, ``"digits"``, ``"fashion-mnist"``, ``"mnist"`` or ``"images"``.
    label : str
        What the set really is, for every output that reports a figure measured on it.
    split : {"train", "test"}
    source_sha256 : str
        Digest of the source: the archive, or all of a folder's files.
    mean, std : tuple of float
        Per channel of the training split, pixels in [0, 1].

    Examples
    --------
    >>> from dbpsim.training import datasets
    >>> train, test = datasets.load("digits")
    >>> train
    digits (embedded, 8x8 upsampled to 32x32), train: 1500 images of 32x32x3, 10 classes
    >>> x, y = train.batch(128)
    >>> x.shape, x.dtype, y.dtype
    ((128, 32, 32, 3), dtype('float32'), dtype('int64'))
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str
    label: str
    split: str
    source_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return f"{self.label}, {self.split}: {len(self)} images of {shape}, {len(self.classes)} classes"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def batch(
        self, size: int, index: int = 0, *, dtype: np.typing.DTypeLike = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return batch number `index` of the stored order, as it is: no shuffling, no augmentation.

        Returns
        -------
        x : ndarray, shape (size, H, W, C)
            Standardised images.
        y : ndarray, int64, shape (size,)

        Raises
        ------
        ValueError
            Where the split has no such batch.
        """
        if size < 1 or index < 0 or (index + 1) * size > len(self):
            whole = max(len(self) // size, 0) if size > 0 else 0
            raise ValueError(
                f"batch {index} of {size} images: {self.label}, {self.split}, has {len(self)} images, "
                f"which is {whole} such batches."
            )
        chosen = np.arange(index * size, (index + 1) * size)
        return self._standardised(chosen, _AS_STORED, 0, 0, dtype)

    def batches(
        self,
        size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        augment: Augmentation | None = None,
        drop_last: bool = True,
        dtype: np.typing.DTypeLike = np.float32,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over one epoch.

        Parameters
        ----------
        size : int
            Images per batch.
        seed : int, optional
            Seed of order and augmentation; None keeps the stored order.
        epoch : int
        augment : Augmentation, optional
        drop_last : bool
            Leave out the last batch where it is smaller than `size`.
        dtype : data type of x

        Yields
        ------
        x : ndarray, shape (B, H, W, C)
        y : ndarray, int64, shape (B,)

        Raises
        ------
        ValueError
            Where there would be no batch at all.
        """
        if size < 1 or (drop_last and size > len(self)):
            raise ValueError(
                f"batches of {size}: 1 to {len(self)} ({self.label}, {self.split}) are accepted."
            )
        order = (
            np.arange(len(self)) if seed is None else stream(seed, "shuffle", epoch).permutation(len(self))
        )
        stop = len(self) - len(self) % size if drop_last else len(self)
        augment = _AS_STORED if augment is None else augment
        chosen = (order[start : start + size] for start in range(0, stop, size))
        return (self._standardised(index, augment, seed or 0, epoch, dtype) for index in chosen)

    def reduced(self, limit: int, *, seed: int = 0) -> Dataset:
        """Return `limit` images drawn without replacement, in stored order; mean and std stay."""
        if limit < 1:
            raise ValueError(f"limit {limit}: 1 image or more is accepted.")
        if limit >= len(self):
            return self
        kept = np.sort(stream(seed, "limit", self.split).permutation(len(self))[:limit])
        label = f"{self.label}, {limit} of {len(self)} {self.split} images"
        return replace(
            self, images=read_only(self.images[kept]), labels=read_only(self.labels[kept]), label=label
        )

    def _standardised(
        self, index: np.ndarray, augment: Augmentation, seed: int, epoch: int, dtype: np.typing.DTypeLike
    ) -> tuple[np.ndarray, np.ndarray]:
        table = standard_table(self.mean, self.std, dtype)
        x = augment.gather(self.images, index, table, seed=seed, epoch=epoch)
        return x, self.labels[index]


def standard_table(mean: tuple[float, ...], std: tuple[float, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Return (v/255 - mean) / std for every byte v and channel, shape (C, 256).

    A channel that never varies has std 0 and is only centred.
    """
    centred = np.arange(256) / 255 - np.array(mean)[:, None]
    spread = np.array(std)[:, None]
    return (centred / np.where(spread > 0, spread, 1.0)).astype(dtype)


def moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of uint8 images (N, H, W, C), in [0, 1].

    Sums of bytes and their squares are whole numbers below 2^53: the order of summation does not matter.
    """
    channels = images.shape[3]
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK].reshape(-1, channels).astype(np.float64)
        total += block.sum(0)
        squares += (block**2).sum(0)
    count = images.size // channels
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a plain ndarray on the same data that cannot be written through."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view
