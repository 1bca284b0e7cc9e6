"""The sections of a report: what each one says, from data and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbpsim.cost.table import CostTable
from dbpsim.credit.fidelity import Fidelity
from dbpsim.training.loop import TrainingResult

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"), (1e-18, "a"))


@dataclass(frozen=True)
class Figure:
    """A drawing and what it shows, in words."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Section:
    """A heading with texts, figures, one table and notes."""

    title: str
    texts: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: str = ""


def quantity(value: float, unit: str) -> str:
    """Return `value` with an SI prefix and three digits.

    Examples
    --------
    >>> quantity(1.234e-8, "J"), quantity(0.0, "s")
    ('12.3 nJ', '0 s')
    """
    if value == 0:
        return f"0 {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.2e} {unit}"


def fidelity_section(found: Fidelity, figures: list[Figure]) -> Section:
    """Return the table and figure of how close the gradients are to exact ones."""
    rows = [
        [r.stage, f"{r.misalignment:.2e}", f"{r.relative_error:.2e}", f"{r.signal_to_noise:.2e}", f"{r.signal_to_noise_dB:.1f}"]
        for r in (*found.stages, found.whole)
    ]
    head = ["stage", "misalignment 1 - cos", "relative error", "SNR", "SNR (dB)"]
    text = "Gradients of the run against exact backpropagation with the same weights, as numbers, on the same batch."
    return Section("Gradient fidelity", [text], figures, head, rows)


def training_section(training: TrainingResult, figures: list[Figure]) -> Section:
    """Return the epochs of a training run."""
    rows = [
        [str(e["epoch"]), f"{e['loss']:.4f}", f"{e['train_accuracy']:.2%}", f"{e['test_accuracy']:.2%}", f"{e['seconds']:.1f}",
         f"{e['images_per_s']:.0f}"]
        for e in training.epochs
    ]  # fmt: skip
    head = ["epoch", "loss", "training accuracy", "test accuracy", "seconds", "images/s"]
    c = training.config
    text = f"Method {c.method}, batch {c.batch}, rate {c.rate:g} ({c.schedule}), seed {c.seed}; data: {training.data}."
    return Section("Training", [text], figures, head, rows)


def cost_section(table: CostTable, samples: int, figures: list[Figure]) -> Section:
    """Return energy by stage and component, latency, and what they rest on."""
    components = [c for c, total in table.by_component.items() if total > 0]
    rows = [
        [stage, *(quantity(parts.get(c, 0.0), "J") for c in components), quantity(sum(parts.values()), "J")]
        for stage, parts in table.energy_J.items()
    ]
    rows.append(["total", *(quantity(table.by_component[c], "J") for c in components), quantity(table.total_J, "J")])
    text = (
        f"One batch of {samples}: {quantity(table.total_J, 'J')}, {quantity(table.latency_s, 's')}; "
        f"a sample: {quantity(table.total_J / samples, 'J')}, {quantity(table.latency_s / samples, 's')}; "
        f"a multiply-accumulate: {quantity(table.joules_per_multiply_accumulate, 'J')}."
    )
    head = ["stage", *components, "total"]
    return Section(f"Energy and latency on {table.hardware}", [text], figures, head, rows, list(table.notes))


def facts_section(facts: Mapping[str, Any]) -> Section:
    """Return what was run, as a table of two columns."""
    rows = [[name, str(value)] for name, value in facts.items() if value is not None]
    return Section("What was run", rows=rows)


def verdict(
    found: Fidelity | None, training: TrainingResult | None, table: CostTable | None, samples: int, facts: Mapping[str, Any]
) -> list[str]:
    """Return the report in a few sentences, each computed from the data given."""
    hardware = facts["hardware"] or "no hardware: ideal digital arithmetic"
    said = [f"{facts['network']}; {hardware}; data: {facts['data'] or 'not named'}."]
    if found is not None:
        w = found.worst
        if w.relative_error == 0:
            said.append("The gradients equal backpropagation's bit for bit in every stage.")
        else:
            said.append(
                f"Worst stage of the gradient: {w.stage}, relative error {w.relative_error:.1e}; all parameters as one vector: "
                f"misalignment {found.whole.misalignment:.1e}, SNR {found.whole.signal_to_noise_dB:.0f} dB."
            )
    if training is not None and training.epochs:
        last = training.epochs[-1]
        said.append(f"Test accuracy {last['test_accuracy']:.2%} after {last['epoch']} epochs by {training.config.method}.")
    if table is not None:
        largest = max(table.by_component, key=table.by_component.__getitem__)
        share = table.by_component[largest] / table.total_J if table.total_J else 0.0
        said.append(
            f"A training sample costs {quantity(table.total_J / samples, 'J')} and {quantity(table.latency_s / samples, 's')} "
            f"on this hardware as modelled; {share:.0%} of the energy is {largest}."
        )
    return said
