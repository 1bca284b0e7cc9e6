"""The largest of many correlated normal numbers, and moments of what activations make of them.

A neuron's input at position p is u = mu + sigma_p (sqrt(r) z + sqrt(1 - r) e_p) with z its own (one a channel), e_p one a position.
Given z the positions are independent, so over C channels

    P(all |g(u)| <= g(t)) = [ integral phi(z) prod_p (1 - share + share F_p(t | z)) dz ]^C

where a share of the numbers is other than zero (a gate) and F_p is one-sided (a rectifier's output, g rising) or two-sided.
`inverse_square` is E[1 / max^2], `moments` E[g], E[g^2] and E[g(p) g(p')] of the largest of k positions (pooling).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

_Z, _W = np.polynomial.hermite_e.hermegauss(16)
_W = _W / _W.sum()
_EACH = (np.arange(256) + 0.5) / 256
_T = np.concatenate([np.linspace(0.02, 1.5, 24), np.linspace(1.6, 6.5, 50)])  # in units of the largest sigma
Function = Callable[[np.ndarray], np.ndarray]


def inverse_square(
    channels: float, variance: np.ndarray, correlation: float, *, mean: float = 0.0, share: float = 1.0, two_sided: bool = True,
    function: Function = np.positive,
) -> float:  # fmt: skip
    """Return E[1 / largest^2] over `channels` of one number a position.

    Parameters
    ----------
    channels : float
    variance : array
        Of each position.
    correlation : float
        r above, between two positions of a channel.
    mean, share, two_sided, function
        mu, the share of numbers other than zero, whether large negative numbers count too, and g.

    Examples
    --------
    >>> one = inverse_square(1000.0, np.ones(1), 0.0)  # of a thousand numbers the largest is about 3.4
    >>> round(one ** -0.5, 2)
    3.4
    """
    sigma, count = _levels(np.sqrt(variance))
    if not sigma.size:
        return 0.0
    t = _T * (sigma.max() + abs(mean))
    common, own = np.sqrt(max(correlation, 0.0)), np.sqrt(max(1 - correlation, 1e-6))
    spread, centre = sigma * own, mean + np.outer(_Z * common, sigma)
    below = ndtr((t[:, None, None] - centre) / spread)
    if two_sided:
        below -= ndtr((-t[:, None, None] - centre) / spread)
    inside = np.log(np.maximum(1 - share + share * below, 1e-300)) @ count
    largest = np.log(np.maximum(np.exp(inside) @ _W, 1e-300)) * channels
    distribution = np.exp(largest)
    weight = np.diff(distribution, prepend=0.0)
    size = np.abs(function(np.concatenate([t[:1], 0.5 * (t[1:] + t[:-1])])))
    inverse = np.divide(1.0, size**2, out=np.zeros_like(size), where=size > 0)
    total = weight.sum()
    return float(weight @ inverse / total) if total > 0 else 0.0


def _levels(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # At most eight sizes of sigma and how many positions have each: edges of an image differ from its middle.
    sigma = sigma[sigma > 0].ravel()
    if not sigma.size:
        return sigma, sigma
    low, high = float(sigma.min()), float(sigma.max())
    if high - low < 1e-3 * high:
        return np.array([sigma.mean()]), np.array([float(sigma.size)])
    which = np.minimum(((sigma - low) * (8 / (high - low))).astype(int), 7)
    count = np.bincount(which, minlength=8).astype(float)
    total = np.bincount(which, sigma, minlength=8)
    return total[count > 0] / count[count > 0], count[count > 0]


@dataclass(frozen=True)
class Moments:
    """Of a = g(u): mean, second moment, cross moment of two positions of a channel; and of the gate g'."""

    mean: float
    square: float
    cross: float
    gate: float
    gate_cross: float
    values: np.ndarray


def moments(variance: float, correlation: float, mean: float, function: Function, slope: Function, of: int = 1) -> Moments:
    """Return the moments of the largest of `of` positions.

    Examples
    --------
    >>> relu = moments(1.0, 0.0, 0.0, lambda u: np.maximum(u, 0), lambda u: (u > 0) * 1.0)
    >>> round(relu.square, 2), round(relu.cross, 3), relu.gate  # 1/2, 1/(2 pi), 1/2
    (0.5, 0.159, 0.5)
    """
    common, own = np.sqrt(max(correlation, 0.0)), np.sqrt(max(1 - correlation, 0.0))
    u = mean + np.sqrt(variance) * (np.outer(_Z * common, np.ones(256)) + own * ndtri(_EACH ** (1 / of)))
    a, d = function(u), slope(u)
    at, gates = a.mean(axis=1), d.mean(axis=1)
    return Moments(
        float(_W @ at), float(_W @ np.square(a).mean(axis=1)), float(_W @ at**2),
        float(_W @ np.square(d).mean(axis=1)), float(_W @ gates**2), a,
    )  # fmt: skip
