"""Conductance drift after programming.

    g(t) = g(t0) (t / t0)^-nu,   nu ~ N( mean(g), sigma(g) )
    mean, sigma = clip(slope ln(g / g_max) + offset, low, high)

Structural relaxation of the amorphous phase; exponents fitted per cell by Nandakumar et al. (ICECS 2019).
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.schema import Device, LogClip


def _clipped(law: LogClip, logarithm: np.ndarray) -> np.ndarray:
    return np.clip(law.slope * logarithm + law.offset, law.low, law.high)


def drift_exponent(g: np.ndarray, device: Device, random: np.random.Generator) -> np.ndarray:
    """Return each cell's own exponent nu, drawn for conductances `g` (S) measured at t0."""
    if device.drift is None:
        return np.zeros_like(g)
    logarithm = np.log(np.maximum(g / device.conductance.g_max_S, 1e-12))
    mean, sigma = _clipped(device.drift.nu_mean, logarithm), _clipped(device.drift.nu_sigma, logarithm)
    return mean + sigma * random.standard_normal(g.shape)


def drifted(g: np.ndarray, nu: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    """Return the conductances (S) at `time_s` after programming; before t0 they stand.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> after = drifted(np.array(1.0), np.array(0.05), 20e4, load_device("pcm"))  # four decades after t0
    >>> round(float(after), 4)
    0.631
    """
    if device.drift is None or time_s <= device.drift.t0_s:
        return g
    return g * (time_s / device.drift.t0_s) ** -nu
