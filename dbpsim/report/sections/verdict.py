"""The report in five lines, each computed from the data given."""

from __future__ import annotations

from dbpsim.cost.table import CostTable
from dbpsim.report.contents import Contents
from dbpsim.report.elements import shown


def verdict(contents: Contents) -> list[tuple[str, str]]:
    """Return five (heading, sentence) pairs; where there is nothing to judge the sentence says so."""
    return [
        ("What ran", _what(contents)),
        ("Gradient", _gradient(contents)),
        ("Accuracy", _accuracy(contents)),
        ("Cost", _cost(contents)),
        ("What decides it", _decides(contents)),
    ]


def _what(contents: Contents) -> str:
    facts = contents.facts
    hardware = facts["hardware"] or "no hardware: ideal digital arithmetic"
    return f"{facts['network']}; {hardware}; data: {facts['data'] or 'not named'}."


def _gradient(contents: Contents) -> str:
    found = contents.fidelity
    if found is None:
        return "Not compared with exact backpropagation."
    worst = found.worst
    if worst.relative_error == 0:
        return "Equal to backpropagation's bit for bit in every stage."
    return (
        f"Worst stage {worst.stage}, relative error {worst.relative_error:.1e}; all parameters as one vector: misalignment "
        f"{found.whole.misalignment:.1e}, SNR {found.whole.signal_to_noise_dB:.0f} dB."
    )


def _accuracy(contents: Contents) -> str:
    training = contents.training
    if training is None or not training.epochs:
        return "Not trained: this is one training step."
    last = training.epochs[-1]
    return f"{last['test_accuracy']:.2%} of the test set after {last['epoch']} epochs by {training.config.method}."


def _cost(contents: Contents) -> str:
    table, samples = contents.cost, contents.samples
    if table is None:
        return "No hardware, so no energy, latency or area."
    area = f"; {shown(table.total_area_m2, 'm2')} of silicon" if table.total_area_m2 else ""
    between = ""
    if contents.uncertainty is not None:
        low, _, high = (shown(value / samples, "J") for value in contents.uncertainty.energy_J)
        between = f" (90 % of draws: {low} to {high})"
    return (
        f"A training sample of this run, {table.schedule}, takes {shown(table.total_J / samples, 'J')}{between} and "
        f"{shown(table.latency_s / samples, 's')}{area}{unwritten(table)}."
    )


def unwritten(table: CostTable) -> str:
    """Return what to say of a run that wrote nothing: energies of whole training steps have pulses in them."""
    return "" if table.by_component["pulses"] else "; it computed the gradient and wrote no pulses"


def _decides(contents: Contents) -> str:
    table = contents.cost
    if table is None or not table.total_J:
        return "Nothing was costed."
    component, phase = (max(by, key=by.__getitem__) for by in (table.by_component, table.by_phase))
    said = [
        f"{table.by_component[component] / table.total_J:.0%} of the energy is {component.replace('_', ' ')}, "
        f"{table.by_phase[phase] / table.total_J:.0%} goes into the {phase} phase."
    ]
    if contents.comparison is not None:
        said += _against(contents)
    return " ".join(said)


def _against(contents: Contents) -> list[str]:
    # the dyadic mode that takes least energy against each other one
    rows = contents.comparison.rows  # type: ignore[union-attr]
    best = min((row for row in rows if row.name.startswith("dyadic")), key=lambda row: row.energy_J, default=None)
    others = [row for row in rows if not row.name.startswith("dyadic")]
    if best is None or not others:
        return []
    pairs = [
        f"{row.label}: energy {_times(row.energy_J, best.energy_J)}, time {_times(row.latency_s, best.latency_s)}"
        for row in others
    ]
    own = f"{best.label.removeprefix('dyadic, ')} ({shown(best.energy_J, 'J')} a sample)"
    return [f"Against the best dyadic mode, {own}: {'; '.join(pairs)}."]


def _times(value: float, reference: float) -> str:
    """Return how many times `reference` a value is, in words that stay short.

    Examples
    --------
    >>> _times(3.71, 1.0), _times(2.34e-6, 8.1e-4), _times(5321.0, 1.0), _times(1.0, 1.0)
    ('3.7 times', '1/346', '5,321 times', 'about the same')
    """
    if not (reference and value):
        return "-"
    ratio = value / reference
    if abs(ratio - 1) < 0.05:
        return "about the same"
    if ratio < 0.1:
        return f"1/{1 / ratio:,.0f}"
    return f"{ratio:,.0f} times" if ratio >= 99.5 else f"{ratio:.2g} times"
