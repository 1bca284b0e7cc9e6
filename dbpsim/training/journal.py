"""The folder of a run: what it was asked, on what machine, and what came out, line by line.

    config.json       what decides the numbers
    manifest.json     versions, host, threads, command
    metrics.jsonl     one JSON object a line: kind "rehearsal" (of a chip), "step", "check" or "epoch"
    ckpt/             the last two checkpoints
"""

from __future__ import annotations

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbpsim.files import write_json


class Journal:
    """Writes a run's folder, or nothing where there is none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def start(self, identity: dict[str, Any], facts: dict[str, Any]) -> None:
        """Begin a new run.

        Raises
        ------
        ValueError
            If the folder holds a run already.
        """
        if self.folder is None:
            return
        if self._log.exists() or (self.folder / "ckpt").exists():
            raise ValueError(f"{self.folder}: found a run in it; accepted: a new folder, or --resume to go on with that one.")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", identity)
        write_json(self.folder / "manifest.json", facts)
        self._log.touch()

    @property
    def _log(self) -> Path:
        assert self.folder is not None
        return self.folder / "metrics.jsonl"

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line."""
        if self.folder is not None:
            with self._log.open("a") as log:
                log.write(json.dumps(entry) + "\n")

    def size(self) -> int:
        """Return how long the log is, in bytes."""
        return self._log.stat().st_size

    def truncate(self, size: int) -> None:
        """Forget what was written after a checkpoint of this size, so that a resumed run does not say it twice."""
        if self._log.exists() and self._log.stat().st_size > size:
            os.truncate(self._log, size)


def manifest(command: str | None = None) -> dict[str, Any]:
    """Return versions, machine and time: what a reader needs to judge or repeat a run."""
    packages = ("dbpsim", "numpy", "scipy", "numba")
    return {
        "versions": {"python": platform.python_version()} | {name: installed_version(name) for name in packages},
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
    }


def installed_version(name: str) -> str:
    """Return the version of a package, or that it is not installed."""
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed"
