"""The circuits around an array: what each takes a use, and how large it is.

Capacitors      E = C V^2 a charge
Amplifiers      gm = C_L / (beta tau),  I = gm / (gm/Id),  P = 2 k Vdd I;  held for the (N + 1) ln 2 time constants in which an
                output settles to half a step of N bits:  E = 2 k Vdd C_L (N + 1) ln 2 / (beta gm/Id), whatever its speed
Converters      a table by bits or a figure of merit: E = FoM_W 2^N (Walden), or
                E = 1/2 10^((6.02 N + 1.76 - FoM_S) / 10) sqrt(1 + (rate / corner)^2)
                (Schreier; its envelope over rate as Murmann draws it)

Sources: Murmann, ADC performance survey (figures of merit, their envelope); Jespers and Murmann's gm/Id method (amplifiers); each
figure's own source is beside it in `components/*.toml`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dbpsim.devices.sections import NotNegative, Positive, Section

Interval = tuple[float, float]
Share = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["int8", "int16", "int32", "fp16", "bf16", "fp32"]


class Part(Section):
    """One kind of circuit, in one technology.

    Attributes
    ----------
    node_m : float
        Technology node that the figures are of.
    range : table
        For some of the figures, (low, high): the least and the most that a designer might find (`dbpsim.cost.uncertainty`).
    source : str
        Where the figures and ranges come from.
    """

    node_m: Positive
    range: dict[str, Interval] = {}
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _around(self) -> Part:
        for key, (low, high) in self.range.items():
            value = getattr(self, key, None) if key in type(self).model_fields else None
            if not isinstance(value, int | float):
                raise ValueError(f"range.{key}: there is no figure {key} to have a range")
            if not (low <= value <= high and high > 0 and math.isfinite(high) and low >= 0):
                raise ValueError(f"range.{key}: found ({low:g}, {high:g}); accepted: 0 <= low <= {value:g} <= high")
        return self


class Cell(Part):
    """A memory cell with its selector: area in squares of the node.  Its energy is sum V^2 G t and comes from the run."""

    area_F2: Positive

    @property
    def area_m2(self) -> float:
        """Area of one cell."""
        return self.area_F2 * self.node_m**2


class Driver(Part):
    """What drives a line of cells: E = (fixed + cells x capacitance a cell) V^2, and what is lost in holding it at V.

    A linear driver, and an amplifier that takes a line's current up, draw that current from `supply_V`; the cells see V of it.
    The rest, (supply / V - 1) of the cells' energy, is lost in the `linear_share` of the current that no efficient supply gives.
    """

    capacitance_per_cell_F: Positive
    fixed_capacitance_F: NotNegative
    supply_V: Positive
    linear_share: Annotated[float, Field(ge=0, le=1)]
    area_m2: NotNegative

    def energy_J(self, cells: int, voltage_V: float) -> float:
        """Energy of charging a line of `cells` to `voltage_V` and letting it go."""
        return (self.fixed_capacitance_F + cells * self.capacitance_per_cell_F) * voltage_V**2

    def regulation(self, voltage_V: float) -> float:
        """Energy lost between supply and line, a joule in the cells at `voltage_V`.

        Examples
        --------
        >>> driver = Driver(node_m=3e-8, capacitance_per_cell_F=1e-16, fixed_capacitance_F=0, supply_V=0.8, linear_share=1,
        ...                 area_m2=0, source="a doctest")
        >>> round(driver.regulation(0.2), 12), driver.regulation(0.9)
        (3.0, 0.0)
        """
        return self.linear_share * max(0.0, self.supply_V / voltage_V - 1)


class Dac(Part):
    """E = capacitance_per_bit x bits x supply^2."""

    capacitance_per_bit_F: Positive
    supply_V: Positive
    area_per_bit_m2: NotNegative

    def energy_J(self, bits: int) -> float:
        """Energy of one conversion."""
        return self.capacitance_per_bit_F * bits * self.supply_V**2

    def area_m2(self, bits: int) -> float:
        """Area of one converter."""
        return self.area_per_bit_m2 * bits


class Adc(Part):
    """Energy and area of a conversion by resolution, from a table or a figure of merit.

    Attributes
    ----------
    model : {"table", "walden", "schreier"}
    bits, energies_J, areas_m2 : tuples
        The table.  A bit above it costs 4x (noise-limited); one below it saves nothing.
    energy_factor : float
        Multiplies the energy: 1 is the table's own design.
    walden_J, schreier_dB : float
        Figures of merit: energy a step; signal-to-noise ratio in dB + 10 log10(rate / (2 power)), at low rates.
    rate_Hz, corner_Hz : float
        Conversions a second of one converter; where Schreier's figure begins to fall with them.  Below some 60 dB few
        converters come near Schreier's figure of low rates: take Walden's there.
    """

    model: Literal["table", "walden", "schreier"] = "table"
    bits: tuple[int, ...] = Field(min_length=1)
    energies_J: tuple[Positive, ...] = Field(alias="energy_J")
    areas_m2: tuple[Positive, ...] = Field(alias="area_m2")
    energy_factor: Positive = 1.0
    walden_J: Positive
    schreier_dB: Positive
    rate_Hz: Positive
    corner_Hz: Positive

    @model_validator(mode="after")
    def _paired(self) -> Adc:
        if not len(self.bits) == len(self.energies_J) == len(self.areas_m2) or list(self.bits) != sorted(set(self.bits)):
            raise ValueError("bits must ascend, and energy_J and area_m2 hold one value for each")
        return self

    def energy_J(self, bits: int) -> float:
        """Energy of one conversion.

        Examples
        --------
        >>> adc = Adc(node_m=3e-8, bits=(6, 8), energy_J=(1e-12, 2e-12), area_m2=(1e-9, 2e-9), walden_J=5e-15, schreier_dB=160,
        ...           rate_Hz=1e9, corner_Hz=5e7, source="a doctest")
        >>> adc.energy_J(8), adc.energy_J(9), adc.energy_J(2)
        (2e-12, 8e-12, 1e-12)
        >>> adc.model_copy(update={"model": "walden"}).energy_J(8)
        1.28e-12
        """
        if self.model == "walden":
            return self.energy_factor * self.walden_J * 2.0**bits
        if self.model == "schreier":
            speed = math.hypot(1.0, self.rate_Hz / self.corner_Hz)
            return self.energy_factor * speed * 0.5 * 10.0 ** ((6.02 * bits + 1.76 - self.schreier_dB) / 10)
        return self.energy_factor * self._looked_up(self.energies_J, bits, 4.0)

    def area_m2(self, bits: int) -> float:
        """Area of one converter; a bit above the table doubles it."""
        return self._looked_up(self.areas_m2, bits, 2.0)

    def _looked_up(self, values: tuple[float, ...], bits: int, growth: float) -> float:
        for known, value in zip(self.bits, values, strict=True):
            if bits <= known:
                return value
        return values[-1] * growth ** (bits - self.bits[-1])


class SampleAndHold(Part):
    """E = C V^2: a value held while converters or positions take turns."""

    capacitance_F: Positive
    swing_V: Positive
    capacitance_density_F_per_m2: Positive

    @property
    def energy_J(self) -> float:
        """Energy of one sample."""
        return self.capacitance_F * self.swing_V**2

    @property
    def area_m2(self) -> float:
        """Area of the capacitor."""
        return self.capacitance_F / self.capacitance_density_F_per_m2


class Amplifier(Part):
    """What turns a line's current into a voltage: k `stages`, beta the `feedback_factor`, N `settled_bits`."""

    stages: Positive
    supply_V: Positive
    load_F: Positive
    feedback_factor: Share
    gm_over_id_per_V: Annotated[float, Field(gt=0, le=38.7)]  # q / (k T) at 300 K
    settled_bits: Annotated[int, Field(ge=1, le=24)]
    area_m2: NotNegative

    @property
    def energy_J(self) -> float:
        """Energy of one settled read."""
        return self.power_W(1.0) * (self.settled_bits + 1) * math.log(2)

    def power_W(self, tau_s: float) -> float:
        """Power while on, for a closed loop of time constant `tau_s`."""
        return 2 * self.stages * self.supply_V * self.load_F / (self.feedback_factor * tau_s * self.gm_over_id_per_V)


class Neuron(Part):
    """Two compartments and what moves them.

    A clock charges two capacitors (2 C V^2) and holds `transconductors` of gm = C / tau each, from `supply_V`, for the
    (N + 1) ln 2 time constants of settling.
    """

    capacitance_F: Positive
    swing_V: Positive
    transconductors: NotNegative
    supply_V: Positive
    gm_over_id_per_V: Annotated[float, Field(gt=0, le=38.7)]
    settled_bits: Annotated[int, Field(ge=1, le=24)]
    capacitance_density_F_per_m2: Positive
    area_m2: NotNegative

    @property
    def energy_J(self) -> float:
        """Energy of one clock of one neuron."""
        return self.charging_J + self.power_W(1.0) * (self.settled_bits + 1) * math.log(2)

    @property
    def charging_J(self) -> float:
        """Energy of charging both capacitors over the full swing."""
        return 2 * self.capacitance_F * self.swing_V**2

    def power_W(self, tau_s: float) -> float:
        """Power while on, for compartments of time constant `tau_s`."""
        return self.transconductors * self.supply_V * self.capacitance_F / (tau_s * self.gm_over_id_per_V)

    @property
    def capacitor_area_m2(self) -> float:
        """Area of one of the two capacitors: of one state of one position."""
        return self.capacitance_F / self.capacitance_density_F_per_m2


class PerUse(Part):
    """A fixed energy each time, a fixed area each."""

    energy_J: NotNegative
    area_m2: NotNegative


class Arithmetic(Part):
    """Digital additions and multiplications by precision (J each), `units` multiply-accumulators a stage at `rate_Hz`."""

    add_J: dict[Precision, Positive]
    multiply_J: dict[Precision, Positive]
    energy_factor: Positive = 1.0
    area_m2: NotNegative
    units: Annotated[int, Field(ge=1)]
    rate_Hz: Positive

    def energy_J(self, operation: Literal["add", "multiply"], precision: Precision) -> float:
        """Energy of one operation."""
        return self.energy_factor * (self.add_J if operation == "add" else self.multiply_J)[precision]


class Memory(Part):
    """Bits read or written, bits held."""

    energy_per_bit_J: NotNegative
    area_per_bit_m2: NotNegative


class Link(Part):
    """Bits carried one hop; the share of the network that one array needs."""

    energy_per_bit_J: NotNegative
    area_m2: NotNegative


class PulseGenerator(Part):
    """Lines charged to a programming voltage (the driver's capacitance); the pulse's own energy is the device's."""

    voltage_V: Positive
    area_m2: NotNegative


class Control(Part):
    """Sequencing, clocks and bias: a share of everything else's energy and area."""

    share: NotNegative
