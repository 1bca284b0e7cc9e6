"""Two workers against one, on a study of single-threaded points.

    python benchmarks/study_workers.py --out study_workers.json

Points are relaxations of recurrent networks in plain NumPy, whose arrays are too small for a second thread.  Each turn runs the
study anew with one worker and with two, the start of the cluster included; the ratio is of the least times.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from dbpsim.studies.engine import run_study
from dbpsim.studies.study import Study


def study(points: int, clocks: int) -> Study:
    """Return a study of so many points of so many clocks each."""
    settings = {"radius": 3.0, "activation": "tanh", "tolerance": 1e-300, "clocks": clocks, "width": 24}
    return Study(name="workers", task="recurrent", settings=settings, axes={"seed": list(range(points))})


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--points", type=int, default=40)
    options.add_argument("--clocks", type=int, default=20_000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.turns):
        for workers, times in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                outcome = run_study(study(given.points, given.clocks), folder, workers=workers)
                times.append(time.perf_counter() - begun)
                assert outcome.failed == 0
    least = {workers: min(times) for workers, times in seconds.items()}
    found = {"processors": os.cpu_count(), "points": given.points, "seconds": seconds, "ratio": least[1] / least[2]}
    print(json.dumps(found, indent=2))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
