"""Read noise: how far two reads of one cell lie apart.

    1/f     sigma(g) = g Q(g) sqrt( ln( (t_observe + t_read) / (2 t_read) ) )
            Q = min( q_scale (g / g_max)^-q_exponent, q_limit ), or a law of the state
    white   sigma(g)^2 = floor^2 + (share g)^2 + (plateau (1 - exp(-g / knee)))^2

The first is 1/f noise integrated from 1/t_observe to the bandwidth of a read (Nandakumar et al., ICECS 2019); the
saturating white part is what Agrawal et al. (IEDM 2022, Fig. 11b) saw on SONOS.

Two reads t_between apart share what is slower than 1/t_between and differ by what is faster.  The integral splits there,

    frozen  g Q sqrt( ln( (t_observe + t_read) / (t_between + t_read) ) )
    fresh   g Q sqrt( ln( (t_between + t_read) / (2 t_read) ) )       (and all of the white noise)

and the squares add up to the whole.  Cutting at f = 1/t_between is a choice: the true correlation of 1/f noise falls
as a logarithm, not as a step (ours).
"""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np

from dbpsim.devices.effects import ReadNoise
from dbpsim.devices.laws import of_state, saturating
from dbpsim.devices.schema import Device


def read_sigma(g: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the standard deviation of one read of conductance `g`, both in S: everything that is Gaussian.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> round(float(read_sigma(25e-6, load_device("pcm"))) / 25e-6, 4)  # a share of g
    0.0335
    """
    noise = device.read_noise
    if noise is None:
        return np.zeros_like(np.asarray(g))
    slow = noise.t_read_s or 0.0  # as if the last read was this one: nothing is fresh but the white noise
    return _together(*read_sigmas(g, device, slow))


def read_sigmas(g: np.ndarray | float, device: Device, t_between_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviations (S) of the parts of a read that are (frozen, fresh) between reads `t_between_s` apart.

    Parameters
    ----------
    g : array (S)
    device : Device
    t_between_s : float
        Below the device's t_read all of the 1/f noise is frozen; beyond its t_observe all is fresh.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> frozen, fresh = read_sigmas(25e-6, load_device("pcm"), 1e-7)  # a clock of 100 ns: the cell stands still
    >>> round(float(frozen) / 25e-6, 4), float(fresh)
    (0.0335, 0.0)
    """
    g = np.asarray(g)
    if device.read_noise is None:
        return np.zeros_like(g), np.zeros_like(g)
    return sigmas_by(device.read_noise, g, device, t_between_s)


@singledispatch
def sigmas_by(noise: ReadNoise, g: np.ndarray, device: Device, t_between_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what `noise` gives, as `read_sigmas` documents it; register a function for a law of your own."""
    white = _white_sigma(g, noise)
    if noise.t_read_s is None or noise.t_observe_s is None:
        return np.zeros_like(g), white
    between = min(max(t_between_s, noise.t_read_s), noise.t_observe_s)
    density = g * _q(g / device.conductance.g_max_S, noise)
    frozen = math.sqrt(math.log((noise.t_observe_s + noise.t_read_s) / (between + noise.t_read_s)))
    fresh = math.sqrt(math.log((between + noise.t_read_s) / (2 * noise.t_read_s)))
    return density * frozen, _together(density * fresh, white)


def _q(x: np.ndarray, noise: ReadNoise) -> np.ndarray:
    if noise.q is not None:
        return of_state(x, noise.q)
    assert noise.q_scale is not None
    # g Q -> 0 with g, whatever Q does there
    q = noise.q_scale * np.maximum(x, 1e-12) ** -noise.q_exponent
    return q if noise.q_limit is None else np.minimum(q, noise.q_limit)


def _white_sigma(g: np.ndarray, noise: ReadNoise) -> np.ndarray:
    sigma = _together(np.full_like(g, noise.white_floor_S), noise.white_share * g)
    if noise.white_plateau_S is None or noise.white_knee_S is None:
        return sigma
    return _together(sigma, saturating(g, noise.white_plateau_S, noise.white_knee_S))


def _together(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # The root of the sum of squares, and no arithmetic where one of the two is absent.
    if not a.any():
        return b
    return np.hypot(a, b) if b.any() else a
