"""The health check: each failure is built and must be named, with its stage and what helps; a healthy chip passes in silence."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim import findings
from dbpsim.check import check
from dbpsim.cli import main
from dbpsim.crossbar.hardware import list_hardware, load_hardware

SHAPE = (8, 8, 1)
WIDE = {"dac.range": "fixed", "dac.limit": 32.0, "adc.range": "fixed", "adc.limit": 1.0}
PULSES = {"update.mode": "stochastic_pulses"}


@pytest.fixture(scope="module")
def batch():
    train, _ = dbp.datasets.load("digits", limit=400, image_shape=SHAPE)
    return train.batch(32)


def _mlp():
    return dbp.models.mlp(64, 24, 24, 10, input_shape=SHAPE)


def _chip(name="ideal", changes=None, network=None):
    return dbp.Chip.program(network or _mlp(), load_hardware(name, changes), seed=1)


def _kinds(found):
    return {(finding.kind, finding.stage) for finding in found.warnings}


@pytest.mark.parametrize("name", [h.name for h in list_hardware()])
def test_presets_pass_in_silence_with_default_initialisation(name, batch):
    found = check(_chip(name), *batch)
    assert found.warnings == ()
    assert "nothing found" in str(found)


def test_vgg9_passes_in_silence_on_pcm(batch):
    network = dbp.models.vgg9(width=8, input_shape=SHAPE)
    assert check(_chip("pcm", network=network), *batch).warnings == ()


def test_figures_are_those_of_the_chip(batch):
    chip = _chip("pcm")
    found = check(chip, *batch)
    x, y = batch
    dbp.backprop(chip, x[:4], y[:4])  # as the rehearsal does first: then its reads are the same, noise and all
    exact, run = dbp.backprop(_mlp(), x, y), dbp.backprop(chip, x, y)
    same = dbp.fidelity(run.gradients, exact.gradients).stages
    for row, fidelity, (name, bar) in zip(found.stages, same, chip.crossbars.items(), strict=True):
        weight = chip.parameters[f"{name}.weight"]
        assert row.stage == name
        assert row.misalignment == pytest.approx(fidelity.misalignment, rel=1e-6)
        assert row.error == pytest.approx(np.linalg.norm(bar.weight - weight) / np.linalg.norm(weight), rel=1e-4)
        assert row.clipped == chip.clipped[name] / weight.size
        # a pulse on one cell of a pair moves the weight by step_S of 2 w_max / span
        assert row.step == pytest.approx(_weight_of_a_pulse(bar), rel=1e-6)
        rms = np.sqrt(np.mean(np.square(run.gradients[f"{name}.weight"])))
        assert row.update == pytest.approx(0.05 * 1.9 * rms, rel=1e-4)


def _weight_of_a_pulse(bar):
    cells = bar.tiles.cells
    plus, minus = cells.g_plus.astype(float), cells.g_minus.astype(float)
    weight_a_siemens = np.sum(bar.weight.T * (plus - minus)) / np.sum((plus - minus) ** 2)
    return weight_a_siemens * bar.hardware.device.update.step_S


@pytest.mark.parametrize("gradient", [dbp.backprop, dbp.relax])
@pytest.mark.parametrize("changes", [{}, PULSES, {"update.mode": "tiki_taka_2"}])
def test_a_check_leaves_no_trace(batch, gradient, changes):
    chips = [_chip("pcm" if not changes else "ecram", changes) for _ in range(2)]
    gradient(chips[0], *batch), gradient(chips[1], *batch)
    check(chips[0], *batch, gradient=gradient)
    states = [chip.state() for chip in chips]
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    factors = [chip.take_factors() for chip in chips]
    assert factors[0].keys() == factors[1].keys()
    runs = [gradient(chip, *batch) for chip in chips]
    assert all(np.array_equal(runs[0].gradients[key], runs[1].gradients[key]) for key in runs[0].gradients)
    assert runs[0].activity == runs[1].activity


@pytest.mark.parametrize("changes", [{}, PULSES])
def test_training_after_the_check_is_that_without_it(batch, changes, monkeypatch, capsys):
    sets = dbp.datasets.load("digits", limit=160, image_shape=SHAPE)
    chips = [_chip("ecram", changes) for _ in range(2)]
    settings = {"batch": 32, "method": "relax", "rate": 0.02}
    dbp.train(chips[0], *sets, **settings)
    assert "a step of 32 samples takes" in capsys.readouterr().err
    monkeypatch.setattr("dbpsim.training.loop._rehearse", lambda *_: None)
    dbp.train(chips[1], *sets, **settings)
    assert "a step of" not in capsys.readouterr().err
    states = [chip.state() for chip in chips]
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    assert all(np.array_equal(chips[0].parameters[key], chips[1].parameters[key]) for key in chips[0].parameters)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process holds")
def test_a_run_holds_as_much_memory_as_it_said_before_it_started():
    lines = [
        "import sys, dbpsim as dbp",
        "sets = dbp.datasets.load('digits', limit=192, image_shape=(32, 32, 3))",
        "chip = dbp.Chip.program(dbp.models.vgg9(width=16), 'ecram')",
        "said = dbp.check(chip, *sets[0].batch(64)).memory_bytes",
        "dbp.train(chip, *sets, batch=64, rate=0.001)",
        "print(said, sys.modules['dbpsim.check']._peak())",  # `dbp.check` is the function
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    said, held = map(int, done.stdout.split())
    assert said <= held < 1.05 * said


def test_train_says_and_logs_what_is_wrong(capsys, tmp_path):
    sets = dbp.datasets.load("digits", limit=160, image_shape=SHAPE)
    dbp.train(_chip("reram", {"links": "digital", **WIDE}), *sets, batch=32, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert "warning: " in said
    assert "exactly zero" in said
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["kind"] == "rehearsal"
    assert {"zero gradient", "lost"} <= {finding["kind"] for finding in first["warnings"]}
    assert first["epoch_s"] == pytest.approx(5 * first["step_s"])


TRAP = {"dac.bits": 8, "adc.bits": 8, "dac.range": "fixed", "dac.limit": 8.0, "adc.range": "fixed", "adc.limit": 0.05}


def test_the_trap_of_a_reram_preset_on_vgg9_is_named(batch):
    # ranges that suit the activations, of the stress too: what goes back is exact zeros, in silence
    network = dbp.models.vgg9(width=8, input_shape=SHAPE)
    both = {"links": "digital", **TRAP, "dac.transposed_range": "fixed", "adc.transposed_range": "fixed"}
    chip = _chip("reram", both, network)
    run = dbp.backprop(chip, *batch)
    assert run.output.any()
    stages = list(chip.crossbars)
    assert not any(run.gradients[f"{name}.weight"].any() for name in stages[:-1])
    found = check(chip, *batch)
    assert found.zero_gradient
    named = {finding.stage: finding for finding in found.warnings if finding.kind == "zero gradient"}
    assert list(named) == stages[:-1]
    assert "no stress comes back to it from conv2" in named["conv1"].found
    assert all("transposed_range" in finding.remedy for finding in named.values())
    assert ("stress lost", stages[-1]) in _kinds(found)
    assert not {finding.kind for finding in check(_chip("reram", {"links": "digital", **TRAP}, network), *batch).warnings} & {
        "zero gradient", "stress lost", "saturated"
    }  # fmt: skip


def test_forward_ranges_that_are_far_too_wide_are_named_on_vgg9(batch):
    network = dbp.models.vgg9(width=8, input_shape=SHAPE)
    found = check(_chip("reram", {"links": "digital", **WIDE}, network), *batch)
    named = {finding.stage: finding for finding in found.warnings if finding.kind == "zero gradient"}
    assert named.keys() == {stage.stage for stage in found.stages}
    assert "adc.limit" in named["conv3"].remedy
    mended = check(_chip("reram", {"links": "digital", "dac.bits": 8, "adc.bits": 8}, network), *batch)
    assert mended.warnings == ()


FAILURES = {
    "saturated": ("pcm", {**WIDE, "adc.limit": 0.0005}, {}, "dense2", ["adc.limit"]),
    "lost": ("pcm", WIDE, {}, "dense1", ["bits", "adc.limit"]),
    "stress lost": ("pcm", {"adc.bits": 2}, {}, "dense3", ["adc.bits"]),
    "clipped": ("pcm", {"mapping.headroom": 0.3}, {}, "dense1", ["mapping.headroom", "0.3"]),
    "inexact": ("pcm", {"mapping.headroom": 8.0}, {}, "dense1", ["programming error", "headroom (now 8)"]),
    "coarse": ("reram", {"mapping.headroom": 10.0}, {}, "dense1", ["mapping.headroom"]),
    "large update": ("pcm", {}, {"rate": 5.0}, "dense3", ["rate"]),
    "cut": ("ecram", PULSES, {"rate": 5.0}, "dense3", ["rate", "bit_length"]),
    "misaligned": ("pcm", {"mapping.headroom": 40.0}, {}, "dense2", ["headroom (now 40)"]),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_named_with_its_stage_figure_and_remedy(kind, batch):
    name, changes, settings, stage, remedy = FAILURES[kind]
    assert kind not in {finding.kind for finding in check(_chip(name), *batch).warnings}
    found = check(_chip(name, changes), *batch, **settings)
    named = [finding for finding in found.warnings if (finding.kind, finding.stage) == (kind, stage)]
    assert named, found
    assert named[0].figure > named[0].limit
    assert all(word in named[0].remedy for word in remedy)
    assert any(stage in line and named[0].remedy in line for line in str(found).splitlines())


@pytest.mark.parametrize(
    ("rate", "changes"), [(0.05, {}), (3.0, {}), (0.05, PULSES), (3.0, {**PULSES, "device": "reram_om_gong2022"})]
)
def test_a_rate_at_which_training_fails_is_named_before_it(rate, changes):
    sets = dbp.datasets.load("digits", image_shape=SHAPE)
    chip = _chip("ecram", changes)
    found = check(chip, *sets[0].batch(32), rate=rate)
    accuracy = dbp.train(chip, *sets, batch=32, rate=rate, epochs=3).accuracy
    fails = accuracy < 0.3
    assert fails == (rate == 3.0)
    assert (("overshoot", "network") in _kinds(found)) == fails
    assert (found.loss_after > found.loss) == fails
    assert f"from {found.loss:.4g} to {found.loss_after:.4g}" in str(found)


def test_what_makes_weights_inexact_is_named(batch):
    wires = {"wires.segment_row_ohm": 200.0, "wires.segment_column_ohm": 200.0}
    named = {finding.kind: finding.remedy for finding in check(_chip("pcm", wires), *batch).warnings}
    assert "wires of less resistance" in named["inexact"]
    chip = _chip("pcm")
    chip.wait(3.0e7)
    named = {finding.kind: finding.remedy for finding in check(chip, *batch).warnings}
    assert "the cells have aged" in named["inexact"]


def test_misalignment_is_put_down_to_weights_or_to_reads(batch):
    chip = _chip("pcm", {"mapping.headroom": 40.0, "effects.read_noise": False})
    held = _mlp()
    held.assign({f"{name}.weight": bar.weight for name, bar in chip.crossbars.items()})
    same = dbp.fidelity(dbp.backprop(held, *batch).gradients, dbp.backprop(_mlp(), *batch).gradients).stages
    found = check(chip, *batch)
    assert [row.misalignment_held for row in found.stages] == pytest.approx([row.misalignment for row in same], rel=1e-5)
    coarse = check(_chip("ideal", {"links": "digital", "dac.bits": 2, "adc.bits": 2}), *batch)
    assert max(row.misalignment_held for row in coarse.stages) < 1e-10
    assert {finding.remedy for finding in coarse.warnings if finding.kind == "misaligned"} == {"raise adc.bits and dac.bits"}


def test_a_dead_layer_is_told_from_one_that_hardware_kills(batch):
    dead = _mlp()
    dead.parameters["dense2.bias"][...] = -100.0
    found = check(_chip("ecram", network=dead), *batch)
    assert {("dead", "dense2"), ("zero gradient", "dense2"), ("zero gradient", "dense1")} <= _kinds(found)
    assert all("initialise anew" in finding.remedy for finding in found.warnings)
    lost = check(_chip("pcm", {**WIDE, "dac.limit": 1000.0}), *batch)
    assert ("dead", "dense1") in _kinds(lost)
    assert any(finding.kind == "zero gradient" and "dense1 sends" in finding.found for finding in lost.warnings)
    assert not any("initialise" in finding.remedy for finding in lost.warnings)


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"rate": 0.0}, "rate"), ({"rate": float("nan")}, "rate"), ({"momentum": 1.0}, "momentum")],
)
def test_bad_settings_are_refused(batch, settings, word):
    with pytest.raises(ValueError, match=word):
        check(_chip(), *batch, **settings)


def test_a_network_is_refused(batch):
    with pytest.raises(ValueError, match="a chip"):
        check(_mlp(), *batch)


def test_command_line(capsys, tmp_path):
    assert main(["check", "mlp:64-12-10", "--hardware", "ideal", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["warnings"] == []
    assert document["epoch_s"] > 0
    file = tmp_path / "bad.toml"
    file.write_text('device = "pcm"\nname = "bad"\nlinks = "digital"\n[adc]\nbits = 2\n[dac]\nbits = 8\n')
    assert main(["check", "mlp:64-12-10", "--hardware", str(file), "--data", "random", "--batch", "8"]) == 1
    assert "warning: " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["check", "mlp:64-12-10"])


def test_the_page_has_every_kind_of_finding_and_the_limits_as_they_are():
    page = (Path(__file__).parent.parent / "docs" / "check.md").read_text()
    source = Path(findings.__file__).read_text()
    kinds = set(re.findall(r'(?:row\.stage|"network"), "([a-z ]+)"', source))
    assert kinds == set(re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE))
    assert {*FAILURES, "zero gradient", "dead", "overshoot", "uncalibrated"} == kinds  # built above; the last in test_ranges.py
    limits = {name: float(value) for name, value in re.findall(r"`([a-z_]+)` ([0-9.]+)", page)}
    assert limits == asdict(findings.Limits())
