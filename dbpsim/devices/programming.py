"""Programming error: what write-verify leaves behind.

    g = max(0, g_target + sigma(g_target) z),   sigma(g) = sum_k c_k (g / g_max)^k,   z ~ N(0, 1)

Polynomials of this kind were fitted to phase-change arrays by Nandakumar et al. (ICECS 2019) and Joshi et al.
(Nat. Commun. 11:2473, 2020, Fig. 3b).  A conductance is never negative: the lower tail is cut at zero.
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.schema import Device


def programming_sigma(g: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the standard deviation of the programmed conductance around its target `g`, both in S.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> [round(float(programming_sigma(x * 25e-6, load_device("pcm"))) * 1e6, 3) for x in (0, 0.5, 1)]  # uS
    [0.264, 0.953, 1.055]
    """
    x = np.asarray(g) / device.conductance.g_max_S
    sigma = np.zeros_like(x)
    if device.programming is not None:
        for c in reversed(device.programming.coefficients_S):
            sigma = sigma * x + c
    return np.maximum(sigma, 0)


def program(target: np.ndarray, device: Device, random: np.random.Generator) -> np.ndarray:
    """Return the conductances that write-verify makes of `target` (S), a new array of its dtype."""
    if device.programming is None:
        return target.copy()
    z = random.standard_normal(target.shape, np.float32).astype(target.dtype, copy=False)
    z *= programming_sigma(target, device)
    z += target
    return np.maximum(z, 0, out=z)
