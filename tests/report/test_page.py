"""A report is one page that opens from disk, says what the data say, and is the same twice."""

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

import dbpsim as dbp

_VOID = {"meta", "br", "img", "link", "input", "hr"}
_HOSTILE = "<script>alert(1)</script>"


class _Nesting(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith(("#", "data:"))]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def problem():
    net = dbp.models.mlp(64, 16, 10, input_shape=(8, 8, 1))
    train, _ = dbp.datasets.load("digits", limit=32, image_shape=(8, 8, 1))
    return net, *train.batch(16)


def _strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def _chip_report(problem, out, **options):
    net, x, y = problem
    chip = dbp.Chip.program(net, "pcm", seed=1)
    run = dbp.relax(chip, x, y, record=True)
    return chip, run, dbp.report(chip, run, out, exact=dbp.backprop(net, x, y), **options)


def test_the_page_is_well_formed_and_loads_nothing_from_outside(problem, tmp_path):
    *_, page = _chip_report(problem, tmp_path, dataset_label=_HOSTILE, title=_HOSTILE, command=_HOSTILE)
    text = page.read_text()
    nesting = _Nesting()
    nesting.feed(text)
    assert not nesting.open
    assert not nesting.loads
    assert not re.search(r"@import|url\((?!#)", text)
    assert "<script" not in text


def test_the_same_run_gives_the_same_report(problem, tmp_path):
    for folder in ("a", "b"):
        _chip_report(problem, tmp_path / folder)
    for name in ("report.json", "index.html", "cost.csv", "settling.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_tables_add_up_and_the_figures_open(problem, tmp_path):
    chip, run, _ = _chip_report(problem, tmp_path)
    rows = list(csv.DictReader((tmp_path / "cost.csv").read_text().splitlines()))
    total = sum(float(v) for row in rows for k, v in row.items() if k.endswith("_J"))
    assert total == pytest.approx(dbp.cost(chip, run).total_J, rel=1e-12)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            image.verify()


@pytest.mark.parametrize("kind", ["backprop alone", "exact agreement", "wavefront"])
def test_little_data_still_make_a_report_and_strict_json(problem, tmp_path, kind):
    net, x, y = problem
    exact = dbp.backprop(net, x, y)
    if kind == "backprop alone":
        dbp.report(net, exact, tmp_path)
    else:
        run = dbp.relax(net, x, y, schedule="wavefront" if kind == "wavefront" else "synchronous", record=True)
        dbp.report(net, run, tmp_path, exact=exact)
    document = _strict(tmp_path / "report.json")
    assert document["cost"] is None
    assert (document["fidelity"] is None) == (kind == "backprop alone")


def test_a_second_report_leaves_nothing_of_the_first(problem, tmp_path):
    net, x, y = problem
    _chip_report(problem, tmp_path)
    (tmp_path / "mine.txt").write_text("not a report's")
    dbp.report(net, dbp.backprop(net, x, y), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "report.json", "mine.txt"}


def test_a_loss_that_is_not_finite_is_null_in_the_data(problem, tmp_path):
    net, x, y = problem
    run = dataclasses.replace(dbp.backprop(net, x, y), loss=float("nan"))
    dbp.report(net, run, tmp_path)
    assert _strict(tmp_path / "report.json")["facts"]["loss"] is None
