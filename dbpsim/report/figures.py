"""Figures: each function draws one idea on an `ax` and returns it.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every series has a marker or a hatch of its own as well.
matplotlib is imported in this file, in `device_figures`, and nowhere else.
"""

from __future__ import annotations

import io
from collections.abc import Callable
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
_HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo")
_INK = "#123457"  # stands for the page's text colour in an SVG
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
    shades = LogNorm(vmin=1e-8, vmax=1.0, clip=True)
    mesh = ax.pcolormesh(clocks, np.arange(len(names) + 1) - 0.5, at_rest, cmap="viridis_r", norm=shades, rasterized=False)
    ax.set_yticks(np.arange(len(names)), names, fontsize="small" if len(names) <= 20 else 5)
    ax.invert_yaxis()
    ax.set_xlabel("clock (blank: exactly at rest)")
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
    stages = list(table.energy_J)
    bottom = np.zeros(len(stages))
    unit, scale = _scaled(max(table.by_stage.values(), default=0.0))
    components = [c for c, total in table.by_component.items() if total > 0]
    for number, component in enumerate(components):
        values = np.array([table.energy_J[s].get(component, 0.0) for s in stages]) / scale
        ax.bar(
            stages, values, bottom=bottom, label=component, color=COLOURS[number % 7], hatch=_HATCHES[number % 7],
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        bottom += values
    ax.set_ylabel(f"energy ({unit})")
    ax.set_xticks(range(len(stages)), stages, rotation=45, ha="right", rotation_mode="anchor")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the bars, not on them
    return ax


def _scaled(value: float) -> tuple[str, float]:
    for unit, scale in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9), ("pJ", 1e-12)):
        if value >= scale:
            return unit, scale
    return "fJ", 1e-15


def drawn(draw: Callable[..., Axes], *data: Any, ink: str = "black", size: tuple[float, float] = (6.4, 3.6)) -> Figure:
    """Return a figure with what `draw` draws, its text and axes in `ink`."""
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(names, ink) | {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "svg.hashsalt": "dbpsim", "svg.fonttype": "path", "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), *data)
        FigureCanvasAgg(figure).draw()
    return figure


def svg(draw: Callable[..., Axes], *data: Any) -> str:
    """Return the figure as SVG to put into a page: no header, the page's own text colour, the same bytes every time."""
    figure = drawn(draw, *data, ink=_INK)
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "dbpsim"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def png(draw: Callable[..., Axes], *data: Any) -> bytes:
    """Return the figure as PNG, black on white."""
    out = io.BytesIO()
    drawn(draw, *data).savefig(out, format="png", dpi=150, metadata={"Software": None})
    return out.getvalue()


def save_training_curves(training: TrainingResult, path: Path) -> None:
    """Write loss and accuracy over the epochs as a PNG."""

    def both(ax: Axes, result: TrainingResult) -> Axes:
        figure = ax.figure
        ax.remove()
        left, right = figure.subplots(1, 2)
        draw_loss(left, result)
        return draw_accuracy(right, result)

    write_bytes(path, png(both, training))
