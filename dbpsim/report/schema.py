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


class Waves(_Open):
    """A recorded relaxation, an entry a clock."""

    residual: list[dict[str, float | None]] = Field(description="relative distance of every stage from its target")
    stress: list[dict[str, float | None]] = Field(description="norm of the stress of every stage")
    energy: list[float | None]


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
    settling: Waves | None = None
    assumptions: Assumptions | None = None
    provenance: Provenance
    command: str | None = Field(None, description="makes the report again")
    figures: list[ReportFile] = Field(description="NAME.svg and NAME.png")
    tables: list[ReportFile] = Field(description="NAME.csv, and in tables.tex")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ReportDocument.model_json_schema()}
