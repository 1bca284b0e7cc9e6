"""Conductance drift after programming, and its compensation by one number.

    g(t) = g(t0) (t / t0)^-nu,   nu ~ N( mean(x), sigma(x) ),   x = g / g_max

Structural relaxation of the amorphous phase; exponents fitted per cell by Nandakumar et al. (ICECS 2019).
A chip undoes the mean of it with a global scale: it reads known inputs after programming and again later,
and multiplies outputs by sum |y(t0)| / sum |y(t)| (Joshi et al., Nat. Commun. 11:2473, 2020).  What differs
from cell to cell stays.
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.laws import of_state
from dbpsim.devices.schema import Device


def drift_exponent(g: np.ndarray, device: Device, random: np.random.Generator) -> np.ndarray:
    """Return each cell's own exponent nu, drawn for conductances `g` (S) measured at t0."""
    if device.drift is None:
        return np.zeros_like(g)
    x = g / device.conductance.g_max_S
    z = random.standard_normal(g.shape, np.float32)
    return (of_state(x, device.drift.nu_mean) + of_state(x, device.drift.nu_sigma) * z).astype(g.dtype, copy=False)


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


def global_scale(reference: np.ndarray, now: np.ndarray) -> float:
    """Return the factor that brings outputs `now` back to the size of the `reference` outputs for the same inputs.

    Raises
    ------
    ValueError
        If nothing is left to scale.

    Examples
    --------
    >>> global_scale(np.array([2.0, -4.0]), np.array([1.0, -2.0]))
    2.0
    """
    left = float(np.abs(now).sum())
    if not left:
        raise ValueError("global_scale: found outputs that are all zero; accepted: a read that gives current.")
    return float(np.abs(reference).sum()) / left
