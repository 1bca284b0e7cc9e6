"""A report is one page that opens from disk, says what the data say, and is the same twice."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

import dbpsim as dbp
from dbpsim.report.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]

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
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} for folder in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("hardware", ["pcm", "ecram"])  # digital links, analog links
def test_threads_and_time_change_nothing_in_the_data_or_the_drawings(hardware, tmp_path):
    # in processes of their own: how many threads there are is settled when numba is loaded
    running = []
    for threads in ("1", "2"):
        command = [sys.executable, "-c", "import sys; from dbpsim.cli import main; sys.exit(main())", "report", "mlp:64-33-10",
                   "--hardware", hardware, "--batch", "64", "--out", "r"]  # fmt: skip
        (tmp_path / threads).mkdir()
        environment = {**os.environ, "NUMBA_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen(command, cwd=tmp_path / threads, env=environment, stdout=subprocess.DEVNULL))
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    compared = 0
    for path in (tmp_path / "1" / "r").iterdir():
        if path.suffix in (".json", ".svg", ".csv", ".tex") and path.name not in ("provenance.json", "versions.csv"):
            assert path.read_bytes() == (tmp_path / "2" / "r" / path.name).read_bytes(), path.name
            compared += 1
    assert compared > 12
    assert json.loads((tmp_path / "2" / "r" / "provenance.json").read_text())["threads"] == 2


def test_the_data_keep_the_schema_that_is_shipped(problem, tmp_path):
    shipped = json.loads(resources.files("dbpsim.report").joinpath("report.schema.json").read_text())
    assert shipped == json_schema(), "write it anew: dbpsim report --schema > dbpsim/report/report.schema.json"
    _chip_report(problem, tmp_path)
    document = _strict(tmp_path / "report.json")
    assert document["format"] == shipped["properties"]["format"]["default"]
    assert set(document) == set(shipped["properties"])
    listed = {f["name"] + e for f in document["figures"] for e in (".svg", ".png")}
    listed |= {table["name"] + ".csv" for table in document["tables"]}
    assert {p.name for p in tmp_path.iterdir()} == listed | {"index.html", "report.json", "provenance.json", "tables.tex"}


def test_the_tables_add_up_and_the_figures_open(problem, tmp_path):
    chip, run, _ = _chip_report(problem, tmp_path)
    table = dbp.cost(chip, run)
    for name, expected in (("cost", table.total_J), ("phases", table.total_J), ("area", table.total_area_m2)):
        *rows, last = csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines())
        total = f"total_{'m2' if name == 'area' else 'J'}"
        parts = sum(float(v) for row in rows for k, v in row.items() if k.endswith(("_J", "_m2")) and k != total)
        assert parts == pytest.approx(expected, rel=1e-12)
        assert float(last[total]) == pytest.approx(expected, rel=1e-12)
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
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"index.html", "report.json", "provenance.json", "tables.tex", "settings.csv", "versions.csv", "mine.txt"}


def test_a_loss_that_is_not_finite_is_null_in_the_data(problem, tmp_path):
    net, x, y = problem
    run = dataclasses.replace(dbp.backprop(net, x, y), loss=float("nan"))
    dbp.report(net, run, tmp_path)
    assert _strict(tmp_path / "report.json")["facts"]["loss"] is None
