"""The report of a run: one HTML page that opens from disk, and the same as data.

    index.html     self-contained: styles and figures inside, no requests
    report.json    everything the page says, as numbers
    fidelity.csv, training.csv, cost.csv
    *.png          the figures

The same results give the same files, byte for byte (a training run's results hold the seconds it took).  Everything is
made before anything is written, and what an earlier report left in the folder and this one does not have is removed.
"""

from __future__ import annotations

import csv
import io
import json
import platform
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from dbpsim.chip import Chip
from dbpsim.cost.estimate import cost
from dbpsim.cost.table import CostTable
from dbpsim.credit.backprop import Backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import Relaxation
from dbpsim.files import finite, write_bytes
from dbpsim.network.graph import Network
from dbpsim.report.sections import (
    Figure,
    Section,
    cost_section,
    facts_section,
    fidelity_section,
    training_section,
    verdict,
)
from dbpsim.training.journal import installed_version
from dbpsim.training.loop import TrainingResult

# every file a report may have besides the page and report.json
_OURS = {f"{name}.csv" for name in ("fidelity", "training", "cost")} | {
    f"{name}.png" for name in ("fidelity", "loss", "accuracy", "cost", "settling", "energy")
}


def report(
    network: Network,
    run: Backprop | Relaxation,
    out: str | Path,
    *,
    exact: Backprop | None = None,
    training: TrainingResult | None = None,
    dataset_label: str | None = None,
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Write the report of `run` on `network` into the folder `out`; return the page's path.

    Parameters
    ----------
    network : Network
        Or the `Chip` that ran.
    run : Relaxation or Backprop
        With `record=True`, a relaxation's settling is drawn.
    out : path
    exact : Backprop, optional
        The reference; with it the report shows the gradient's fidelity.
    training : TrainingResult, optional
    dataset_label : str, optional
        What the data really were (`Dataset.label`).
    title, command : str, optional
        The page's heading; what reproduces it.
    """
    out = Path(out)
    found = None if exact is None else fidelity(run.gradients, exact.gradients)
    table = cost(network, run) if isinstance(network, Chip) else None
    facts = _facts(network, run, dataset_label)
    images: dict[str, bytes] = {}
    sections = _sections(run, found, training, table, images)
    sections.append(facts_section(facts))
    if command:
        sections.append(Section("How to reproduce", code=command))
    document = {
        "facts": facts,
        "fidelity": None if found is None else found.to_dict(),
        "training": None if training is None else training.to_dict(),
        "cost": None if table is None else table.to_dict(),
        "command": command,
    }
    heading = title or f"dbpsim: {network.name}" + (f" on {network.hardware.name}" if isinstance(network, Chip) else "")
    files = {f"{name}.png": data for name, data in images.items()}
    files["report.json"] = (json.dumps(finite(document), indent=2, allow_nan=False) + "\n").encode()
    for name, section in (("fidelity", "Gradient fidelity"), ("training", "Training"), ("cost", "Energy")):
        for part in sections:
            if part.title.startswith(section):
                files[f"{name}.csv"] = _csv(part, table if name == "cost" else None).encode()
    files["index.html"] = _page(heading, verdict(found, training, table, len(run.output), facts), sections).encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_bytes(out / name, data)
    for name in _OURS - files.keys():
        (out / name).unlink(missing_ok=True)
    return out / "index.html"


def _sections(
    run: Any, found: Any, training: TrainingResult | None, table: CostTable | None, images: dict[str, bytes]
) -> list[Section]:
    # matplotlib is loaded here, when a report is made, and not by `import dbpsim`
    from dbpsim.report import figures

    def draw(name: str, alt: str, how: Any, *data: Any) -> Figure:
        images[name] = figures.png(how, *data)
        return Figure(name, figures.svg(how, *data), alt)

    sections = []
    if found is not None:
        alt = "Relative error, misalignment and inverse signal-to-noise ratio of the gradient, stage by stage."
        sections.append(fidelity_section(found, [draw("fidelity", alt, figures.draw_fidelity, found)]))
    if training is not None and training.epochs:
        drawings = [
            draw("loss", "Loss over the epochs.", figures.draw_loss, training),
            draw("accuracy", "Accuracy over the epochs.", figures.draw_accuracy, training),
        ]
        sections.append(training_section(training, drawings))
    if table is not None:
        alt = "Energy of one batch by stage, stacked by component."
        sections.append(cost_section(table, len(run.output), [draw("cost", alt, figures.draw_cost, table)]))
    history = getattr(run, "history", None)
    if history is not None:
        waves = (
            "Distance of every stage from its target over the clocks: "
            "activations settle from the first stage on, then stress from the last."
        )
        energy = "Energy E(x, z) over the clocks; at equilibrium it is the loss."
        drawings = [draw("settling", waves, figures.draw_settling, history)]
        drawings.append(draw("energy", energy, figures.draw_energy, history, run.gain * run.loss))
        sections.append(Section("Settling", figures=drawings))
    return sections


def _facts(network: Network, run: Any, label: str | None) -> dict[str, Any]:
    chip = network if isinstance(network, Chip) else None
    packages = ("dbpsim", "numpy", "numba")
    return {
        "network": repr(network),
        "data": label,
        "batch": len(run.output),
        "hardware": None if chip is None else _hardware(chip),
        "method": "dyadic relaxation" if isinstance(run, Relaxation) else "backpropagation",
        "eta": getattr(run, "eta", None),
        "coupling": getattr(run, "coupling", None),
        "coordinates": getattr(run, "coordinates", None),
        "schedule": getattr(run, "schedule", None),
        "steps": getattr(run, "steps", None),
        "cost gain": getattr(run, "gain", None),
        "loss": run.loss,
        "dtype": network.dtype.name,
        "weight seed": network.seed,
        "chip seed": None if chip is None else chip.chip_seed,
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{n} {installed_version(n)}" for n in packages)]),
    }


def _hardware(chip: Chip) -> str:
    return f"{chip.hardware.name} (device {chip.hardware.device.name}, links {chip.hardware.links})"


def _csv(section: Section, table: CostTable | None) -> str:
    if table is not None:  # numbers in joules, not the scaled texts of the page
        components = list(table.by_component)
        head = ["stage", *(f"{c}_J" for c in components)]
        rows: list[list[Any]] = [[s, *(parts.get(c, 0.0) for c in components)] for s, parts in table.energy_J.items()]
    else:
        head, rows = section.head, list(section.rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _page(title: str, said: list[str], sections: list[Section]) -> str:
    source = resources.files("dbpsim.report").joinpath("page.html").read_text()
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    return template.render(title=title, verdict=said, sections=sections)
