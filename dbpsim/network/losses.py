"""Losses C(m): the mean over the batch of a cost of the output stage's activation.

    cross entropy        C = -sum_k t_k log softmax(a)_k          dC/da = (softmax(a) - t) / N
    mean squared error   C = 1/2 sum_k (a_k - t_k)^2              dC/da = (a - t) / N

Targets t are one-hot vectors of the labels, smoothed to (1 - q) t + q / K where asked (Szegedy et al. 2016,
arXiv:1512.00567), or an array shaped like the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Loss(Protocol):
    """What a network asks of its loss."""

    def value(self, a: np.ndarray, y: np.ndarray) -> float:
        """Return C."""

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da."""


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy.

    Parameters
    ----------
    label_smoothing : float
        Share q of the target spread evenly over the classes, in [0, 1).

    Examples
    --------
    >>> round(CrossEntropy().value(np.zeros((1, 10)), np.array([3])), 4)
    2.3026
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing: found {self.label_smoothing}; accepted: [0, 1).")

    def value(self, a: np.ndarray, y: np.ndarray) -> float:
        """Return C, a float, for outputs `a` (N, K) and labels `y` (N,) or targets (N, K)."""
        t = targets(a, y, self.label_smoothing)
        shifted = (a - a.max(axis=-1, keepdims=True)).astype(float)
        log_partition = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return float((t * (log_partition - shifted)).sum() / len(a))

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, shape (N, K), the dtype of `a`."""
        p = np.exp(a - a.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        return (p - targets(a, y, self.label_smoothing)) / len(a)


@dataclass(frozen=True)
class MeanSquaredError:
    """Half the squared distance to the target, averaged over the batch.

    Examples
    --------
    >>> MeanSquaredError().value(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]))
    2.0
    """

    def value(self, a: np.ndarray, y: np.ndarray) -> float:
        """Return C, a float, for outputs `a` (N, ...) and targets of the same shape, or labels (N,)."""
        return float(0.5 * np.square((a - targets(a, y)).astype(float)).sum() / len(a))

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, the shape and dtype of `a`."""
        return (a - targets(a, y)) / len(a)


def targets(a: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return the target array for outputs `a`, shape and dtype of `a`, from labels or targets `y`.

    Raises
    ------
    ValueError
        If `y` is neither N labels in [0, K) nor an array of finite numbers shaped like `a`.
    """
    y = np.asarray(y)
    if y.shape == a.shape and not (a.ndim == 1 and y.dtype.kind in "iu"):
        t = y.astype(a.dtype)
        if not np.isfinite(t).all():
            raise ValueError("y: found nan or inf; accepted: finite numbers.")
    elif y.shape == (len(a),) and y.dtype.kind in "iu" and a.ndim == 2:
        if len(y) and not 0 <= y.min() <= y.max() < a.shape[1]:
            raise ValueError(f"labels: found {y.min()} to {y.max()}; accepted: 0 to {a.shape[1] - 1}.")
        t = np.zeros_like(a)
        t[np.arange(len(a)), y] = 1
    else:
        raise ValueError(f"y: found shape {y.shape} and type {y.dtype}; accepted: {len(a)} integer labels or {a.shape}.")
    return t if smoothing == 0 else t * (1 - smoothing) + smoothing / a.shape[-1]
