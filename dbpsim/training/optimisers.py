"""How a gradient becomes a change of the weights.

*SGD*: Nesterov's momentum in the form common in deep learning (Sutskever et al. 2013),

    g' = g + decay w        v <- mu v + g'        w <- w - rate (g' + mu v)

Weight decay acts on weights proper; biases, scales and shifts (one-dimensional parameters) are left out of it unless asked.

*Muon*: the same momentum, then every filter bank's step is brought near the closest semi-orthogonal matrix
(Jordan et al. 2024, kellerjordan.github.io/posts/muon): with G = g + mu v as a matrix of outputs x inputs,

    X_0 = G / |G|_F        X <- a X + b X X^T X + c (X X^T)^2 X      a few times        w <- w - rate X

Its singular values s go to near one, s <- a s + b s^3 + c s^5 with (a, b, c) = (3.4445, -4.7750, 2.0315), which rises as
steeply as it can at zero and ends between 0.7 and 1.2, not at one.  The size of the gradient does not enter.  Weights are
first brought back to the norm sqrt(outputs), a filter's mean norm 1: normalisation behind them makes their scale idle, and
without this the growing weights would turn slower and slower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dbpsim.kernels.descent import average_step, nesterov_step

Arrays = Mapping[str, np.ndarray]
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TINY = 1e-7  # keeps a matrix of zeros zero


@dataclass(frozen=True)
class SGD:
    """Nesterov momentum with weight decay.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    weight_decay : float
        Not negative.
    decays_vectors : bool
        Whether biases, scales and shifts decay too.

    Examples
    --------
    >>> w, v = {"a": np.array([[1.0]])}, {"a": np.array([[0.0]])}
    >>> SGD(momentum=0.5, weight_decay=0.0).step(w, {"a": np.array([[1.0]])}, v, 0.1)
    >>> w["a"].item(), v["a"].item()
    (0.85, 1.0)
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    decays_vectors: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: found {self.momentum}; accepted: [0, 1).")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay: found {self.weight_decay}; accepted: 0 or more.")

    def step(self, parameters: Arrays, gradients: Arrays, velocities: Arrays, rate: float) -> None:
        """Change `parameters` and `velocities` in place."""
        for name, w in parameters.items():
            kind = w.dtype.type
            decay = self.weight_decay if w.ndim > 1 or self.decays_vectors else 0.0
            g = np.ascontiguousarray(gradients[name])
            nesterov_step(
                w.reshape(-1), g.reshape(-1), velocities[name].reshape(-1), kind(rate), kind(self.momentum), kind(decay)
            )


@dataclass(frozen=True)
class Muon:
    """Momentum whose steps are nearly orthogonal matrices, for weights that are normalised behind.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    iterations : int
        Of the polynomial.

    Examples
    --------
    >>> w, v = {"a": np.eye(2)}, {"a": np.zeros((2, 2))}
    >>> Muon().step(w, {"a": np.array([[5.0, 0.0], [0.0, 1.0]])}, v, 0.1)
    >>> np.round(w["a"], 2).tolist()
    [[0.93, 0.0], [0.0, 0.92]]
    """

    momentum: float = 0.6
    iterations: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: found {self.momentum}; accepted: [0, 1).")
        if not (isinstance(self.iterations, int) and self.iterations >= 1):
            raise ValueError(f"iterations: found {self.iterations!r}; accepted: an integer, at least 1.")

    def step(self, parameters: Arrays, gradients: Arrays, velocities: Arrays, rate: float) -> None:
        """Change `parameters` (two or more axes each) and `velocities` in place."""
        for name, w in parameters.items():
            if w.ndim < 2:
                raise ValueError(f"{name}: found {w.ndim} axis; accepted by Muon: weights, as matrices or filters.")
            v, g = velocities[name], gradients[name]
            v *= self.momentum
            v += g
            outputs = w.shape[0] if w.ndim == 2 else w.shape[-1]  # (out, in), or (height, width, in, out)
            slope = (g + self.momentum * v).reshape(-1, w.shape[-1])
            w *= math.sqrt(outputs) / max(float(np.linalg.norm(w)), _TINY)
            w -= (rate * orthogonalised(slope, self.iterations)).reshape(w.shape)


def orthogonalised(matrix: np.ndarray, iterations: int = 3) -> np.ndarray:
    """Return a matrix of the same singular vectors whose singular values are near one, by Newton-Schulz iterations.

    Parameters
    ----------
    matrix : array, shape (M, N)
    iterations : int

    Examples
    --------
    >>> np.round(orthogonalised(np.diag([3.0, 1.0, 0.2]), 5).diagonal(), 2).tolist()
    [0.75, 1.13, 1.08]
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    x = tall / (float(np.linalg.norm(tall)) + _TINY)
    a, b, c = _QUINTIC
    for _ in range(iterations):
        square = x.T @ x
        x = a * x + x @ (b * square + c * (square @ square))
    return x if tall is matrix else x.T


def follow(averages: Arrays, values: Arrays, keep: float) -> None:
    """Move exponential averages towards `values` in place: average <- keep average + (1 - keep) value."""
    for name, w in values.items():
        kind = w.dtype.type
        average_step(averages[name].reshape(-1), w.reshape(-1), kind(keep), kind(1.0 - keep))


def rate_at(step: int, steps: int, *, peak: float, warm_up: int = 0, kind: str = "cosine") -> float:
    """Return the learning rate of step number `step` (from 0) out of `steps`.

    It rises linearly over the first `warm_up` steps and then falls to zero along half a cosine or a line, or stays.

    Examples
    --------
    >>> [round(rate_at(k, 4, peak=1.0, kind="linear"), 3) for k in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    done = (step - warm_up) / max(steps - warm_up, 1)
    if kind == "cosine":
        return peak * 0.5 * (1.0 + float(np.cos(np.pi * done)))
    if kind == "linear":
        return peak * (1.0 - done)
    if kind == "constant":
        return peak
    raise ValueError(f"schedule: found {kind!r}; accepted: cosine, linear, constant.")
