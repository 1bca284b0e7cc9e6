"""How a gradient becomes a change of the weights.

Stochastic gradient descent with Nesterov's momentum in the form common in deep learning (Sutskever et al. 2013),

    g' = g + decay w        v <- mu v + g'        w <- w - rate (g' + mu v)

Weight decay acts on weights proper; biases, scales and shifts (one-dimensional parameters) are left out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dbpsim.kernels.descent import average_step, nesterov_step

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SGD:
    """Nesterov momentum with weight decay.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    weight_decay : float
        Not negative.

    Examples
    --------
    >>> w, v = {"a": np.array([[1.0]])}, {"a": np.array([[0.0]])}
    >>> SGD(momentum=0.5, weight_decay=0.0).step(w, {"a": np.array([[1.0]])}, v, 0.1)
    >>> w["a"].item(), v["a"].item()
    (0.85, 1.0)
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: found {self.momentum}; accepted: [0, 1).")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay: found {self.weight_decay}; accepted: 0 or more.")

    def step(self, parameters: Arrays, gradients: Arrays, velocities: Arrays, rate: float) -> None:
        """Change `parameters` and `velocities` in place."""
        for name, w in parameters.items():
            kind = w.dtype.type
            decay = self.weight_decay if w.ndim > 1 else 0.0
            g = np.ascontiguousarray(gradients[name])
            nesterov_step(
                w.reshape(-1), g.reshape(-1), velocities[name].reshape(-1), kind(rate), kind(self.momentum), kind(decay)
            )


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
