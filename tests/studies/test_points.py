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


@pytest.mark.parametrize(
    ("text", "message"),
    [
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
