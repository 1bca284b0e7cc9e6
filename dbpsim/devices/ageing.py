"""Everything that time does to a cell, in one call: drift, then retention, each cell along its own curve.

    g(t) = retained( drifted( g, nu, t ), z, t ),   nu and z drawn once a cell

The draws come from a stream that is started anew for every time, so nothing has to be kept: the same stream gives the
same cells, whatever times are asked for and in whatever order.
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.drift import drift_exponent, drifted
from dbpsim.devices.retention import retained
from dbpsim.devices.schema import Device


def ages(device: Device) -> bool:
    """Return whether time changes `device` at all."""
    return device.drift is not None or device.retention is not None


def aged(g: np.ndarray, time_s: float, device: Device, random: np.random.Generator) -> np.ndarray:
    """Return the conductances (S) `time_s` after they were programmed to `g` (S).

    Parameters
    ----------
    g : array (S)
        As programmed, not as left by an earlier call.
    time_s : float
        Since programming.
    device : Device
    random : Generator
        A new one from the cells' own stream, `dbpsim.kernels.random.stream(seed, "cells of ...")`, at every call.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> from dbpsim.kernels.random import stream
    >>> g, pcm = np.full(4, 2e-5), load_device("pcm")
    >>> day, week = (aged(g, t, pcm, stream(0, "cells")) for t in (86400.0, 7 * 86400.0))
    >>> bool((day < g).all()), bool((np.argsort(week) == np.argsort(day)).all())  # a fast cell stays a fast cell
    (True, True)
    """
    if not ages(device):
        return g
    nu = drift_exponent(g, device, random)
    z = random.standard_normal(g.shape, np.float32)
    return retained(drifted(g, nu, time_s, device), z, time_s, device)
