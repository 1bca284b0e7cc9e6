"""The sections of a device file that switch an effect on, one class a section.

An absent section is an absent effect.  Beside every section stand the functions that draw it, in the file
of the same name; the numbers are SI, the keys carry their units, and `source` says where they come from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dbpsim.devices.sections import Finite, NotNegative, Number, Positive, Section

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), Number]


class StateDependence(Section):
    """clip(slope ln(x) + offset, low, high) of the state x = g / g_max; from x = polynomial_from on, sum_k polynomial[k] x^k."""

    slope: Finite
    offset: Finite
    low: Finite
    high: Finite
    polynomial_from: Positive | None = None
    polynomial: tuple[Finite, ...] = ()

    @model_validator(mode="after")
    def _both_or_neither(self) -> StateDependence:
        if (self.polynomial_from is None) == bool(self.polynomial):
            raise ValueError("polynomial and polynomial_from are accepted together, not one of them")
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} must not exceed high = {self.high:g}")
        return self

    def times(self, factor: float) -> StateDependence:
        """Return the law `factor` times as large; `factor` is not negative."""
        scaled = {key: factor * getattr(self, key) for key in ("slope", "offset", "low", "high")}
        return self.model_copy(update=scaled | {"polynomial": tuple(factor * c for c in self.polynomial)})


class Levels(Section):
    """The conductances a controller can ask for: `count` of them, equally spaced over the window."""

    count: int = Field(ge=2)
    source: str


class Spread(Section):
    """Each cell's own window: its ends are normal around the device's, with these shares of the span as sigma."""

    g_min_sigma: NotNegative = 0.0
    g_max_sigma: NotNegative = 0.0
    source: str


class Programming(Section):
    """What write-verify leaves: sigma(g) = sum_k coefficients_S[k] (g / g_max)^k, or plateau_S (1 - exp(-g / knee_S))."""

    coefficients_S: tuple[Finite, ...] | None = Field(default=None, min_length=1)
    plateau_S: Positive | None = None
    knee_S: Positive | None = None
    pulses_per_cell: Positive
    source: str

    @model_validator(mode="after")
    def _one_law(self) -> Programming:
        saturating = (self.plateau_S is not None, self.knee_S is not None)
        if any(saturating) != all(saturating) or (self.coefficients_S is None) != all(saturating):
            raise ValueError("accepted: either coefficients_S, or plateau_S with knee_S")
        return self


class WriteVerify(Section):
    """Read, compare, pulse: until |g - target| <= tolerance_S or after max_pulses."""

    tolerance_S: Positive
    step_S: Positive
    step_sigma: NotNegative
    max_pulses: int = Field(ge=1)
    source: str


class ReadNoise(Section):
    """White noise, and 1/f noise over the band 1/t_observe to 1/(2 t_read)."""

    q_scale: NotNegative | None = None
    q_exponent: float = Field(default=0.0, ge=0, le=2)
    q_limit: NotNegative | None = None
    q: StateDependence | None = None
    t_read_s: Positive | None = None
    t_observe_s: Positive | None = None
    white_floor_S: NotNegative = 0.0
    white_share: NotNegative = 0.0
    white_plateau_S: Positive | None = None
    white_knee_S: Positive | None = None
    source: str

    @model_validator(mode="after")
    def _complete(self) -> ReadNoise:
        if self.q_scale is not None and self.q is not None:
            raise ValueError("accepted: either q_scale or q, not both")
        if self.has_one_over_f != (self.t_read_s is not None and self.t_observe_s is not None):
            raise ValueError("1/f noise needs q_scale or q, t_read_s and t_observe_s; white noise needs none of them")
        if self.t_observe_s is not None and self.t_read_s is not None and self.t_observe_s < self.t_read_s:
            raise ValueError(f"t_observe_s = {self.t_observe_s:g} s must be at least t_read_s = {self.t_read_s:g} s")
        if (self.white_plateau_S is None) != (self.white_knee_S is None):
            raise ValueError("white_plateau_S and white_knee_S are accepted together, not one of them")
        return self

    @property
    def has_one_over_f(self) -> bool:
        """Whether there is 1/f noise besides the white."""
        return self.q_scale is not None or self.q is not None


class RandomTelegraph(Section):
    """A trap in a share of the cells: g jumps by `amplitude` g between two levels of these mean lengths of stay."""

    amplitude: Share
    time_high_s: Positive
    time_low_s: Positive
    share_of_cells: Share = 1.0
    source: str

    @property
    def share_high(self) -> float:
        """Probability of the high level."""
        return self.time_high_s / (self.time_high_s + self.time_low_s)

    @property
    def relaxation_s(self) -> float:
        """Time constant of the autocovariance."""
        return 1.0 / (1.0 / self.time_high_s + 1.0 / self.time_low_s)


class Drift(Section):
    """g(t) = g(t0) (t / t0)^-nu with nu ~ N(nu_mean(g), nu_sigma(g))."""

    t0_s: Positive
    nu_mean: StateDependence
    nu_sigma: StateDependence
    source: str

    @model_validator(mode="after")
    def _exponents(self) -> Drift:
        for name in ("nu_mean", "nu_sigma"):
            law = getattr(self, name)
            largest = max(abs(law.low), abs(law.high), sum(map(abs, law.polynomial)))
            if largest > 1:
                raise ValueError(f"{name} reaches {largest:g}; accepted: exponents of at most 1 in size")
        return self


class _Retention(Section):
    # With an activation energy, times shrink by Arrhenius' factor from at_temperature_K on.
    activation_eV: Positive | None = None
    at_temperature_K: Positive | None = None
    source: str

    @model_validator(mode="after")
    def _arrhenius(self) -> _Retention:
        if (self.activation_eV is None) != (self.at_temperature_K is None):
            raise ValueError("activation_eV and at_temperature_K are accepted together, not one of them")
        return self


class ExponentialRetention(_Retention):
    """g(t) = level + (g - level) exp(-t / lifetime); lifetimes are log-normal over cells with relative spread lifetime_sigma."""

    law: Literal["exponential"]
    lifetime_s: Positive
    lifetime_sigma: float = Field(default=0.0, ge=0, le=10)
    level_S: NotNegative = 0.0


class LogarithmicRetention(_Retention):
    """g(t) = g + shift_S L + (spread_S + spread_slope_S L) z with L = ln(t / t0) from t0 on."""

    law: Literal["logarithmic"]
    t0_s: Positive
    shift_S: Finite = 0.0
    spread_S: NotNegative = 0.0
    spread_slope_S: NotNegative = 0.0


class TabulatedRetention(_Retention):
    """The programming error's law as it was measured at `times_s` after t0_s, one row of parameters a time."""

    law: Literal["tabulated"]
    t0_s: Positive
    times_s: tuple[Positive, ...] = Field(min_length=1)
    coefficients_S: tuple[tuple[Finite, ...], ...] | None = None
    plateau_S: tuple[Positive, ...] | None = None
    knee_S: tuple[Positive, ...] | None = None

    @model_validator(mode="after")
    def _rows(self) -> TabulatedRetention:
        given = [rows for rows in (self.coefficients_S, self.plateau_S, self.knee_S) if rows is not None]
        if any(len(rows) != len(self.times_s) for rows in given):
            raise ValueError(f"times_s has {len(self.times_s)} entries; every row of parameters must have as many")
        if (self.coefficients_S is None) != (self.plateau_S is not None and self.knee_S is not None):
            raise ValueError("accepted: either coefficients_S, or plateau_S with knee_S")
        if list(self.times_s) != sorted(set(self.times_s)) or self.times_s[0] <= self.t0_s:
            raise ValueError("times_s must rise, and start after t0_s")
        return self


Retention = Annotated[ExponentialRetention | LogarithmicRetention | TabulatedRetention, Field(discriminator="law")]


class Faults(Section):
    """Shares of cells that no pulse moves, and of lines that are open."""

    stuck_on: Share = 0.0
    stuck_off: Share = 0.0
    stuck_random: Share = 0.0
    dead_rows: Share = 0.0
    dead_columns: Share = 0.0
    source: str

    @model_validator(mode="after")
    def _at_most_all(self) -> Faults:
        total = self.stuck_on + self.stuck_off + self.stuck_random
        if total > 1:
            raise ValueError(f"stuck_on + stuck_off + stuck_random = {total:g}; accepted: at most 1")
        return self


class Endurance(Section):
    """What happens beyond `cycles`: the cell "stops" moving, or its window "closes" as cycles / n."""

    cycles: Positive
    wear: Literal["stops", "closes"] = "stops"
    reported_cycles: tuple[Positive, Positive] | None = None  # the lowest and the highest of the papers: a fact for lists
    source: str


class Temperature(Section):
    """Read noise and drift exponents scale as (T / reference_K)^exponent."""

    reference_K: Positive
    noise_exponent: Finite = 0.0
    drift_exponent: Finite = 0.0
    source: str
