"""Batch and layer normalisation.

    y = scale (x - mean) / sqrt(variance + epsilon) + shift

Batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167) takes mean and variance over the batch and all
positions, one pair a channel; its adjoint with xhat = (x - mean) / sigma and the mean <.> over the same axes is

    dx = scale / sigma (d - <d> - xhat <d xhat>)

so gradients stay exact but the batch is coupled.  Running averages are not touched by `forward`: a
training step applies `statistics` once, after it has settled.  Layer norm (Ba et al. 2016,
arXiv:1607.06450) takes them over the last axis of every position.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dbpsim.kernels.memory import empty
from dbpsim.kernels.normalisation import channel_sums, combine
from dbpsim.network.layers import Layer, Shape


class BatchNorm(Layer):
    """Normalise every channel over the batch and all positions.

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    momentum : float
        Share of the old running average that a step keeps.
    scale : bool
        Whether there is a learned scale (a learned shift there always is).
    """

    def __init__(self, *, epsilon: float = 1e-5, momentum: float = 0.9, scale: bool = True) -> None:
        super().__init__()
        if not epsilon > 0 or not 0 <= momentum < 1:
            raise ValueError(f"BatchNorm: found epsilon={epsilon}, momentum={momentum}; accepted: > 0, [0, 1).")
        self.epsilon = epsilon
        self.momentum = momentum
        self.has_scale = scale

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        channels = shape[-1]
        if self.has_scale:
            self.parameters["scale"] = np.ones(channels, dtype)
        self.parameters["shift"] = np.zeros(channels, dtype)
        self.buffers = {"mean": np.zeros(channels, dtype), "variance": np.ones(channels, dtype)}
        return shape

    def _scale(self) -> np.ndarray | float:
        return self.parameters["scale"] if self.has_scale else 1.0

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        rows = x.reshape(-1, x.shape[-1])
        if training:
            # Sums about the running mean: no cancellation even where the mean is large.
            total, square = _shifted_sums(rows, self.buffers["mean"])
            mean = self.buffers["mean"] + total / len(rows)
            variance = np.maximum(square / len(rows) - (total / len(rows)) ** 2, 0.0)
        else:
            mean, variance = self.buffers["mean"].astype(float), self.buffers["variance"].astype(float)
        inverse = 1.0 / np.sqrt(variance + self.epsilon)
        alpha = self._scale() * inverse
        y = _affine(rows, alpha, self.parameters["shift"] - alpha * mean).reshape(x.shape)
        return y, (rows, mean, variance, inverse, training)

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        rows, mean, _, inverse, training = memory
        alpha = self._scale() * inverse
        flat = d.reshape(rows.shape)
        if not training:
            return _affine(flat, alpha, np.zeros_like(mean)).reshape(d.shape)
        total, projection = self._sums(memory, flat)
        beta = -alpha * inverse * projection / len(rows)
        gamma = -alpha * total / len(rows) - beta * mean
        alpha, beta, gamma = (np.asarray(c, d.dtype) for c in (alpha, beta, gamma))
        return combine(flat, rows, alpha, beta, gamma, empty(rows.shape, d.dtype)).reshape(d.shape)

    def gradients(self, memory: Any, d: np.ndarray) -> dict[str, np.ndarray]:
        total, projection = self._sums(memory, d.reshape(memory[0].shape))
        found = {"scale": projection, "shift": total} if self.has_scale else {"shift": total}
        return {name: value.astype(d.dtype) for name, value in found.items()}

    def _sums(self, memory: Any, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums of d and of d xhat, one a channel, float64."""
        rows, mean, _, inverse, _ = memory
        total, product = channel_sums(d, rows)
        return total, (product - mean * total) * inverse

    def statistics(self, memory: Any) -> dict[str, np.ndarray]:
        rows, mean, variance, _, training = memory
        if not training:
            return {}
        unbiased = variance * (len(rows) / max(len(rows) - 1, 1))
        return {
            name: (self.momentum * self.buffers[name] + (1 - self.momentum) * new).astype(rows.dtype)
            for name, new in (("mean", mean), ("variance", unbiased))
        }


class LayerNorm(Layer):
    """Normalise every position over its channels.

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    """

    def __init__(self, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        if not epsilon > 0:
            raise ValueError(f"LayerNorm: found epsilon={epsilon}; accepted: > 0.")
        self.epsilon = epsilon

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        self.parameters = {"scale": np.ones(shape[-1], dtype), "shift": np.zeros(shape[-1], dtype)}
        return shape

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        centred = x - x.mean(axis=-1, keepdims=True)
        inverse = 1.0 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.epsilon)
        normal = centred * inverse
        return normal * self.parameters["scale"] + self.parameters["shift"], (normal, inverse)

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        normal, inverse = memory
        e = d * self.parameters["scale"]
        e -= e.mean(axis=-1, keepdims=True) + normal * (e * normal).mean(axis=-1, keepdims=True)
        return e * inverse

    def gradients(self, memory: Any, d: np.ndarray) -> dict[str, np.ndarray]:
        normal, _ = memory
        axes = tuple(range(d.ndim - 1))
        return {"scale": (d * normal).sum(axis=axes), "shift": d.sum(axis=axes)}


def _affine(rows: np.ndarray, alpha: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    zero = np.zeros(rows.shape[1], rows.dtype)
    return combine(rows, rows, alpha.astype(rows.dtype), zero, gamma.astype(rows.dtype), empty(rows.shape, rows.dtype))


def _shifted_sums(rows: np.ndarray, about: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total, square = channel_sums(rows, rows)
    shift, n = about.astype(float), len(rows)
    return total - n * shift, square - 2.0 * shift * total + n * shift * shift
