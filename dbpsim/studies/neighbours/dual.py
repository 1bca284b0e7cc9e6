"""Dual propagation (Hoeier, Staudt and Zach 2023, arXiv:2302.01228), symmetric nudging (alpha = 1/2).

A neuron has two states whose mean drives the layer above and whose difference is the error:

    p_l, n_l = phi(u_l +- 1/2 W_{l+1}^T (p_{l+1} - n_{l+1}))      u_l = W_l (p_{l-1} + n_{l-1})/2 + c_l
    p_L, n_L = u_L -+ beta/2 dC/da                                at the mean output; a linearised nudge
    dC/dW_l  = -(p_l - n_l) (p_{l-1} + n_{l-1})^T / (2 beta)

The feedback passes *through* phi, where dyadic relaxation multiplies it by phi': a difference quotient for a derivative.
Its bias is of order beta^2 for a smooth phi.  The papers sweep through the layers; here all move at every clock.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dbpsim.studies.neighbours.chain import Chain, Layers
from dbpsim.studies.neighbours.dyadic import FeedForward, zeros
from dbpsim.studies.neighbours.settling import Arrays, Pair


class Dual(FeedForward):
    """Two states a neuron, nudged apart."""

    passes: ClassVar[int] = 1

    def start(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float) -> Pair:
        """Return zeros."""
        return zeros(chain, x), zeros(chain, x)

    def clock(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, now: Pair) -> Pair:
        """Take on phi(u + b/2) and phi(u - b/2)."""
        mean = _mean(now)
        u = chain.forward_reads(x, mean)
        b = chain.transposed_reads(self.signal(chain, x, now), -nudge * chain.pull(mean[-1], y))
        return (
            chain.fired([v + 0.5 * w for v, w in zip(u, b, strict=True)]),
            chain.fired([v - 0.5 * w for v, w in zip(u, b, strict=True)]),
        )

    def signal(self, chain: Chain, x: np.ndarray, now: Pair) -> Layers:
        """Return the difference of the two states."""
        return [p - n for p, n in zip(*now, strict=True)]

    def gradients(self, chain: Chain, x: np.ndarray, nudge: float, now: Pair) -> Arrays:
        """Read difference times mean below."""
        return chain.outer([-d / nudge for d in self.signal(chain, x, now)], _mean(now), x)


def _mean(now: Pair) -> Layers:
    return [0.5 * (p + n) for p, n in zip(*now, strict=True)]
