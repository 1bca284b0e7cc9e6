"""How long a relaxation takes, and when it is over.

The activation of stage l is a chain of l first-order lags, its stress one of 2L - l + 1.  For a linear
chain with unit weights the residual of the slowest stress after k clocks of rate eta is (theory, fact 3; ours)

    P[Binomial(k, eta) < 2L]                        clocked
    P[Poisson(t / tau) < 2L] = Q(2L, t / tau)       free-running, the limit eta -> 0 with t = k eta tau

`clocks_to` inverts the first.  Real weights and nonlinearities move these figures by a small factor, so a relaxation with
eta != 1 is watched: it is over when every stage is within a relative tolerance of its target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, gammainccinv, gammaln, logsumexp

STOPS = ("relative", "absolute")


def clocked_residual(clocks: int, eta: float, depth: int) -> float:
    """Return the residual of the slowest stress of a unit chain after `clocks` steps of rate `eta`.

    For eta above 1 the terms alternate; their absolute values are summed, which bounds the residual.

    Examples
    --------
    >>> clocked_residual(18, 1.0, 9), clocked_residual(17, 1.0, 9)
    (0.0, 1.0)
    """
    _check(eta, depth)
    if eta == 1.0:
        return float(clocks < 2 * depth)
    j = np.arange(min(2 * depth, clocks + 1))
    log_choose = gammaln(clocks + 1) - gammaln(j + 1) - gammaln(clocks - j + 1)
    return float(np.exp(logsumexp(log_choose + j * np.log(eta) + (clocks - j) * np.log(abs(1.0 - eta)))))


def continuous_residual(time: float, depth: int) -> float:
    """Return the same in continuous time, `time` in units of the compartment's time constant.

    Examples
    --------
    >>> round(continuous_residual(38.2, 9), 5)
    0.0001
    """
    return float(gammaincc(2 * depth, time))


def clocks_to(tolerance: float, eta: float, depth: int) -> int:
    """Return the number of clocks after which the residual is at most `tolerance`.

    Examples
    --------
    >>> [clocks_to(1e-4, eta, 9) for eta in (0.5, 0.75, 0.9, 0.95, 0.99, 0.9999)]
    [65, 38, 28, 25, 21, 19]
    """
    _check(eta, depth)
    if not tolerance > 0:
        raise ValueError(f"tolerance: found {tolerance}; accepted: a positive number.")
    high = 2 * depth
    while clocked_residual(high, eta, depth) > tolerance:
        high *= 2
        if high > 10_000_000:
            raise ValueError(f"eta: found {eta}; it would need more than ten million clocks.")
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if clocked_residual(middle, eta, depth) <= tolerance else (middle, high)
    return max(high, 2 * depth)


def time_to(tolerance: float, depth: int) -> float:
    """Return the time after which the free-running residual is `tolerance`, in units of tau: Q^-1(2L, tolerance).

    Examples
    --------
    >>> [round(time_to(eps, 9), 1) for eps in (1e-2, 1e-3, 1e-4, 1e-5)]
    [29.3, 34.0, 38.2, 42.1]
    """
    _check_depth(depth)
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance: found {tolerance}; accepted: between 0 and 1 (the residual starts at 1).")
    return float(gammainccinv(2 * depth, tolerance))


def clocked_latency(tolerance: float, eta: float, depth: int) -> float:
    """Return the time that `clocks_to` clocks of rate 0 < eta < 1 take, in units of tau: a period is -ln(1 - eta) (fact 2).

    Examples
    --------
    >>> [round(clocked_latency(1e-4, eta, 9)) for eta in (0.5, 0.75, 0.9, 0.95, 0.99, 0.9999)]
    [45, 53, 64, 75, 97, 175]
    """
    if not 0.0 < eta < 1.0:
        raise ValueError(f"eta: found {eta}; accepted: 0 < eta < 1 (an RC node reaches eta = 1 only after infinite time).")
    return -clocks_to(tolerance, eta, depth) * float(np.log1p(-eta))


def _check(eta: float, depth: int) -> None:
    if not 0.0 < eta < 2.0:
        raise ValueError(f"eta: found {eta}; accepted: 0 < eta < 2 (the leak itself is unstable outside).")
    _check_depth(depth)


def _check_depth(depth: int) -> None:
    if depth < 1:
        raise ValueError(f"depth: found {depth}; accepted: at least 1.")


@dataclass(frozen=True)
class StopTest:
    """When a relaxation is over.

    Parameters
    ----------
    kind : {"relative", "absolute"}
        "relative": in every stage, activation and stress are within `tolerance` of their target, relative to
        its norm.  "absolute": the paper's ||dx||^2 + ||dz||^2 < tolerance over all stages.  The second scales with eta^2, batch,
        width and loss, and fires while the first layer's small stress is still wrong (theory, fact 11).
    tolerance : float
    """

    kind: str
    tolerance: float

    def __post_init__(self) -> None:
        if self.kind not in STOPS:
            raise ValueError(f"stop: found {self.kind!r}; accepted: {', '.join(STOPS)}.")
        if not self.tolerance > 0:
            raise ValueError(f"eps: found {self.tolerance}; accepted: a positive number.")

    def met(self, residual: Mapping[str, float], squared_step: float) -> bool:
        """Return whether the relaxation is over."""
        if self.kind == "absolute":
            return squared_step < self.tolerance
        return max(residual.values()) <= self.tolerance


def relative(change: float, size: float) -> float:
    """Return sqrt(change / size) of two squared norms; 0 where both are 0."""
    if size > 0 or not np.isfinite(size):
        return float(np.sqrt(change / size))
    return 0.0 if change == 0 else np.inf
