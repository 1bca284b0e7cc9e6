"""Random telegraph noise: a single trap fills and empties, and the cell jumps between two conductances.

    g_seen = g (1 + amplitude (s - p)),   s in {0, 1},   p = P(s = 1) = t_high / (t_high + t_low)
    P(s(t) = 1 | s(0)) = p + (s(0) - p) exp(-t / tau),   1 / tau = 1 / t_high + 1 / t_low
    variance  amplitude^2 g^2 p (1 - p),   autocovariance  variance exp(-t / tau)

The two-state Markov process of Machlup (J. Appl. Phys. 25:341, 1954).  It is centred: on average over time
the cell shows what programming verified.  Only a share of the cells has a trap that is seen.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.devices.effects import RandomTelegraph
from dbpsim.devices.schema import Device

NO_TRAP = np.int8(-1)


def trap_states(shape: tuple[int, ...], noise: RandomTelegraph, random: np.random.Generator) -> np.ndarray:
    """Return each cell's trap at a random time: 1 high, 0 low, NO_TRAP where there is none; int8."""
    states = (random.random(shape, np.float32) < noise.share_high).astype(np.int8)
    if noise.share_of_cells < 1:
        states[random.random(shape, np.float32) >= noise.share_of_cells] = NO_TRAP
    return states


def trap_states_after(states: np.ndarray, elapsed_s: float, noise: RandomTelegraph, random: np.random.Generator) -> np.ndarray:
    """Return the traps `elapsed_s` later: exact for any interval, however many jumps it holds."""
    p, kept = noise.share_high, math.exp(-elapsed_s / noise.relaxation_s)
    high = p + (states - p) * np.float32(kept)
    after = (random.random(states.shape, np.float32) < high).astype(np.int8)
    return np.where(states == NO_TRAP, NO_TRAP, after)


def with_traps(g: np.ndarray, states: np.ndarray, noise: RandomTelegraph) -> np.ndarray:
    """Return the conductances (S) that cells `g` show with their traps in `states`.

    Examples
    --------
    >>> noise = RandomTelegraph(amplitude=0.1, time_high_s=1, time_low_s=1, source="a doctest")
    >>> with_traps(np.ones(3), np.array([1, 0, -1], np.int8), noise).round(3).tolist()
    [1.05, 0.95, 1.0]
    """
    jump = np.where(states == NO_TRAP, 0, noise.amplitude * (states - noise.share_high))
    return g * (1 + jump).astype(g.dtype, copy=False)


def telegraph_sigma(g: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the standard deviation (S) over time of a cell with a trap."""
    g, noise = np.asarray(g), device.random_telegraph
    if noise is None:
        return np.zeros_like(g)
    return g * (noise.amplitude * math.sqrt(noise.share_high * (1 - noise.share_high)))
