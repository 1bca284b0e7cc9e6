"""docs/benchmarks.md says what the files in results/ say."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("benchmarks_page", ROOT / "docs" / "benchmarks.py")
assert SPEC is not None
benchmarks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmarks)


def test_the_page_is_of_the_results_at_hand():
    written = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert written == benchmarks.page(ROOT / "results"), "run python3 docs/benchmarks.py"


def test_every_ratio_of_the_tiles_is_on_the_page():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for row in json.loads((ROOT / "results" / "tile_vs_aihwkit.json").read_text()):
        (line,) = [text for text in page.splitlines() if text.startswith(f"| {row['work']}, {row['cell']}, {row['size']} |")]
        cells = [cell.strip() for cell in line.split("|")]
        assert float(cells[5].split()[0].replace(",", "")) == pytest.approx(row["theirs_ms"][0] / row["ours_ms"][0], rel=0.01)
        assert cells[7] == ("held" if row["held"] else "missed")


def test_rows_of_either_unit_and_what_was_not_measured(tmp_path):
    rows = [
        {"work": "solve", "size": 64, "peer": "badcrossbar", "ours_s": [0.002, 0.003], "theirs_s": [0.1, 0.12], "bar": 20},
        {"work": "read", "ours_ms": 2.0, "theirs_ms": 500.0, "ratio": 250.0, "bar": 300},
        {"work": "program", "ours_ms": 2.0, "bar": 1},
        {"work": "off", "ours_ms": 2.0, "theirs_ms": 80.0, "bar": 20, "held": False, "off": 1e-3},
    ]
    (tmp_path / "wires_vs_peers.json").write_text(json.dumps(rows))
    page = benchmarks.page(tmp_path)
    assert "| solve, 64 | badcrossbar | 2 (3) | 100 (120) | 50 (40) | 20 | held |" in page
    assert "| read | CrossSim | 2 | 500 | 250 | 300 | missed |" in page
    assert "| off | CrossSim | 2 | 80 | 40 | 20 | missed |" in page  # fast, but not the same result
    assert "| program | CrossSim | 2 |  |  | 1 | not measured |" in page
    assert "1 are held, 2 missed and 4 not measured" in page  # and the three aims of VGG9 on tiles


def test_the_settling_benchmarks_forms(tmp_path):
    one = {"states": 148, "seconds": {"ngspice": 0.5, "dbpsim": 0.005}, "ratio": 100.0, "ratio_without_start": 90.0}
    methods = {"collocation": {"seconds": 0.01}, "scipy RK45, 1e-3": {"seconds": 0.4}}
    (tmp_path / "settle_vs_ngspice.json").write_text(json.dumps(one))
    (tmp_path / "settle_speed.json").write_text(json.dumps({"networks": {"tanh": methods}}))
    page = benchmarks.page(tmp_path)
    assert "| transient of 148 states at equal accuracy | ngspice | 5 | 500 | 100 |  |  |" in page
    assert "| 784-256-128-10 settled, tanh | scipy RK45 | 10 | 400 | 40 |  |  |" in page


def test_every_benchmark_has_a_part():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    scripts -= {"training_step", "study_workers", "recipe_in_pytorch"}  # of the first two no peer, of the last no figure of speed
    assert scripts <= {part.name for part in benchmarks.PARTS}
