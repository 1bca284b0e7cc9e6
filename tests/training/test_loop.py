"""A run that was stopped and resumed is the run that was not."""

import json
import os
import signal

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.training import checkpoints, loop, step

TIMES = ("seconds", "images_per_s", "gradient_s", "write_s", "step_s", "epoch_s", "memory_bytes", "data_share", "update_share")


def _sets():
    return dbp.datasets.load("digits", limit=160, image_shape=(8, 8, 1))


def _mlp():
    return dbp.models.mlp(64, 16, 10, input_shape=(8, 8, 1))


def _normalised():
    return dbp.models.vgg9(width=4, input_shape=(8, 8, 1), normalise=True)


def _chip():
    return dbp.Chip.program(_mlp(), "pcm", seed=3)


CASES = {
    "backprop": (_mlp, {"method": "bp", "average": 0.9, "augment": dbp.Augmentation("random", 1)}),
    "relaxation in (x, z)": (_mlp, {"method": "relax", "coordinates": "xz"}),
    "batch norm": (_normalised, {"method": "relax"}),
    "noisy chip": (_chip, {"method": "relax"}),
}


def _timeless(epochs):
    return [{k: v for k, v in e.items() if k not in TIMES} for e in epochs]


def _stop_after(monkeypatch, steps):
    taken, done = loop.take_step, [0]

    def stopping(*arguments):
        taken(*arguments)
        done[0] += 1
        if done[0] == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "take_step", stopping)


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(case, tmp_path, monkeypatch):
    make, settings = CASES[case]
    settings = {"epochs": 2, "batch": 32, "rate": 0.02, **settings}
    whole = make()
    uninterrupted = dbp.train(whole, *_sets(), out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        _stop_after(patch, 7)  # in the middle of the second epoch of five steps
        with pytest.raises(loop.TrainingInterrupted, match="continue with --resume"):
            dbp.train(make(), *_sets(), out=tmp_path / "parts", **settings)
    parts = make()
    resumed = dbp.train(parts, *_sets(), out=tmp_path / "parts", resume=True, **settings)
    assert _timeless(resumed.epochs) == _timeless(uninterrupted.epochs)
    for name, value in (whole.parameters | whole.buffers).items():
        assert np.array_equal(value, (parts.parameters | parts.buffers)[name]), name
    logs = [[json.loads(line) for line in (tmp_path / d / "metrics.jsonl").read_text().splitlines()] for d in ("whole", "parts")]
    assert _timeless(logs[0]) == _timeless(logs[1])


def _finished(folder, **settings):
    return dbp.train(_mlp(), *_sets(), out=folder, epochs=2, batch=32, **settings)


def test_resuming_with_other_settings_is_refused_field_by_field(tmp_path):
    _finished(tmp_path)
    with pytest.raises(ValueError, match=r"training\.rate: was 0\.05, is 0\.1"):
        _finished(tmp_path, resume=True, rate=0.1)


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path):
    _finished(tmp_path)
    with pytest.raises(ValueError, match="found a run in it"):
        _finished(tmp_path)


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(ValueError, match="found no checkpoint"):
        _finished(tmp_path, resume=True)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog):
    for number in (1, 2, 3):
        checkpoints.save(tmp_path, number, {"a": np.full(3, number)}, {"step": number})
    assert len(list(tmp_path.glob("step-*"))) == 2
    newest = tmp_path / "step-00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    arrays, facts = checkpoints.load(tmp_path)
    assert facts == {"step": 2}
    assert arrays["a"].tolist() == [2, 2, 2]
    assert "SHA-256" in caplog.text


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step():
    net = _mlp()
    net.parameters["dense2.bias"][:] = np.nan
    with pytest.raises((loop.TrainingDiverged, dbp.NotSettledError), match=r"step 0|nan"):
        dbp.train(net, *_sets(), epochs=1, batch=32)


@pytest.mark.parametrize("make", [_mlp, _chip])
def test_a_gradient_that_overflows_while_the_loss_is_finite_stops_the_run(make, monkeypatch):
    def overflowing(*arguments):
        run = dbp.backprop(*arguments[:3])
        run.gradients["dense1.weight"][0, 0] = np.inf
        return run

    network = make()
    before = network.parameters["dense2.weight"].copy()
    monkeypatch.setattr(loop, "_rehearse", lambda *_: None)
    monkeypatch.setattr(step, "gradient", overflowing)
    with pytest.raises(loop.TrainingDiverged, match="step 0: the gradient is infinite or nan; lower the rate"):
        dbp.train(network, *_sets(), epochs=1, batch=32)
    assert np.array_equal(network.parameters["dense2.weight"], before)


def test_relaxation_and_backprop_train_to_the_same_weights():
    nets = [_mlp(), _mlp()]
    for net, method in zip(nets, ("bp", "relax"), strict=True):
        result = dbp.train(net, *_sets(), method=method, epochs=1, batch=32, check_every=2)
    assert all(np.array_equal(a, nets[1].parameters[k]) for k, a in nets[0].parameters.items())
    assert result.checks
    assert all(check["relative_error"] == 0 for check in result.checks)


def test_training_a_chip_gives_its_cells_pulses():
    chip = _chip()
    before = chip.activity
    dbp.train(chip, *_sets(), epochs=1, batch=32)
    assert all(stage.write.pulses > 0 for stage in (chip.activity - before).stages.values())
