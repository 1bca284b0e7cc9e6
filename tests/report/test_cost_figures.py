"""Figures of cost show the numbers they are of, and are the same bytes every time."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import dbpsim as dbp
from dbpsim.cost import load_components
from dbpsim.cost.limits import physical_limits, settling_time_s
from dbpsim.cost.uncertainty import uncertainty
from dbpsim.report import cost_figures, figures


@pytest.fixture(scope="module")
def data():
    net = dbp.models.mlp(64, 32, 10)
    chip = dbp.Chip.program(net, "pcm")
    run = dbp.relax(chip, np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32), np.arange(4))
    found = uncertainty(lambda parts: dbp.cost(chip, run, components=parts), load_components(), draws=5)
    comparison = dbp.compare(chip)
    return {"table": dbp.cost(chip, run), "uncertainty": found, "comparison": comparison, "ranges": comparison.ranges(5)}


def axes():
    return Figure().subplots()


def test_the_tornado_s_bars_end_at_its_totals(data):
    found = data["uncertainty"]
    ax = cost_figures.draw_tornado(axes(), found)
    scale = {"pJ": 1e-12, "nJ": 1e-9, "µJ": 1e-6}[ax.get_xlabel().split("(")[1].split(")")[0]]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    seen = [bar for bar in found.tornado[:10] if bar.swing >= 5e-3 * found.tornado[0].swing]
    assert 2 <= len(seen) < len(found.tornado)
    assert ends == pytest.approx([bar.total_at_low / scale for bar in seen] + [bar.total_at_high / scale for bar in seen])
    assert len(ax.get_yticklabels()) == len(seen)


def test_a_tornado_without_bars_is_drawn(data):
    still = replace(data["uncertainty"], tornado=())
    assert len(cost_figures.draw_tornado(axes(), still).patches) == 0


@pytest.mark.parametrize("rows", ["energy_J", "phase_J", "area_m2"])
def test_bars_are_as_long_as_their_sums(data, rows):
    wanted = [sum(row.values()) for row in getattr(data["table"], rows).values()]
    ax = figures.draw_breakdown(axes(), getattr(data["table"], rows), "m2" if rows == "area_m2" else "J", "what")
    _, scale = figures.scaled(max(wanted), "m2" if rows == "area_m2" else "J")
    length = np.zeros(len(wanted))
    for bar in ax.patches:
        length[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width() * scale
    assert length == pytest.approx(np.array(wanted))
    assert "all others" in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_modes_are_drawn_with_their_ranges_and_limits(data):
    limits = physical_limits(8, 256)
    ax = cost_figures.draw_comparison(axes(), data["comparison"], data["ranges"], limits)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [row.label for row in data["comparison"].rows]
    assert {text.get_text() for text in ax.figure.legends[0].get_texts()} >= {f"least: {limit.name}" for limit in limits}
    least = [line for line in ax.lines if str(line.get_label()).startswith("least")]
    assert len({(line.get_color(), line.get_linestyle()) for line in least}) == len(limits)
    ax = cost_figures.draw_energy_delay(axes(), data["comparison"])
    *modes, bound = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert modes == [row.label for row in data["comparison"].rows]
    case = data["comparison"].setting
    law = settling_time_s(case.network.depth, case.bits, case.hardware.clock.tau_s)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() == bound] == [law]


def test_the_same_data_draw_the_same_bytes(data):
    for draw, of in (
        (cost_figures.draw_tornado, ("uncertainty",)), (cost_figures.draw_comparison, ("comparison", "ranges")),
        (cost_figures.draw_energy_delay, ("comparison",)),
    ):  # fmt: skip
        given = [data[name] for name in of]
        assert figures.svg(figures.drawn(draw, *given)) == figures.svg(figures.drawn(draw, *given))
