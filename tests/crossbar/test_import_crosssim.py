"""CrossSim's parameters as hardware: the errors they stand for, tiles, ranges and wires, the report, what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.cli import main
from dbpsim.crossbar import load_hardware
from dbpsim.crossbar.imports.crosssim_cell import data
from dbpsim.devices.programming import programming_sigma
from dbpsim.devices.read_noise import read_sigma


def cell(**fields):
    return {"xbar": {"device": {"Rmin": 4e4, "Rmax": 4e6, **fields}}}


def error(model, magnitude=0.0):
    return {"enable": True, "model": model, "magnitude": magnitude}


def test_the_window_and_the_levels():
    hardware, _ = dbp.import_crosssim(cell(cell_bits=4, Vread=0.3))
    window = hardware.device.conductance
    assert (window.g_min_S, window.g_max_S) == pytest.approx((2.5e-7, 2.5e-5))
    assert hardware.device.levels.count == 16
    assert hardware.read.v_read_V == 0.3
    assert dbp.import_crosssim(cell(infinite_on_off_ratio=True))[0].device.conductance.g_min_S == 0


@pytest.mark.parametrize(
    ("model", "magnitude", "sigma"),
    [
        ("NormalIndependentDevice", 0.02, lambda g: 0.02 * 25e-6 + 0 * g),
        ("NormalProportionalDevice", 0.05, lambda g: 0.05 * g),
        ("UniformIndependentDevice", 0.06, lambda g: 0.06 / 12**0.5 * 25e-6 + 0 * g),
    ],
)
def test_generic_errors_have_crosssims_sigma_at_every_conductance(model, magnitude, sigma):
    hardware, _ = dbp.import_crosssim(cell(programming_error=error(model, magnitude), read_noise=error(model, magnitude)))
    g = np.linspace(2.5e-7, 2.5e-5, 7)
    np.testing.assert_allclose(programming_sigma(g, hardware.device), sigma(g), rtol=1e-6)
    np.testing.assert_allclose(read_sigma(g, hardware.device), sigma(g), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "polynomial"),
    [
        ("PCMJoshi", lambda G: -0.00178767 * G**2 + 0.07585724 * G + 0.28638599),
        ("RRAMWan", lambda G: 1.536e-4 * G**3 - 1.167e-2 * G**2 + 2.374e-1 * G + 1.053),
    ],
)
def test_the_fitted_programming_errors_are_crosssims_polynomials_of_microsiemens(model, polynomial):
    hardware, report = dbp.import_crosssim(cell(programming_error=error(model)))
    G = np.linspace(0.25, 25, 9)
    np.testing.assert_allclose(programming_sigma(G * 1e-6, hardware.device) * 1e6, polynomial(G), rtol=1e-6)
    assert "xbar.device.programming_error.model" in {field.field for field in report.of("mapped")}


def test_a_fit_used_beyond_its_range_is_said_to_be():
    device = {"Rmin": 1e4, "Rmax": 1e6, "programming_error": error("PCMJoshi")}
    _, report = dbp.import_crosssim({"xbar": {"device": device}})
    (found,) = [f for f in report.of("approximated") if f.field.endswith("programming_error.model")]
    assert "25 uS" in found.reason


def test_sonos_is_a_fit_of_currents():
    plain, other = (dbp.import_crosssim(cell(Vread=v, read_noise=error("SONOS")))[0].device for v in (0.1, 0.05))
    assert plain.read_noise.white_plateau_S == pytest.approx(1.258037e-7)
    assert other.read_noise.white_plateau_S == pytest.approx(2 * 1.258037e-7)


def test_tiles_converters_and_ranges():
    config = cell() | {"core": {"rows_max": 128, "cols_max": 64, "mapping": {"inputs": {"mvm": {"min": -3.0, "max": 3.0}}}}}
    config["xbar"] |= {"adc": {"mvm": {"model": "SignMagnitudeADC", "bits": 8, "calibrated_range": [-5.0, 6.0]}},
                       "dac": {"mvm": {"model": "SignMagnitudeDAC", "bits": 6}}}  # fmt: skip
    hardware, _ = dbp.import_crosssim(config)
    assert (hardware.tile.rows, hardware.tile.columns) == (128, 64)
    assert (hardware.dac.bits, hardware.dac.limit, hardware.adc.bits) == (6, 3.0, 8)
    # six cells' worth of current of 128 at full input, in units of 1/Rmin; full weight is 0.99 of that
    assert hardware.adc.limit == pytest.approx(6 / 128 / 0.99)
    config["xbar"]["adc"]["mvm"] |= {"adc_range_option": "MAX"}
    assert dbp.import_crosssim(config)[0].adc.limit == pytest.approx(1 / 0.99)


def test_offsets_of_comparators_are_steps_of_the_converter():
    adc = {"model": "RampADC", "bits": 8, "sigma_comparator": 0.01, "adc_range_option": 2}
    hardware, report = dbp.import_crosssim({"xbar": {"adc": {"mvm": adc}}})
    assert hardware.adc.offset_sigma_lsb == pytest.approx(1.27)  # 0.01 of 127 steps on either side
    assert "xbar.adc.mvm.sigma_comparator" in {field.field for field in report.of("mapped")}


def test_transposed_reads_keep_the_ranges_that_the_file_gives_them():
    ways = {"mvm": {"min": -3.0, "max": 3.0}}
    converters = {"adc": {"mvm": {"model": "SignMagnitudeADC", "bits": 8, "adc_range_option": 2}},
                  "dac": {"mvm": {"model": "SignMagnitudeDAC", "bits": 6}}}  # fmt: skip
    config = {"core": {"mapping": {"inputs": ways}}, "xbar": converters}
    hardware = dbp.import_crosssim(config)[0]
    assert (hardware.adc.range, hardware.dac.transposed_range, hardware.adc.transposed_range) == ("fixed", "sample", "sample")
    ways["vmm"], converters["adc"]["vmm"] = dict(ways["mvm"]), dict(converters["adc"]["mvm"])
    hardware, report = dbp.import_crosssim(config)
    assert (hardware.dac.transposed_range, hardware.adc.transposed_range) == ("fixed", "fixed")
    assert 'as mvm; adc.transposed_range = "fixed"' in str(report)


@pytest.mark.parametrize(
    ("core", "scheme"),
    [({"style": 1}, "pair"), ({"style": "OFFSET"}, "offset_column"),
     ({"style": 2, "weight_bits": 8, "bit_sliced": {"num_slices": 4}}, "bit_sliced")],
)  # fmt: skip
def test_styles_of_cores(core, scheme):
    mapping = dbp.import_crosssim({"core": core})[0].mapping
    assert mapping.scheme == scheme
    if scheme == "bit_sliced":
        assert (mapping.slices, mapping.bits_per_slice) == (4, 2)


def test_parasitic_resistances_are_wires():
    config = cell()
    config["xbar"]["array"] = {"parasitics": {"enable": True, "Rp_row": 0.5, "Rp_col": 1.5}}
    wires = dbp.import_crosssim(config)[0].wires
    assert (wires.segment_row_ohm, wires.segment_column_ohm, wires.driver_ohm, wires.sense_ohm) == (0.5, 1.5, 0, 0)
    config["xbar"]["array"]["parasitics"]["enable"] = False
    assert dbp.import_crosssim(config)[0].wires is None


def test_an_imported_chip_relaxes():
    errors = {"programming_error": error("PCMJoshi"), "read_noise": error("NormalProportionalDevice", 0.01)}
    hardware, _ = dbp.import_crosssim(cell(**errors))
    chip = dbp.Chip.program(dbp.models.mlp(6, 5, 4, seed=0), hardware, seed=1)
    x, y = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32), np.array([0, 1, 2])
    assert np.isfinite(dbp.relax(chip, x, y).loss)


def test_every_field_is_in_the_report_once():
    _, report = dbp.import_crosssim({"core": {}, "simulation": {"useGPU": False}, "xbar": {"adc": {"vmm": {"bits": 3}}}})
    names = [field.field for field in report.fields]
    assert len(names) == len(set(names))
    assert {f"{section}.{key}" for section, fields in data()["defaults"].items() for key in fields} <= set(names)
    fates = {field.field: field.status for field in report.fields}
    assert (fates["simulation.useGPU"], fates["xbar.adc.vmm.bits"]) == ("ignored", "ignored")
    assert all(field.reason for field in report.of("ignored"))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "found nothing; accepted: core, xbar"),
        ({"core": 3}, "core: found 3; accepted: a table of fields"),
        ({"xbar": {"adc": []}}, "xbar.adc: found []; accepted: a table of fields"),
        ({"core": {"style": 4}}, "core.style: found 4; accepted: 1 (BALANCED)"),
        ({"core": {"complex_matrix": True}}, "core.complex_matrix: found true; accepted: false"),
        (cell(Rmin=-1), "xbar.device.Rmin: found -1; accepted: a number from"),
        (cell(Rmax=1.0), "xbar.device.Rmax: found 1; accepted: a resistance above Rmin"),
        (cell(read_noise={"enable": 1}), "xbar.device.read_noise.enable: found 1; accepted: true or false"),
        (cell(cell_bits="x"), "xbar.device.cell_bits: found x; accepted"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spec, said):
    with pytest.raises(ValueError, match="CrossSim parameters") as error:
        dbp.import_crosssim(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
SECTIONS = {"mvm", "vmm", "device", "adc", "mapping", "inputs"}
KEYS = sorted({key for fields in data()["defaults"].values() for key in fields} | SECTIONS)
TABLES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["core", "xbar", "simulation", "other"]), TABLES, max_size=4))
def test_any_json_is_hardware_or_a_clear_error(config):
    try:
        hardware, said = dbp.import_crosssim(config)[0], ""
    except ValueError as error:
        hardware, said = None, str(error)
    assert isinstance(hardware, dbp.Hardware) or "CrossSim parameters" in said


def test_the_command_writes_a_file_that_hardware_takes(tmp_path, capsys):
    parameters, out = tmp_path / "params.json", tmp_path / "hw.toml"
    parameters.write_text(json.dumps(cell(programming_error=error("PCMJoshi"))))
    assert main(["import", "crosssim", str(parameters), "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["out"] == str(out)
    assert {"field", "value", "status", "here", "reason"} == set(document["fields"][0])
    assert load_hardware(out) == dbp.import_crosssim(parameters)[0]
    assert main(["import", "aihwkit", "EcRamPreset", "--out", str(out)]) == 0
    assert "device.gamma_up" in capsys.readouterr().out
    assert main(["verify", "mlp:64-8-10", "--hardware", str(out), "--eta", "0.9", "--batch", "2", "--json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["aihwkit", "EcRamPrest"], "did you mean EcRamPreset?"),
        (["crosssim", "none.json"], "none.json: No such file"),
        (["aihwkit", "EcRamPreset", "--out", "hw.json"], "accepted: the path of a .toml file"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, said, capsys):
    assert main(["import", *arguments]) == 2
    problem = capsys.readouterr().err
    assert said in problem
    assert problem.count("\n") == 1
