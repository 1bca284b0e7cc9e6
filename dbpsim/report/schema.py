"""What report.json holds.  The shipped report.schema.json is this model's JSON schema; a test holds them together.

Numbers are in SI units, with the unit in the key.  A value that is not a finite number is null; a part that the report does not
have is null as well.  Every report is checked against it before it is written.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FORMAT = "dbpsim-report-1"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class _Open(BaseModel):
    """The keys a reader may rely on; there may be more."""

    model_config = ConfigDict(extra="allow")


class Sentence(_Strict):
    """One line of the verdict."""

    heading: str
    sentence: str


class StageError(_Strict):
    """Errors of one stage's gradient; the signal-to-noise ratio of an exact agreement is null."""

    stage: str
    misalignment: float | None
    relative_error: float | None
    signal_to_noise: float | None
    signal_to_noise_dB: float | None


class GradientErrors(_Strict):
    """Gradients of the run against exact backpropagation."""

    stages: list[StageError]
    all: StageError = Field(description="all parameters as one vector")
    worst: str = Field(description="the stage with the largest relative error")


class TrainingData(_Open):
    """A training run; losses are null where they were not finite."""

    config: dict[str, Any]
    epochs: list[dict[str, float | int | None]]
    steps: int


class CostData(_Open):
    """Energy, latency and area of one step on the whole batch."""

    hardware: str
    samples: int
    energy_J: dict[str, dict[str, float]] = Field(description="by stage, then component")
    energy_by_phase_J: dict[str, float] = Field(description="forward, transposed, update")
    energy_by_component_J: dict[str, float]
    total_energy_J: float
    latency_s: float
    period_s: float = Field(description="duration of one read")
    total_area_m2: float
    operations: int = Field(description="a multiply-accumulate is two")
    tops_per_W: float
    tops_per_mm2: float
    notes: list[str]


class SettlingData(_Strict):
    """When samples settle; and a recorded relaxation, an entry a clock."""

    times_s: list[float | None] | None = Field(None, description="of every sample; null where it does not settle")
    p50_s: float | None = None
    p95_s: float | None = None
    max_s: float | None = None
    unsettled_share: float | None = None
    residual: list[dict[str, float | None]] | None = Field(None, description="relative distance of every stage from its target")
    stress: list[dict[str, float | None]] | None = Field(None, description="norm of the stress of every stage")
    energy: list[float | None] | None = None


class ModeData(_Open):
    """One training sample by one mode."""

    name: str
    label: str
    energy_per_sample_J: float
    latency_per_sample_s: float
    energy_per_training_J: float
    latency_per_training_s: float
    area_m2: float
    p5_J: float = Field(description="5th percentile of the energy of a sample")
    p95_J: float
    assumptions: list[str]


class ComparisonData(_Open):
    """Training by several modes."""

    hardware: str
    bits: float = Field(description="to which gradients settle")
    batch: int
    images: int
    epochs: int
    modes: list[ModeData]
    decisive: list[str]


class TornadoBar(_Strict):
    """Energy of the step with one figure at either end of its range."""

    figure: str
    low: float
    high: float
    energy_at_low_J: float
    energy_at_high_J: float


class UncertaintyData(_Open):
    """What the ranges of component figures make of the energy of the step."""

    draws: int
    seed: int
    percentiles: list[float]
    energy_J: list[float] = Field(description="at the percentiles")
    nominal_energy_J: float
    tornado: list[TornadoBar]


class EnergyLimit(_Strict):
    """One bound of physics."""

    limit: str
    energy_per_multiply_accumulate_J: float
    times_above: float = Field(description="energy of this design over the bound")
    what: str
    source: str


class TimeLimit(_Strict):
    """The least time of one sample to settle."""

    schedule: str
    least_s: float


class LimitsData(_Strict):
    """What physics allows at a resolution."""

    bits: float
    energy: list[EnergyLimit]
    time: list[TimeLimit]


class HardwareSetting(_Strict):
    """One setting of the hardware, the device included."""

    setting: str
    value: str
    source: str | None


class LibraryFigure(_Strict):
    """One figure of the component library; low and high are null where its source gives no range."""

    figure: str
    value: float
    low: float | None
    high: float | None
    unit: str
    node_m: float
    source: str


class Assumptions(_Open):
    """What the figures rest on."""

    hardware: list[HardwareSetting]
    library: list[LibraryFigure] = []


class Provenance(_Strict):
    """What made the report; the machine and its threads are in provenance.json, since nothing here depends on them."""

    dbpsim: str
    commit: str | None
    python: str
    packages: dict[str, str]
    seeds: dict[str, int]
    command: str | None


class ReportFile(_Strict):
    """A figure or table: its files' stem, and what it shows."""

    name: str
    shows: str


class ReportDocument(_Strict):
    """The whole of report.json."""

    format: str = Field(FORMAT, description="name and version of this schema")
    title: str
    verdict: list[Sentence]
    facts: dict[str, Any] = Field(description="what was run: settings and the loss")
    fidelity: GradientErrors | None = None
    training: TrainingData | None = None
    cost: CostData | None = None
    comparison: ComparisonData | None = None
    settling: SettlingData | None = None
    uncertainty: UncertaintyData | None = None
    limits: LimitsData | None = None
    assumptions: Assumptions | None = None
    provenance: Provenance
    command: str | None = Field(None, description="makes the report again")
    figures: list[ReportFile] = Field(description="NAME.svg and NAME.png")
    tables: list[ReportFile] = Field(description="NAME.csv, and in tables.tex")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ReportDocument.model_json_schema()}
