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
from dbpsim.cost.quantities import quantity
from dbpsim.cost.settling_times import settling_times
from dbpsim.report.elements import Column, Table
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


def _everything(problem, out):
    net, x, y = problem
    odd = dbp.load_hardware("pcm").model_copy(update={"name": r"p&c_m <b>50 % \input{/etc/passwd} $x^2$ ~#"})
    chip = dbp.Chip.program(net, odd, seed=1)
    chip.name = _HOSTILE  # stages cannot be called so: their names are checked
    run = dbp.relax(chip, x, y, record=True)
    dbp.report(
        chip, run, out, exact=dbp.backprop(net, x, y), compare=["digital-gpu", "analog-bp"], settling=settling_times(chip, x, y),
        dataset_label=_HOSTILE, title=_HOSTILE, command=_HOSTILE,
    )  # fmt: skip
    return chip, run, out


@pytest.fixture(scope="module")
def compared(problem, tmp_path_factory):
    """A report with everything, under names that LaTeX and HTML would stumble over."""
    return _everything(problem, tmp_path_factory.mktemp("compared"))


def test_the_page_is_well_formed_and_loads_nothing_from_outside(compared):
    text = (compared[2] / "index.html").read_text()
    nesting = _Nesting()
    nesting.feed(text)
    assert not nesting.open
    assert not nesting.loads
    assert not re.search(r"@import|url\((?!#)", text)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 4  # title, network, data, command: as words


def test_the_same_run_gives_the_same_report(problem, compared, tmp_path):
    _everything(problem, tmp_path)
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (tmp_path, compared[2]))
    assert first == second


def test_threads_change_nothing_in_the_data_or_the_drawings(tmp_path):
    # in processes of their own: how many threads there are is settled when numba is loaded
    script = "from dbpsim.cli import main\nfor name in ('pcm', 'ecram'):\n"  # digital links, analog links
    script += "    main(['report', 'mlp:64-33-10', '--hardware', name, '--batch', '64', '--out', name])"
    running = []
    for threads in ("1", "2"):
        (tmp_path / threads).mkdir()
        environment = {**os.environ, "NUMBA_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script]
        running.append(subprocess.Popen(command, cwd=tmp_path / threads, env=environment, stdout=subprocess.DEVNULL))
    assert [process.wait(timeout=180) for process in running] == [0, 0]
    compared = 0
    for path in (tmp_path / "1").glob("*/*"):
        if path.suffix in (".json", ".svg", ".csv", ".tex") and path.name not in ("provenance.json", "versions.csv"):
            assert path.read_bytes() == (tmp_path / "2" / path.parent.name / path.name).read_bytes(), path
            compared += 1
    assert compared > 24
    assert json.loads((tmp_path / "2" / "pcm" / "provenance.json").read_text())["threads"] == 2


def test_the_data_keep_the_schema_that_is_shipped(compared):
    tmp_path = compared[2]
    shipped = json.loads(resources.files("dbpsim.report").joinpath("report.schema.json").read_text())
    assert shipped == json_schema(), "write it anew: dbpsim report --schema > dbpsim/report/report.schema.json"
    document = _strict(tmp_path / "report.json")
    assert document["format"] == shipped["properties"]["format"]["default"]
    assert set(document) == set(shipped["properties"])
    listed = {f["name"] + e for f in document["figures"] for e in (".svg", ".png")}
    listed |= {table["name"] + ".csv" for table in document["tables"]}
    assert {p.name for p in tmp_path.iterdir()} == listed | {"index.html", "report.json", "provenance.json", "tables.tex"}


def test_the_tables_add_up_and_the_figures_open(compared):
    chip, run, tmp_path = compared
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


def test_modes_and_ranges_are_those_of_the_cost_model(compared):
    chip, run, out = compared
    document = _strict(out / "report.json")
    modes = {row["name"]: row for row in document["comparison"]["modes"]}
    assert list(modes) == ["dyadic-free", "dyadic-clocked", "dyadic-wavefront", "digital-gpu", "analog-bp"]
    expected = {row.name: row for row in dbp.compare(chip, modes=list(modes), batch=16).rows}
    for name, row in modes.items():
        assert row["energy_per_sample_J"] == expected[name].energy_J
        assert row["latency_per_sample_s"] == expected[name].latency_s
        assert 0 < row["p5_J"] < row["p95_J"]
    found = document["uncertainty"]
    assert found["nominal_energy_J"] == pytest.approx(dbp.cost(chip, run).total_J, rel=1e-12)
    assert found["energy_J"] == sorted(found["energy_J"])
    swings = [abs(bar["energy_at_high_J"] - bar["energy_at_low_J"]) for bar in found["tornado"]]
    assert swings == sorted(swings, reverse=True)


def test_the_verdict_is_five_lines_with_the_numbers_of_the_data(compared):
    document = _strict(compared[2] / "report.json")
    said = {line["heading"]: line["sentence"] for line in document["verdict"]}
    assert len(said) == len(document["verdict"]) == 5
    assert f"{document['fidelity']['all']['misalignment']:.1e}" in said["Gradient"]
    assert quantity(document["cost"]["total_energy_J"] / 16, "J") in said["Cost"]
    rows = {row["name"]: row["energy_per_sample_J"] for row in document["comparison"]["modes"]}
    best = min(energy for name, energy in rows.items() if name.startswith("dyadic"))
    ratio = rows["digital-gpu"] / best
    assert said["Cost"].endswith("wrote no pulses.")
    assert ("energy 1/" if ratio < 0.1 else f"energy {ratio:.2g} times, time ") in said["What decides it"]


def test_limits_stand_below_what_was_costed(compared):
    document = _strict(compared[2] / "report.json")
    each = document["cost"]["energy_per_multiply_accumulate_J"]
    for limit in document["limits"]["energy"]:
        assert limit["times_above"] == pytest.approx(each / limit["energy_per_multiply_accumulate_J"])
        assert limit["times_above"] > 1
    assert document["limits"]["bits"] == 8


def test_every_constant_has_unit_and_source(compared):
    document = _strict(compared[2] / "report.json")
    library = document["assumptions"]["library"]
    assert len(library) > 20
    for figure in library:
        assert figure["unit"]
        assert len(figure["source"]) > 10
        if figure["low"] is not None:
            assert figure["low"] <= figure["value"] <= figure["high"]
    sourced = {row["setting"] for row in document["assumptions"]["hardware"] if row["source"]}
    assert {"device.conductance.g_max_S", "clock.tau_s", "read.v_read_V", "tile.rows"} <= sourced


def test_the_latex_is_balanced_and_names_are_only_text(compared):
    text = (compared[2] / "tables.tex").read_text()
    assert text.isascii()
    assert not re.search(r"\\(?:input|write|include|def|catcode)", text)
    assert "/etc/passwd" in text  # as words
    bare = re.sub(r"\\[a-zA-Z]+|\\[{}&%$#_\\]", " ", text)  # without commands and escaped characters
    depth = 0
    for character in re.sub(r"^%.*", "", bare, flags=re.MULTILINE):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
        assert character not in "%$#_^~"
    assert depth == 0
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL)
    assert len(tables) == text.count(r"\begin{table}") == text.count(r"\end{table}") > 5
    for sides, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(sides) - 1}
        assert body.split()[0] == r"\toprule"
        assert body.split()[-1] == r"\bottomrule"


def test_tables_of_the_page_are_those_of_the_files(compared):
    table = Table("a", "A.", (Column("x_J", "x", "J"), Column("n", "n", form="d"), Column("w", "w", group=True)),
                  [[1e-12, 3, "why"], [None, 4, "why"]])  # fmt: skip
    assert table.csv() == "x_J,n,w\n1e-12,3,why\n,4,why\n"
    assert table.texts == [["1 pJ", "3"], ["-", "4"]]
    assert table.groups == ["why", ""]
    for path in compared[2].glob("*.csv"):
        head, *rows = csv.reader(path.read_text().splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(head)}


def test_what_cannot_be_compared_is_refused_before_anything_is_written(problem, tmp_path):
    net, x, y = problem
    with pytest.raises(ValueError, match="no hardware"):
        dbp.report(net, dbp.backprop(net, x, y), tmp_path / "r", compare=["digital-gpu"])
    with pytest.raises(ValueError, match="digital-gpu"):
        _chip_report(problem, tmp_path / "r", compare=["digital-gpuu"])
    assert not (tmp_path / "r").exists()


def test_a_second_report_leaves_nothing_of_the_first(problem, tmp_path):
    net, x, y = problem
    _chip_report(problem, tmp_path)
    (tmp_path / "mine.txt").write_text("not a report's")
    dbp.report(net, dbp.backprop(net, x, y), tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"index.html", "report.json", "provenance.json", "tables.tex", "settings.csv", "versions.csv", "mine.txt"}


def test_an_earlier_report_cannot_name_files_outside_its_folder(problem, tmp_path):
    net, x, y = problem
    out, victim = tmp_path / "r", tmp_path / "victim.csv"
    out.mkdir()
    victim.write_text("mine")
    listed = [{"name": name, "shows": ""} for name in ("../victim", str(tmp_path / "victim"), 3, "../../etc/x")]
    (out / "report.json").write_text(json.dumps({"figures": listed, "tables": listed}))
    dbp.report(net, dbp.backprop(net, x, y), out)
    assert victim.read_text() == "mine"


def test_a_loss_that_is_not_finite_is_null_in_the_data(problem, tmp_path):
    net, x, y = problem
    run = dataclasses.replace(dbp.backprop(net, x, y), loss=float("nan"))
    dbp.report(net, run, tmp_path)
    assert _strict(tmp_path / "report.json")["facts"]["loss"] is None
