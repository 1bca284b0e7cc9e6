"""The report of a run: one HTML page that opens from disk, and the same as data.

    index.html          self-contained: styles and drawings inside, no requests
    report.json         everything the page says, as numbers (`dbpsim.report.schema`)
    NAME.csv            every table, plain SI numbers;  tables.tex: the same for LaTeX with booktabs
    NAME.svg, NAME.png  every figure
    provenance.json     machine and threads, which report.json does not depend on

The same results give the same files, byte for byte (a training run's results hold the seconds it took).  Everything is
made before anything is written, and what an earlier report left in the folder and this one does not have is removed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbpsim.chip import Chip
from dbpsim.cost.comparison import Comparison
from dbpsim.cost.comparison import compare as compare_modes
from dbpsim.cost.components import Components, load_components
from dbpsim.cost.estimate import cost
from dbpsim.cost.uncertainty import uncertainty
from dbpsim.credit.backprop import Backprop
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.relax import Relaxation
from dbpsim.files import finite, write_bytes
from dbpsim.network.graph import Network
from dbpsim.report.contents import Contents
from dbpsim.report.elements import Section
from dbpsim.report.latex import latex
from dbpsim.report.page import page
from dbpsim.report.provenance import environment, provenance
from dbpsim.report.schema import FORMAT, ReportDocument
from dbpsim.training.loop import TrainingResult

if TYPE_CHECKING:
    from collections.abc import Mapping

_DYADIC = ("dyadic-free", "dyadic-clocked", "dyadic-wavefront")  # in every comparison
_MANIFEST = "provenance.json"


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
    components: str | Path | Components = "default",
    compare: Sequence[str] | Comparison | None = None,
    settling: np.ndarray | None = None,
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
    components : str, path or Components
        The library the cost is worked out with.
    compare : sequence of str or Comparison, optional
        Modes to set beside the dyadic ones (`dbpsim.cost.modes.list_modes`), or a comparison that was made already.
    settling : array, optional
        Seconds each sample takes to settle (`dbpsim.cost.settling_times.settling_times`).

    Raises
    ------
    ValueError
        For an unknown mode, or modes to compare where there is no chip.
    """
    library = load_components(components)
    beside = _comparison(network, run, compare, library)
    found = _contents(network, run, exact, training, dataset_label, command, library, beside)
    contents = replace(found, settling=settling)
    heading = title or f"dbpsim: {network.name}" + (f" on {network.hardware.name}" if isinstance(network, Chip) else "")
    return write_files(Path(out), _files(heading, contents))


def _contents(
    network: Network, run: Any, exact: Any, training: Any, label: str | None, command: str | None, library: Components,
    beside: Comparison | None,
) -> Contents:  # fmt: skip
    chip = network if isinstance(network, Chip) else None
    seeds = {"weights": network.seed, "chip": None if chip is None else chip.chip_seed}
    return Contents(
        network=network,
        run=run,
        facts=_facts(network, run, label),
        fidelity=None if exact is None else fidelity(run.gradients, exact.gradients),
        training=training,
        cost=None if chip is None else cost(chip, run, components=library),
        components=None if chip is None else library,
        uncertainty=None if chip is None else uncertainty(lambda parts: cost(chip, run, components=parts), library),
        comparison=beside,
        ranges={} if beside is None else beside.ranges(),
        settling=None,
        provenance=provenance(seeds, command),
        environment=environment(),
        command=command,
    )


def _comparison(network: Network, run: Any, compare: Any, library: Components) -> Comparison | None:
    if compare is None or isinstance(compare, Comparison):
        return compare
    if not isinstance(network, Chip):
        raise ValueError("compare: found no hardware; accepted: modes beside a chip.")
    modes = [*_DYADIC, *(name for name in compare if name not in _DYADIC)]
    return compare_modes(network, modes=modes, components=library, eta=min(1.0, getattr(run, "eta", 1.0)), batch=len(run.output))


def _facts(network: Network, run: Any, label: str | None) -> dict[str, Any]:
    chip = network if isinstance(network, Chip) else None
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
    }


def _hardware(chip: Chip) -> str:
    return f"{chip.hardware.name} (device {chip.hardware.device.name}, links {chip.hardware.links})"


def _files(title: str, contents: Contents) -> dict[str, bytes]:
    # matplotlib is loaded here, when a report is made, and not by `import dbpsim`
    from dbpsim.report.sections import SECTIONS, verdict

    sections = [section for make in SECTIONS if (section := make(contents)) is not None]
    said = verdict(contents)
    document = {
        "format": FORMAT,
        "title": title,
        "verdict": [{"heading": heading, "sentence": sentence} for heading, sentence in said],
        "facts": contents.facts,
        **{section.key: section.data for section in sections if section.data is not None},
        "command": contents.command,
    }
    files = rendered(title, said, sections)
    shown = [figure for section in sections for figure in section.figures]
    tables = [table for section in sections for table in section.tables]
    lists = {
        "figures": [{"name": figure.name, "shows": figure.alt} for figure in shown],
        "tables": [{"name": table.name, "shows": table.caption} for table in tables],
    }
    checked = ReportDocument.model_validate(finite({**document, **lists}))
    return files | {"report.json": as_json(checked.model_dump(mode="json")), _MANIFEST: as_json(contents.environment)}


def rendered(title: str, said: Sequence[tuple[str, str]], sections: Sequence[Section]) -> dict[str, bytes]:
    """Return the page and the files of its drawings and tables."""
    from dbpsim.report import figures

    drawn = {f.name: figures.drawn(f.draw, size=f.size) for section in sections for f in section.figures}
    drawings = {name: figures.svg(drawing) for name, drawing in drawn.items()}
    files = {f"{name}.png": figures.png(drawing) for name, drawing in drawn.items()}
    files |= {f"{name}.svg": b'<?xml version="1.0" encoding="utf-8"?>\n' + svg.encode() for name, svg in drawings.items()}
    files |= {f"{table.name}.csv": table.csv().encode() for section in sections for table in section.tables}
    files["tables.tex"] = latex(sections).encode()
    files["index.html"] = page(title, said, sections, drawings).encode()
    return files


def as_json(document: Any) -> bytes:
    """Return plain data as the bytes of a JSON file; nan and infinity become null."""
    return (json.dumps(finite(document), indent=2, allow_nan=False) + "\n").encode()


def write_files(out: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` into the folder `out`, remove what an earlier report left there, and return the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    for name in _earlier(out) - files.keys():
        (out / name).unlink(missing_ok=True)
    for name, data in files.items():
        write_bytes(out / name, data)
    return out / "index.html"


def _earlier(out: Path) -> set[str]:
    """Return the files that the report in `out` lists as its own, or those of the differences there."""
    if "same_figures" in _read(out / "diff.json"):
        return {"diff.json", "settings.csv", "moved.csv", "tables.tex"}
    found = _read(out / "report.json")
    try:
        stems = {(str(entry["name"]), kind) for kind in ("figures", "tables") for entry in found[kind]}
    except (KeyError, TypeError):
        return set()
    plain = {(stem, kind) for stem, kind in stems if stem.isidentifier()}  # a name, and no path out of the folder
    endings = {"figures": (".svg", ".png"), "tables": (".csv",)}
    return {stem + ending for stem, kind in plain for ending in endings[kind]} | {"report.json", "tables.tex", _MANIFEST}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
