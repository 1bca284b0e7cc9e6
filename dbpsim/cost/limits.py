"""What physics allows: noise, settling, voltage drop, and the least energy of a multiplication.

Every function takes and returns plain SI numbers, at 300 K unless told.  The formulas are textbook results (Johnson 1928,
Nyquist 1928, Schottky 1918; Gray and Meyer for amplifiers) as collected in reference/physics.md, whose numbers are in the
doctests; what was derived there is marked ours.

Settling of a whole network, t = tau Q^-1(2L, 2^-(B+1)), is `dbpsim.credit.settling.time_to`; here in seconds and bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dbpsim.credit.settling import time_to
from dbpsim.crossbar.neuron_circuit import ELEMENTARY_CHARGE_C as ELECTRON_C
from dbpsim.crossbar.neuron_circuit import BOLTZMANN_J_per_K

ROOM_K = 300.0


def sampled_noise_V(capacitance_F: float, temperature_K: float = ROOM_K) -> float:
    """Return the rms noise of a sampled capacitor, sqrt(k T / C).

    Examples
    --------
    >>> [round(sampled_noise_V(C) * 1e6) for C in (10e-15, 100e-15, 1e-12)]  # uV
    [644, 204, 64]
    """
    return math.sqrt(BOLTZMANN_J_per_K * temperature_K / capacitance_F)


def least_capacitance_F(bits: float, full_scale_V: float, temperature_K: float = ROOM_K) -> float:
    """Return the capacitor whose noise is that of rounding to `bits`: 12 k T 4^N / V^2.

    Examples
    --------
    >>> [round(least_capacitance_F(bits, 0.5) * 1e15) for bits in (8, 10)]  # fF
    [13, 208]
    """
    return 12 * BOLTZMANN_J_per_K * temperature_K * 4**bits / full_scale_V**2


def thermal_current_A(conductance_S: float, integration_s: float, temperature_K: float = ROOM_K) -> float:
    """Return the rms thermal current of a line of total `conductance_S` integrated over a time: sqrt(4 k T G / (2 t)).

    Examples
    --------
    >>> round(thermal_current_A(256e-6, 100e-9) * 1e9, 1)  # nA, 256 cells of 1 uS
    4.6
    """
    return math.sqrt(4 * BOLTZMANN_J_per_K * temperature_K * conductance_S / (2 * integration_s))


def one_pole_thermal_current_A(conductance_S: float, tau_s: float, temperature_K: float = ROOM_K) -> float:
    """Return the same through one pole of time constant `tau_s`: sqrt(4 k T G / (4 tau))."""
    return math.sqrt(4 * BOLTZMANN_J_per_K * temperature_K * conductance_S / (4 * tau_s))


def shot_current_A(current_A: float, integration_s: float, fano: float = 1.0) -> float:
    """Return the rms shot noise of a current integrated over a time, sqrt(2 q I F / (2 t)); F = 1 is an upper bound."""
    return math.sqrt(2 * ELECTRON_C * abs(current_A) * fano / (2 * integration_s))


def flicker_share(coefficient: float, high_Hz: float, low_Hz: float) -> float:
    """Return the rms of 1/f noise over the mean, sqrt(A ln(f_high / f_low)) with S_I / I^2 = A / f."""
    return math.sqrt(coefficient * math.log(high_Hz / low_Hz))


def bits_of(signal_to_noise: float) -> float:
    """Return the resolution of a power ratio of a full-scale sine, (SNR_dB - 1.76) / 6.02.

    Examples
    --------
    >>> round(bits_of(10**7.49), 1)  # 74.9 dB, the line of `thermal_current_A` at 0.1 V
    12.1
    """
    return (10 * math.log10(signal_to_noise) - 1.76) / 6.02


def signal_to_noise(bits: float) -> float:
    """Return the power ratio that rounding to `bits` leaves a full-scale sine: 1.5 x 4^N.

    Examples
    --------
    >>> signal_to_noise(8)
    98304.0
    """
    return 1.5 * 4**bits


def feedback_factor(feedback_S: float, line_S: float) -> float:
    """Return beta = G_f / (G_f + sum G) of an amplifier that holds a line: the line's conductance slows it."""
    return feedback_S / (feedback_S + line_S)


def gain_error(gain: float, beta: float) -> float:
    """Return the relative error 1 / (A beta) that a finite gain leaves."""
    return 1 / (gain * beta)


def amplifier_settling_s(
    bits: float, gain_bandwidth_Hz: float, beta: float, step_V: float = 0.0, slew_V_per_s: float = math.inf
) -> float:
    """Return how long an amplifier takes to half a step of `bits`: slewing, then (N + 1) ln 2 / (2 pi GBW beta).

    Slewing lasts while the linear response would be steeper than the slew rate, (dV - SR tau) / SR.  With slewing the linear part
    starts from SR tau instead of dV, so the sum is an upper bound.

    Examples
    --------
    >>> round(amplifier_settling_s(8, 1e9, 0.5) * 1e9, 2)  # ns
    1.99
    """
    tau = 1 / (2 * math.pi * gain_bandwidth_Hz * beta)
    slewing = 0.0 if math.isinf(slew_V_per_s) else max(0.0, (step_V - slew_V_per_s * tau) / slew_V_per_s)
    return (bits + 1) * math.log(2) * tau + slewing


def amplifier_energy_J(
    bits: float, supply_V: float, load_F: float, beta: float, gm_over_id_per_V: float, stages: float = 1.0
) -> float:
    """Return the energy of one settled output: 2 k Vdd C_L (N + 1) ln 2 / (beta gm/Id); its speed cancels (ours).

    Examples
    --------
    >>> round(amplifier_energy_J(8, 0.9, 100e-15, 0.5, 15) * 1e12, 2)  # pJ
    0.15
    """
    return 2 * stages * supply_V * load_F * (bits + 1) * math.log(2) / (beta * gm_over_id_per_V)


def most_gm_over_id_per_V(temperature_K: float = ROOM_K) -> float:
    """Return the bound q / (k T) of a transistor's transconductance over its current.

    Examples
    --------
    >>> round(most_gm_over_id_per_V(), 1)
    38.7
    """
    return ELECTRON_C / (BOLTZMANN_J_per_K * temperature_K)


def line_delay_s(resistance_ohm: float, capacitance_F: float, cells: int) -> float:
    """Return Elmore's delay of a line, r c n (n + 1) / 2 with r and c of one cell.

    Examples
    --------
    >>> round(line_delay_s(760 / 256, 32e-15 / 256, 256) * 1e12)  # ps, 22 nm
    12
    """
    return resistance_ohm * capacitance_F * cells * (cells + 1) / 2


def voltage_drop_share(resistance_ohm: float, conductance_S: float, cells: int) -> float:
    """Return the share of the voltage lost at the far end of a line of equal cells, r G n (n + 1) / 2; valid below 0.2.

    Examples
    --------
    >>> round(voltage_drop_share(2.97, 1e-6, 256), 3)  # 22 nm, 1 uS
    0.098
    """
    return resistance_ohm * conductance_S * cells * (cells + 1) / 2


def settling_time_s(depth: int, bits: float, tau_s: float) -> float:
    """Return how long a free-running network of `depth` stages takes to half a step of `bits`: tau Q^-1(2L, 2^-(B+1)).

    Examples
    --------
    >>> [round(settling_time_s(L, 8, 1.0), 1) for L in (1, 2, 4, 8, 16)]
    [8.5, 12.2, 18.6, 30.0, 50.8]
    """
    return tau_s * time_to(2.0 ** -(bits + 1), depth)


def clocked_settling_time_s(depth: int, bits: float, tau_s: float) -> float:
    """Return the same with the stages one after another, each held until it has settled: 2 L (B + 1) ln 2 tau.

    Examples
    --------
    >>> [round(clocked_settling_time_s(L, 8, 1.0), 1) for L in (1, 2, 4, 8, 16)]
    [12.5, 25.0, 49.9, 99.8, 199.6]
    """
    return 2 * depth * (bits + 1) * math.log(2) * tau_s


def column_energy_J(bits: float, temperature_K: float = ROOM_K) -> float:
    """Return the least energy of reading a line whose full scale is to be told to `bits`: 2 k T SNR, whatever its length.

    Agarwal et al., Front. Neurosci. 9:484 (2016), whose argument this is; the factor is derived in physics.md 11 (ours).

    Examples
    --------
    >>> round(column_energy_J(8) * 1e15, 2)  # fJ
    0.81
    """
    return 2 * BOLTZMANN_J_per_K * temperature_K * signal_to_noise(bits)


def thermal_bits(energy_J: float, temperature_K: float = ROOM_K) -> float:
    """Return the resolution that a line's energy buys at most, the inverse of `column_energy_J`.

    With the energy of one multiply-accumulate instead: the resolution of a sum of random signs, of its rms, for cells alike.
    A circuit of one pole that is read as it stands averages over 2 tau only: give the energy of that time.

    Examples
    --------
    >>> round(thermal_bits(column_energy_J(8)), 2), round(thermal_bits(1e-15), 1)
    (8.0, 8.1)
    """
    return bits_of(energy_J / (2 * BOLTZMANN_J_per_K * temperature_K))


def converter_energy_J(bits: float, temperature_K: float = ROOM_K) -> float:
    """Return the least energy of a conversion that samples its input: 8 k T SNR.

    A full-scale sine of amplitude V/2 on the capacitor of k T / C noise has SNR = (V^2 / 8) / (k T / C); charging it costs
    C V^2 = 8 k T SNR (Murmann, Energy limits in A/D converters, FTFC 2013, recalled).  It is a bound of circuits that charge
    their capacitor from the full scale; one that charged it with the signal's own energy could reach k T SNR.

    Examples
    --------
    >>> round(converter_energy_J(8) * 1e15, 2)  # fJ
    3.26
    """
    return 8 * BOLTZMANN_J_per_K * temperature_K * signal_to_noise(bits)


def erasing_energy_J(bits: float, temperature_K: float = ROOM_K) -> float:
    """Return the least energy of an ordinary digital multiply-accumulate: N^2 k T ln 2.

    Landauer, IBM J. Res. Dev. 5:183 (1961): a bit erased costs k T ln 2.  An array multiplier of N x N bits has about N^2 full
    adders, each of which turns three bits into two (the count is ours).

    Examples
    --------
    >>> joules = erasing_energy_J(8)
    >>> round(joules * 1e21), round(2.3e-13 / joules, -5)  # zJ; int8 in 45 nm takes so many times that
    (184, 1300000.0)
    """
    return bits**2 * BOLTZMANN_J_per_K * temperature_K * math.log(2)


@dataclass(frozen=True)
class Limit:
    """A bound to draw beside energies: joules a multiply-accumulate, and in words what it bounds."""

    name: str
    energy_J: float
    text: str
    source: str


def physical_limits(bits: float, rows: int, temperature_K: float = ROOM_K) -> tuple[Limit, ...]:
    """Return the bounds of one multiply-accumulate in an array of `rows`, at the resolution reached.

    Parameters
    ----------
    bits : float
        Resolution of a result, of full scale.
    rows : int
        Products summed on a line, which share what a line costs.

    Examples
    --------
    >>> for limit in physical_limits(8, 256):
    ...     print(f"{limit.name}: {limit.energy_J:.2g}")
    array, full scale: 3.2e-18
    array, rms of a sum: 8.1e-16
    states kT/C: 2.5e-17
    converter: 1.3e-17
    digital, Landauer: 1.8e-19
    """
    column = column_energy_J(bits, temperature_K)
    state = 2 * least_capacitance_F(bits, 1.0, temperature_K)  # C V^2 does not depend on the voltage
    return (
        Limit("array, full scale", column / rows, "thermal noise of a line read to this part of its full scale, 2 kT SNR a line",
              "Agarwal 2016; reference/physics.md 11"),
        Limit("array, rms of a sum", column, "the same, to this part of the rms of a sum of random signs: sqrt(rows) smaller",
              "reference/physics.md 11"),
        Limit("states kT/C", state / rows, "charging the two capacitors of a neuron, 12 kT 4^B each", "reference/physics.md 1"),
        Limit("converter", converter_energy_J(bits, temperature_K) / rows, "sampling a result, 8 kT SNR",
              "Murmann, FTFC 2013 (recalled)"),
        Limit("digital, Landauer", erasing_energy_J(bits, temperature_K), "a bit erased in each of B^2 full adders, kT ln 2",
              "Landauer 1961"),
    )  # fmt: skip
