"""Ctrl-C and SIGTERM save a run and leave with a clear word; a kill leaves the checkpoint before it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbpsim.training import checkpoints

ROOT = Path(__file__).resolve().parent.parent.parent


def _command(out: Path, *more: str) -> list[str]:
    words = ["train", "mlp:64-32-10", "--epochs", "60", "--batch", "10", "--rate", "0.001", "--json"]
    return [sys.executable, "-m", "dbpsim.cli", *words, "--out", str(out), *more]


def _started(out: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        _command(out), cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(ROOT)), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    log = out / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def _result(out: Path, *more: str) -> dict:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(_command(out, *more), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_saves_and_the_resumed_run_ends_where_the_whole_one_does(tmp_path, number):
    process = _started(tmp_path / "parts")
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "continue with --resume" in said.splitlines()[-1]
    parts, whole = _result(tmp_path / "parts", "--resume"), _result(tmp_path / "whole")
    assert parts["epochs"][-1]["test_loss"] == whole["epochs"][-1]["test_loss"]


def test_a_kill_leaves_a_checkpoint_that_can_be_read(tmp_path):
    first = _started(tmp_path)
    first.send_signal(signal.SIGINT)  # leaves a checkpoint
    first.communicate(timeout=120)
    _, before = checkpoints.load(tmp_path / "ckpt")
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    nowhere = subprocess.DEVNULL
    again = subprocess.Popen(_command(tmp_path, "--resume"), cwd=ROOT, env=environment, stdout=nowhere, stderr=nowhere)
    time.sleep(3)
    again.kill()
    again.wait()
    _, after = checkpoints.load(tmp_path / "ckpt")
    assert after["state"]["step"] >= before["state"]["step"]
