"""Where weights sit, and what a chip refuses."""

import csv

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.crossbar import load_hardware

TILE = {"tile.rows": 4, "tile.columns": 3, "mapping.headroom": 1.0}


def chip(changes=None, seed=0):
    net = dbp.models.mlp(10, 5, 2, seed=1)
    return dbp.Chip.program(net, load_hardware("pcm", TILE | (changes or {})), seed=seed)


def test_the_table_says_where_each_weight_sits():
    c = chip()
    stage = next(iter(c.crossbars))
    table, weight = c.table(stage), c.parameters[f"{stage}.weight"]
    assert len(table["row"]) == 2 * weight.size
    line = (table["matrix_row"] == 6) & (table["matrix_column"] == 4) & (table["side"] == "minus")
    found = {name: values[line][0] for name, values in table.items()}
    assert (found["tile_row"], found["tile_column"], found["row"], found["column"]) == (1, 1, 2, 1)
    assert found["weight"] == weight[4, 6]  # a dense weight (out, in) lies transposed
    window, cells = c.hardware.device.conductance, c.crossbars[stage].tiles.cells
    assert found["conductance_S"] == cells.g_minus[6, 4]
    wanted = window.g_min_S + max(-weight[4, 6] / np.abs(weight).max(), 0) * window.span_S
    assert found["target_S"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, 2),
        ({"mapping.scheme": "offset_column", "update.mode": "write_verify"}, 1),
        ({"mapping.scheme": "bit_sliced", "mapping.slices": 3, "mapping.transpose": "replica"}, 12),
    ],
)
def test_the_exported_file_has_a_line_a_cell(tmp_path, changes, cells):
    c = chip(changes | {"effects.programming_error": False})
    c.export_cells(tmp_path / "cells.csv")
    with open(tmp_path / "cells.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == cells * (10 * 5 + 5 * 2)
    assert {line["stage"] for line in lines} == set(c.crossbars)
    assert all(float(line["target_S"]) == pytest.approx(float(line["conductance_S"]), rel=1e-5) for line in lines)


def test_an_unknown_stage_is_named():
    with pytest.raises(ValueError, match="table: found stage 'conv7'; accepted: "):
        chip().table("conv7")


def test_clipped_weights_are_counted():
    assert set(chip({"effects.clipping": False}).clipped.values()) == {0}
    clipped = chip({"mapping.headroom": 0.5}).clipped
    net = dbp.models.mlp(10, 5, 2, seed=1)
    for name, count in clipped.items():
        weight = np.abs(net.parameters[f"{name}.weight"])
        assert count == (weight > 0.5 * weight.max()).sum() > 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_only_time_that_passes_is_accepted(seconds):
    with pytest.raises(ValueError, match="wait: found"):
        chip().wait(seconds)


def test_what_cannot_be_programmed_is_refused_before_any_work(monkeypatch):
    net = dbp.models.mlp(10, 5, 2, seed=1)
    name = list(net.parameters)[-1].rsplit(".", 1)[0]
    net.parameters[f"{name}.weight"][0, 0] = np.nan
    with pytest.raises(ValueError, match=f"{name}: weights hold NaN or infinity; found 1"):
        dbp.Chip.program(net, "pcm")
    with pytest.raises(ValueError, match="tile.rows: found 1000000"):
        load_hardware("pcm", {"tile.rows": 1000000})
    monkeypatch.setattr("os.sysconf", lambda name: 64 if name == "SC_PHYS_PAGES" else 1)
    with pytest.raises(ValueError, match="do not fit into the"):
        chip()


def test_conductances_that_cannot_be_are_refused():
    c = chip()
    state = c.state()
    key = next(k for k in state if k.endswith("g_plus"))
    for bad in (-1e-6, np.nan):
        broken = {**state, key: state[key].copy()}
        broken[key][0, 0] = bad
        with pytest.raises(ValueError, match="chip state g_plus: found negative or infinite ones or NaN"):
            c.load_state(broken)


def test_a_device_without_a_transposed_read_needs_a_replica():
    with pytest.raises(ValueError, match='no transposed read.*accepted: mapping.transpose = "replica"'):
        chip({"device.transposed_read": False})
    assert chip({"device.transposed_read": False, "mapping.transpose": "replica"}).depth == 2
    assert chip({"device.transposed_read": False, "mapping.transpose": "digital"}).depth == 2
