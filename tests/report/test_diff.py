"""Two reports compared: what was changed is found, what moved is told by how much, and a report is no different from itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.report.diff import difference, read_report, write_difference


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    net = dbp.models.mlp(64, 16, 10, input_shape=(8, 8, 1))
    train, _ = dbp.datasets.load("digits", limit=32, image_shape=(8, 8, 1))
    x, y = train.batch(16)
    exact, folder = dbp.backprop(net, x, y), tmp_path_factory.mktemp("reports")
    for name, changes in (("a", {}), ("b", {"read.v_read_V": 0.4})):
        chip = dbp.Chip.program(net, dbp.load_hardware("pcm", changes), seed=1)
        dbp.report(chip, dbp.relax(chip, x, y), folder / name, exact=exact)
    return folder


def test_a_report_is_no_different_from_itself(reports):
    found = difference(*[read_report(reports / "a")] * 2)
    assert (found.settings, found.figures) == ((), ())
    assert found.same > 50


def test_the_changed_setting_and_its_effect_are_found(reports):
    found = write_difference(reports / "a", reports / "b", reports / "out")
    assert [c.path for c in found.settings] == ["assumptions.hardware[read.v_read_V].value"]
    moved = {c.path: c for c in found.figures}
    # V^2 G t: twice the voltage, four times the energy of the cells, and nothing else of the reads
    assert moved["cost.energy_by_component_J.array"].ratio == pytest.approx(4.0, rel=0.02)
    assert "cost.energy_by_component_J.adc" not in moved
    assert [c.distance for c in found.figures] == sorted((c.distance for c in found.figures), reverse=True)
    data = json.loads((reports / "out" / "diff.json").read_text())
    assert data == found.to_dict()
    page = (reports / "out" / "index.html").read_text()
    assert "read.v_read_V" in page
    assert {p.name for p in (reports / "out").iterdir()} == {"index.html", "diff.json", "settings.csv", "moved.csv", "tables.tex"}


def test_a_page_of_differences_takes_the_place_of_a_report(reports, tmp_path):
    net = dbp.models.mlp(4, 3)
    dbp.report(net, dbp.backprop(net, [[1.0] * 4], [0]), tmp_path)
    write_difference(reports / "a", reports / "b", tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"index.html", "diff.json", "settings.csv", "moved.csv", "tables.tex"}


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(a=numbers, b=numbers)
def test_moves_are_symmetric(a, b):
    there, back = (difference({"cost": {"x": one}}, {"cost": {"x": two}}) for one, two in ((a, b), (b, a)))
    assert len(there.figures) == len(back.figures) == (a != b)
    if a != b:
        assert there.figures[0].distance == pytest.approx(back.figures[0].distance)
        json.dumps(there.to_dict(), allow_nan=False)


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"format": 1}', '{"title": "x", "facts": 3}'])
def test_what_is_no_report_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=r"report\.json: .*accepted: a report\.json of this version\.$"):
        read_report(tmp_path)
