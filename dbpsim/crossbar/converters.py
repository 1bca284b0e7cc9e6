"""Converters between numbers and volts or amperes.

A converter of b bits gives 2^b - 1 codes, -L..L with L = 2^(b-1) - 1, zero among them.  What its full scale
stands for is the question: stress is a thousand times smaller than activity, and an 8-bit ADC whose range
is set by the activity reads it as exact zeros.  So the transposed read sets its ranges itself, sample by sample, unless
``transposed_range="fixed"`` makes it use those of the forward read: then `dbpsim.check` finds what is lost.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dbpsim.devices.schema import NotNegative, Positive, Section


def _bits(value: object) -> object:
    if value == "none" or (isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 16):
        return value
    raise ValueError("accepted: an integer from 2 to 16, or 'none'")


class Converter(Section):
    """A converter's resolution and range.

    ``range="sample"`` sets the range of each sample and read to its largest magnitude (range management);
    ``range="fixed"`` keeps it at `limit` in forward reads: for the DAC in units of the activation, for the
    ADC as a share of a column's full scale (all rows of the tile at full input and full weight).  Transposed reads set
    their range by the sample whatever `range` says, but with ``transposed_range="fixed"`` keep it at `limit` too.
    ``"calibrated"``, in either direction, keeps what `Chip.calibrate_ranges` found: the `percentile` of the magnitudes other than
    zero that a batch sent through the converters of a matrix; until then each sample has its own.
    """

    bits: Annotated[int | Literal["none"], BeforeValidator(_bits)] = 8
    range: Literal["sample", "fixed", "calibrated"] = "sample"
    limit: Positive | None = None
    transposed_range: Literal["sample", "fixed", "calibrated"] = "sample"
    percentile: float = Field(default=99.9, gt=0, le=100)
    source: str = ""

    @model_validator(mode="after")
    def _limited(self) -> Converter:
        if (self.range == "fixed") != (self.limit is not None):
            raise ValueError("a fixed range needs limit, and only a fixed range has one")
        if self.transposed_range == "fixed" and self.range != "fixed":
            raise ValueError('transposed_range = "fixed" is the range of forward reads: accepted with range = "fixed"')
        return self

    def mode(self, transposed: bool) -> str:
        """Return where the range of reads in this direction comes from: "sample", "fixed" or "calibrated"."""
        return self.transposed_range if transposed else self.range

    def fixed(self, transposed: bool) -> float:
        """Return the limit of reads in this direction, 0 where the file fixes none."""
        return self.limit if self.limit is not None and self.mode(transposed) == "fixed" else 0.0

    def reach(self, transposed: bool, calibrated: float) -> float:
        """Return the limit of reads in this direction, given the calibrated one; 0 where each sample has its own."""
        return calibrated if self.mode(transposed) == "calibrated" else self.fixed(transposed)

    @property
    def levels(self) -> int:
        """Codes on each side of zero; 0 without a converter."""
        return 0 if self.bits == "none" else 2 ** (self.bits - 1) - 1


class ColumnConverter(Converter):
    """The converters behind an array, one a line it senses: no two of them alike.

    Standard deviations over the converters of a chip (`dbpsim.crossbar.column_converters`): of the gain, of the offset in
    steps of the converter, and of the integral nonlinearity, a smooth bow, in steps at its middle.
    """

    gain_sigma: float = Field(default=0.0, ge=0, le=0.2)
    offset_sigma_lsb: NotNegative = 0.0
    inl_sigma_lsb: NotNegative = 0.0

    @model_validator(mode="after")
    def _converts(self) -> ColumnConverter:
        if self.bits == "none" and (self.gain_sigma or self.offset_sigma_lsb or self.inl_sigma_lsb):
            raise ValueError("gain_sigma, offset_sigma_lsb and inl_sigma_lsb are a converter's: accepted with bits from 2 to 16")
        return self


NO_CONVERTER = Converter(bits="none")
NO_COLUMN_CONVERTER = ColumnConverter(bits="none")
