"""The page of a study: intervals against scipy's bootstrap, figures from columns, errors that name them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.stats import bootstrap

from dbpsim.report.study_page import draw_heat, draw_lines, draw_pareto, front, write_study_page
from dbpsim.studies.engine import run_study
from dbpsim.studies.rounds import interval
from dbpsim.studies.study import FigureSpec, Study


def test_the_interval_is_scipy_s():
    values = np.random.default_rng(1).standard_normal(40)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0))
    ends = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    assert interval(values.tolist(), "a") == pytest.approx(ends, abs=0.3 * values.std() / np.sqrt(40))
    assert interval([1.0, 1.0], "a") == (1.0, 1.0)
    assert interval([1.0, 2.0], "a") == interval([1.0, 2.0], "a")


def test_lines_join_means_and_heat_maps_show_them():
    rows = [{"x": x, "y": 10.0 * x + d, "s": s} for x in (1, 2) for d in (-1, 1) for s in ("a", "b")]
    ax = draw_lines(Figure().subplots(), rows, FigureSpec(x="x", y="y", series="s"))
    assert [line.get_label() for line in ax.lines] == ["s a", "s b"]
    assert ax.lines[0].get_ydata().tolist() == [10.0, 20.0]
    ax = draw_heat(Figure().subplots(), rows, FigureSpec(kind="heat", x="x", y="s", value="y"))
    assert ax.images[0].get_array().tolist() == [[10.0, 20.0], [10.0, 20.0]]


def study(**more):
    given = {"name": "page", "question": "<b>why</b>?", "task": "gradient", "settings": {"model": "mlp:4-3"}}
    return Study(**given, axes={"seed": [0, 1]}, **more)


def test_the_page_has_question_figures_and_rows_and_stays_beside_the_table(tmp_path):
    one = study(figures=[{"x": "seed", "y": "loss"}])
    page = write_study_page(one, run_study(one, tmp_path, shard=(0, 1)), tmp_path)
    text = page.read_text()
    assert "&lt;b&gt;why" in text
    assert "<b>why" not in text
    assert text.count("<svg") == 1
    assert {"table.csv", "figure1.png", "index.html", "study.json"} <= {path.name for path in tmp_path.iterdir()}


def test_a_figure_of_a_column_that_is_not_there_is_refused(tmp_path):
    one = study(figures=[{"x": "seed", "y": "los"}])
    outcome = run_study(one, tmp_path, shard=(0, 1))
    with pytest.raises(ValueError, match="found column 'los'; accepted: .*loss"):
        write_study_page(one, outcome, tmp_path)


def test_a_figure_draws_chosen_rows_a_column_beside_them_and_a_limit():
    rows = [{"x": x, "y": 0.0 if s == "a" else x, "f": 1e-3 * x, "s": s, "w": w} for x in (1, 2) for s in "ab" for w in (0, 5)]
    spec = FigureSpec(x="x", y="y", series="s", where={"w": 0}, beside="f", limit=0.5, log=("y",))
    kept = [row for row in rows if row["w"] == 0]
    ax = draw_lines(Figure().subplots(), kept, spec)
    assert [line.get_label() for line in ax.lines] == ["s a: exactly 0", "s b", "f", "0.5"]
    assert ax.lines[2].get_ydata().tolist() == [1e-3, 2e-3]
    assert ax.lines[3].get_ydata() == [0.5, 0.5]
    with pytest.raises(ValueError, match="beside and limit belong"):
        FigureSpec(kind="heat", x="x", y="s", value="y", limit=1.0)


def test_stages_are_drawn_in_the_order_of_the_table():
    rows = [{"x": x, "y": 1.0} for x in ("conv1", "head", "all")]
    ax = draw_lines(Figure().subplots(), rows, FigureSpec(x="x", y="y"))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["conv1", "head", "all"]


def test_where_chooses_what_a_page_draws(tmp_path):
    one = study(figures=[{"x": "seed", "y": "loss", "where": {"seed": 1}}])
    write_study_page(one, run_study(one, tmp_path, shard=(0, 1)), tmp_path)
    one = study(figures=[{"x": "seed", "y": "loss", "where": {"sed": 1}}])
    with pytest.raises(ValueError, match="found column 'sed'"):
        write_study_page(one, run_study(one, tmp_path, shard=(0, 1)), tmp_path)


DOTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(DOTS, st.sampled_from(["lower", "higher"]), st.sampled_from(["lower", "higher"]))
def test_a_front_is_what_no_other_dot_beats(dots, over, up):
    signs = [1 if way == "lower" else -1 for way in (over, up)]

    def beats(a, b):
        return a != b and all(sign * p <= sign * q for sign, p, q in zip(signs, a, b, strict=True))

    assert front(dots, (over, up)) == sorted({dot for dot in dots if not any(beats(other, dot) for other in dots)})


def test_a_pareto_figure_has_its_dots_and_its_front():
    rows = [{"x": x, "y": 4.0 - x if s == "a" else 9.0, "s": s} for x in (1, 2) for s in "ab"]
    ax = draw_pareto(Figure().subplots(), rows, FigureSpec(kind="pareto", x="x", y="y", series="s"))
    assert [line.get_label() for line in ax.lines] == ["s a", "s b", "front"]
    assert ax.lines[2].get_xdata().tolist() == [1, 2]


def test_a_figure_without_rows_says_so(tmp_path):
    one = study(figures=[{"kind": "heat", "x": "seed", "y": "depth", "value": "loss", "where": {"seed": 5}}])
    assert "no row of the table" in write_study_page(one, run_study(one, tmp_path, shard=(0, 1)), tmp_path).read_text()
