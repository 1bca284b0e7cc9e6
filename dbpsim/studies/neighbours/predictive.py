"""Predictive coding (Whittington and Bogacz 2017, doi 10.1162/NECO_a_00949), and two forms of it that are exact.

    F = 1/2 sum_l |e_l|^2 + beta C(v_L)      e_l = v_l - phi(u_l)      u_l = W_l v_{l-1} + c_l
    v_l <- v_l + rate (W_{l+1}^T phi'(u_{l+1}) e_{l+1} - e_l)          v_L <- v_L - rate (beta dC/dv + e_L)
    dC/dW_l = -phi'(u_l) e_l v_{l-1}^T / beta

The states start as the forward pass.  As beta goes to 0 the errors are backpropagation's (Millidge, Song, Salvatori, Lukasiewicz
and Bogacz 2022, arXiv:2206.02629), with a bias of first order in beta.  Three variants:

- `clamped` holds the output at a_L - beta dC/da instead, a_L the forward pass's: for half the squared error, beta = 1 is the
  target, as predictive coding is mostly used.  Predictions then move towards the output, and the errors stay others
  than backpropagation's however small beta is.
- `fixed` keeps predictions and slopes as the forward pass made them, and the output clamped: exact at any beta (Millidge,
  Tschantz and Buckley 2022, doi 10.1162/neco_a_01497).
- `zero_divergence` is Z-IL (Song et al. 2020, "Can the brain do backpropagation?", NeurIPS): clamped, at rate 1 the error of
  layer l is backpropagation's at clock L - l, the one at which it ceases to be zero; taken there, it is exact.

A neuron holds v alone: its error is what it sees at once.
The rate is 1 / ((1 + max |W|)^2 + beta), below two over the largest curvature of F at small errors (half the squared error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dbpsim.studies.neighbours.chain import Chain, Layers
from dbpsim.studies.neighbours.dyadic import FeedForward
from dbpsim.studies.neighbours.settling import Arrays, Pair


@dataclass(frozen=True)
class Predictive(FeedForward):
    """A value a neuron, and its distance from the prediction.

    Attributes
    ----------
    clamped : bool
        The output is held.
    fixed : bool
        The fixed-prediction assumption; its clocks have rate 1.
    """

    clamped: bool = False
    fixed: bool = False
    passes: ClassVar[int] = 1

    def start(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float) -> Pair:
        """Return the forward pass, its output displaced if it is clamped."""
        v = chain.sweep(x)
        return [*v[:-1], v[-1] - nudge * chain.pull(v[-1], y) if self.clamped else v[-1]], []

    def clock(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, now: Pair) -> Pair:
        """Move the values down the slope of F."""
        v, e = now[0], self.signal(chain, x, now)
        made = chain.sweep(x) if self.clamped else v
        gated = chain.gated(chain.forward_reads(x, made if self.fixed else v), e)
        pulled = chain.transposed_reads(gated, -nudge * chain.pull(made[-1], y))
        rate = self.rate(chain, nudge)
        moved = [value + rate * (b - d) for value, b, d in zip(v, pulled, e, strict=True)]
        return [*moved[:-1], made[-1] + pulled[-1] if self.clamped else moved[-1]], []

    def rate(self, chain: Chain, nudge: float) -> float:
        """Return a rate at which the values settle."""
        norms = [float(np.linalg.norm(w, 2)) for w in chain.weights[1:]]
        return 1.0 if self.fixed else 1.0 / ((1.0 + max(norms, default=0.0)) ** 2 + nudge)

    def before(self, chain: Chain, x: np.ndarray) -> int:
        """Return the clocks of a forward pass."""
        return len(chain)

    def signal(self, chain: Chain, x: np.ndarray, now: Pair) -> Layers:
        """Return the errors."""
        below = chain.sweep(x) if self.fixed else now[0]
        predicted = chain.fired(chain.forward_reads(x, below))
        return [value - p for value, p in zip(now[0], predicted, strict=True)]

    def gradients(self, chain: Chain, x: np.ndarray, nudge: float, now: Pair) -> Arrays:
        """Read phi' e v^T."""
        below = chain.sweep(x) if self.fixed else now[0]
        gated = chain.gated(chain.forward_reads(x, below), self.signal(chain, x, now))
        return chain.outer([-d / nudge for d in gated], below, x)


def zero_divergence(chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float = 1.0) -> Arrays:
    """Return the gradients of Z-IL: L - 1 clocks of rate 1, layer l read after L - l of them."""
    method = Predictive(clamped=True)
    now = method.start(chain, x, y, nudge)
    kept: Arrays = {}
    for layer in range(len(chain), 0, -1):
        found = method.gradients(chain, x, nudge, now)
        kept |= {name: found[name] for name in (f"dense{layer}.weight", f"dense{layer}.bias")}
        v, e = now[0], method.signal(chain, x, now)
        pulled = chain.transposed_reads(chain.gated(chain.forward_reads(x, v), e), e[-1])
        now = [value + b - d for value, b, d in zip(v, pulled, e, strict=True)], []
    return kept
