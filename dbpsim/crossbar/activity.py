"""What arrays did: counts from which joules and seconds follow.

Counts add up and can be subtracted, so the share of one run is ``after - before``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Counts:
    """What one matrix did in one direction (reads), or all its writes.

    Attributes
    ----------
    vectors : int
        Vectors read; a convolution reads one a position and sample.  Of writes: outer products of vectors that were formed
        digitally, for updates that are not made in the array.
    outputs : int
        Results handed on: vectors x columns (rows, when transposed).
    sensed : int
        Column currents turned into a voltage or a number: one an output and, with digital links, a tile.
    dac, adc : int
        Conversions.
    power_W : float
        Sum over the vectors of sum V^2 G at the actual voltages, with wires of what the sources give: times the duration
        of a read, joules.
    clipped : int
        Inputs beyond a fixed input range.
    saturated, lost : int
        Sensed values beyond the ADC's range; values that were not zero and came out as zero.
    cells, pulses : int
        Cells written, pulses they got.
    slots : int
        Pulse times one write after another takes when the cells of a row (of every tile) are pulsed together.
    inputs, dropped : int
        Numbers other than zero that a DAC of fixed range was given, each once however many rows it drives; those it made zero.
    """

    vectors: int = 0
    outputs: int = 0
    sensed: int = 0
    dac: int = 0
    adc: int = 0
    power_W: float = 0.0
    clipped: int = 0
    saturated: int = 0
    lost: int = 0
    cells: int = 0
    pulses: int = 0
    slots: int = 0
    inputs: int = 0
    dropped: int = 0

    def __add__(self, other: Counts) -> Counts:
        more = vars(other)
        return Counts(**{name: value + more[name] for name, value in vars(self).items()})

    def __sub__(self, other: Counts) -> Counts:
        less = vars(other)
        return Counts(**{name: value - less[name] for name, value in vars(self).items()})

    @property
    def saturated_fraction(self) -> float:
        """Share of the conversions that were out of range."""
        return self.saturated / self.adc if self.adc else 0.0

    @property
    def lost_fraction(self) -> float:
        """Share of the conversions that lost a value below half a step."""
        return self.lost / self.adc if self.adc else 0.0

    @property
    def clipped_fraction(self) -> float:
        """Share of the inputs that were beyond a fixed range."""
        return self.clipped / self.inputs if self.inputs else 0.0

    @property
    def dropped_fraction(self) -> float:
        """Share of the inputs that were below half a step and drove nothing."""
        return self.dropped / self.inputs if self.inputs else 0.0

    def as_array(self) -> np.ndarray:
        """Return the counts as numbers, float64 (exact for counts up to 2^53)."""
        return np.array([getattr(self, f.name) for f in fields(self)], np.float64)

    @classmethod
    def from_array(cls, numbers: np.ndarray) -> Counts:
        """Return the counts that `as_array` wrote down."""
        values: dict[str, Any] = {f.name: int(n) for f, n in zip(fields(cls), numbers, strict=True)}
        power = [f.name for f in fields(cls)].index("power_W")
        return cls(**{**values, "power_W": float(numbers[power])})


@dataclass(frozen=True)
class StageActivity:
    """The counts of one weight matrix, and the shape of its arrays."""

    rows: int
    columns: int
    tiles: int
    forward: Counts = field(default_factory=Counts)
    transposed: Counts = field(default_factory=Counts)
    write: Counts = field(default_factory=Counts)

    @property
    def multiply_accumulates(self) -> int:
        """Products the arrays formed while read."""
        return (self.forward.vectors + self.transposed.vectors) * self.rows * self.columns


class Measured(Protocol):
    """What has activity: a crossbar operator."""

    @property
    def activity(self) -> StageActivity:
        """Counts so far."""


@dataclass(frozen=True)
class Activity:
    """The counts of every matrix of a chip, by name."""

    stages: Mapping[str, StageActivity]

    def _combined(self, other: Activity, sign: int) -> Activity:
        if self.stages.keys() != other.stages.keys():
            raise ValueError(f"activity of different chips: {sorted(self.stages)} and {sorted(other.stages)}")
        out = {}
        for name, a in self.stages.items():
            b = other.stages[name]
            parts = [
                getattr(a, d) + getattr(b, d) if sign > 0 else getattr(a, d) - getattr(b, d)
                for d in ("forward", "transposed", "write")
            ]
            out[name] = StageActivity(a.rows, a.columns, a.tiles, *parts)
        return Activity(MappingProxyType(out))

    def __add__(self, other: Activity) -> Activity:
        return self._combined(other, 1)

    def __sub__(self, other: Activity) -> Activity:
        return self._combined(other, -1)


def measure(operators: Mapping[str, Measured]) -> Activity:
    """Return the activity of crossbar `operators` so far."""
    return Activity(MappingProxyType({name: operator.activity for name, operator in operators.items()}))
