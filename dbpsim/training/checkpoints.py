"""Checkpoints that are there or not there, never half.

A checkpoint is one safetensors file: all arrays, and in its header one JSON text with everything else.  Nothing in it
can run code.  It is written aside, synced and renamed; then ``latest.json`` is, which names the last two with their
SHA-256.  A kill at any moment leaves the previous one to go on from.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as arrays_from
from safetensors.numpy import save as bytes_of

from dbpsim.files import write_bytes, write_json

_KEPT = 2
_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """No usable checkpoint, or one of another run."""


def name_of(step: int) -> str:
    """Return the name of the file of a step."""
    return f"step-{step:08d}.safetensors"


def save(folder: Path, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> Path:
    """Write a checkpoint of `step` into `folder`, and remove all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_of(step)
    data = write(path, arrays, facts)
    entries = [e for e in _entries(folder) if e["file"] != path.name]
    entries.append({"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "step": step})
    write_json(folder / "latest.json", {"checkpoints": entries[-_KEPT:]})
    kept = {e["file"] for e in entries[-_KEPT:]}
    for old in folder.glob("step-*.safetensors"):
        if old.name not in kept:
            old.unlink()
    return path


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and facts of the newest checkpoint that is whole.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    refused = []
    for entry in reversed(_entries(folder)):
        path = folder / entry["file"]
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise ValueError("its SHA-256 is not the recorded one")
            return arrays_from(data), _facts(data)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            refused.append(f"{path}: {error}")
            _log.warning("checkpoint left out: %s", refused[-1])
    raise CheckpointError("; ".join(refused) or f"{folder}: found no checkpoint; start without --resume.")


def write(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> bytes:
    """Write one file of arrays and facts, aside and renamed; return what is in it."""
    plain = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    data = bytes_of(plain, metadata={"dbpsim": json.dumps(facts)})
    write_bytes(path, data)
    return data


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and facts of one file.

    Raises
    ------
    CheckpointError
        If it is not there, or not one of these.
    """
    try:
        data = path.read_bytes()
        return arrays_from(data), _facts(data)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _facts(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["dbpsim"])


def _entries(folder: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads((folder / "latest.json").read_text())["checkpoints"]
        return [e for e in found if Path(e["file"]).name == e["file"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
