"""Programming error: as a law of what write-verify leaves behind, or as the process itself.

    program        g = max(0, target + sigma(target) z),   z ~ N(0, 1)
                   sigma(g) = sum_k c_k (g / g_max)^k,  or  plateau (1 - exp(-g / knee))
    write_verify   read;  e = target - reading;  if |e| > tolerance: g += s (1 + step_sigma z), s = clip(e, -step, step)

Polynomials were fitted to phase-change arrays by Nandakumar et al. (ICECS 2019) and Joshi et al. (Nat. Commun.
11:2473, 2020, Fig. 3b), the saturating form to SONOS by Agrawal et al. (IEDM 2022, Fig. 10a).  The process is a
controller that sizes each pulse by the last reading, up to its largest step, as in the iterative schemes of
Papandreou et al. (ISCAS 2011) for phase-change memory.  A conductance is never negative: the tail is cut at zero.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from dbpsim.devices.effects import Programming
from dbpsim.devices.laws import polynomial, saturating
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.schema import Device
from dbpsim.devices.window import quantised


def programming_sigma(g: np.ndarray | float, device: Device) -> np.ndarray:
    """Return the standard deviation of the programmed conductance around its target `g`, both in S.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> [round(float(programming_sigma(x * 25e-6, load_device("pcm"))) * 1e6, 3) for x in (0, 0.5, 1)]  # uS
    [0.264, 0.953, 1.055]
    """
    g = np.asarray(g)
    if device.programming is None:
        return np.zeros_like(g / device.conductance.g_max_S)
    return np.maximum(sigma_by(device.programming, g, device), 0)


@singledispatch
def sigma_by(law: Programming, g: np.ndarray, device: Device) -> np.ndarray:
    """Return what `law` gives at `g` (S); register a function for a law of your own."""
    if law.coefficients_S is not None:
        return polynomial(g / device.conductance.g_max_S, law.coefficients_S)
    assert law.plateau_S is not None
    assert law.knee_S is not None
    return saturating(g, law.plateau_S, law.knee_S)


def written(
    target: np.ndarray, device: Device, random: np.random.Generator, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | float]:
    """Return (conductances, pulses) of cells that were brought from `start` (erased: g_min) to `target`, all in S.

    Pulses are an array where cells take different numbers, else one number for each of them.
    What is wanted is a level of the device.  Where its file describes the loop, [write_verify], the loop is run; else what a loop
    leaves, [programming], is drawn; else cells are written exactly, with a pulse each.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> written(np.full((2, 2), 1e-5), load_device("pcm"), np.random.default_rng(0))[1]
    20.0
    """
    target = quantised(target, device)
    if device.write_verify is not None:
        begin = np.full_like(target, device.conductance.g_min_S) if start is None else start
        return write_verify(begin, target, device, random)
    each = 1.0 if device.programming is None else device.programming.pulses_per_cell
    return program(target, device, random), each


def program(target: np.ndarray, device: Device, random: np.random.Generator) -> np.ndarray:
    """Return the conductances that write-verify makes of `target` (S), a new array of its dtype."""
    if device.programming is None:
        return target.copy()
    sigma = programming_sigma(target, device)
    if not sigma.any():
        return target.copy()
    z = random.standard_normal(target.shape, np.float32).astype(target.dtype, copy=False)
    z *= sigma
    z += target
    return np.maximum(z, 0, out=z)


def write_verify(
    start: np.ndarray, target: np.ndarray, device: Device, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (conductances, pulses given) of a closed loop from `start` to `target` (S), both of the dtype of `target`.

    Readings carry the device's read noise, drawn afresh each time, so a cell may stop outside the tolerance, believing
    itself inside.  A device without [write_verify] is written exactly, with one pulse for each cell that has to move.

    Returns
    -------
    g : array (S)
    pulses : array of int32
        At most max_pulses; a cell that was inside the tolerance from the start has none.
    """
    loop = device.write_verify
    if loop is None:
        return target.copy(), (start != target).astype(np.int32)
    g, pulses = np.array(start, target.dtype).ravel(), np.zeros(target.size, np.int32)
    wanted, at = target.ravel(), np.arange(target.size)
    for _ in range(loop.max_pulses):  # every cell has its number in every round: the others do not change what it gets
        error = wanted[at] - g[at]
        if device.read_noise is not None:
            error -= read_sigma(g[at], device) * random.standard_normal(g.size, np.float32)[at]
        off = np.abs(error) > loop.tolerance_S
        at, error = at[off], error[off]
        if not at.size:
            break
        step = np.clip(error, -loop.step_S, loop.step_S)
        step *= 1 + loop.step_sigma * random.standard_normal(g.size, np.float32)[at]
        g[at] = np.maximum(g[at] + step, 0)
        pulses[at] += 1
    return g.reshape(target.shape), pulses.reshape(target.shape)
