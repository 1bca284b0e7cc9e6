"""The [neuron] section of a hardware file: what the two compartments and their amplifiers are made of.

    C dV/dt = g (target - V) + noise                   a compartment, tau = C / g; targets as in `dbpsim.circuit.settle`
    m = (1 + gain error) (x + z) / 2 + offset          sum amplifier
    s = (1 + gain error) (x - z) + offset              difference amplifier
    dV/dt = S tanh(2 pi B (m - V) / S)                 what either passes on, with a bandwidth B and a slew rate S; and noise
    f + offset                                         activation circuit
    f'(u + offset)                                     its derivative circuit, a comparator where f is a rectifier

Sigmas are those of one neuron against the next.  Capacitors of area A differ by matching / sqrt(A) (Pelgrom, Duinmaijer and
Welbers, IEEE J. Solid-State Circuits 24, 1433, 1989).  A compartment's noise is that of its leak, k T / C in variance whatever
the leak, times 1 + `excess_noise` for the transconductors, and shot noise q I / (2 C g) of a bias current I (white currents
through g and C; physics.md section 1).

The figures of a default neuron are choices; every imperfection is off unless its key is given.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dbpsim.devices.schema import Positive, Section

_Share = Annotated[float, Field(ge=0, lt=1)]
_Volts = Annotated[float, Field(ge=0, le=10)]
BOLTZMANN_J_per_K = 1.380649e-23
ELEMENTARY_CHARGE_C = 1.602176634e-19


class NeuronCircuit(Section):
    """Two compartments, two amplifiers, an activation circuit.

    Attributes
    ----------
    states : {"xz", "ms"}
        What the capacitors hold.
    coupling : {"midpoint", "split"}
    capacitance_F, leak_S : float
        Of a compartment; tau is their quotient.
    unit_V : float
        What one unit of activation is.
    tau_spread : float
        Relative sigma of a neuron's time constant, common to its two compartments.
    capacitor_matching_um, capacitor_area_um2 : float
        Relative mismatch of capacitors times the root of their area, and the area: the two compartments differ by it.
    sum_gain_error, difference_gain_error : float
        Sigmas of the amplifiers' gains.
    sum_offset_V, difference_offset_V, drive_offset_V, gate_offset_V : float
        Sigmas of offsets.
    bandwidth_Hz, slew_V_per_s : float, optional
        Of the two amplifiers; without the first they follow at once, without the second there is no limit.
    amplifier_noise_V_rtHz : float
        White noise of an amplifier's input, within its bandwidth.
    null_calibration : bool
        Read the stress once with the cost switched off, and subtract it (theory.md, fact 5).
    saturation_V : float, optional
        Swing of a compartment: a voltage V is passed on as swing tanh(V / swing).
    delay_s : float
        From one stage to the next, in either direction.
    noise_K : float
        Temperature of the noise; 0 for none.
    excess_noise : float
        Of transconductors over that of a resistor of the leak's conductance.
    bias_A : float
        Current whose shot noise a compartment sees.

    Examples
    --------
    >>> neuron = NeuronCircuit(capacitor_matching_um=0.005, capacitor_area_um2=25.0, noise_K=300.0)
    >>> neuron.tau_s, neuron.rate_mismatch, neuron.perfect
    (1e-08, 0.001, False)
    >>> round(neuron.noise_rms * neuron.unit_V * 1e6)  # uV: sqrt(k T / C) of 100 fF
    204
    """

    states: Literal["xz", "ms"] = "xz"
    coupling: Literal["midpoint", "split"] = "midpoint"
    capacitance_F: Positive = 1e-13
    leak_S: Positive = 1e-5
    unit_V: Positive = 0.5
    tau_spread: _Share = 0.0
    capacitor_matching_um: _Share = 0.0
    capacitor_area_um2: Positive = 25.0
    sum_gain_error: _Share = 0.0
    difference_gain_error: _Share = 0.0
    sum_offset_V: _Volts = 0.0
    difference_offset_V: _Volts = 0.0
    drive_offset_V: _Volts = 0.0
    gate_offset_V: _Volts = 0.0
    bandwidth_Hz: Positive | None = None
    slew_V_per_s: Positive | None = None
    amplifier_noise_V_rtHz: Annotated[float, Field(ge=0, le=1)] = 0.0
    null_calibration: bool = False
    saturation_V: Positive | None = None
    delay_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    noise_K: Annotated[float, Field(ge=0, le=1000)] = 0.0
    excess_noise: Annotated[float, Field(ge=0, le=100)] = 0.0
    bias_A: Annotated[float, Field(ge=0, le=1)] = 0.0
    source: str = ""

    @model_validator(mode="after")
    def _banded(self) -> NeuronCircuit:
        for key in ("slew_V_per_s", "amplifier_noise_V_rtHz"):
            if getattr(self, key) and self.bandwidth_Hz is None:
                raise ValueError(f"{key} is that of amplifiers with a bandwidth: found no bandwidth_Hz")
        return self

    @property
    def tau_s(self) -> float:
        """Time constant of a compartment."""
        return self.capacitance_F / self.leak_S

    @property
    def rate_mismatch(self) -> float:
        """Relative sigma between the rates of the two compartments of a neuron."""
        return self.capacitor_matching_um / self.capacitor_area_um2**0.5

    @property
    def noise_rms(self) -> float:
        """Standard deviation of a compartment at rest, in units of activation."""
        thermal = BOLTZMANN_J_per_K * self.noise_K / self.capacitance_F * (1 + self.excess_noise)
        shot = ELEMENTARY_CHARGE_C * self.bias_A / (2 * self.capacitance_F * self.leak_S)
        return (thermal + shot) ** 0.5 / self.unit_V

    @property
    def amplifier_rms(self) -> float:
        """Standard deviation of an amplifier's output at rest, in units of activation: its noise in pi / 2 of its bandwidth."""
        return self.amplifier_noise_V_rtHz * (math.pi / 2 * (self.bandwidth_Hz or 0.0)) ** 0.5 / self.unit_V

    @property
    def noisy(self) -> bool:
        """Whether two runs of the same neurons may differ."""
        return self.noise_rms > 0 or self.amplifier_rms > 0

    @property
    def perfect(self) -> bool:
        """Whether the neurons do what the equations say."""
        sigmas = (
            self.tau_spread, self.rate_mismatch, self.sum_gain_error, self.difference_gain_error, self.sum_offset_V,
            self.difference_offset_V, self.drive_offset_V, self.gate_offset_V, self.delay_s, self.noise_rms,
        )  # fmt: skip
        return self.saturation_V is None and self.bandwidth_Hz is None and not any(sigmas)
