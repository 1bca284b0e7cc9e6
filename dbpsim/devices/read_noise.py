"""Read noise: how far two reads of one cell lie apart.

    sigma(g) = g Q sqrt( ln( (t_observe + t_read) / (2 t_read) ) )
    Q = min( q_scale (g / g_max)^-q_exponent, q_limit )

1/f noise integrated from 1/t_observe to the bandwidth of a read (Nandakumar et al., ICECS 2019).  Each read
draws it afresh and independently for each cell; the part slower than a read is thereby counted as if it
were fast.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.devices.schema import Device


def read_sigma(g: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the standard deviation of one read of conductance `g`, both in S.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> round(float(read_sigma(25e-6, load_device("pcm"))) / 25e-6, 4)  # a share of g
    0.0335
    """
    g = np.asarray(g)
    noise = device.read_noise
    if noise is None:
        return np.zeros_like(g)
    band = math.sqrt(math.log((noise.t_observe_s + noise.t_read_s) / (2 * noise.t_read_s)))
    relative = np.maximum(g / device.conductance.g_max_S, 1e-12)  # g Q -> 0 with g, whatever Q does there
    return g * np.minimum(noise.q_scale * relative**-noise.q_exponent, noise.q_limit) * band
