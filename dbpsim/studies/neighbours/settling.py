"""What the neighbours have in common: two numbers a neuron, moved by clocks at which every layer moves once.

A `Method` says where its pair of numbers starts, how a clock moves it, which part of it is the error signal and how the gradient
is read from it.  Here are the loop around that, noise on the two held numbers, and the nudge that gives a wanted signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from dbpsim.credit.fidelity import fidelity
from dbpsim.studies.neighbours.chain import Chain, Layers

Arrays = dict[str, np.ndarray]
Pair = tuple[Layers, Layers]
_LINEAR = 1e-3  # a nudge at which every signal is still proportional to it


class Method(Protocol):
    """A way to a gradient.  `nudge` is the strength of what pulls at the output: the cost gain of dyadic relaxation."""

    passes: ClassVar[int]  # reads of every array in both directions that a clock takes, in sequence where there is one array

    def start(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float) -> Pair:
        """Return the pair of numbers before the first clock."""

    def before(self, chain: Chain, x: np.ndarray) -> int:
        """Return the clocks that `start` takes."""

    def clock(self, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, now: Pair) -> Pair:
        """Return it one clock later."""

    def rate(self, chain: Chain, nudge: float) -> float:
        """Return the share of the first number that a clock renews."""

    def signal(self, chain: Chain, x: np.ndarray, now: Pair) -> Layers:
        """Return what carries the error, a layer at a time."""

    def gradients(self, chain: Chain, x: np.ndarray, nudge: float, now: Pair) -> Arrays:
        """Return dC/dtheta as the pair shows it."""

    def exact(self, chain: Chain, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return the gradient that it approximates, by other means."""

    def output(self, chain: Chain, x: np.ndarray) -> np.ndarray:
        """Return what the network that it trains answers."""


@dataclass(frozen=True)
class Settled:
    """Where a method came to rest; `settled` is False where `clocks` ran out or numbers did."""

    pair: Pair
    clocks: int
    settled: bool


def settle(
    method: Method, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, *,
    tolerance: float = 1e-10, most: int = 2000, watch: Callable[[int, Pair], None] | None = None,
) -> Settled:  # fmt: skip
    """Move until in every layer the signal changes by less than `tolerance` of itself a clock, and both numbers too."""
    with np.errstate(all="ignore"):
        now = method.start(chain, x, y, nudge)
        before = method.signal(chain, x, now)
        for count in range(1, most + 1):
            new = method.clock(chain, x, y, nudge, now)
            after = method.signal(chain, x, new)
            moved = max(map(_change, (*now[0], *now[1], *before), (*new[0], *new[1], *after)))
            now, before = new, after
            if watch is not None:
                watch(count, now)
            if not np.isfinite(moved):
                break
            if moved <= tolerance:
                return Settled(now, count, True)
    return Settled(now, count, False)


def _change(old: np.ndarray, new: np.ndarray) -> float:
    size = float(np.linalg.norm(new))
    return float(np.linalg.norm(new - old)) / size if size else float(np.linalg.norm(old))


def noisy(
    method: Method, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, *,
    clocks: int, noise: float, random: np.random.Generator,
) -> Pair:  # fmt: skip
    """Return the pair after `clocks`, normal noise on both numbers of every neuron at every clock.

    A number that is renewed by a share r gets sqrt(1 - (1 - r)^2) of it, so that each alone fluctuates by `noise` whatever r is.
    """
    kept = 1.0 - method.rate(chain, nudge)

    def disturbed(layers: Layers, deviation: float) -> Layers:
        return [each + deviation * random.standard_normal(each.shape) for each in layers] if deviation else layers

    with np.errstate(all="ignore"):
        now = method.start(chain, x, y, nudge)
        for _ in range(clocks):
            first, second = method.clock(chain, x, y, nudge, now)
            now = disturbed(first, noise * float(np.sqrt(1.0 - kept * kept))), disturbed(second, noise)
    return now


def clocks_within(method: Method, chain: Chain, x: np.ndarray, y: np.ndarray, nudge: float, tolerance: float, most: int) -> int:
    """Return after how many clocks the gradient stays within `tolerance` of the one it settles to, relative; `most` if never."""
    seen: list[Arrays] = []
    settle(method, chain, x, y, nudge, most=most, watch=lambda _, pair: seen.append(method.gradients(chain, x, nudge, pair)))
    for count in range(len(seen), 0, -1):
        if not fidelity(seen[count - 1], seen[-1]).whole.relative_error <= tolerance:
            return count + 1
    return 1


def strength(method: Method, chain: Chain, x: np.ndarray, now: Pair) -> float:
    """Return the root mean square of the error signal over all hidden neurons and samples."""
    hidden = method.signal(chain, x, now)[:-1]
    return float(np.sqrt(np.mean(np.concatenate([each.ravel() for each in hidden]) ** 2)))


def nudge_for(method: Method, chain: Chain, x: np.ndarray, y: np.ndarray, wanted: float) -> float:
    """Return the nudge at which the signal has the strength `wanted`, if it stays proportional to it."""
    small = settle(method, chain, x, y, _LINEAR, tolerance=1e-6)
    return wanted * _LINEAR / strength(method, chain, x, small.pair)
