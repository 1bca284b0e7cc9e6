"""Activations: elementwise nonlinearities and their derivatives D.

    relu      max(u, 0)                    D = [u > 0]
    tanh      tanh(u)                      D = 1 - a^2
    sigmoid   1 / (1 + exp(-u))            D = a (1 - a)
    gelu      u Phi(u)                     D = Phi(u) + u phi(u)       (see `dbpsim.kernels.gelu`)
    identity  u                            D = 1

Phi and phi are the normal distribution function and density.  Derivatives that can be had from the output a are,
so that the memory of a layer is an array that lives anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erf, expit

from dbpsim.kernels.gelu import gelu, gelu_pullback
from dbpsim.kernels.pooling import relu, relu_pullback
from dbpsim.network.layers import Layer, Shape

_Pair = tuple[np.ndarray, np.ndarray]


def _relu(u: np.ndarray) -> _Pair:
    a = relu(u)
    return a, a


def _tanh(u: np.ndarray) -> _Pair:
    a = np.tanh(u)
    return a, a


def _sigmoid(u: np.ndarray) -> _Pair:
    a = expit(u)
    return a, a


def _gelu(u: np.ndarray) -> _Pair:
    return (gelu(u) if u.dtype == np.float32 else u * _normal_cdf(u)), u


def _identity(u: np.ndarray) -> _Pair:
    return u, u


def _normal_cdf(u: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + erf(u * math.sqrt(0.5)))


def _gelu_pullback(d: np.ndarray, u: np.ndarray) -> np.ndarray:
    if u.dtype == np.float32 == d.dtype:
        return gelu_pullback(d, u)
    return d * (_normal_cdf(u) + u * np.exp(-0.5 * u * u) * (1.0 / math.sqrt(2.0 * math.pi)))


# name -> (u -> (a, memory), (d, memory) -> D d)
ACTIVATIONS: dict[str, tuple[Callable[[np.ndarray], _Pair], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "relu": (_relu, relu_pullback),
    "tanh": (_tanh, lambda d, a: d * (1.0 - a * a)),
    "sigmoid": (_sigmoid, lambda d, a: d * (a * (1.0 - a))),
    "gelu": (_gelu, _gelu_pullback),
    "identity": (_identity, lambda d, u: d),
}


class Activation(Layer):
    """y = f(x), elementwise.

    Parameters
    ----------
    kind : {"relu", "tanh", "sigmoid", "gelu", "identity"}
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in ACTIVATIONS:
            raise ValueError(f"Activation: found {kind!r}; accepted: {', '.join(ACTIVATIONS)}.")
        self.kind = kind
        self._forward, self._pullback = ACTIVATIONS[kind]

    def build(self, shape: Shape, dtype: np.dtype, random: np.random.Generator) -> Shape:
        return shape

    def forward(self, x: np.ndarray, training: bool) -> _Pair:
        return self._forward(x)

    def pullback(self, memory: np.ndarray, d: np.ndarray) -> np.ndarray:
        return self._pullback(d, memory)

    def _describe(self) -> str:
        return self.kind
