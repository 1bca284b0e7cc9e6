"""Figures: each function draws one idea on an `ax` and returns it.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every series has a marker or a hatch of its own as well.
matplotlib is imported in this file, in `device_figures`, and nowhere else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dbpsim.cost.table import CostTable
from dbpsim.credit.fidelity import Fidelity
from dbpsim.credit.relax import History
from dbpsim.files import write_bytes
from dbpsim.training.loop import TrainingResult

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo")
SIZE = (6.4, 3.6)  # inches
_INK = "#1b1b1c"  # nearly black; stands for the page's text colour in an SVG
_MOST = 6  # components told apart in a bar
_FLOOR = 1e-17  # where an exact agreement is drawn on a logarithmic axis


def draw_fidelity(ax: Axes, found: Fidelity, floor: float | None = None) -> Axes:
    """Draw misalignment and relative error over the stages, and a line where float32 backpropagation itself errs."""
    names = [row.stage for row in found.stages]
    place = np.arange(len(names))
    ax.semilogy(place, [max(r.relative_error, _FLOOR) for r in found.stages], "o-", color=COLOURS[0], label="relative error")
    ax.semilogy(place, [max(r.misalignment, _FLOOR) for r in found.stages], "s--", color=COLOURS[1], label="misalignment 1 - cos")
    noise = [1.0 / r.signal_to_noise if r.signal_to_noise > 0 else 1.0 for r in found.stages]
    ax.semilogy(place, [max(n, _FLOOR) for n in noise], "^:", color=COLOURS[2], label="1 / SNR")
    if floor is not None:
        ax.axhline(floor, color=COLOURS[3], linewidth=1, label="float32 backprop's own error")
    ax.set_xticks(place, names, rotation=45 if len(names) > 6 else 0, ha="right" if len(names) > 6 else "center")
    ax.set_ylabel("against exact backpropagation")
    ax.set_xlabel("stage (exact agreement is drawn at 1e-17)" if min(r.relative_error for r in found.stages) == 0 else "stage")
    ax.legend()
    return ax


def draw_settling(ax: Axes, history: History) -> Axes:
    """Draw how far each stage is from its target at every clock: activations settle forward, then stress flushes back."""
    names = list(history.residual[0])
    distance = np.array([[r[name] for r in history.residual] for name in names])
    at_rest = np.ma.masked_less_equal(distance, 0.0)  # exactly on target: left blank
    clocks = np.arange(0.5, len(history.residual) + 1)
    colours = mpl.colormaps["viridis_r"].with_extremes(bad="white")  # white on a dark page too
    shades = LogNorm(vmin=1e-8, vmax=1.0, clip=True)
    mesh = ax.pcolormesh(clocks, np.arange(len(names) + 1) - 0.5, at_rest, cmap=colours, norm=shades, rasterized=False)
    ax.set_yticks(np.arange(len(names)), names, fontsize="small" if len(names) <= 20 else 5)
    ax.invert_yaxis()
    ax.set_xlabel("clock (white: exactly at rest)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    ax.figure.colorbar(mesh, ax=ax, label="relative distance from target", extend="both")
    return ax


def draw_energy(ax: Axes, history: History, loss: float) -> Axes:
    """Draw the energy E(x, z) over the clocks; at equilibrium it is the loss."""
    ax.plot(np.arange(1, len(history.energy) + 1), history.energy, "o-", markersize=3, color=COLOURS[0], label="E(x, z)")
    ax.axhline(loss, color=COLOURS[1], linestyle="--", label="loss")
    ax.set_yscale("symlog", linthresh=max(abs(loss), 1e-12))
    ax.set_xlabel("clock")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("energy, in units of the loss")
    ax.legend()
    return ax


def draw_loss(ax: Axes, training: TrainingResult) -> Axes:
    """Draw the training and test loss over the epochs."""
    return _draw_epochs(ax, training, ("loss", "test_loss"), ("training loss", "test loss"), "loss")


def draw_accuracy(ax: Axes, training: TrainingResult) -> Axes:
    """Draw training and test accuracy over the epochs."""
    return _draw_epochs(ax, training, ("train_accuracy", "test_accuracy"), ("training", "test"), "accuracy")


def draw_checks(ax: Axes, training: TrainingResult) -> Axes:
    """Draw how far the gradients of a training by relaxation were from backpropagation's at every check, worst stage."""
    steps = [check["step"] for check in training.checks]
    noise = [0.0 if check["signal_to_noise"] is None else 1.0 / check["signal_to_noise"] for check in training.checks]
    series = {
        "relative error": [check["relative_error"] for check in training.checks],
        "misalignment 1 - cos": [check["misalignment"] for check in training.checks],
        "1 / SNR": noise,
    }
    for (label, values), style, colour in zip(series.items(), ("o-", "s--", "^:"), COLOURS, strict=False):
        ax.semilogy(steps, [max(value, _FLOOR) for value in values], style, color=colour, label=label)
    ax.set_xlabel("step (exact agreement is drawn at 1e-17)" if min(series["relative error"]) == 0 else "step")
    ax.set_ylabel("against exact backpropagation")
    ax.legend()
    return ax


def _draw_epochs(ax: Axes, training: TrainingResult, keys: tuple[str, str], labels: tuple[str, str], what: str) -> Axes:
    epochs = [e["epoch"] for e in training.epochs]
    for key, label, style, colour in zip(keys, labels, ("o-", "s--"), COLOURS, strict=False):
        ax.plot(epochs, [e[key] for e in training.epochs], style, color=colour, label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel(what)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def draw_cost(ax: Axes, table: CostTable) -> Axes:
    """Draw energy by stage, stacked by component."""
    return draw_breakdown(ax, table.energy_J, "J", "energy")


def draw_breakdown(ax: Axes, rows: Mapping[str, Mapping[str, float]], unit: str, label: str) -> Axes:
    """Draw one bar a row, stacked by component; beyond the six largest, and below 1 % of everything, they are drawn together.

    Parameters
    ----------
    rows : mapping of mappings
        ``rows[stage or phase][component]``.
    unit : {"J", "m2"}
    label : str
        What it is, for the axis.
    """
    names = list(rows)
    sums: dict[str, float] = {}
    for row in rows.values():
        for component, value in row.items():
            sums[component] = sums.get(component, 0.0) + value
    large = sorted((c for c in sums if sums[c] > 0.01 * sum(sums.values())), key=lambda c: -sums[c])[:_MOST]
    series = {c.replace("_", " "): [row.get(c, 0.0) for row in rows.values()] for c in large}
    rest = [sum(value for c, value in row.items() if c not in large) for row in rows.values()]
    if any(rest):
        series["all others"] = rest
    name, scale = scaled(max((sum(row.values()) for row in rows.values()), default=0.0), unit)
    left = np.zeros(len(names))
    for number, (component, values) in enumerate(series.items()):
        width = np.array(values) / scale
        ax.barh(
            names, width, left=left, label=component, color=COLOURS[number], hatch=HATCHES[number],
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        left += width
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{label} ({name})")
    ax.figure.legend(loc="outside lower center", ncols=4, fontsize="small", handlelength=1.2, columnspacing=1.2)
    return ax


def scaled(value: float, unit: str) -> tuple[str, float]:
    """Return the unit, with a prefix, in which `value` reads well, and what one of it is."""
    if unit == "m2":
        return ("mm²", 1e-6) if value >= 1e-8 else ("µm²", 1e-12)
    prefixes = (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12))
    return next(((prefix + unit, scale) for prefix, scale in prefixes if value >= scale), (f"f{unit}", 1e-15))


def drawn(draw: Callable[..., Any], *data: Any, size: tuple[float, float] = SIZE) -> Figure:
    """Return a figure with what `draw` draws, laid out."""
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(names, _INK) | {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "svg.hashsalt": "dbpsim", "svg.fonttype": "path", "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), *data)
        FigureCanvasAgg(figure)
        for _ in range(2):  # the layout needs the sizes that the first pass finds
            figure.draw_without_rendering()
    figure.set_layout_engine("none")  # not again for every file
    return figure


def svg(figure: Figure) -> str:
    """Return the figure as SVG to put into a page: no header, the page's own text colour, the same bytes every time."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "dbpsim", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def png(figure: Figure) -> bytes:
    """Return the figure as PNG, dark on white."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150, metadata={"Software": None})
    return out.getvalue()


def save_training_curves(training: TrainingResult, path: Path) -> None:
    """Write loss and accuracy over the epochs, and the checks of a relaxation over the steps, as a PNG."""
    draws = [draw_loss, draw_accuracy, *([draw_checks] if training.checks else [])]

    def side_by_side(ax: Axes, result: TrainingResult) -> None:
        figure = ax.figure
        ax.remove()
        for draw, place in zip(draws, figure.subplots(1, len(draws)), strict=True):
            draw(place, result)

    write_bytes(path, png(drawn(side_by_side, training, size=(SIZE[0] * len(draws) / 2, SIZE[1]))))
