"""Every example runs as it stands in its first lines, small, and leaves what it says it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CIFAR = Path(os.environ.get("DBPSIM_TEST_CIFAR", ROOT.parent / "shared" / "data" / "cifar10-jpeg.zip"))


def _run(tmp_path: Path, *arguments: str) -> str:
    command = [sys.executable, "examples/crossbar_vgg9.py", "--out", str(tmp_path / "out"), *arguments]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("hardware", ["ecram", "none"])
def test_the_main_example_trains_costs_and_reports(tmp_path, hardware):
    printed = _run(tmp_path, "--limit", "64", "--epochs", "1", "--width", "4", "--batch", "32", "--hardware", hardware)
    assert "digits (embedded" in printed
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["training"]["steps"] == 2
    assert (document["cost"] is None) == (hardware == "none")
    assert (document["comparison"] is None) == (hardware == "none")
    assert len((document["settling"] or {"times_s": None})["times_s"] or []) == (0 if hardware == "none" else 32)
    error = document["fidelity"]["all"]["relative_error"]
    # bit for bit without hardware; trained cells hold their weights to a step of the device and its write noise
    assert error == 0 if hardware == "none" else 0 < error < 1
    assert (tmp_path / "out" / "index.html").read_text().startswith("<!doctype html>")


@pytest.mark.skipif(not CIFAR.exists(), reason=f"no CIFAR-10 at {CIFAR}")
def test_the_main_example_takes_real_images(tmp_path):
    printed = _run(tmp_path, "--data", str(CIFAR), "--limit", "64", "--epochs", "1", "--width", "4", "--batch", "32")
    assert "CIFAR-10 (JPEG copy)" in printed


def test_the_main_example_refuses_bad_input_in_one_line(tmp_path):
    command = [sys.executable, "examples/crossbar_vgg9.py", "--hardware", "pcmm", "--limit", "64", "--width", "4"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "did you mean pcm?" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gallery_draws_the_whole_library(tmp_path):
    out = tmp_path / "gallery.png"
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = [sys.executable, "examples/device_gallery.py", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 20  # panels
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_replica_for_the_way_back_costs_accuracy_of_the_gradient():
    command = [sys.executable, "examples/weight_transport.py", "--hardware", "hermes"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    same, replica = (float(line.split()[-2]) for line in done.stdout.splitlines()[1:])
    assert 0 < 1.5 * same < replica < 1.0  # 0.13 and 0.37


def test_wires_leave_the_gradient_exact_for_the_weights_seen_where_ends_are_alike():
    command = [sys.executable, "examples/wire_resistance.py", "--width", "4", "--batch", "8", "--ohm", "40", "--tile", "64"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    alike, unlike = ([float(word) for word in line.split()[:6]] for line in done.stdout.splitlines()[1:])
    assert alike[:2] == [0, 40]
    assert alike[4] < 1e-4 < 1e-2 < alike[5]
    assert unlike[4] > 1e-2
