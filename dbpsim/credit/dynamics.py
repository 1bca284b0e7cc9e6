"""The doubled state and how one clock moves it.

Each neuron has two compartments, x and z.  Their difference s = x - z (the *stress*) carries the loss
gradient; the activation m is their mean (``coupling="midpoint"``) or z itself (``coupling="split"``).
With the forward drive f = f(m) and the feedback b = J_f(m)^T s + gamma grad C(m),

    midpoint    dx/dt = -x + f + b/2     dz/dt = -z + f - b/2     =>   dm/dt = -m + f    ds/dt = -s + b
    split       dx/dt = -x + f + b       dz/dt = -z + f           =>   dz/dt = -z + f    ds/dt = -s + b

(arXiv:2602.02281; the split's equations are ours: the digest names it without giving any).  One clock of
rate eta is an Euler step, written as the blend (1 - eta) v + eta target: at eta = 1 the new value *is* the target,
which is why a unit-step relaxation can equal backpropagation bit for bit.

The same motion is held in two coordinates.  (x, z) is what the hardware's capacitors hold; in floating point
s is then a difference of two nearly equal numbers and loses digits.  (m, s) loses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import prange

from dbpsim.kernels.memory import empty
from dbpsim.kernels.policy import parallel_kernel

COUPLINGS = ("midpoint", "split")
COORDINATES = ("xz", "ms")

_BLOCK = 1 << 14  # elements whose squares one thread adds up; fixed, so that sums do not depend on the thread count


@dataclass(frozen=True)
class Coordinates:
    """Which pair of numbers a neuron holds, and how activation and stress are read from it.

    Parameters
    ----------
    held : {"xz", "ms"}
    coupling : {"midpoint", "split"}
    """

    held: str
    coupling: str

    def __post_init__(self) -> None:
        if self.held not in COORDINATES:
            raise ValueError(f"coordinates: found {self.held!r}; accepted: {', '.join(COORDINATES)}.")
        if self.coupling not in COUPLINGS:
            raise ValueError(f"coupling: found {self.coupling!r}; accepted: {', '.join(COUPLINGS)}.")

    @property
    def share(self) -> float:
        """The share of the stress that sits in x: x = m + share s, z = m - (1 - share) s."""
        return 0.5 if self.coupling == "midpoint" else 1.0

    def pair(self, m: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the neuron holds for activation `m` and stress `s`."""
        if self.held == "ms":
            return m, s
        return to_xz(m, s, self.share)

    def read(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (m, s) of what the neuron holds."""
        if self.held == "ms":
            return first, second
        s = first - second
        return (0.5 * (first + second) if self.coupling == "midpoint" else second), s

    def read_all(
        self, held: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return m and s of every stage."""
        pairs = {name: self.read(*pair) for name, pair in held.items()}
        return {name: m for name, (m, _) in pairs.items()}, {name: s for name, (_, s) in pairs.items()}


@parallel_kernel
def _blend(v, target, keep, eta, out, changes):
    for block in prange(len(changes)):
        change = 0.0
        size = 0.0
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, v.size)):
            difference = np.float64(target[i] - v[i])
            change += difference * difference
            size += np.float64(target[i]) * np.float64(target[i])
            out[i] = keep * v[i] + eta * target[i]
        changes[block, 0] = change
        changes[block, 1] = size


@parallel_kernel
def _combine(m, s, share, out):
    for i in prange(m.size):
        out[i] = m[i] + share * s[i]


@parallel_kernel
def _through_xz(m, s, share, rest, out):
    for i in prange(m.size):
        out[i] = (m[i] + share * s[i]) - (m[i] - rest * s[i])


def stress_through_xz(m: np.ndarray, s: np.ndarray, share: float) -> np.ndarray:
    """Return the stress that a neuron holding x and z shows after taking on (m, s): `s`, with the rounding of x - z.

    Examples
    --------
    >>> m, s = np.float32([1.0]), np.float32([1e-4])
    >>> float(stress_through_xz(m, s, 0.5)[0] - s[0]) != 0.0
    True
    """
    out = empty(m.shape, m.dtype)
    kind = m.dtype.type
    _through_xz(m.reshape(-1), s.reshape(-1), kind(share), kind(1.0 - share), out.reshape(-1))
    return out


def to_xz(m: np.ndarray, s: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, z) = (m + share s, m - (1 - share) s); z is `m` itself where share = 1."""
    x = empty(m.shape, m.dtype)
    _combine(m.reshape(-1), s.reshape(-1), m.dtype.type(share), x.reshape(-1))
    if share == 1.0:
        return x, m
    z = empty(m.shape, m.dtype)
    _combine(m.reshape(-1), s.reshape(-1), m.dtype.type(share - 1.0), z.reshape(-1))
    return x, z


def blend(v: np.ndarray, target: np.ndarray, eta: float) -> tuple[np.ndarray, float, float]:
    """Return one clock's new value, and the squared norms of target - v and of the target.

    Examples
    --------
    >>> blend(np.array([1.0, 2.0]), np.array([2.0, 2.0]), 0.5)
    (array([1.5, 2. ]), 1.0, 8.0)
    """
    out = empty(v.shape, v.dtype)
    norms = np.empty((max(1, -(-v.size // _BLOCK)), 2))
    kind = v.dtype.type
    _blend(v.reshape(-1), target.reshape(-1), kind(1.0 - eta), kind(eta), out.reshape(-1), norms)
    change, size = norms.sum(axis=0)
    return out, float(change), float(size)
