"""The chart of limits and machines: what is drawn is what the cost room says."""

import numpy as np

from dbpsim.cost.limits import physical_limits
from dbpsim.cost.machines import Machine, published_machines
from dbpsim.report.figures import drawn, svg
from dbpsim.report.limit_figures import draw_limits


def test_every_limit_is_a_line_and_every_machine_a_point():
    ours = Machine("ours", "dbpsim", 8, 2e-14, "a test")
    shown = (*published_machines(), ours)
    ax = drawn(draw_limits, shown, 128).axes[0]
    lines = [line for line in ax.lines if line.get_xdata().size == 66]
    for line, limit in zip(lines, physical_limits(float(lines[0].get_xdata()[30]), 128), strict=True):
        assert line.get_ydata()[30] == limit.energy_J
    named = {line.get_label().split("  ")[-1].removesuffix(" (designed)"): line for line in ax.lines if "  " in line.get_label()}
    for machine in shown:
        assert machine.energy_J in named[machine.name].get_ydata()
        near = np.abs(named[machine.name].get_xdata() - machine.bits)
        assert near[list(named[machine.name].get_ydata()).index(machine.energy_J)] < 0.5
    places = [(round(x, 6), y) for line in named.values() for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
    assert len(set(places)) == len(shown)  # none hides another


def test_the_drawing_is_the_same_every_time():
    assert svg(drawn(draw_limits)) == svg(drawn(draw_limits))
