"""Retention: what becomes of a stored conductance when nobody touches it.

    exponential   g(t) = level + (g - level) exp(-t / tau),   tau log-normal over cells      leaking capacitors
    logarithmic   g(t) = g + shift L + (spread + slope L) z,   L = ln(t / t0) for t > t0      filaments that relax
    tabulated     g(t) = g + sqrt(sigma_t(g)^2 - sigma_0(g)^2) z                              errors measured at several times

z is one number a cell, drawn once: a cell moves along its own curve.  Tabulated variances are joined by straight
lines in ln t, from the programming error at t0 on, and stay what they are after the last measurement.

With an activation energy, times shrink as exp(E_a / k (1 / T - 1 / T_ref)) grows (Arrhenius): `dbpsim.devices.temperature`.
"""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np

from dbpsim.devices.effects import ExponentialRetention, LogarithmicRetention, TabulatedRetention
from dbpsim.devices.laws import polynomial, saturating
from dbpsim.devices.programming import programming_sigma
from dbpsim.devices.schema import Device
from dbpsim.devices.sections import Section


def retained(g: np.ndarray, z: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    """Return the conductances (S) that are left `time_s` after they were programmed.

    Parameters
    ----------
    g : array (S)
        As programmed.
    z : array, shape of `g`
        Each cell's own standard normal number: the same one for every time.
    time_s : float
    device : Device

    Examples
    --------
    >>> from dbpsim.devices.effects import ExponentialRetention
    >>> from dbpsim.devices import load_device
    >>> leak = ExponentialRetention(law="exponential", lifetime_s=10.0, source="a doctest")
    >>> cell = load_device("ideal").model_copy(update={"retention": leak})
    >>> retained(np.array([1e-6]), np.zeros(1), 10.0, cell).round(9).tolist()
    [3.68e-07]
    """
    law = device.retention
    if law is None or time_s <= 0:
        return g
    return np.maximum(left_by(law, g, z, time_s, device), 0).astype(g.dtype, copy=False)


@singledispatch
def left_by(law: Section, g: np.ndarray, z: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    """Return what `law` leaves of `g`, as `retained` documents it; register a function for a law of your own."""
    raise TypeError(f"retention: no function is registered for {type(law).__name__} (dbpsim.devices.retention.left_by)")


@left_by.register(ExponentialRetention)
def _exponential(law: ExponentialRetention, g: np.ndarray, z: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    width = math.sqrt(math.log1p(law.lifetime_sigma**2))  # mean lifetime_s, relative spread lifetime_sigma, never negative
    lifetime = law.lifetime_s * np.exp(width * z - width**2 / 2)
    return law.level_S + (g - law.level_S) * np.exp(-time_s / lifetime)


@left_by.register(LogarithmicRetention)
def _logarithmic(law: LogarithmicRetention, g: np.ndarray, z: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    if time_s <= law.t0_s:
        return g
    decades = math.log(time_s / law.t0_s)
    return g + law.shift_S * decades + (law.spread_S + law.spread_slope_S * decades) * z


@left_by.register(TabulatedRetention)
def _tabulated(law: TabulatedRetention, g: np.ndarray, z: np.ndarray, time_s: float, device: Device) -> np.ndarray:
    return g + np.sqrt(_added_variance(g, time_s, law, device)) * z


def _added_variance(g: np.ndarray, time_s: float, law: TabulatedRetention, device: Device) -> np.ndarray:
    times = (law.t0_s, *law.times_s)
    place = float(np.interp(math.log(time_s), np.log(times), np.arange(len(times))))
    before, weight = int(place), place - int(place)
    base = programming_sigma(g, device) ** 2
    rows = [base if row == 0 else _row_sigma(g, row - 1, law, device) ** 2 for row in (before, before + 1) if row < len(times)]
    return np.maximum((1 - weight) * rows[0] + weight * rows[-1] - base, 0)


def _row_sigma(g: np.ndarray, row: int, law: TabulatedRetention, device: Device) -> np.ndarray:
    if law.coefficients_S is not None:
        return polynomial(g / device.conductance.g_max_S, law.coefficients_S[row])
    assert law.plateau_S is not None
    assert law.knee_S is not None
    return saturating(g, law.plateau_S[row], law.knee_S[row])
