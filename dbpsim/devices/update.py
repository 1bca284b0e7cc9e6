"""Blind programming pulses: small changes to many cells, without a look at the result.

    pulses = trunc(wanted change / step),    change = pulses step + sqrt(|pulses|) step_sigma step z

The n pulses a cell gets in one write are summed in closed form: with independent steps of mean `step` and
standard deviation `step_sigma step` this is the distribution's exact mean and variance.  What is smaller
than a step waits in the controller's accumulator (mixed-precision training: Nandakumar et al., Front.
Neurosci. 14:406, 2020).
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.update_laws import Update


def whole_pulses(wanted: np.ndarray, update: Update) -> np.ndarray:
    """Return the signed number of pulses that a wanted change of conductance (S) is worth.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> whole_pulses(np.array([0.9e-9, -2.5e-9]), load_device("ecram").update).tolist()
    [0.0, -2.0]
    """
    # A belief is a multiple of the step up to rounding: a step short of one by rounding is one.
    return np.trunc(wanted / wanted.dtype.type(update.step_S) * wanted.dtype.type(1 + 1e-6))


def pulsed(
    g: np.ndarray, pulses: np.ndarray, update: Update, ceiling_S: float, random: np.random.Generator
) -> np.ndarray:
    """Return the conductances `g` (S) after `pulses` signed pulses each, kept in 0 to `ceiling_S`.

    A cell that gets no pulse stays as it is, also where programming has left it above the ceiling.
    """
    z = random.standard_normal(g.shape, np.float32)
    change = update.step_S * (pulses + np.sqrt(np.abs(pulses)) * update.step_sigma * z)
    return np.where(pulses == 0, g, np.clip(g + change, 0, ceiling_S)).astype(g.dtype)
