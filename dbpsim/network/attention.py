"""Self-attention over tokens, and the learned positions that go with it.

Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) of h heads of width e,

    P = softmax(Q K^T / sqrt(e))        y = P V

The projections that make (Q, K, V) are weights and live in a `Dense` layer in front, so that every
weight of a network sits in a `Dense` or a `Conv2d` and can be put on a crossbar.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dbpsim.network.layers import Layer, Shape


class Attention(Layer):
    """Scaled dot-product self-attention: tokens (T, 3 h e), holding Q, K, V, become (T, h e).

    Parameters
    ----------
    heads : int
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        if len(shape) != 2 or shape[1] % (3 * self.heads):
            raise ValueError(f"Attention expects (tokens, 3 x {self.heads} heads x width); found {shape}.")
        return (shape[0], shape[1] // 3)

    def _split(self, x: np.ndarray) -> np.ndarray:
        """Return views (3, N, heads, T, width) of x (N, T, 3 heads width)."""
        n, tokens, wide = x.shape
        return x.reshape(n, tokens, 3, self.heads, wide // (3 * self.heads)).transpose(2, 0, 3, 1, 4)

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        q, k, v = self._split(x)
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        scores -= scores.max(axis=-1, keepdims=True)
        p = np.exp(scores, out=scores)
        p /= p.sum(axis=-1, keepdims=True)
        y = (p @ v).transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], -1)
        return y, (x, p)

    def pullback(self, memory: Any, d: np.ndarray) -> np.ndarray:
        x, p = memory
        q, k, v = self._split(x)
        n, tokens, _ = d.shape
        dy = d.reshape(n, tokens, self.heads, -1).transpose(0, 2, 1, 3)
        dx = np.empty_like(x)
        dq, dk, dv = self._split(dx)
        dv[...] = p.swapaxes(-1, -2) @ dy
        dp = dy @ v.swapaxes(-1, -2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        ds /= math.sqrt(q.shape[-1])
        dq[...] = ds @ k
        dk[...] = ds.swapaxes(-1, -2) @ q
        return dx

    def _describe(self) -> str:
        return f"{self.heads} heads"


class Position(Layer):
    """y = x + p: a learned vector for every position."""

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        self.parameters = {"position": (0.02 * random.standard_normal(shape)).astype(dtype)}
        return shape

    def forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
        return x + self.parameters["position"], None

    def pullback(self, memory: None, d: np.ndarray) -> np.ndarray:
        return d

    def gradients(self, memory: None, d: np.ndarray) -> dict[str, np.ndarray]:
        return {"position": d.sum(axis=0)}
