"""The window a cell can be brought into: its levels, its spread from cell to cell, and how it wears out.

    quantised     the nearest of `count` equally spaced conductances between g_min and g_max
    windows       g_min, g_max of each cell ~ N(the device's, (share of the span)^2), cut at zero and kept apart
    window_left   1 up to the endurance; then cycles / n where wear "closes" the window
    swings        what a number of pulses is worth in full swings
    moves         whether a cell still moves after n cycles, where wear "stops" it

Published endurance is a number of cycles; how cells fail after it is seldom given.  That they fail suddenly or gradually are the
two modes of Lammie, Rahimi Azghadi and Ielmini (Semicond. Sci. Technol., 2021); that a cell stops where it is, and that a
window closes as cycles / n, are choices.  A cycle is a full swing, so small pulses count as the
share of one that they move (a choice too: no source says how far damage follows the size of a pulse).
"""

from __future__ import annotations

import numpy as np

from dbpsim.devices.schema import Device


def quantised(g: np.ndarray, device: Device) -> np.ndarray:
    """Return the levels (S) nearest to the wanted conductances `g`.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> from dbpsim.devices.effects import Levels
    >>> binary = load_device("ideal").model_copy(update={"levels": Levels(count=2, source="a doctest")})
    >>> quantised(np.array([2e-7, 6e-7, 2e-6]), binary).tolist()
    [0.0, 1e-06, 1e-06]
    """
    if device.levels is None:
        return g
    window, steps = device.conductance, device.levels.count - 1
    number = np.clip(np.rint((g - window.g_min_S) * (steps / window.span_S)), 0, steps)
    return (window.g_min_S + number * (window.span_S / steps)).astype(g.dtype, copy=False)


def windows(shape: tuple[int, ...], device: Device, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (g_min, g_max) of every cell (S), float32; a window never closes below a hundredth of the device's."""
    window, spread = device.conductance, device.spread
    low = np.full(shape, window.g_min_S, np.float32)
    high = np.full(shape, window.g_max_S, np.float32)
    if spread is not None:
        low += np.float32(spread.g_min_sigma * window.span_S) * random.standard_normal(shape, np.float32)
        high += np.float32(spread.g_max_sigma * window.span_S) * random.standard_normal(shape, np.float32)
        np.maximum(low, 0, out=low)
        np.maximum(high, low + np.float32(0.01 * window.span_S), out=high)
    return low, high


def swings(pulses: float, device: Device, anew: bool = False) -> float:
    """Return the full swings, up and down, that `pulses` a cell are worth: what its endurance counts.

    With `anew`, cells are not pulsed blind but programmed anew at each write: one swing, or what the steps of the loop add up to.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> swings(2000.0, load_device("ecram"))  # a thousand steps up and a thousand down
    1.0
    """
    law = device.write_verify if anew or device.update is None else device.update
    if law is None:
        return pulses if device.programming is None else pulses / device.programming.pulses_per_cell
    return pulses * min(1.0, law.step_S / (2 * device.conductance.span_S))


def window_left(cycles: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the share of its span each cell has left after `cycles` full swings.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> from dbpsim.devices.effects import Endurance
    >>> wear = Endurance(cycles=1000, wear="closes", source="a doctest")
    >>> window_left(np.array([10, 1000, 4000]), load_device("ideal").model_copy(update={"endurance": wear})).tolist()
    [1.0, 1.0, 0.25]
    """
    wear = device.endurance
    if wear is None or wear.wear == "stops":
        return np.ones(np.shape(cycles))
    return wear.cycles / np.maximum(cycles, wear.cycles)


def moves(cycles: np.ndarray | float, device: Device) -> np.ndarray:
    """Return whether each cell still moves under a pulse after `cycles` full swings."""
    wear = device.endurance
    if wear is None or wear.wear == "closes":
        return np.ones(np.shape(cycles), bool)
    return np.asarray(cycles) < wear.cycles
