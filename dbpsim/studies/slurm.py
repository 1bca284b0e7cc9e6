"""A study inside a SLURM allocation: one `srun` starts scheduler, client and workers, and they find each other on disk.

    srun --ntasks 8 dbpsim study mine.toml --out results/mine --slurm

Task 0 is the scheduler, task 1 the client, the others are workers (dask-jobqueue's SLURMRunner).  All of them need the folder of
the results.  Links are always encrypted: the scheduler draws a key for this job, which lies in that folder, readable by its
owner alone, until the job ends.  Set NUMBA_NUM_THREADS to what --cpus-per-task gives.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WAIT_S = 300.0
_NEEDED = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID")
_FIELDS = [f"tls_{who}_{what}" for who in ("client", "scheduler", "worker") for what in ("key", "cert")] + ["tls_ca_file"]


@contextmanager
def allocation(out: Path) -> Iterator[Any]:
    """Give the client of a cluster made of this job's tasks; in the other tasks, work until it is done and exit.

    Raises
    ------
    ValueError
        Outside a SLURM job, in one of fewer than three tasks, or without dask-jobqueue and cryptography.
    """
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise ValueError(f"--slurm: found no {missing[0]}; accepted: inside an allocation, srun --ntasks N dbpsim study ...")
    if int(os.environ["SLURM_NTASKS"]) < 3:
        raise ValueError("--slurm: found fewer than 3 tasks; accepted: one each for scheduler and client, the rest work.")
    try:
        import cryptography  # noqa: F401 (what Security.temporary needs)
        from dask_jobqueue.slurm import SLURMRunner
    except ImportError as error:
        raise ValueError(f"--slurm: {error.name} is not installed; accepted: pip install 'dbpsim[slurm]'.") from None
    from distributed import Client

    out.mkdir(parents=True, exist_ok=True)
    rank, job = int(os.environ["SLURM_PROCID"]), os.environ["SLURM_JOB_ID"]
    key, place = out / f"key-{job}.json", out / f"scheduler-{job}.json"
    security = _shared_key(key, rank)
    options = {"security": security, "protocol": "tls"}
    try:
        runner = SLURMRunner(
            scheduler_file=str(place), scheduler_options={**options, "dashboard": False},
            worker_options={**options, "nthreads": 1, "dashboard": False},
        )  # fmt: skip
    except KeyboardInterrupt:  # how SLURMRunner ends scheduler and workers when the client is done
        raise SystemExit(0) from None
    try:
        with Client(runner.scheduler_address, security=security, timeout=_WAIT_S) as client:
            client.wait_for_workers(1, timeout=_WAIT_S)
            yield client
            client.shutdown()
    finally:
        for path in (key, place):
            path.unlink(missing_ok=True)


def _shared_key(path: Path, rank: int) -> Any:
    """Return the job's certificate: drawn by task 0, read by the others."""
    from distributed.security import Security

    if rank == 0:
        security = Security.temporary()
        text = json.dumps({name: getattr(security, name) for name in _FIELDS})
        aside = path.with_suffix(".part")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        aside.replace(path)
        return security
    begun = time.monotonic()
    while not path.exists():
        if time.monotonic() - begun > _WAIT_S:
            raise ValueError(f"{path}: task 0 has written no key in {_WAIT_S:.0f} s; accepted: a folder that all tasks share.")
        time.sleep(0.2)
    return Security(require_encryption=True, **json.loads(path.read_text(encoding="utf-8")))
