"""The [update] table of a device file: how far one pulse moves a cell, and how far it misses.

In a window g_min to g_max of width span, with xi = (2 g - g_max - g_min) / span running from -1 to 1, a pulse makes

    up:    g <- g + step_S (1 + asymmetry) d f_up(xi)   (1 + step_sigma z)
    down:  g <- g - step_S (1 - asymmetry) d f_down(xi) (1 + step_sigma z),      z ~ N(0, 1) at every pulse,

and the cell stays between its own bounds.  step_S is the mean step in the middle of the window where f is 1 there.  The laws:

    law                 f_up(xi)                                f_down(xi)
    constant_step       1                                       1
    linear_step         1 - gamma_up xi                         1 + gamma_down xi
    soft_bounds         1 - xi                                  1 + xi
    exponential_step    max(0, 1 - A_up exp(gamma_up z))        max(0, 1 - A_down exp(-gamma_down z)),    z = a xi + b
    piecewise_step      straight lines through up_factors       through down_factors, nodes evenly from g_min to g_max

Constant step: Gokmen and Vlasov, Front. Neurosci. 10:333 (2016).  Soft bounds: Fusi and Abbott, Nat. Neurosci. 10:485
(2007); for ReRAM, Frascaroli et al., Sci. Rep. 8:7178 (2018).  Linear and exponential step as parametrised by Rasch et
al., AICAS 2021 (arXiv:2104.02184), in normalised weights there and in siemens here.  NeuroSim's curve
G(P) = B (1 - exp(-P/A)) + G_min (Chen, Peng and Yu, IEDM 2017) is a linear step: with A in units of P_max,
gamma = tanh(1 / 2A) and step_S = span (1 - exp(-1 / (A P_max))) / (2 gamma).

Devices differ: a cell's own d, asymmetry and bounds are drawn once, from counters, and never stored:

    d = |1 + step_spread z1|,           asymmetry + asymmetry_spread z2,
    g_max + upper_spread (span/2) z3,   g_min + lower_spread (span/2) z4

(its lower bound is not below zero; where the bounds cross the cell is stuck between them).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from dbpsim.devices.sections import Finite, NotNegative, Positive, Section


class Update(Section):
    """Blind pulses; the keys that every law has.

    Attributes
    ----------
    polarity : {"up", "both"}
        One-sided cells only rise, and a pair of them is erased and programmed anew when one is full.
    step_S : float
        What the law's factors multiply: the mean step in the middle of the window where they are 1 there (not so of an
        exponential step: `dbpsim.devices.update.middle_step`).
    step_sigma : float
        Spread from pulse to pulse, a multiple of the step.
    noise : {"step", "fixed"}
        Whether that is a multiple of the actual step, which shrinks at a bound, or of the step in the middle.
    asymmetry : float
        (up - down) / (up + down) of the steps in the middle of the window.
    step_spread, asymmetry_spread : float
        From device to device: of the step, relative, and of the asymmetry.
    upper_spread, lower_spread : float
        From device to device: of the bounds, in units of half the window.
    energy_per_pulse_J, pulse_s : float, optional
        Absent where no source was found: the cost table says then that it lacks the writes.
    states : int, optional
        A fact for lists, not used by the law.
    """

    law: str = "constant_step"
    polarity: Literal["up", "both"]
    step_S: Positive
    step_sigma: NotNegative = 0.0
    noise: Literal["step", "fixed"] = "step"
    asymmetry: float = Field(default=0.0, gt=-1, lt=1)
    step_spread: NotNegative = 0.0
    asymmetry_spread: NotNegative = 0.0
    upper_spread: NotNegative = 0.0
    lower_spread: NotNegative = 0.0
    energy_per_pulse_J: NotNegative | None = None
    pulse_s: Positive | None = None
    states: int | None = Field(default=None, ge=2)
    source: str


class ConstantStep(Update):
    """The same mean step everywhere in the window."""

    law: Literal["constant_step"] = "constant_step"


class LinearStep(Update):
    """A step that changes linearly over the window; gamma = 1 makes it vanish at the bound it moves to."""

    law: Literal["linear_step"]
    gamma_up: float = Field(ge=-1, le=1)
    gamma_down: float = Field(ge=-1, le=1)


class SoftBounds(Update):
    """A step in proportion to the distance from the bound it moves to."""

    law: Literal["soft_bounds"]


class ExponentialStep(Update):
    """A step that saturates exponentially."""

    law: Literal["exponential_step"]
    A_up: Finite
    A_down: Finite
    gamma_up: Finite
    gamma_down: Finite
    a: Finite
    b: Finite = 0.0

    @model_validator(mode="after")
    def _no_overflow(self) -> ExponentialStep:
        largest = max(abs(self.gamma_up), abs(self.gamma_down)) * (abs(self.a) + abs(self.b))
        if largest > 40:
            raise ValueError(f"gamma (|a| + |b|) = {largest:g}; accepted: at most 40, or the exponential runs away")
        return self


class PiecewiseStep(Update):
    """A step read from nodes, evenly spaced from g_min to g_max, in units of step_S."""

    law: Literal["piecewise_step"]
    up_factors: tuple[NotNegative, ...] = Field(min_length=2)
    down_factors: tuple[NotNegative, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _nodes(self) -> PiecewiseStep:
        if len(self.up_factors) != len(self.down_factors):
            found = f"{len(self.up_factors)} up_factors and {len(self.down_factors)} down_factors"
            raise ValueError(f"found {found}; accepted: as many of each")
        return self


def law_of(table: Any) -> Any:
    """Return the law that an [update] table, or an `Update`, is of: constant_step where it does not say."""
    return table.get("law", "constant_step") if isinstance(table, dict) else getattr(table, "law", None)


AnyUpdate = Annotated[
    Annotated[ConstantStep, Tag("constant_step")]
    | Annotated[LinearStep, Tag("linear_step")]
    | Annotated[SoftBounds, Tag("soft_bounds")]
    | Annotated[ExponentialStep, Tag("exponential_step")]
    | Annotated[PiecewiseStep, Tag("piecewise_step")],
    Discriminator(law_of),
]
