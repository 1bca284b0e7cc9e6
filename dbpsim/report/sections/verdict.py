"""The report in five lines, each computed from the data given."""

from __future__ import annotations

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
    table = contents.cost
    if table is None:
        return "No hardware, so no energy, latency or area."
    samples = contents.samples
    area = f"; {shown(table.total_area_m2, 'm2')} of silicon" if table.total_area_m2 else ""
    return (
        f"A training sample takes {shown(table.total_J / samples, 'J')} and {shown(table.latency_s / samples, 's')} "
        f"on this hardware as modelled{area}."
    )


def _decides(contents: Contents) -> str:
    table = contents.cost
    if table is None or not table.total_J:
        return "Nothing was costed."
    component, phase = (max(by, key=by.__getitem__) for by in (table.by_component, table.by_phase))
    return (
        f"{table.by_component[component] / table.total_J:.0%} of the energy is {component.replace('_', ' ')}; "
        f"{table.by_phase[phase] / table.total_J:.0%} goes into the {phase} phase."
    )
