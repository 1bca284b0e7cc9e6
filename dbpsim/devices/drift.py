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


def global_scale(reference: np.ndarray | float, now: np.ndarray | float) -> np.ndarray:
    """Return the factors that bring outputs back to the size they had.

    Parameters
    ----------
    reference, now : arrays
        Summed magnitudes of the outputs for known inputs, soon after programming and now, one for each group of cells with a
        scale of its own.

    Returns
    -------
    array
        reference / now; 1 where nothing is left to scale.

    Examples
    --------
    >>> global_scale(np.array([6.0, 1.0]), np.array([3.0, 0.0])).tolist()
    [2.0, 1.0]
    """
    now = np.asarray(now)
    return np.divide(reference, now, out=np.ones_like(now, np.float64), where=now > 0)
