"""Equilibrium propagation with centred nudging.

Scellier and Bengio 2017, doi 10.3389/fncom.2017.00024; the centred estimate, Laborieux et al. 2021,
doi 10.3389/fnins.2021.633674; the clocked form, Ernoult et al. 2019, arXiv:1905.13633.

The network is another one: every weight works in both directions, and feedback is part of the answer.

    E(s) = sum_l G(s_l) - sum_l s_l (W_l s_{l-1} + c_l),       G' = phi^-1;   G(s_L) = s_L^2 / 2
    s_l <- phi(W_l s_{l-1} + c_l + W_{l+1}^T s_{l+1})          s_L <- W_L s_{L-1} + c_L - beta dC/ds

settles where E + beta C is stationary.  Two phases, +beta and -beta, give

    dC/dW_l ~ -(s_l s_{l-1}^T at +beta  -  the same at -beta) / (2 beta),   bias of order beta^2

towards the gradient of C at the free equilibrium.  That one is had by the adjoint of the stationary point,
lambda_l = phi'(u_l) (W_l lambda_{l-1} + W_{l+1}^T lambda_{l+1} (+ dC/ds)), dC/dW_l = lambda_l s_{l-1}^T + s_l lambda_{l-1}^T.
A free phase (beta = 0) comes first and both others start from where it settled, so that they stay by the same equilibrium where
there are several.  Here they run side by side; on one array they run in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dbpsim.studies.neighbours.chain import Chain, Layers
from dbpsim.studies.neighbours.dyadic import UnitClock, zeros
from dbpsim.studies.neighbours.settling import Arrays, Pair

_MOST = 2000
_TOLERANCE = 1e-13


@dataclass(frozen=True)
class Equilibrium(UnitClock):
    """Two phases of one energy-based network.

    Attributes
    ----------
    tolerance : float
        The free phase is over when no state moves by more in a clock.
    """

    tolerance: float = _TOLERANCE

    passes: ClassVar[int] = 2

    def start(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float) -> Pair:
        """Return the free equilibrium, twice."""
        s = free(chain, x, self.tolerance).states
        return s, s

    def before(self, chain: Chain, x: np.ndarray) -> int:
        """Return the clocks of a free phase to 1e-4."""
        return free(chain, x, 1e-4).clocks

    def clock(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, now: Pair) -> Pair:
        """Move each phase."""
        up, down = (
            chain.fired(_drive(chain, x, s, -sign * nudge * chain.pull(s[-1], y)))
            for s, sign in zip(now, (1.0, -1.0), strict=True)
        )
        return up, down

    def signal(self, chain: Chain, x: np.ndarray, now: Pair) -> Layers:
        """Return the difference of the phases."""
        return [up - down for up, down in zip(*now, strict=True)]

    def gradients(self, chain: Chain, x: np.ndarray, nudge: float, now: Pair) -> Arrays:
        """Read the contrast of s s^T."""
        up, down = (chain.outer(s, s, x) for s in now)
        return {name: (down[name] - up[name]) / (2 * nudge) for name in up}

    def exact(self, chain: Chain, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return the gradient of C at the free equilibrium.

        Raises
        ------
        ValueError
            If the free phase or its adjoint does not settle.
        """
        found = free(chain, x)
        if not found.settled:
            raise ValueError(f"free phase: still moves after {found.clocks} clocks; accepted: weights for which it settles.")
        s = found.states
        u = _drive(chain, x, s, np.zeros_like(s[-1]))
        adjoint, pull = zeros(chain, x), chain.pull(s[-1], y)
        for _ in range(_MOST):
            # the reads of a linear chain: no input, no bias
            forward = [np.zeros_like(adjoint[0]), *(a @ w.T for w, a in zip(chain.weights[1:], adjoint[:-1], strict=True))]
            back = chain.transposed_reads(adjoint, pull)
            new = chain.gated(u, [f + b for f, b in zip(forward, back, strict=True)])
            moved = max(float(np.max(np.abs(n - a))) for n, a in zip(new, adjoint, strict=True))
            adjoint = new
            if moved <= _TOLERANCE:
                break
        else:
            raise ValueError(f"adjoint: still moves by {moved:.1e} after {_MOST} clocks; accepted: a stable free equilibrium.")
        one = chain.outer(adjoint, s, x)
        other = chain.outer(s, adjoint, np.zeros_like(x))
        return {name: value if name.endswith("bias") else value + other[name] for name, value in one.items()}

    def output(self, chain: Chain, x: np.ndarray) -> np.ndarray:
        """Return the output of the free equilibrium."""
        return free(chain, x, self.tolerance).states[-1]


def _drive(chain: Chain, x: np.ndarray, s: Layers, top: np.ndarray) -> Layers:
    return [f + b for f, b in zip(chain.forward_reads(x, s), chain.transposed_reads(s, top), strict=True)]


@dataclass(frozen=True)
class Free:
    """The free phase: its states, after so many clocks, and whether they had settled."""

    states: Layers
    clocks: int
    settled: bool


def free(chain: Chain, x: np.ndarray, tolerance: float = _TOLERANCE) -> Free:
    """Return the free phase from zero."""
    s = zeros(chain, x)
    for count in range(1, _MOST + 1):
        new = chain.fired(_drive(chain, x, s, np.zeros_like(s[-1])))
        moved = max(float(np.max(np.abs(n - a))) for n, a in zip(new, s, strict=True))
        s = new
        if moved <= tolerance:
            return Free(s, count, True)
        if not np.isfinite(moved):
            break
    return Free(s, _MOST, False)
