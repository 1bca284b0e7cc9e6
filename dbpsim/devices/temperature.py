"""Temperature: the same cell, warmer or colder.

    read noise, drift exponents   (T / T_ref)^exponent                    where a source gives the exponent
    retention                     times x exp(E_a / k (1 / T - 1 / T_ref))  (Arrhenius), where it gives E_a
    thermal noise                 sigma_g = sqrt(4 k T g B) / V           (Johnson and Nyquist, 1928): of every conductor

A device without these figures has no temperature dependence here: absent is unknown, not zero.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.devices.effects import Drift, ExponentialRetention, ReadNoise
from dbpsim.devices.schema import Device

BOLTZMANN_J_K = 1.380649e-23  # exact, SI 2019
BOLTZMANN_EV_K = BOLTZMANN_J_K / 1.602176634e-19


def arrhenius(activation_eV: float, temperature_K: float, reference_K: float) -> float:
    """Return how much longer a thermally activated process takes at `temperature_K` than at `reference_K`.

    Examples
    --------
    >>> round(1 / arrhenius(1.1, 358.15, 298.15), -1)  # 85 C against 25 C at 1.1 eV
    1300.0
    """
    return math.exp(activation_eV / BOLTZMANN_EV_K * (1 / temperature_K - 1 / reference_K))


def thermal_sigma(g: np.ndarray | float, temperature_K: float, bandwidth_Hz: float, v_read_V: float) -> np.ndarray:
    """Return the standard deviation (S) that thermal noise gives a read of `g` (S) in `bandwidth_Hz` at `v_read_V`.

    The noise is a current that does not follow the voltage: at a tenth of `v_read_V` it is ten times as many siemens.

    Examples
    --------
    >>> f"{float(thermal_sigma(1e-6, 300.0, 1e7, 0.2)):.1e}"  # a 1 uS cell read in 50 ns
    '2.0e-09'
    """
    return np.sqrt(4 * BOLTZMANN_J_K * temperature_K * bandwidth_Hz * np.asarray(g)) / v_read_V


def at_temperature(device: Device, temperature_K: float) -> Device:
    """Return `device` with its noise, drift and retention as they are at `temperature_K`.

    Raises
    ------
    ValueError
        If the temperature is not above absolute zero.
    """
    if not (temperature_K > 0 and math.isfinite(temperature_K)):
        raise ValueError(f"temperature: found {temperature_K} K; accepted: a number above 0.")
    changed: dict[str, object] = {}
    if (law := device.temperature) is not None:
        ratio = temperature_K / law.reference_K
        if device.read_noise is not None:
            changed["read_noise"] = _noisier(device.read_noise, ratio**law.noise_exponent)
        if device.drift is not None:
            changed["drift"] = _drifting_faster(device.drift, ratio**law.drift_exponent)
    kept = device.retention
    if kept is not None and kept.activation_eV is not None and kept.at_temperature_K is not None:
        slower = arrhenius(kept.activation_eV, temperature_K, kept.at_temperature_K)
        if isinstance(kept, ExponentialRetention):
            times: dict[str, object] = {"lifetime_s": kept.lifetime_s * slower}
        else:
            times = {"t0_s": kept.t0_s * slower}
            if kept.law == "tabulated":
                times["times_s"] = tuple(t * slower for t in kept.times_s)
        changed["retention"] = kept.model_copy(update=times)
    return device.model_copy(update=changed)


def _noisier(noise: ReadNoise, factor: float) -> ReadNoise:
    keys = ("q_scale", "q_limit", "white_floor_S", "white_share", "white_plateau_S")
    scaled = {key: None if getattr(noise, key) is None else factor * getattr(noise, key) for key in keys}
    return noise.model_copy(update=scaled | {"q": None if noise.q is None else noise.q.times(factor)})


def _drifting_faster(drift: Drift, factor: float) -> Drift:
    return drift.model_copy(update={"nu_mean": drift.nu_mean.times(factor), "nu_sigma": drift.nu_sigma.times(factor)})
