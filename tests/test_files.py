"""Atomic files: the old one or the new one, and nothing else, whatever happens in between."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dbpsim import files

# Loads files.py by its path: the room is standard library only, so the child starts in milliseconds.
_WRITER = """
import hashlib, importlib.util, itertools, sys
spec = importlib.util.spec_from_file_location("files", sys.argv[1])
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
for k in itertools.count():
    body = bytes([k % 256]) * 2_000_000
    files.write_bytes(sys.argv[2], hashlib.sha256(body).digest() + body)
    print(k, flush=True)
"""


def _whole(path: Path) -> bool:
    data = path.read_bytes()
    return hashlib.sha256(data[32:]).digest() == data[:32]


def _write_half(file, failure):
    file.write(b"half of the new")
    raise failure


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "weights"
    files.write_text(target, "old")
    for failure in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(failure), files.atomic(target) as file:
            _write_half(file, failure)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_writer_leaves_a_whole_file_and_the_next_one_clears_up(tmp_path):
    target = tmp_path / "checkpoint"
    rng = random.Random(0)
    for _ in range(12):
        command = [sys.executable, "-c", _WRITER, files.__file__, str(target)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        writer.stdout.readline()  # it has written once
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert _whole(target)
    files.write_bytes(target, b"last")
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_living_writers_file_is_left_alone(tmp_path):
    target = tmp_path / "report.json"
    with files.atomic(target) as outer:
        outer.write(b"outer")
        thread = threading.Thread(target=files.write_text, args=(target, "inner"))
        thread.start()
        thread.join()
        assert target.read_text() == "inner"
    assert target.read_text() == "outer"


def test_threads_writing_one_target_leave_one_whole_file(tmp_path):
    target = tmp_path / "shared"
    bodies = [bytes([k]) * 300_000 for k in range(8)]
    payloads = [hashlib.sha256(body).digest() + body for body in bodies]
    threads = [threading.Thread(target=files.write_bytes, args=(target, data)) for data in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _whole(target)
    assert os.listdir(tmp_path) == ["shared"]


@pytest.mark.skipif(os.name != "posix", reason="umask")
def test_a_new_file_has_the_ordinary_permissions(tmp_path):
    with open(tmp_path / "ordinary", "w"):
        pass
    files.write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_json_is_json(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": [1, 2.5]})
    assert (tmp_path / "a.json").read_text().endswith("}\n")
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_names_with_wildcards_are_names(tmp_path):
    files.write_text(tmp_path / "w[1]*?.json", "x")
    files.write_text(tmp_path / "w[1]*?.json", "y")
    assert (tmp_path / "w[1]*?.json").read_text() == "y"
