"""How large numbers are beside the largest of them: correlated normal numbers, and what activations make of them.

A neuron's input at position p is u = mu + sigma_p (sqrt(r) z + sqrt(1 - r) e_p) with z its channel's own and e_p one a position.
Given z the positions are independent, so a channel stays below g(t) with probability

    H(t | z) = prod_p (1 - share + share F_p(t | z)),        F_p one-sided (g rises from zero) or two-sided

where a share of its numbers is other than zero (a gate), and as all C channels are alike

    E[ mean a^2 / max^2 ] = integral phi(z) E[a^2 | z] integral d[ H(t | z) H(t)^(C - 1) ] / g(t)^2 dz,    H(t) = E H(t | z)

(ours).  A single position a channel is its z: r = 1.  `moments` has E[g], E[g^2], E[g(p) g(p')] of the largest of k positions, as
pools take it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

_NODES = 41, 401  # of z: the trapezium rule is exact to many digits for what is smooth; a single position's H is a step
_EACH = (np.arange(128) + 0.5) / 128
_T = np.concatenate([np.linspace(0.02, 1.2, 12), np.linspace(1.3, 6.5, 44)])  # in units of the largest sigma
_X, _SHARE = np.polynomial.hermite_e.hermegauss(5)
_SHARE = _SHARE / _SHARE.sum()
Function = Callable[[np.ndarray], np.ndarray]


def _normal(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    # z and its weights.
    z = np.linspace(-5.0, 5.0, nodes)
    density = np.exp(-0.5 * z**2)
    return z, density / density.sum()


_Z, _W = _normal(_NODES[0])


def relative_square(
    channels: float, variance: np.ndarray, correlation: float, *, spread: float = 0.0, mean: float = 0.0, share: float = 1.0,
    of: int = 1, two_sided: bool = True, function: Function = np.positive,
) -> float:  # fmt: skip
    """Return E[mean of a^2 / largest a^2] over `channels` of one number a position.

    Parameters
    ----------
    channels : float
    variance : array
        Of u at each position.
    correlation : float
        r above, between two positions of a channel.
    spread : float
        Relative variance of `variance` from position to position, beyond what it says itself.
    mean, share, function, two_sided
        mu, the share of numbers other than zero, g, and whether large negative u count too.
    of : int
        Positions of u of which each number is the largest.

    Examples
    --------
    >>> round(relative_square(1000, np.ones(1), 0.0), 3)  # the largest of a thousand is about 3.4
    0.087
    >>> relative_square(1, np.ones(1), 0.0)  # a number beside itself
    1.0
    """
    sigma, count = _levels(np.sqrt(variance), spread)
    if not sigma.size:
        return 0.0
    single = np.size(variance) * of == 1
    r = 1.0 if single else correlation
    z, weight = _normal(_NODES[single])
    t = _T * (sigma.max() + abs(mean))
    inside = _inside(t, z, sigma, count * of, r, mean, 1.0 if single else share, two_sided)
    each = 1 - share + share * (weight @ inside) if single else weight @ inside
    size = np.abs(function(np.concatenate([t[:1], 0.5 * (t[1:] + t[:-1])])))
    inverse = np.divide(1.0, size**2, out=np.zeros_like(size), where=size > 0)
    below = np.diff(inside * each ** (channels - 1), axis=1, prepend=0.0)
    mean_sigma = float(np.sqrt((sigma**2 @ count) / count.sum()))
    square = np.square(function(_of_z(z, mean_sigma, r, mean, of))).mean(axis=1)
    return min(1.0, share * float((weight * square) @ (below @ inverse)))


def _inside(
    t: np.ndarray, z: np.ndarray, sigma: np.ndarray, count: np.ndarray, r: float, mean: float, share: float, two_sided: bool
) -> np.ndarray:
    # H(t | z), shape (z, t).
    spread, centre = sigma * np.sqrt(max(1 - r, 1e-6)), mean + np.outer(z * np.sqrt(max(r, 0.0)), sigma)
    below = ndtr((t[:, None] - centre[:, None]) / spread)
    if two_sided:
        below -= ndtr((-t[:, None] - centre[:, None]) / spread)
    return np.exp(np.log(np.maximum(1 - share + share * below, 1e-300)) @ count)


def _of_z(z: np.ndarray, sigma: float, r: float, mean: float, of: int) -> np.ndarray:
    # Numbers u of a channel, the largest of some, for each z: shape (z, 128).
    each = ndtri(_EACH ** (1 / of))
    return mean + sigma * (np.outer(z * np.sqrt(max(r, 0.0)), np.ones(each.size)) + np.sqrt(max(1 - r, 0.0)) * each)


def _levels(sigma: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray]:
    # A few sizes of sigma and how many positions have each: edges of an image differ from its middle, and places by chance.
    sigma, count = _sizes(sigma[sigma > 0].ravel())
    if spread < 1e-3 or count.sum() < 2:
        return sigma, count
    width = np.sqrt(np.log1p(spread))  # log-normal
    factor = np.exp(0.5 * (width * _X - 0.5 * width**2))
    return np.outer(sigma, factor).ravel(), np.outer(count, _SHARE).ravel()


def _sizes(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not sigma.size:
        return sigma, sigma
    low, high = float(sigma.min()), float(sigma.max())
    if high - low < 1e-3 * high:
        return np.array([sigma.mean()]), np.array([float(sigma.size)])
    which = np.minimum(((sigma - low) * (4 / (high - low))).astype(int), 3)
    count = np.bincount(which, minlength=4).astype(float)
    total = np.bincount(which, sigma, minlength=4)
    return total[count > 0] / count[count > 0], count[count > 0]


@dataclass(frozen=True)
class Moments:
    """Of a = g(u): mean, second moment, cross moment of two positions of a channel; and of the gate g'.

    `own` is the variance of a^2 within a channel, from position to position, over E[a^2]^2.
    """

    mean: float
    square: float
    cross: float
    gate: float
    gate_cross: float
    own: float
    values: np.ndarray


def moments(variance: float, correlation: float, mean: float, function: Function, slope: Function, of: int = 1) -> Moments:
    """Return the moments of the largest of `of` positions.

    Examples
    --------
    >>> relu = moments(1.0, 0.0, 0.0, lambda u: np.maximum(u, 0), lambda u: (u > 0) * 1.0)
    >>> round(relu.square, 2), round(relu.cross, 3), relu.gate  # 1/2, 1/(2 pi), 1/2
    (0.5, 0.159, 0.5)
    """
    u = _of_z(_Z, float(np.sqrt(variance)), correlation, mean, of)
    a, d = function(u), slope(u)
    at, gates = a.mean(axis=1), d.mean(axis=1)
    squares = np.square(a)
    square, own = float(_W @ squares.mean(axis=1)), float(_W @ squares.var(axis=1))
    return Moments(
        float(_W @ at), square, float(_W @ at**2), float(_W @ np.square(d).mean(axis=1)), float(_W @ gates**2),
        own / square**2 if square > 0 else 0.0, a,
    )  # fmt: skip
