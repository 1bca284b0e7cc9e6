"""What a memory cell does, in three panels: pulses, programming error, a month of waiting.

Each panel is drawn from the device's own functions, with noise and spread as they are, from one seed; a panel whose
figures the device's file does not have says so.
"""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dbpsim.devices.ageing import aged, ages
from dbpsim.devices.programming import program, programming_sigma
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.schema import Device
from dbpsim.devices.update import mean_steps, pulse
from dbpsim.kernels.random import stream, stream_key
from dbpsim.report.figures import COLOURS, drawn

MONTH_S = 30 * 86400.0
_CELLS = 400  # behind a band
_TRACES = 3  # single cells drawn beside the mean
_POINTS = 120
_SHARES = (1.0, 0.5, 0.1)  # of the window, from above
_MICRO = 1e6
_SPREADS = ("step_sigma", "step_spread", "asymmetry_spread", "upper_spread", "lower_spread")
_MOST = 2**31 - 1  # pulses at once


def draw_pulses(ax: Axes, device: Device, seed: int = 0) -> Axes:
    """Draw conductance over potentiating, then depressing pulses: a cell without noise or spread, and a few real ones."""
    update = device.update
    if update is None:
        return _nothing(ax, "no pulsed update in the device file:\nwritten by write-verify")
    count = _pulses_to_full(device)
    each = max(1, count // _POINTS)
    rises = math.ceil(count / each)
    directions = [True] * rises + ([False] * rises if update.polarity == "both" else [])
    paths = _paths(device, directions, each, _TRACES, seed)
    place = np.arange(len(paths)) * each
    for trace in paths.T:
        ax.plot(place, trace * _MICRO, color=COLOURS[5], linewidth=0.7, alpha=0.8)
    still = device.model_copy(update={"update": update.model_copy(update=dict.fromkeys(_SPREADS, 0.0))})
    ax.plot(place, _paths(still, directions, each, 1, seed) * _MICRO, color=COLOURS[0], linewidth=1.6, label="without noise")
    ax.plot([], [], color=COLOURS[5], linewidth=0.7, label=f"{_TRACES} cells")
    ax.axvline(rises * each, color="0.6", linewidth=0.7, linestyle=":")
    ax.set_xlabel("pulses" + (" up, then down" if update.polarity == "both" else " up"))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_ylabel("conductance (µS)")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small")
    return ax


def _pulses_to_full(device: Device) -> int:
    # How many pulses take a mean cell over 95 % of its window; steps below a twentieth of the nominal one count as that.
    update, window = device.update, device.conductance
    assert update is not None
    g = window.g_min_S + window.span_S * np.linspace(0.0, 0.95, 400)
    up, _ = mean_steps(update, g, window)
    return int(np.clip(np.ceil(np.trapezoid(1 / np.maximum(up, update.step_S / 20), g)), 1, _MOST))


def _paths(device: Device, directions: list[bool], each: int, cells: int, seed: int) -> np.ndarray:
    # Conductances, shape (1 + directions, cells), of cells that start empty and get `each` pulses in each direction.
    update, window = device.update, device.conductance
    assert update is not None
    g = np.full((1, cells), window.g_min_S)
    given, none = np.full(g.shape, each, np.int32), np.zeros(g.shape, np.int32)
    paths, own = [g[0].copy()], stream_key(seed, "device figure", device.name)
    for number, up in enumerate(directions):
        key = stream_key(seed, "device figure", device.name, number)
        pulse(g, given if up else none, none if up else given, update, window, key, own)
        paths.append(g[0].copy())
    return np.array(paths)


def draw_errors(ax: Axes, device: Device) -> Axes:
    """Draw the programming error and the noise of one read over the conductance, as one standard deviation."""
    window = device.conductance
    g = np.linspace(window.g_min_S, window.g_max_S, 200)
    lines = []
    if device.programming is not None:
        lines.append((programming_sigma(g, device), "-", COLOURS[1], "programming error"))
    if device.read_noise is not None:
        lines.append((read_sigma(g, device), "--", COLOURS[2], "noise of a read"))
    if not lines:
        return _nothing(ax, "no programming error and no read noise\nin the device file")
    for sigma, style, colour, label in lines:
        ax.plot(g * _MICRO, sigma / window.g_max_S * 100, style, color=colour, label=label)
    ax.set_xlabel("conductance (µS)")
    ax.set_ylabel("standard deviation (% of g_max)")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small")
    return ax


def draw_month(ax: Axes, device: Device, seed: int = 0) -> Axes:
    """Draw what becomes of three states in a month: the median cell, and the band that holds 80 % of them."""
    if not ages(device):
        return _nothing(ax, "no drift and no retention\nin the device file")
    window, random = device.conductance, stream(seed, "device figure", device.name)
    times = np.geomspace(1e-3, MONTH_S, 80)
    for number, share in enumerate(_SHARES):
        g = program(np.full(_CELLS, window.g_min_S + share * window.span_S), device, random)
        cells = ("device figure", device.name, number)
        states = np.array([aged(g, t, device, stream(seed, *cells)) for t in times]) * _MICRO
        low, middle, high = np.quantile(states, (0.1, 0.5, 0.9), axis=1)
        ax.fill_between(times, low, high, color=COLOURS[number], alpha=0.2, linewidth=0)
        ax.plot(times, middle, ("-", "--", ":")[number], color=COLOURS[number], label=f"{share:.0%}")
    ax.set_xscale("log")
    ax.set_xticks([1e-3, 1, 3600, MONTH_S], ["1 ms", "1 s", "1 h", "30 d"])
    ax.minorticks_off()
    ax.set_xlabel("time after programming")
    ax.set_ylabel("conductance (µS)")
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])  # room for the legend
    small = {"fontsize": "small", "title_fontsize": "small", "handlelength": 1.3, "columnspacing": 1.0}
    ax.legend(title="of the window", ncols=3, loc="upper right", **small)
    return ax


def _nothing(ax: Axes, words: str) -> Axes:
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color="0.4")
    ax.set_axis_off()
    return ax


def device_png(device: Device, seed: int = 0) -> bytes:
    """Return the three panels side by side, as PNG."""

    def panels(ax: Axes) -> Axes:
        figure = ax.figure
        ax.remove()
        left, middle, right = figure.subplots(1, 3)
        figure.suptitle(f"{device.name}: {device.summary}", fontsize="medium")
        for axes, title in ((left, "pulses"), (middle, "errors, one sigma"), (right, "a month")):
            axes.set_title(title, fontsize="medium")
        draw_pulses(left, device, seed)
        draw_errors(middle, device)
        return draw_month(right, device, seed)

    out = io.BytesIO()
    drawn(panels, size=(11.0, 3.4)).savefig(out, format="png", dpi=130, metadata={"Software": None})
    return out.getvalue()
