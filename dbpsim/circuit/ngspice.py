"""Running ngspice on a deck and reading its raw file.

The deck is copied into a temporary folder, which goes whatever happens; ngspice runs there in a process group of its own,
which is killed at the time limit, with HOME there too, so that no start-up file of the user is read.

A raw file is a text header, "Variables:" with one line each, and "Binary:" followed by float64 numbers, all variables of a point
together, or "Values:" with the same as text.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_LARGEST_RAW = 2**31  # bytes


@dataclass(frozen=True)
class Transient:
    """What ngspice found.

    Attributes
    ----------
    names : tuple of str
        Vectors, lower case: "time", "v(dense1_x0)", ...
    values : array, shape (points, names)
        Seconds and volts.
    """

    names: tuple[str, ...]
    values: np.ndarray

    def columns(self, names: list[str]) -> np.ndarray:
        """Return the vectors `names`, shape (points, names).

        Raises
        ------
        ValueError
            For a vector that is not there.
        """
        places = {name: i for i, name in enumerate(self.names)}
        missing = [name for name in names if name not in places]
        if missing:
            raise ValueError(f"ngspice: found no vector {missing[0]!r}; there are {', '.join(self.names[:8])}, ...")
        return self.values[:, [places[name] for name in names]]


def run_ngspice(deck: str, *, timeout_s: float = 120.0) -> Transient:
    """Run `deck` (its text) and return its transient.

    Raises
    ------
    ValueError
        If ngspice is not there, fails, or takes longer than `timeout_s`.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise ValueError("ngspice: not found on PATH; to install it: apt-get install ngspice")
    with tempfile.TemporaryDirectory(prefix="dbpsim-ngspice-") as name:
        folder = Path(name)
        (folder / "deck.cir").write_text(deck)
        _run([program, "-b", "-r", "out.raw", "-o", "log", "deck.cir"], folder, timeout_s)
        log = (folder / "log").read_text(errors="replace") if (folder / "log").exists() else ""
        raw = folder / "out.raw"
        complaint = next((line.strip() for line in log.splitlines() if "rror" in line or "too small" in line), "")
        if not raw.exists():
            raise ValueError(f"ngspice: wrote no result: {complaint or 'no reason in its log'}")
        if raw.stat().st_size > _LARGEST_RAW:
            raise ValueError(f"ngspice: found a raw file of {raw.stat().st_size} bytes; accepted: at most {_LARGEST_RAW}.")
        if "too small" in complaint or "aborted" in log:
            raise ValueError(f"ngspice: the transient stopped early: {complaint}")
        return parse_raw(raw.read_bytes())


def _run(command: list[str], folder: Path, timeout_s: float) -> None:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, env=environment, start_new_session=True
    )
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise ValueError(f"ngspice: not done after {timeout_s:g} s; accepted: a smaller deck or more time.") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def parse_raw(data: bytes) -> Transient:
    """Return the first plot of a raw file, binary or ASCII.

    Raises
    ------
    ValueError
        For what is no raw file of real numbers, or one that is cut short.
    """
    ends = [(data.find(mark), mark) for mark in (b"\nBinary:\n", b"\nValues:\n") if mark in data]
    if not ends:
        raise ValueError("raw file: found no 'Binary:' or 'Values:' line; accepted: what ngspice -r writes.")
    end, mark = min(ends)
    names, points, flags = _header(data[:end].decode("utf-8", "replace").splitlines())
    if "complex" in flags:
        raise ValueError("raw file: found complex numbers; accepted: real ones.")
    body, wanted = data[end + len(mark) :], points * len(names)
    if mark == b"\nBinary:\n":
        if len(body) < 8 * wanted:
            raise ValueError(f"raw file: found {len(body)} bytes of data; accepted: {8 * wanted} for {points} points.")
        values = np.frombuffer(body, "<f8", wanted).reshape(points, len(names))
    else:
        words = body.split()
        if len(words) < wanted + points:
            raise ValueError(f"raw file: found {len(words)} words of data; accepted: {wanted + points}.")
        table = np.array(words[: wanted + points], dtype="S32").reshape(points, len(names) + 1)
        values = table[:, 1:].astype(float)
    return Transient(tuple(names), values)


def _header(lines: list[str]) -> tuple[list[str], int, str]:
    fields = dict(line.split(":", 1) for line in lines if ":" in line and not line[0].isspace())
    try:
        count, points = int(fields["No. Variables"]), int(fields["No. Points"])
        first = next(i for i, line in enumerate(lines) if line.startswith("Variables:")) + 1
        names = [line.split()[1].lower() for line in lines[first : first + count]]
    except (KeyError, ValueError, IndexError, StopIteration):
        raise ValueError("raw file: found a header without variables or points; accepted: what ngspice -r writes.") from None
    if count < 1 or points < 0 or len(names) != count:
        raise ValueError(f"raw file: found {count} variables, {points} points and {len(names)} names; they do not fit.")
    return names, points, fields.get("Flags", "")
