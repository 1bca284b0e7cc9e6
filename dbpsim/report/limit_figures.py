"""Energy of a multiply-accumulate over resolution: what physics allows, and where machines stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from dbpsim.cost.limits import physical_limits
from dbpsim.cost.machines import Machine, published_machines
from dbpsim.report.figures import COLOURS

_FROM, _TO = 2.5, 12.0  # bits
_SIDE_BY_SIDE = 0.22  # bits between machines of one resolution
_ALIKE = 1.5  # whose energies are within this factor
_STYLES = {"measured": ("o", COLOURS[0], True), "designed": ("o", COLOURS[0], False), "digital": ("s", COLOURS[1], True),
           "dbpsim": ("*", COLOURS[3], True)}  # fmt: skip
_LINES = ("-", "--", "-.", ":", (0, (1, 3)))


def draw_limits(ax: Axes, machines: Sequence[Machine] | None = None, rows: int = 256) -> Axes:
    """Draw the limits of a multiply-accumulate in arrays of `rows` as lines, machines as points.

    Machines that would cover each other are set side by side; those of one name are joined.
    """
    bits = np.linspace(_FROM, _TO, 66)
    lines = [physical_limits(float(b), rows) for b in bits]
    for number, limit in enumerate(lines[0]):
        values = [each[number].energy_J for each in lines]
        ax.semilogy(bits, values, linestyle=_LINES[number % 5], color="0.45", linewidth=1.1)
        ax.annotate(
            limit.name, (_TO, values[-1]), (4, 0), textcoords="offset points", va="center", color="0.35", fontsize="small"
        )
    shown = published_machines() if machines is None else tuple(machines)
    places = _places(shown)
    for number, name in enumerate(dict.fromkeys(machine.name for machine in shown), start=1):
        points = [machine for machine in shown if machine.name == name]
        marker, colour, full = _STYLES[points[0].kind]
        x, y = [places[machine] for machine in points], [machine.energy_J for machine in points]
        ax.plot(x, y, "-", color=colour, linewidth=0.6)
        face = colour if full else "none"
        label = f"{number}  {name}" + (" (designed)" if points[0].kind == "designed" else "")
        size = 9 if marker == "*" else 6
        ax.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=size, label=label)
        ax.annotate(str(number), (x[-1], y[-1]), (4, 4), textcoords="offset points", fontsize="x-small")
    ax.set_xlim(_FROM, _TO + 2.5)  # room for the names of the lines
    ax.set_xticks(range(3, 13))
    ax.set_xlabel(f"bits of a result (arrays of {rows} rows)")
    ax.set_ylabel("J a multiply-accumulate")
    ax.figure.legend(loc="outside lower center", ncols=2, fontsize="small", handlelength=1.2, columnspacing=1.2)
    return ax


def _places(machines: Sequence[Machine]) -> dict[Machine, float]:
    often = Counter(machine.name for machine in machines)
    places: dict[Machine, float] = {}
    for machine in sorted(machines, key=lambda m: -often[m.name]):  # a series stays where it is
        near = [m for m in places if m.bits == machine.bits and 1 / _ALIKE < m.energy_J / machine.energy_J < _ALIKE]
        places[machine] = machine.bits + _aside(len(near)) * _SIDE_BY_SIDE
    return places


def _aside(place: int) -> int:
    return (place + 1) // 2 * (1 if place % 2 else -1)  # 0, 1, -1, 2, -2 ...
