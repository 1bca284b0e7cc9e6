"""Where figures come from: versions, commit, seeds, settings; and the machine, which must not matter.

report.json must be the same for the same settings wherever and with how many threads it is made.  So what names the machine goes
into a file of its own, provenance.json.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import numba

from dbpsim.training.journal import installed_version

_PACKAGES = ("numpy", "scipy", "numba", "matplotlib", "pydantic")
CITATION = """@software{dbpsim,
  title   = {dbpsim: learning by physical relaxation on simulated analog hardware},
  author  = {The dbpsim developers},
  version = {%s},
  license = {Apache-2.0},
  note    = {commit %s}
}
@article{scurria2026backpropagation,
  title   = {Backpropagation as Physical Relaxation: Exact Gradients in Finite Time},
  author  = {Scurria, A. E.},
  journal = {arXiv:2602.02281},
  year    = {2026}
}"""


def provenance(seeds: dict[str, int | None], command: str | None) -> dict[str, Any]:
    """Return versions, commit, seeds and command."""
    return {
        "dbpsim": installed_version("dbpsim"),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "seeds": {name: seed for name, seed in seeds.items() if seed is not None},
        "command": command,
    }


def environment() -> dict[str, Any]:
    """Return what names the machine."""
    return {"system": platform.platform(), "processor": _processor(), "threads": numba.get_num_threads()}


def commit() -> str | None:
    """Return the commit of the checkout this runs from, marked where files differ from it; None where there is no checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + (" with changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def citation(found: dict[str, Any]) -> str:
    """Return BibTeX for this version and the paper."""
    return CITATION % (found["dbpsim"], found["commit"] or "not known")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
