"""Exact backpropagation on digital machines: joules and seconds of a training sample.

    multiply-accumulates = forward + transposed (not where only the input is behind) + outer product: some 3 a weight and position
    processors    E = 2 MAC x power / (peak x utilisation),    t = 2 MAC / (peak x utilisation)
    accelerator   E = MAC x (E_mac + operands x bits x E_access / reuse)

At peak utilisation this is the figure that vendors quote; real training reaches a fraction of it, so `utilisation` has a range.
Figures and sources: `digital.toml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dbpsim.cost.drives import matrix_shape, read_back
from dbpsim.cost.workload import positions
from dbpsim.devices.library import read_toml, validated
from dbpsim.devices.schema import suggestion
from dbpsim.devices.sections import NotNegative, Positive, Section
from dbpsim.network.graph import Network

Interval = tuple[float, float]


class Processor(Section):
    """A machine known by its peak and its power."""

    label: str
    peak_FLOP_per_s: Positive
    power_W: Positive
    utilisation: Annotated[float, Field(gt=0, le=1)]
    range: dict[str, Interval] = {}
    area_m2: NotNegative
    source: str

    @property
    def multiply_accumulate_s(self) -> float:
        """Seconds of one multiply-accumulate, at its utilisation."""
        return 2 / (self.peak_FLOP_per_s * self.utilisation)

    def energy_J(self, multiply_accumulates: float) -> dict[str, float]:
        """Energy, by component: arithmetic is what it would be at peak, the rest is what stands idle."""
        peak = 2 * multiply_accumulates * self.power_W / self.peak_FLOP_per_s
        return {"alu": peak, "idle": peak * (1 / self.utilisation - 1)}


class Accelerator(Section):
    """A machine known by its operations and its memory."""

    label: str
    multiply_accumulate_J: Positive
    access_J_per_bit: Positive
    bits: Annotated[int, Field(ge=1)]
    operands: Annotated[int, Field(ge=1)]
    reuse: Positive
    rate_multiply_accumulates_per_s: Positive
    range: dict[str, Interval] = {}
    area_m2: NotNegative
    source: str

    @property
    def multiply_accumulate_s(self) -> float:
        """Seconds of one multiply-accumulate."""
        return 1 / self.rate_multiply_accumulates_per_s

    def energy_J(self, multiply_accumulates: float) -> dict[str, float]:
        """Energy, by component."""
        access = self.operands * self.bits * self.access_J_per_bit / self.reuse
        return {"alu": multiply_accumulates * self.multiply_accumulate_J, "buffer": multiply_accumulates * access}


def list_digital() -> list[str]:
    """Return the names of the digital machines."""
    return list(_machines())


def load_digital(name: str) -> Processor | Accelerator:
    """Return the digital machine called `name`.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> machine = load_digital("digital-gpu")
    >>> round(sum(machine.model_copy(update={"utilisation": 1.0}).energy_J(1).values()) / 2 * 1e12, 2)  # pJ a FLOP at peak
    0.71
    """
    known = _machines()
    if name not in known:
        words = suggestion(name, list(known)) or "."
        raise ValueError(f"digital machine {name!r}: not known{words} Accepted: {', '.join(known)}")
    if "peak_FLOP_per_s" in known[name]:
        return validated(Processor, known[name], f"digital.toml, {name}")
    return validated(Accelerator, known[name], f"digital.toml, {name}")


def _machines() -> dict[str, dict[str, object]]:
    return read_toml(Path(__file__).with_name("digital.toml"))


@dataclass(frozen=True)
class Products:
    """Multiply-accumulates of one training sample."""

    forward: int
    transposed: int
    outer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.forward + self.transposed + self.outer


def products(network: Network) -> Products:
    """Return the multiply-accumulates that backpropagation needs for one sample.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> products(mlp(784, 100, 10))  # no stress goes back to the input
    Products(forward=79400, transposed=1000, outer=79400)
    """
    forward = transposed = outer = 0
    for stage in network.weight_stages:
        layer = stage.weight_layer
        assert layer is not None
        each = math.prod(matrix_shape(layer)) * positions(layer)
        forward += each
        outer += each
        transposed += each * read_back(stage)
    return Products(forward, transposed, outer)
