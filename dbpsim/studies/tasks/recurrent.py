"""A network that feeds itself: where dyadic relaxation converges, and to which gradient.

    m <- (1 - eta) m + eta f(W m + U x)          s <- (1 - eta) s + eta (J(m)^T s + grad C(m)),     J = diag(f') W

At the fixed point m* the stress is s* = (I - J^T)^-1 grad C, the adjoint of the implicit function theorem (Almeida 1987, Pineda
1987), and dC/dW = (f' s*) m*^T.  The clocks converge where every eigenvalue l of J has |1 - eta + eta l| < 1: at eta = 1 inside
the unit circle, for small eta wherever its real part is below 1.  W is Gaussian, scaled so that its spectral radius is `radius`
(theory.md, fact 8: true recurrence converges only where it is a contraction, and only asymptotically).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbpsim.kernels.random import stream
from dbpsim.studies.tasks.common import Common, Rows, Task

_FAR = 1e6  # a state this large has left


class RecurrentSettings(Common):
    """A row a relaxation."""

    model: str = "loop"
    activation: Literal["tanh", "relu"] = "tanh"
    width: int = 32
    radius: float = Field(default=0.9, gt=0)
    symmetric: bool = False
    eta: float = Field(default=1.0, gt=0, le=1)
    tolerance: float = Field(default=1e-8, gt=0)
    clocks: int = Field(default=2000, ge=1)


def _recurrent(given: RecurrentSettings, changes: Mapping[str, Any]) -> Rows:
    random = stream(given.seed, "study", "loop")
    weights = random.standard_normal((given.width, given.width)) / np.sqrt(given.width)
    if given.symmetric:
        weights = (weights + weights.T) / np.sqrt(2)
    weights *= given.radius / np.abs(np.linalg.eigvals(weights)).max()
    drive, target = random.standard_normal(given.width), random.standard_normal(given.width)
    m, s, clocks, settled = relaxed(weights, drive, target, given)
    row: dict[str, Any] = {"settled": int(settled), "clocks_taken": clocks, "relative_error": None, "jacobian_radius": None}
    if settled:
        _, slope = _activation(weights @ m + drive, given.activation)
        jacobian = slope[:, None] * weights
        adjoint = np.linalg.solve(np.eye(given.width) - jacobian.T, m - target)
        exact, found = (np.outer(slope * stress, m) for stress in (adjoint, s))
        row["relative_error"] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
        row["jacobian_radius"] = float(np.abs(np.linalg.eigvals(jacobian)).max())
    return [row]


def relaxed(
    weights: np.ndarray, drive: np.ndarray, target: np.ndarray, given: RecurrentSettings
) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """Return m and s, the clocks taken, and whether both came to rest; the loss is half the squared distance to `target`."""
    m, s, eta = np.zeros(len(drive)), np.zeros(len(drive)), given.eta
    for clock in range(1, given.clocks + 1):
        f, slope = _activation(weights @ m + drive, given.activation)
        b = weights.T @ (slope * s) + (m - target)
        residual = max(np.linalg.norm(f - m) / np.linalg.norm(f), np.linalg.norm(b - s) / np.linalg.norm(b))
        m, s = (1 - eta) * m + eta * f, (1 - eta) * s + eta * b
        if residual <= given.tolerance:
            return m, s, clock, True
        if not np.abs(s).max() < _FAR or not np.abs(m).max() < _FAR:
            break
    return m, s, clock, False


def _activation(u: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "tanh":
        f = np.tanh(u)
        return f, 1 - f * f
    return np.maximum(u, 0.0), (u > 0).astype(float)


RECURRENT = Task(RecurrentSettings, _recurrent)
