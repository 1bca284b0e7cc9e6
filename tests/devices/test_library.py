"""The device library: every file is valid and sourced, and a bad one is refused in words."""

from pathlib import Path

import pytest

from dbpsim.devices import list_devices, load_device
from dbpsim.devices.library import record

GOOD = """
name = "mine"
family = "test"
[conductance]
g_min_S = 1e-6
g_max_S = 2e-5
source = "a test"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_device_states_its_sources():
    for entry in list_devices():
        device = load_device(entry.name)
        assert device.name == entry.name
        for section in (getattr(device, key) for key in type(device).model_fields):
            assert not hasattr(section, "source") or len(section.source) > 10


def test_records_are_what_the_files_say():
    pcm = record(load_device("pcm"))
    assert pcm.on_off == pytest.approx(100)
    assert (pcm.states, pcm.endurance_cycles, pcm.energy_per_pulse_J) == (200, 1e5, 3.3e-10)
    assert record(load_device("ideal")).read_noise is None
    assert record(load_device("reram_wan2022")).not_opened == ("conductance", "programming")
    assert record(load_device("taox_wu2018")).not_opened == ("endurance",)
    assert record(load_device("stt_mram")).not_opened == ()


def test_a_users_file_is_read_by_its_path(tmp_path):
    path = write(tmp_path, GOOD)
    assert load_device(path).conductance.g_max_S == 2e-5
    assert load_device(str(path)) == load_device(load_device(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("g_max_S = 2e-5", "g_maxS = 2e-5"), ["mine.toml", "conductance.g_maxS", "did you mean g_max_S?"]),
        (("g_max_S = 2e-5", "g_max_S = 1e-7"), ["conductance", "must exceed g_min_S"]),
        (
            ("g_min_S = 1e-6", "g_min_S = -1e-6"),
            ["conductance.g_min_S", "found -1e-06", "greater than or equal to 0"],
        ),
        (("g_min_S = 1e-6", "g_min_S = nan"), ["conductance.g_min_S", "found nan"]),
        (("g_min_S = 1e-6", 'g_min_S = "low"'), ["conductance.g_min_S", "found 'low'", "number"]),
        (('source = "a test"', ""), ["conductance.source", "missing"]),
        (("[conductance]", "[conductance"), ["mine.toml", "not a TOML file"]),
    ],
)
def test_a_bad_file_is_refused_by_file_key_and_value(tmp_path, change, words):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ValueError) as error:
        load_device(path)
    for word in words:
        assert word in str(error.value)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean pcm"):
        load_device("pmc")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.toml: No such file"):
        load_device(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('[retention]\nlaw = "exponental"\nsource = "a test"', ["retention: law: found 'exponental'; did you mean exponential?"]),
        ('[retention]\nsource = "a test"', ["retention: law missing; accepted: exponential, logarithmic, tabulated"]),
        ('[retention]\nlaw = "exponential"\nlife_s = 1\nsource = "a test"',
         ["retention.lifetime_s: missing", "retention.life_s: unknown key; did you mean lifetime_s?"]),
        ("[endurence]\ncycles = 1", ["endurence: unknown key; did you mean endurance?"]),
        ('[faults]\nstuck_on = 0.6\nstuck_off = 0.6\nsource = "a test"', ["faults", "= 1.2; accepted: at most 1"]),
        ('[read_noise]\nq_scale = 0.1\nsource = "a test"', ["read_noise", "t_read_s and t_observe_s"]),
        ('[programming]\npulses_per_cell = 1\nsource = "a test"', ["programming", "either coefficients_S, or plateau_S"]),
        ('[drift]\nt0_s = 1\nnu_sigma = { slope = 0, offset = 0, low = 0, high = 0 }\nsource = "a test"\n'
         "nu_mean = { slope = 0, offset = 0, low = 0, high = 0, polynomial = [1] }", ["drift.nu_mean", "polynomial_from"]),
        ('[faults]\nstuck_on = true\nsource = "a test"', ["faults.stuck_on: found True; a number is accepted"]),
        ('[drift]\nt0_s = "20"\nsource = "a test"', ["drift.t0_s: found '20'; a number is accepted"]),
        ('[levels]\ncount = 1\nsource = "a test"', ["levels.count: found 1", "greater than or equal to 2"]),
        ('[spread]\ng_max_sigma = 0.1\nsource = "a test"\n[update]\npolarity = "both"\nstep_S = 1e-8\nupper_spread = 0.1\n'
         'source = "a test"', ["spread: found besides update.upper_spread"]),
    ],
)  # fmt: skip
def test_a_bad_effect_is_refused_by_key_and_value(tmp_path, section, words):
    path = write(tmp_path, GOOD + section)
    with pytest.raises(ValueError) as error:
        load_device(path)
    for word in words:
        assert word in str(error.value)
