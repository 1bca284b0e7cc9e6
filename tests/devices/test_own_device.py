"""A cell of one's own, as docs/devices.md shows it: the page's blocks are run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.devices import load_device
from dbpsim.devices.effects import Programming
from dbpsim.devices.programming import program, sigma_by
from dbpsim.devices.retention import left_by, retained
from dbpsim.devices.schema import Device
from dbpsim.devices.sections import Section

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "devices.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL).group(1)


def test_the_file_of_the_page_is_a_device(tmp_path):
    (tmp_path / "mine.toml").write_text(block("toml"))
    mine = load_device(tmp_path / "mine.toml")
    assert mine.random_telegraph.share_of_cells == 0.02
    assert mine.programming.coefficients_S == (4e-7, 1e-6)


def test_the_law_of_the_page_is_used_and_its_chip_computes():
    names = {}
    exec(block("python"), names)  # the page is ours
    mine = names["mine"]
    left = retained(np.array([1e-6]), np.zeros(1), 3600.0 * 4, mine)
    assert left[0] == pytest.approx(1e-6 * np.exp(-2.0))  # (4 lifetimes)^0.5
    net = dbp.models.by_name("mlp:64-8-10", seed=0)
    chip = dbp.Chip.program(net, dbp.load_hardware("ecram").model_copy(update={"device": mine}), seed=0)
    assert np.isfinite(dbp.backprop(chip, np.ones((2, 64), np.float32), np.array([0, 1])).loss)


def test_every_section_of_the_page_and_of_the_schema_are_the_same():
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert named == set(Device.model_fields) - {"name", "family", "summary", "transposed_read"}


def test_a_programming_law_of_ones_own_is_drawn():
    class Flat(Programming):
        flat_S: float

    @sigma_by.register(Flat)
    def flat(law, g, device):
        return np.full_like(g, law.flat_S)

    law = Flat(coefficients_S=(1.0,), pulses_per_cell=1, flat_S=1e-8, source="a test")
    found = program(np.full(10_000, 1e-6), load_device("ideal").model_copy(update={"programming": law}), np.random.default_rng(0))
    assert abs(found.std() / 1e-8 - 1) < 5 / np.sqrt(2 * 10_000)


def test_an_unregistered_law_is_named():
    class Nothing(Section):
        pass

    with pytest.raises(TypeError, match="no function is registered for Nothing"):
        left_by(Nothing(), np.ones(1), np.ones(1), 1.0, load_device("ideal"))
