"""Energy of the circuits around an array, read from a TOML with a source for every figure."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, model_validator

from dbpsim.devices.library import read_toml, validated
from dbpsim.devices.schema import NotNegative, Positive, Section

_FOLDER = Path(__file__).with_name("components")


class Sourced(Section):
    """A line whose energy comes from elsewhere (the cells)."""

    source: str


class DacEnergy(Section):
    """E = capacitance_per_bit x bits x vdd^2."""

    capacitance_per_bit_F: Positive
    vdd_V: Positive
    source: str

    def energy_J(self, bits: int) -> float:
        """Energy of one conversion."""
        return self.capacitance_per_bit_F * bits * self.vdd_V**2


class AdcEnergy(Section):
    """Energy of a conversion by resolution."""

    bits: tuple[int, ...] = Field(min_length=1)
    energies_J: tuple[Positive, ...] = Field(alias="energy_J")
    source: str

    @model_validator(mode="after")
    def _paired(self) -> AdcEnergy:
        if len(self.bits) != len(self.energies_J) or list(self.bits) != sorted(self.bits):
            raise ValueError("bits must ascend and energy_J hold one value for each")
        return self

    def energy_J(self, bits: int) -> float:
        """Energy of one conversion; a bit above the table costs 4x, one below it saves nothing.

        Examples
        --------
        >>> adc = AdcEnergy(bits=(6, 8), energy_J=(1e-12, 2e-12), source="a doctest")
        >>> adc.energy_J(8), adc.energy_J(9), adc.energy_J(2)
        (2e-12, 8e-12, 1e-12)
        """
        for known, energy in zip(self.bits, self.energies_J, strict=True):
            if bits <= known:
                return energy
        return self.energies_J[-1] * 4.0 ** (bits - self.bits[-1])


class EnergyPerUse(Section):
    """A fixed energy each time."""

    energy_J: NotNegative
    source: str


class NeuronEnergy(Section):
    """E = 2 C V^2: the two compartments of a dyadic neuron, charged once a step."""

    capacitance_F: Positive
    swing_V: Positive
    source: str

    @property
    def energy_J(self) -> float:
        """Energy of one step of one neuron."""
        return 2 * self.capacitance_F * self.swing_V**2


class Components(Section):
    """Everything a cost table multiplies counts with."""

    name: str
    array: Sourced
    dac: DacEnergy
    adc: AdcEnergy
    amplifier: EnergyPerUse
    neuron: NeuronEnergy
    adder: EnergyPerUse
    write: Sourced


def load_components(spec: str | os.PathLike[str] | Components = "default") -> Components:
    """Return the set of components called `spec`, or read from the file `spec`.

    Raises
    ------
    ValueError
        If there is no such set or it is not valid.

    Examples
    --------
    >>> round(load_components().adc.energy_J(8) * 1e12, 2)  # pJ
    1.67
    """
    if isinstance(spec, Components):
        return spec
    path = _FOLDER / f"{spec}.toml" if spec == "default" else Path(spec)
    return validated(Components, read_toml(path), str(path))
