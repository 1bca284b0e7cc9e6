#!/usr/bin/env python3
"""Set up and run the project: ``python3 tasks.py demo | test | lint | bench | docs``.

Needs Python 3.11 to 3.13 with venv, and nothing else: every verb first makes ``.venv`` and installs into it what
the verb wants.  Set-up is skipped while setup.cfg, pyproject.toml, the interpreter and the wanted extras are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
# what each benchmark compares with, in an environment of its own: the peers' requirements contradict each other
PEERS = {
    "vgg9_vs_pytorch": (ROOT / ".venv-peers", ["torch==2.13.0", "numpy<2.4"]),
    "tile_vs_aihwkit": (ROOT / ".venv-peers-aihwkit", ["torch==2.10.0", "torchvision==0.25.0", "aihwkit==1.1.0"]),
    "vgg9_chip_vs_aihwkit": (ROOT / ".venv-peers-aihwkit", ["torch==2.10.0", "torchvision==0.25.0", "aihwkit==1.1.0"]),
    # badcrossbar's pycairo only draws, and needs cairo's headers; CrossSim: see the benchmark
    "wires_vs_peers": (
        ROOT / ".venv-peers-wires",
        ["--no-deps", "badcrossbar==1.1.0", "numpy==2.3.5", "scipy==1.17.1", "sortedcontainers==2.4.0", "pathvalidate==3.3.1"],
    ),
}
# programs that a benchmark compares with and pip does not have
PROGRAMS = {"settle_vs_ngspice": "ngspice"}
EXTRAS = {"demo": (), "test": ("test", "brian", "slurm"), "lint": ("lint",), "bench": (), "docs": ("docs",)}


class SetUpError(Exception):
    """Set-up cannot go on; the message says what is missing and what mends it."""


def check_python() -> None:
    """Refuse an interpreter that cannot do the job, with the way out."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info < (3, 11):  # noqa: UP036 - this file must be able to say so
        raise SetUpError(f"tasks.py: found Python {version}; accepted: 3.11 to 3.13")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetUpError(
            f"tasks.py: this Python has no venv. On Debian or Ubuntu: apt install python{version}-venv"
        ) from None


def interpreter(environment: Path) -> Path:
    """Return the Python of a virtual environment."""
    return environment / "bin" / "python"


def kernel_cache() -> Path:
    """Return where compiled kernels of this very source are kept.

    Numba's cache looks at the file of a kernel but not at the helpers it calls from other files: after an edit of
    a helper it would go on using the old one.  So the folder is named after all of them.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / "dbpsim" / "kernels").glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return ROOT / ".numba_cache" / digest.hexdigest()[:16]


def run(command: list[str], **options: object) -> int:
    """Run a command in the project's folder and return its exit status.

    Ctrl-C reaches the command too, which may have a checkpoint to write: it is waited for.  (``subprocess.run``
    would kill it after a quarter of a second.)  A second Ctrl-C does not wait.
    """
    environment = dict(os.environ)
    environment.setdefault("NUMBA_CACHE_DIR", str(kernel_cache()))
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **options)  # type: ignore[call-overload]
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def usable(environment: Path) -> bool:
    """Tell whether a virtual environment is of this Python's version and has pip; one cut short by Ctrl-C has none."""
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return interpreter(environment).is_file() and (environment / "lib" / library / "site-packages" / "pip").is_dir()


def install(environment: Path, wanted: list[str], sources: bytes = b"") -> None:
    """Make a virtual environment that holds `wanted` (arguments of pip), unless its stamp says it does.

    The stamp also knows `sources` (what pip reads of this project), the interpreter, and where the environment lies:
    one copied along with the project would run the original's code.
    """
    mark = environment / "dbpsim-stamp"
    stamp = hashlib.sha256(sources + repr((sys.version, str(environment), wanted)).encode()).hexdigest()
    if mark.is_file() and mark.read_text() == stamp:
        return
    mark.unlink(missing_ok=True)  # until pip is through, the environment is neither the old nor the new one
    log = environment / "pip.log"
    print(f"setting up {environment.name} (log: {log})", file=sys.stderr, flush=True)
    if not usable(environment) and run([sys.executable, "-m", "venv", "--clear", str(environment)]):
        raise SetUpError(f"tasks.py: could not make the virtual environment {environment}")
    pip = [str(interpreter(environment)), "-m", "pip", "--disable-pip-version-check"]
    with log.open("w") as out:
        for command in (["install", "-q", "-U", "pip", "setuptools", "wheel"], ["install", "-q", *wanted]):
            if run([*pip, *command], stdout=out, stderr=subprocess.STDOUT):
                out.flush()
                sys.stderr.write(log.read_text()[-4000:])
                raise SetUpError(f"tasks.py: pip {' '.join(command)} failed; the whole log is in {log}")
    mark.write_text(stamp)


def set_up(extras: tuple[str, ...]) -> Path:
    """Install the project with `extras` (on top of those already there) into .venv; return its Python."""
    check_python()
    had = VENV / "dbpsim-extras"
    union = sorted(set(extras) | set(had.read_text().split() if had.is_file() else ()))
    sources = b"".join((ROOT / name).read_bytes() for name in ("setup.cfg", "pyproject.toml"))
    target = f".[{','.join(union)}]" if union else "."
    install(VENV, ["-e", target], sources)
    had.write_text(" ".join(union))
    return interpreter(VENV)


def peer_of(name: str) -> list[str]:
    """Return the options that name a benchmark's peer, installed if need be.

    Raises
    ------
    SetUpError
        If the peer is not there and cannot be installed.
    """
    program = PROGRAMS.get(name)
    if program is not None and shutil.which(program) is None:
        raise SetUpError(f"tasks.py: there is no {program}. On Debian or Ubuntu: apt install {program}")
    if name not in PEERS:
        return []
    environment, wanted = PEERS[name]
    install(environment, wanted)
    return ["--peer-python", str(interpreter(environment))]


def bench(python: Path, arguments: list[str]) -> int:
    """Run the named benchmarks, or all; with ``--peers`` beside what they compare with, but for what cannot be installed."""
    options = argparse.ArgumentParser(prog="tasks.py bench")
    options.add_argument("names", nargs="*", help="files in benchmarks/, without .py (default: all)")
    options.add_argument("--peers", action="store_true", help="install the peers into environments of their own and compare")
    options.add_argument("--save", action="store_true", help="write the figures into results/, and docs/benchmarks.md from them")
    chosen = options.parse_args(arguments)
    known = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    for name in chosen.names:
        if name not in known:
            raise SetUpError(f"tasks.py bench: found {name!r}; accepted: {', '.join(known)}")
    worst, skipped, names = 0, [], chosen.names or list(known)
    for name in names:
        try:
            extra = peer_of(name) if chosen.peers else []
        except SetUpError as error:
            skipped.append(f"skipped {name}: {error}")
            continue
        if chosen.save and '"--out"' in known[name].read_text(encoding="utf-8"):
            extra += ["--out", str(ROOT / "results" / f"{name}.json")]
        worst = max(worst, run([str(python), str(known[name]), *extra]))
    if chosen.save:
        worst = max(worst, run([str(python), str(ROOT / "docs" / "benchmarks.py")]))
    for line in skipped:
        print(line, file=sys.stderr)
    return 1 if len(skipped) == len(names) else worst


def main(arguments: list[str] | None = None) -> int:
    """Do one verb; return the exit status."""
    options = argparse.ArgumentParser(prog="tasks.py", description=__doc__.splitlines()[0])
    options.add_argument("verb", choices=sorted(EXTRAS))
    options.add_argument("rest", nargs=argparse.REMAINDER, help="passed on")
    chosen = options.parse_args(arguments)
    try:
        python = set_up(EXTRAS[chosen.verb])
        if chosen.verb == "demo":
            return run([str(python), "examples/crossbar_vgg9.py", *chosen.rest])
        if chosen.verb == "test":
            return run([str(python), "-m", "pytest", *chosen.rest])
        if chosen.verb == "lint":
            status = run([str(python), "-m", "ruff", "check", "."])
            return run([str(python), "-m", "mypy", "dbpsim", "tasks.py"]) or status
        if chosen.verb == "docs":
            run([str(python), "docs/benchmarks.py"])
            run([str(python), "docs/validation.py"])
            run([str(python), "docs/modes.py"])
            return run([str(python), "-m", "sphinx", "-q", "-b", "html", "docs", "docs/_build/html", *chosen.rest])
        return bench(python, chosen.rest)
    except SetUpError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tasks.py: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
