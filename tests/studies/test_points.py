"""Study files and designs: what is accepted, which points come out, in which order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbpsim.studies.points import Point, points
from dbpsim.studies.study import Study, load_study
from dbpsim.studies.tasks import run_task

VALUES = st.one_of(st.integers(-5, 5), st.floats(-1, 1), st.text("abc", max_size=3), st.booleans())
AXES = st.dictionaries(st.text("xyz", min_size=1, max_size=3), st.lists(VALUES, min_size=1, max_size=4), max_size=3)


@given(AXES)
def test_a_grid_is_every_combination_once_in_order(axes):
    found = points(Study(name="a", task="t", axes=axes))
    wanted = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    assert [dict(point.settings) for point in found] == wanted


@given(st.dictionaries(st.text("ab", min_size=1), VALUES, max_size=4))
def test_a_key_does_not_depend_on_the_order_of_settings(settings):
    turned = dict(reversed(list(settings.items())))
    assert Point("t", settings).key == Point("t", turned).key
    assert Point("u", settings).key != Point("t", settings).key


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_draws_lie_in_their_ranges_and_are_the_same_every_time(kind):
    study = Study(
        name="a", task="t", axes={"x": {"low": 1e-3, "high": 1e3, "log": True}, "y": {"low": -1, "high": 1}, "s": ["p", "q"]},
        design={"kind": kind, "count": 8},
    )  # fmt: skip
    found = points(study)
    assert len(found) == 16
    assert all(1e-3 <= p.settings["x"] <= 1e3 and -1 <= p.settings["y"] <= 1 for p in found)
    assert found == points(study)
    assert [p.settings["x"] for p in found[:8]] == [p.settings["x"] for p in found[8:]]
    if kind == "sobol":  # one point in each eighth of the logarithm
        assert len({int(8 * (p.settings["x"] > 0) * 0 + (_log(p.settings["x"]) + 3) / 6 * 8) for p in found[:8]}) == 8


def _log(x):
    import math

    return math.log10(x)


def test_zip_walks_side_by_side():
    study = Study(name="a", task="t", axes={"x": [1, 2], "y": [3, 4]}, design={"kind": "zip"})
    assert [tuple(p.settings.values()) for p in points(study)] == [(1, 3), (2, 4)]


BUNDLES = [{"label": "p", "a": 1, "b.c": 2}, {"label": "q", "a": 5}]


def test_settings_that_go_together_are_one_value_of_an_axis():
    study = Study(name="a", task="t", settings={"a": 0}, axes={"kind": BUNDLES, "x": [1, 2]})
    found = points(study)
    assert [dict(p.labels) for p in found] == [{"kind": "p"}] * 2 + [{"kind": "q"}] * 2
    settings = [{"a": 1, "b.c": 2, "x": 1}, {"a": 5, "x": 1}]
    assert [dict(p.settings) for p in found[::2]] == settings
    # a label is a name: work is shared with whoever asks for the same settings
    assert found[0].key == Point("t", {"x": 1, "a": 1, "b.c": 2}).key


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=4, unique=True), st.lists(VALUES, min_size=1, max_size=3))
def test_labels_walk_the_grid_like_values(labels, values):
    study = Study(name="a", task="t", axes={"x": values, "k": [{"label": name, "n": i} for i, name in enumerate(labels)]})
    found = points(study)
    assert [(p.settings["x"], p.labels["k"], p.settings["n"]) for p in found] == [
        (value, name, i) for value in values for i, name in enumerate(labels)
    ]


def test_changes_come_before_the_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\ntask = "t"\n[settings]\nx = 1\n[axes]\ny = [1, 2]\n')
    study = load_study(path, changes={"x": "[3, 4]", "y": "5", "weights": "runs/a b", "on": "true"})
    assert study.settings == {"y": 5, "weights": "runs/a b", "on": True}
    assert study.axes == {"x": [3, 4]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\ntask = "t"\n[axes]\nx = [{ a = 1 }]\n', "need a label each"),
        ('name = "a"\ntask = "t"\n[axes]\nx = [{ label = "p", a = 1 }, { label = "p", a = 2 }]\n', "need a label each"),
        ('name = "a"\ntask = "t"\n[axes]\nx = [{ label = "p", a = 1 }]\na = [1]\n', "a is set by axes.a too"),
        ('name = "a"\ntask = "t"\n[axes]\nx = [1]\n[stop]\nover = "y"\ncolumn = "c"\nwidth = 0.1\n', "stop.over: found 'y'"),
        ('name = "a/b"\ntask = "t"\n', "name"), ('name = "a"\ntask = "t"\n[axes]\nx = []\n', "axes.x: found no value"),
        ('name = "a"\ntask = "t"\n[axes]\nx = { low = 1, high = 2 }\n', 'accepted with design.kind = "random"'),
        ('name = "a"\ntask = "t"\n[axes]\nx = { low = 2, high = 1 }\n[design]\nkind = "sobol"\n', "low < high"),
        ('name = "a"\ntask = "t"\n[axes]\nx = [1]\n[design]\nkind = "sobol"\n', "needs a range"),
        ('name = "a"\ntask = "t"\n[axes]\nx = [1, 2]\ny = [1]\n[design]\nkind = "zip"\n', "as long as each other"),
        ('name = "a"\ntask = "t"\n[settings]\nx = 1\n[axes]\nx = [1]\n', "x is a setting and an axis"),
        ('name = "a"\ntask = "t"\n[design]\nkind = "bisect"\n', "target and threshold"),
        ('name = "a"\ntask = "t"\n[desing]\n', "did you mean design"),
        ('name = "a"\ntask = "t"\n[[figures]]\nkind = "heat"\nx = "a"\ny = "b"\n', "value belongs"),
    ],
)  # fmt: skip
def test_bad_studies_are_refused_in_a_line(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=".*") as error:
        load_study(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "mlp:4-3", "etta": 1}, "did you mean eta"), ({"model": "mlp:4-3", "adc.bits": 6}, "accepted with a hardware"),
        ({"eta": 1.0}, "model"), ({"model": "mlp:4-3", "hardware": "pcm", "adc.bitz": 6}, "did you mean bits"),
    ],
)  # fmt: skip
def test_settings_that_a_task_does_not_know_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        run_task("gradient", settings)
