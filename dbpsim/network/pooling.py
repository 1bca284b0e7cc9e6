"""Pooling: the largest or the mean of a window, or of the whole image.

The pullback of a maximum goes to the element that was largest (the first of equals); the one of a mean is spread evenly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dbpsim.kernels import pooling as kernels
from dbpsim.network.layers import Layer, Shape, pair


class _Window(Layer):
    def __init__(self, size: int | tuple[int, int] = 2, *, stride: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = pair("size", size, 1)
        self.stride = self.size if stride is None else pair("stride", stride, 1)

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"{type(self).__name__} expects (height, width, channels); found {shape}.")
        size = [(n - k) // s + 1 for n, k, s in zip(shape[:2], self.size, self.stride, strict=True)]
        if min(size) < 1:
            raise ValueError(f"{type(self).__name__}: a window of {self.size} does not fit into {shape[:2]}.")
        return (size[0], size[1], shape[2])

    def _describe(self) -> str:
        return f"{self.size}, stride={self.stride}"


class MaxPool(_Window):
    """The largest of each window, per channel.

    Parameters
    ----------
    size : int or (int, int)
    stride : int or (int, int), optional
        By default the size: windows that do not overlap.  What is left over at the edge is dropped.
    """

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        y, code = kernels.max_pool(x, self.size, self.stride)
        return y, (code, x.shape)

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        code, shape = memory
        return kernels.max_pool_pullback(d, code, shape, self.size, self.stride)


class AveragePool(_Window):
    """The mean of each window, per channel (parameters as `MaxPool`)."""

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        return kernels.average_pool(x, self.size, self.stride), x.shape

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        return kernels.average_pool_pullback(d, memory, self.size, self.stride)


class GlobalPool(Layer):
    """The mean or the maximum over all positions: (..., C) becomes (C,).

    Parameters
    ----------
    kind : {"average", "max"}
    """

    def __init__(self, kind: str = "average") -> None:
        super().__init__()
        if kind not in ("average", "max"):
            raise ValueError(f"GlobalPool: found {kind!r}; accepted: average, max.")
        self.kind = kind

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len(shape) < 2:
            raise ValueError(f"GlobalPool expects positions and channels; found {shape}.")
        return (shape[-1],)

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        flat = x.reshape(len(x), -1, x.shape[-1])
        if self.kind == "average":
            return flat.mean(axis=1, dtype=x.dtype), (x.shape, None)
        where = flat.argmax(axis=1)
        return np.take_along_axis(flat, where[:, None], axis=1)[:, 0], (x.shape, where)

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        shape, where = memory
        positions = int(np.prod(shape[1:-1]))
        if where is None:
            spread = np.repeat(d[:, None] / positions, positions, axis=1)
        else:
            spread = np.zeros((len(d), positions, d.shape[-1]), d.dtype)
            np.put_along_axis(spread, where[:, None], d[:, None], axis=1)
        return spread.reshape(shape)

    def _describe(self) -> str:
        return self.kind
