"""aihwkit's presets and configurations as hardware: the steps they stand for, what the report says, what is refused."""

import dataclasses
import enum
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.crossbar import CrossbarDense, load_hardware
from dbpsim.crossbar.imports import aihwkit_presets
from dbpsim.crossbar.imports.aihwkit_tables import class_fields
from dbpsim.devices import load_device
from dbpsim.devices.update import mean_steps, pulse, symmetry_point
from dbpsim.kernels.random import stream_key

DUMPS = json.loads((Path(__file__).parents[1] / "reference" / "aihwkit_dump.json").read_text(encoding="utf-8"))

# aihwkit's own parameters, written down here a second time: (class, step law's fields)
PRESETS = {
    "ReRamESPreset": dict(dw=0.00135, u=0.259359, low=-1, high=1, es=(-0.5, -0.5, -1.18445, -0.081404, 5.0, 5.0)),
    "ReRamSBPreset": dict(dw=0.002, u=0, low=-0.75, high=1.25, linear=(1, 1)),
    "CapacitorPreset": dict(dw=0.005, u=0, low=-1, high=1, linear=(0.05, 0.05)),
    "EcRamPreset": dict(dw=0.002, u=0, low=-0.8276, high=1.1724, linear=(0.1153, 0.5085)),
    "EcRamMOPreset": dict(dw=2.8214e-4, u=0, low=-0.8286, high=1.1714, linear=(0.4152, 0.7342)),
    "IdealizedPreset": dict(dw=0.0002, u=0, low=-1, high=1, linear=(0, 0)),
    "GokmenVlasovPreset": dict(dw=0.0016, u=0, low=-1, high=1, linear=(0, 0)),
    "PCMPreset": dict(dw=0.01, u=0, low=0, high=2, es=(-1.0, 0.0, -27.235, -2.235, 2.5, 2.5)),
    "ReRamArrayOMPreset": dict(dw=0.0949, u=0, low=-1, high=1, linear=(1, 1)),
    "ReRamArrayHfO2Preset": dict(dw=0.4622, u=0, low=-1, high=1, linear=(1, 1)),
}


def their_steps(w, dw, u, low, high, linear=None, es=None):
    """Mean steps up and down of the mean device, as rpu_*_device.cpp make them (both positive)."""
    up, down = dw * (1 + min(u, 0)), dw * (1 - max(u, 0))
    if linear is not None:
        return up * (1 - linear[0] * w / high), down * (1 - linear[1] * w / low)
    a, b, A_up, A_down, gamma_up, gamma_down = es
    z = 2 * w / (high - low) * a + b
    y_up, y_down = 1 - A_up * np.exp(gamma_up * z), 1 - A_down * np.exp(-gamma_down * z)
    return up * np.maximum(y_up, 0), down * np.maximum(y_down, 0)


def curves(device, w, low, high):
    """Our mean steps at aihwkit's weights, in aihwkit's units."""
    window = device.conductance
    span = window.g_max_S - window.g_min_S
    g = window.g_min_S + (w - low) / (high - low) * span
    return [step * (high - low) / span for step in mean_steps(device.update, g, window)]


@pytest.mark.parametrize("name", PRESETS)
def test_the_mean_step_of_a_preset_is_aihwkits_at_every_weight(name):
    found, p = dbp.import_aihwkit(name)[0].device, PRESETS[name]
    w = np.linspace(p["low"], p["high"], 201)
    for ours, theirs in zip(curves(found, w, p["low"], p["high"]), their_steps(w, **p), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * p["dw"])


SLOPES = st.tuples(st.floats(0, 0.3), st.floats(0, 0.3))


@given(u=st.floats(-0.9, 0.9), low=st.floats(-3, -0.1), high=st.floats(0.1, 3), gammas=SLOPES)
def test_a_bias_lowers_one_direction_and_a_shifted_range_keeps_its_steps(u, low, high, gammas):
    fields = {"class": "LinearStepDevice", "up_down": u, "w_min": low, "w_max": high, "dw_min": 0.01}
    fields |= {"gamma_up": gammas[0], "gamma_down": gammas[1]}
    w = np.linspace(low, high, 11)
    theirs = their_steps(w, 0.01, u, low, high, linear=gammas)
    if min(t.min() for t in theirs) <= 0:
        return  # a slope that crosses zero is another test's
    found = dbp.import_aihwkit({"device": fields})[0].device
    for ours, wanted in zip(curves(found, w, low, high), theirs, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("preset", "device"),
    [("ReRamESPreset", "reram_hfo2_gong2018"), ("CapacitorPreset", "capacitor_li2018"),
     ("ReRamArrayOMPreset", "reram_om_gong2022"), ("EcRamPreset", "ecram_li_tang2018"), ("EcRamMOPreset", "ecram_mo_kim2019")],
)  # fmt: skip
def test_presets_agree_with_the_library_where_it_has_the_cell(preset, device):
    ours, imported = load_device(device), dbp.import_aihwkit(preset)[0].device
    assert imported.update.law == ours.update.law.replace("soft_bounds", "linear_step")  # the same mean step
    for key in ("step_sigma", "step_spread", "asymmetry", "asymmetry_spread", "upper_spread", "lower_spread", "noise"):
        theirs = getattr(imported.update, key)
        assert theirs == (
            pytest.approx(getattr(ours.update, key), rel=2e-3, abs=1e-4) if key != "noise" else ours.update.noise
        ), key
    steps = [d.update.step_S / d.conductance.span_S for d in (ours, imported)]
    assert steps[0] == pytest.approx(steps[1], rel=1e-3)


def test_a_preset_device_may_have_fields_of_its_own():
    hardware, report = dbp.import_aihwkit({"device": {"class": "ReRamESPresetDevice", "dw_min": 0.0027}})
    preset = dbp.import_aihwkit("ReRamESPreset")[0]
    assert hardware.device.update.step_S == pytest.approx(2 * preset.device.update.step_S)
    assert hardware.device.conductance == preset.device.conductance
    of = {field.field: field for field in report.fields}
    assert (of["device.class"].value, of["device.class"].here) == ("ReRamESPresetDevice", "device, as ExpStepDevice")


def test_the_symmetry_point_of_shifted_presets_is_aihwkits_zero():
    for name in ("ReRamSBPreset", "EcRamPreset", "EcRamMOPreset"):
        device, p = dbp.import_aihwkit(name)[0].device, PRESETS[name]
        at = (symmetry_point(device.update, device.conductance) - device.conductance.g_min_S) / device.conductance.span_S
        assert at == pytest.approx(-p["low"] / (p["high"] - p["low"]), abs=1e-3)


@pytest.mark.parametrize(("name", "additive"), [("EcRamPreset", False), ("CapacitorPreset", True)])
def test_noisy_pulses_move_as_many_cells_as_far_as_aihwkits_loop(name, additive):
    p, n, cells = PRESETS[name], 40, 20_000
    quiet = {f"device.update.{k}": 0.0 for k in ("step_spread", "asymmetry_spread", "upper_spread", "lower_spread")}
    device = load_hardware(dbp.import_aihwkit(name)[0], quiet).device
    random, w = np.random.default_rng(5), np.full(cells, 0.1)
    for _ in range(n):
        z = 0.3 * random.standard_normal(cells)
        step = their_steps(w, **p)[0]
        w = np.clip(w + (step + p["dw"] * z if additive else step * (1 + z)), p["low"], p["high"])
    window = device.conductance
    g = np.full((1, cells), window.g_min_S + (0.1 - p["low"]) / (p["high"] - p["low"]) * window.span_S)
    key = np.uint64(stream_key(0, "test"))
    pulse(g, np.full(g.shape, n, np.int32), np.zeros(g.shape, np.int32), device.update, window, key, key)
    ours = p["low"] + (g[0] - window.g_min_S) / window.span_S * (p["high"] - p["low"])
    moved, spread = w.mean() - 0.1, w.std()
    assert abs(ours.mean() - w.mean()) < 5 * spread * math.sqrt(2 / cells) + 2e-3 * moved
    assert ours.std() == pytest.approx(spread, rel=0.04)


def test_a_power_law_lies_within_a_hair_between_its_nodes():
    fields = {"class": "PowStepDevice", "dw_min": 0.01, "w_min": -1, "w_max": 1, "pow_gamma": 1.7, "pow_up_down": 0.2}
    device = dbp.import_aihwkit({"device": fields})[0].device
    w = np.linspace(-1, 1, 333)
    up, down = curves(device, w, -1, 1)
    np.testing.assert_allclose(up, 0.01 * ((1 - w) / 2) ** (1.7 * 1.2), atol=1e-5)
    np.testing.assert_allclose(down, 0.01 * ((1 + w) / 2) ** (1.7 * 0.8), atol=1e-5)


def test_the_periphery_of_the_presets():
    hardware, _ = dbp.import_aihwkit("ReRamESPreset")
    assert (hardware.dac.bits, hardware.adc.bits, hardware.dac.range, hardware.links) == (7, 9, "sample", "digital")
    assert (hardware.update.mode, hardware.update.bit_length, hardware.update.managed) == ("stochastic_pulses", 31, True)
    assert (hardware.tile.rows, hardware.tile.columns) == (512, 512)
    assert hardware.read.output_noise == 0.05  # 0.1 of a weight of 1, and the window holds 2
    hardware, report = dbp.import_aihwkit("StandardHWATrainingPreset")
    assert (hardware.dac.bits, hardware.dac.range, hardware.dac.limit) == (8, "fixed", 3.0)  # its input range before learning
    assert hardware.adc.limit * hardware.tile.rows == pytest.approx(10.0)
    assert hardware.read.output_noise == 0.04
    assert "forward.out_noise" in {field.field for field in report.of("mapped")}
    assert (hardware.mapping.scale, hardware.device.name, hardware.update.mode) == ("column", "pcm", "write_verify")
    assert "pre_post" in {field.field for field in report.of("approximated")}
    assert {"clip", "remap"} <= {field.field for field in report.of("ignored")}
    # wires of 5.7e5 times the conductance of the largest cell, 25 uS
    assert hardware.wires.segment_column_ohm == pytest.approx(1 / (1 / 0.35 / 5e-6 * 25e-6))


def test_transposed_reads_keep_fixed_ranges_where_aihwkits_do():
    forward = {"noise_management": "None", "bound_management": "None", "out_bound": 12.0, "out_noise": 0.0}
    config = {"device": {}, "forward": forward}
    assert dbp.import_aihwkit(config)[0].dac.transposed_range == "sample"  # backward's defaults scale by the largest
    config["backward"] = class_fields("IOParameters") | forward
    hardware, report = dbp.import_aihwkit(config)
    assert (hardware.dac.transposed_range, hardware.adc.transposed_range) == ("fixed", "fixed")
    assert "backward.out_bound" in {field.field for field in report.of("mapped")}
    config["backward"] |= {"noise_management": "AbsMax"}
    hardware, report = dbp.import_aihwkit(config)
    assert (hardware.dac.transposed_range, hardware.adc.transposed_range) == ("sample", "sample")
    assert "backward.out_bound" in {field.field for field in report.of("approximated")}


def test_the_drop_on_a_bit_line_is_that_of_a_ladder():
    # n cells at g_max on one bit line of segments R, one input at a time: the furthest current leaks into n others, g R n^2 / 2
    n, R = 64, 20.0
    forward = {"class": "IOParametersIRDropT", "ir_drop": 1.0, "ir_drop_rs": R, "inp_res": -1, "out_res": -1}
    forward["out_noise"] = 0.0
    hardware, report = dbp.import_aihwkit({"device": {"class": "IdealDevice"}, "forward": forward})
    read = CrossbarDense(np.ones((1, n), np.float32), hardware, "tile", 0).forward(np.eye(n, dtype=np.float32)).ravel()
    assert (np.diff(read) > 0).all()  # the first input is furthest from what senses
    assert 1 - read[0] == pytest.approx(hardware.device.conductance.g_max_S * R * n * n / 2, rel=0.05)
    assert "wires.segment_column_ohm = 20" in str(report)


def test_the_programming_error_of_an_inference_preset_is_aihwkits_polynomial():
    hardware, _ = dbp.import_aihwkit({"noise_model": {"class": "PCMLikeNoiseModel", "g_max": 40.0, "prog_noise_scale": 2.0}})
    # sigma (uS) = 2 (40 / 25) (0.26348 + 1.9650 x - 1.1731 x^2)
    np.testing.assert_allclose(
        np.array(hardware.device.programming.coefficients_S) * 1e6, 3.2 * np.array([0.26348, 1.9650, -1.1731])
    )
    assert hardware.device.conductance.g_max_S == pytest.approx(40e-6)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("TikiTakaEcRamPreset", "tiki_taka"), ("TTv2ReRamSBPreset", "tiki_taka_2"), ("AGADIdealizedPreset", "tiki_taka_2"),
     ("MixedPrecisionPCMPreset", "mixed_precision"), ("PCMPreset", "stochastic_pulses"), ("EcRam2Preset", "stochastic_pulses")],
)  # fmt: skip
def test_families_of_presets_train(name, mode):
    hardware, _ = dbp.import_aihwkit(name)
    assert hardware.update.mode == mode
    assert hardware.device.update.polarity == ("up" if "PCM" in name else "both")
    net = dbp.models.mlp(6, 5, 4, seed=0)
    chip = dbp.Chip.program(net, hardware, seed=1)
    x, y = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32), np.array([0, 1, 2])
    assert np.isfinite(dbp.relax(chip, x, y).loss)


@pytest.mark.parametrize("name", aihwkit_presets())
def test_every_preset_is_written_and_read_again(name, tmp_path):
    hardware, report = dbp.import_aihwkit(name)
    dbp.write_hardware(hardware, tmp_path / "hw.toml", comment=str(report))
    assert load_hardware(tmp_path / "hw.toml") == hardware
    json.dumps(report.to_dict())


@pytest.mark.parametrize("name", DUMPS)
def test_what_aihwkit_itself_holds_is_what_the_presets_name_says(name):
    # dumped by the lines in docs/importing.md, in aihwkit 1.1.0
    (dumped, report), (named, _) = dbp.import_aihwkit(DUMPS[name]), dbp.import_aihwkit(name)
    assert not [field.field for field in report.fields if "unknown here" in field.reason]
    for section in ("device", "dac", "adc", "tile", "mapping"):
        assert getattr(dumped, section) == getattr(named, section), section
    segments = [hardware.wires.segment_column_ohm if hardware.wires else 0.0 for hardware in (dumped, named)]
    assert segments[0] == pytest.approx(segments[1])
    for key in ("mode", "bit_length", "managed", "fast_rate", "transfer_rate", "transfer_every", "transfer_lines"):
        assert getattr(dumped.update, key) == getattr(named.update, key), key


@pytest.mark.parametrize("name", ["ideal", "pcm", "sonos", "fefet", "capacitor", "reram", "hermes"])
def test_our_own_presets_are_written_and_read_again(name, tmp_path):
    dbp.write_hardware(load_hardware(name), tmp_path / "hw.toml")
    assert load_hardware(tmp_path / "hw.toml") == load_hardware(name)


class Management(enum.Enum):
    NONE = "None"


@dataclasses.dataclass
class IOParameters:
    inp_res: float = 1 / 254
    noise_management: Management = Management.NONE


@dataclasses.dataclass
class LinearStepDevice:
    gamma_up: float = 0.1


@dataclasses.dataclass
class Configuration:
    device: LinearStepDevice = dataclasses.field(default_factory=LinearStepDevice)
    forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    tile_class: type = IOParameters


def test_the_lines_of_the_manual_write_what_is_read(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")
    (code,) = [block for block in page.split("```python")[1:] if "def dump" in block]
    monkeypatch.chdir(tmp_path)
    exec(code.split("```")[0], {"rpu_config": Configuration()})
    hardware, report = dbp.import_aihwkit(tmp_path / "rpu.json")
    assert (hardware.dac.bits, hardware.dac.range, hardware.device.update.law) == (8, "fixed", "linear_step")
    assert not [field.field for field in report.fields if "unknown here" in field.reason]


def test_the_report_lists_every_field_once_and_gives_reasons():
    _, report = dbp.import_aihwkit("ReRamESPreset")
    names = [field.field for field in report.fields]
    assert len(names) == len(set(names))
    assert {f"device.{key}" for key in class_fields("ExpStepDevice")} <= set(names)
    assert {f"forward.{key}" for key in class_fields("IOParameters")} <= set(names)
    assert all(field.reason for field in report.of("ignored"))
    assert all(field.here for field in report.of("mapped"))
    assert "device.write_noise_std" in {field.field for field in report.of("ignored")}


def test_a_misspelt_field_is_reported_with_what_it_may_mean():
    _, report = dbp.import_aihwkit({"device": {"class": "ConstantStepDevice"}, "forward": {"inp_ress": 0.1}})
    (found,) = [field for field in report.fields if field.field == "forward.inp_ress"]
    assert found.status == "ignored"
    assert "did you mean inp_res?" in found.reason


def test_what_a_field_means_does_not_depend_on_how_an_enumeration_is_spelt():
    forward = [{"noise_management": word, "bound_management": "None"} for word in ("NONE", "None", "NoiseManagementType.NONE")]
    found = [dbp.import_aihwkit({"device": {}, "forward": f})[0] for f in forward]
    assert found[0].dac.range == "fixed"
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("ReRamEsPreset", "did you mean ReRamESPreset?"),
        ({}, "found nothing; accepted: device"),
        ({"device": []}, "device: found []; accepted: a table of fields"),
        ({"device": {"dw_min": -1}}, "device.dw_min: found -1; accepted: a number from 1e-12"),
        ({"device": {"dw_min": "a"}}, "device.dw_min: found a; accepted"),
        ({"device": {"dw_min": math.nan}}, "device.dw_min: found nan; accepted"),
        ({"device": {"w_min": 0.2}}, "device.w_min: found 0.2; accepted: a number from"),
        ({"device": {"w_min": 0, "w_max": 0}}, "device.w_max: found 0; accepted: a number above w_min"),
        ({"device": {"class": "LinearStepDevice", "gamma_up": 3}}, "device.gamma_up: found 3; accepted: a number from -1 to 1"),
        ({"device": {"class": "TransferCompound"}}, "device.unit_cell_devices: found []; accepted: a list"),
        ({"device": {"class": "MyDevice"}}, "device.class: found MyDevice; accepted"),
        ({"device": {"class": "PiecewiseStepDevice", "piecewise_up": [1, -1]}}, "piecewise_up.1: found -1; accepted"),
        ({"device": {}, "forward": {"inp_res": True}}, "forward.inp_res: found true; accepted: a number"),
        ({"noise_model": {"class": "Mine"}}, "noise_model.class: found Mine; accepted: PCMLikeNoiseModel"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spec, said):
    with pytest.raises(ValueError) as error:
        dbp.import_aihwkit(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_json_are_refused(tmp_path):
    path = tmp_path / "rpu.json"
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b"[1]", b"9" * 10_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"rpu\.json: "):
            dbp.import_aihwkit(path)
    with pytest.raises(ValueError, match="No such file"):
        dbp.import_aihwkit(tmp_path / "none.json")


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["None", "EcRamPresetDevice"])
)
KEYS = sorted({key for kind in ("LinearStepDevice", "ExpStepDevice", "IOParameters", "UpdateParameters", "MappingParameter",
                                "ChoppedTransferCompound", "MixedPrecisionCompound", "PiecewiseStepDevice", "PCMLikeNoiseModel")
               for key in class_fields(kind)} | {"class", "device"})  # fmt: skip
TABLES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["device", "forward", "backward", "update", "mapping", "noise_model", "other"]), TABLES, max_size=5
    )
)
def test_any_json_is_hardware_or_a_clear_error(config):
    hardware, said = attempt(config)
    assert isinstance(hardware, dbp.Hardware) or "aihwkit configuration" in said


def attempt(config):
    """Hardware and report, or None and the message of the only error there may be."""
    try:
        hardware, report = dbp.import_aihwkit(config)
    except ValueError as error:
        return None, str(error)
    return hardware, str(report)


NUMBERS = st.floats(-1e9, 1e9) | st.sampled_from([0, 1, -1, 0.5, 1e-9])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        [k for k in ("LinearStepDevice", "ExpStepDevice", "SoftBoundsDevice", "SoftBoundsPmaxDevice", "PowStepDevice")]
    ),
    st.data(),
)
def test_any_numbers_in_a_device_are_hardware_or_a_clear_error(kind, data):
    numeric = [key for key, value in class_fields(kind).items() if isinstance(value, float)]
    fields = data.draw(st.dictionaries(st.sampled_from(numeric), NUMBERS, max_size=4))
    hardware, said = attempt({"device": {"class": kind, **fields}})
    if hardware is None:
        assert "aihwkit configuration" in said
    else:
        steps = mean_steps(hardware.device.update, np.linspace(0, 1e-6, 5), hardware.device.conductance)
        assert all(np.isfinite(step).all() for step in steps)
