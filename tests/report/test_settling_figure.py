"""The distribution of settling times as a figure."""

import numpy as np
from matplotlib.figure import Figure

from dbpsim.report.settling_figure import draw_settling_times


def test_the_curve_counts_samples_and_stops_short_of_those_that_did_not_settle():
    ax = draw_settling_times(Figure().subplots(), np.array([2e-9, 1e-9, np.nan, 4e-9]), law_s=5e-9)
    curve = ax.lines[0]
    assert curve.get_xdata()[1:].tolist() == [1.0, 2.0, 4.0]
    assert curve.get_ydata().tolist() == [0.0, 0.25, 0.5, 0.75]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["samples", "p50 2 ns", "p95 3.8 ns", "max 4 ns", "chain of unit weights 5 ns"]


def test_nothing_settled():
    ax = draw_settling_times(Figure().subplots(), np.array([np.nan]))
    assert len(ax.lines) == 1
