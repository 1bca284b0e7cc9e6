"""What a gradient by relaxation takes on a computer beside exact backpropagation, ours and PyTorch's; a row an engine.

Every engine runs in a process of its own (`dbpsim.studies.probe`).  Times are this machine's: this is the one task whose
numbers are not the same on the next.  PyTorch is asked of `peer_python`, an interpreter that has it; without one it has no row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from dbpsim import studies
from dbpsim.credit.settling import clocks_to
from dbpsim.studies.tasks.common import Common, Rows, Task
from dbpsim.studies.tasks.depth import deepened

_PROBE = Path(studies.__file__).with_name("probe.py")
_PATIENCE_S = 600.0
# Without it glibc gives large buffers back to the system, and PyTorch runs up to three times slower.
_ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=20000000000"}


class OverheadSettings(Common):
    """A network of the model's widths with its hidden layer `depth` - 1 times over."""

    depth: int = Field(default=3, ge=2)
    batch: int = Field(default=128, ge=1)
    eta: float = Field(default=0.9, gt=0, le=1)
    repeats: int = Field(default=5, ge=1)
    peer_python: str | None = None


def _overhead(given: OverheadSettings, changes: Mapping[str, Any]) -> Rows:
    model = deepened(given.model, given.depth)
    widths = [int(width) for width in model.partition(":")[2].split("-")]
    asked = {"widths": widths, "activation": given.activation or "relu", "batch": given.batch, "repeats": given.repeats}
    exact, law = 2 * given.depth, clocks_to(1e-4, given.eta, given.depth)
    ways: list[tuple[str, str, float, int]] = [
        ("backprop", "backprop", 1.0, 1),
        ("wavefront, eta 1", "wavefront", 1.0, exact),
        ("synchronous, eta 1", "synchronous", 1.0, exact),
        (f"synchronous, eta {given.eta:g}", "synchronous", given.eta, law),
    ]
    if given.peer_python is not None:
        ways.append(("PyTorch autograd", "torch", 1.0, 1))
    rows: Rows = []
    for name, engine, eta, steps in ways:
        python = given.peer_python if engine == "torch" else sys.executable
        found = _probed(str(python), {**asked, "engine": engine, "eta": eta, "steps": steps})
        rows.append({"engine": name, "steps": steps, **found})
    first = rows[0] | {"time_ratio": 1.0, "memory_ratio": 1.0}
    for row in rows[1:]:
        row["time_ratio"] = row["seconds"] / first["seconds"]
        row["memory_ratio"] = row["peak_B"] / first["peak_B"] if first["peak_B"] else None
    return [first, *rows[1:]]


def _probed(python: str, asked: Mapping[str, Any]) -> dict[str, float]:
    home = str(Path(studies.__file__).parents[2])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **({"PYTHONPATH": path} if asked["engine"] != "torch" else _ALLOCATOR)}
    try:
        done = subprocess.run(
            [python, str(_PROBE), json.dumps(asked)],
            capture_output=True, text=True, check=False, env=environment, timeout=_PATIENCE_S,
        )  # fmt: skip
    except OSError as error:
        raise ValueError(f"peer_python: found {python!r} ({error.strerror}); accepted: a Python that has PyTorch.") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{python} {_PROBE.name}, {asked['engine']}: {last}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


OVERHEAD = Task(OverheadSettings, _overhead)
