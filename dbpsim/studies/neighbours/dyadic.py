"""Dyadic relaxation (arXiv:2602.02281), midpoint coupling, unit clocks, a pair (x, z) a neuron.

    m = (x + z)/2      s = x - z      f_l = phi(u_l)      b_l = W_{l+1}^T phi'(u_{l+1}) s_{l+1},   b_L = gamma dC/da(m_L)
    x <- f + b/2       z <- f - b/2

Settled after 2 L clocks, exactly, whatever the gain gamma is.  dC/dW_l = phi'(u_l) s_l m_{l-1}^T / gamma.

The package has this for any network (`dbpsim.relax`); the few lines here are for a reading beside the others, and for noise.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dbpsim.studies.neighbours.chain import Chain, Layers
from dbpsim.studies.neighbours.settling import Arrays, Pair


class UnitClock:
    """Methods that renew both numbers at every clock."""

    def rate(self, chain: Chain, nudge: float) -> float:
        """Return 1."""
        return 1.0

    def before(self, chain: Chain, x: np.ndarray) -> int:
        """Return 0."""
        return 0


class FeedForward(UnitClock):
    """Methods whose target is backpropagation's gradient of the chain."""

    def exact(self, chain: Chain, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return backpropagation's gradient."""
        a = chain.sweep(x)
        u = chain.forward_reads(x, a)
        d = [np.zeros_like(each) for each in a]
        d[-1] = chain.pull(a[-1], y)
        for layer in range(len(chain) - 2, -1, -1):
            above = chain.gated(u, d)[layer + 1]
            d[layer] = above @ chain.weights[layer + 1]
        return chain.outer(chain.gated(u, d), a, x)

    def output(self, chain: Chain, x: np.ndarray) -> np.ndarray:
        """Return the output of a forward pass."""
        return chain.sweep(x)[-1]


class Dyadic(FeedForward):
    """Mean and difference of two compartments."""

    passes: ClassVar[int] = 1

    def start(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float) -> Pair:
        """Return zeros."""
        return zeros(chain, x), zeros(chain, x)

    def clock(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, now: Pair) -> Pair:
        """Take on f + b/2 and f - b/2."""
        m, s = _read(now)
        u = chain.forward_reads(x, m)
        f = chain.fired(u)
        b = chain.transposed_reads(chain.gated(u, s), nudge * chain.pull(m[-1], y))
        return [v + 0.5 * w for v, w in zip(f, b, strict=True)], [v - 0.5 * w for v, w in zip(f, b, strict=True)]

    def signal(self, chain: Chain, x: np.ndarray, now: Pair) -> Layers:
        """Return the stress s."""
        return _read(now)[1]

    def gradients(self, chain: Chain, x: np.ndarray, nudge: float, now: Pair) -> Arrays:
        """Read phi' s m^T / gamma."""
        m, s = _read(now)
        gated = chain.gated(chain.forward_reads(x, m), s)
        return chain.outer([d / nudge for d in gated], m, x)


def _read(now: Pair) -> Pair:
    pairs = list(zip(*now, strict=True))
    return [0.5 * (x + z) for x, z in pairs], [x - z for x, z in pairs]


def zeros(chain: Chain, x: np.ndarray) -> Layers:
    """Return a zero for every neuron and sample."""
    return [np.zeros((len(x), len(c))) for c in chain.biases]
