"""Figures of cost: each function draws one idea on an `ax` and returns it, as in `dbpsim.report.figures`.

Energies of modes lie decades apart, so their axis is logarithmic; bars that are stacked are linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from dbpsim.cost.comparison import Comparison
from dbpsim.cost.limits import Limit, settling_time_s
from dbpsim.cost.quantities import quantity
from dbpsim.cost.uncertainty import Uncertainty
from dbpsim.report.figures import COLOURS, HATCHES, scaled

_MOST_BARS = 10  # of a tornado
_LEAST_SWING = 5e-3  # of the widest: a narrower bar cannot be seen
_LINES = (":", "--", "-.", (0, (1, 4)), (0, (5, 1)))
_MARKERS = "osD^vP*X<>"


def draw_tornado(ax: Axes, found: Uncertainty) -> Axes:
    """Draw what the total becomes with each figure at either end of its range, the widest first; at most ten that can be seen."""
    bars = [bar for bar in found.tornado[:_MOST_BARS] if bar.swing >= _LEAST_SWING * found.tornado[0].swing]
    unit, scale = scaled(found.nominal_J, "J")
    place = np.arange(len(bars))
    for number, (words, end) in enumerate((("low end of its range", "total_at_low"), ("high end", "total_at_high"))):
        width = np.array([getattr(bar, end) - found.nominal_J for bar in bars]) / scale
        ax.barh(
            place, width, left=found.nominal_J / scale, color=COLOURS[number], hatch=HATCHES[number], edgecolor="white",
            linewidth=0.5, label=words,
        )  # fmt: skip
    ax.axvline(found.nominal_J / scale, color="gray", linewidth=1)
    ax.set_yticks(place, [bar.path.replace("_", " ").replace(".", ": ") for bar in bars], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel(f"total energy ({unit}), one figure moved")
    _legend_below(ax)
    return ax


def draw_comparison(
    ax: Axes, comparison: Comparison, ranges: Mapping[str, tuple[float, float, float]], limits: Sequence[Limit] = ()
) -> Axes:
    """Draw the energy of a training sample by mode, with its 5th to 95th percentile, and what physics asks at least."""
    place = np.arange(len(comparison.rows))
    update = np.array([row.table.by_phase["update"] for row in comparison.rows])
    reads = np.array([row.energy_J for row in comparison.rows]) - update
    for number, (words, values) in enumerate((("forward and back", reads), ("update", update))):
        ax.plot(values, place, _MARKERS[number], color=COLOURS[number], label=words, markersize=5, zorder=3)
    ends = np.array([ranges[row.name] for row in comparison.rows])
    total = np.array([row.energy_J for row in comparison.rows])
    ax.hlines(place, ends[:, 0], ends[:, 2], color="gray", linewidth=3, alpha=0.5, label="all of it, 5 to 95 %")
    ax.plot(total, place, "|", color=COLOURS[2], markersize=11, markeredgewidth=2, label="all of it", zorder=2)
    products = max((row.table.operations for row in comparison.rows), default=0) / 2
    floor = min((row.table.operations for row in comparison.rows if row.table.operations), default=0) / 2
    for number, limit in enumerate(limits):
        ax.axvline(limit.energy_J * floor, color=str(0.4 + 0.06 * (number % 5)), linestyle=_LINES[number % 5], linewidth=1,
                   label=f"least: {limit.name}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(place, [row.label for row in comparison.rows], fontsize=8)
    ax.invert_yaxis()
    words = f"{quantity(floor, 'MAC')}" if floor == products else f"{quantity(floor, 'MAC')} and more"
    ax.set_xlabel(f"energy of a training sample (J); {words}")
    _legend_below(ax)
    return ax


def _legend_below(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, handlelength=1.6, columnspacing=1.2)


def draw_energy_delay(ax: Axes, comparison: Comparison) -> Axes:
    """Draw energy against latency of a sample by mode, lines of equal product, and how soon 2L first-order lags settle."""
    energy = np.array([row.energy_J for row in comparison.rows])
    seconds = np.array([row.latency_s for row in comparison.rows])
    for number, row in enumerate(comparison.rows):
        ax.plot(
            seconds[number], energy[number], _MARKERS[number % 10], color=COLOURS[number % 7], label=row.label, markersize=6,
            linestyle="none",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = np.log10(energy * seconds).min(), np.log10(energy * seconds).max()
    across = np.array([seconds.min() / 10, seconds.max() * 10])
    limits_y = energy.min() / 5, energy.max() * 5
    for power in range(int(np.floor(low)), int(np.ceil(high)) + 1, max(1, int((high - low) / 5))):
        ax.plot(across, 10.0**power / across, color="gray", linewidth=0.5, alpha=0.6, zorder=0)
    case = comparison.setting
    bound = settling_time_s(case.network.depth, case.bits, case.hardware.clock.tau_s)
    ax.axvline(bound, color=COLOURS[0], linestyle=":", linewidth=1, label=f"free-running settles, {case.bits:g} bits")
    ax.set_xlim(min(across[0], bound / 2), across[1])
    ax.set_ylim(*limits_y)
    ax.set_xlabel("latency of a training sample (s)")
    ax.set_ylabel("energy (J); grey: equal product")
    _legend_below(ax)
    return ax
