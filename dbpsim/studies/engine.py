"""Running a study: points that have no file yet, on processes of this machine, a cluster, or as one shard of a job array.

    local       a Dask cluster of processes on loopback; workers x Numba threads <= cores
    slurm       the tasks of one SLURM job (`dbpsim.studies.slurm`)
    cluster     `scheduler` is the address of a running Dask scheduler; TLS unless it is on loopback
    shard       points i, i + N, i + 2N, ... in this process, no server at all; shards meet in one folder

Each task writes its own file before it returns (`dbpsim.studies.shards`), so a dead worker loses nothing that was finished and a
dead scheduler only what was running.  A point whose worker dies again and again is recorded as failed and does not stop the rest.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

from dbpsim.files import write_json
from dbpsim.studies.points import Point, points
from dbpsim.studies.rounds import first_round, next_round
from dbpsim.studies.shards import merge, missing, read_shard, write_shard
from dbpsim.studies.slurm import allocation
from dbpsim.studies.study import Study
from dbpsim.studies.tasks import checked, run_task

_DEATHS = 2  # of a worker over one point, before the point is given up
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a study came to.

    Attributes
    ----------
    rows : list of dict
        The table.
    points, computed, failed : int
        Points of the study; those computed now; those recorded as failed.
    seconds : float
    """

    rows: list[dict[str, Any]]
    points: int
    computed: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class Tls:
    """Files of a certificate authority, a certificate and its key."""

    ca: str
    certificate: str
    key: str


def run_study(
    study: Study,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    tls: Tls | None = None,
    slurm: bool = False,
    shard: tuple[int, int] | None = None,
    again: bool = False,
    tell: Tell = lambda _: None,
) -> Outcome:
    """Compute every point of `study` that has no result in `out`, and write the table.

    Parameters
    ----------
    study : Study
    out : path
        Folder of the results; may hold some already.
    workers : int, optional
        Processes of a local cluster; by default one a core.
    scheduler : str, optional
        Address of a running scheduler, "tls://host:8786"; "tcp://" is accepted on loopback alone.
    tls : Tls, optional
    slurm : bool
        This process is one of the tasks of a SLURM job, which compute the study together.
    shard : (int, int), optional
        (i, N): the i-th of N parts, counted from 0.
    again : bool
        Try failed points once more.
    tell : function, optional
        Called with a line of progress.

    Raises
    ------
    ValueError
        For settings a task does not accept, before anything runs.
    """
    out, begun = Path(out), time.perf_counter()
    _refuse(workers, scheduler, tls, slurm, shard)
    _same_study(out, study)
    for point in points(study):
        checked(point.task, point.settings)
    done, every = 0, first_round(study)
    write_json(out / "study.json", study.model_dump(mode="json"))
    with ExitStack() as stack:
        client: Any = None
        while True:
            part = every if shard is None else every[shard[0] :: shard[1]]
            todo = missing(out, part, again=again)
            if todo and shard is None and client is None:
                client = stack.enter_context(allocation(out) if slurm else _client(workers, scheduler, tls))
            _compute(client, out, todo, tell)
            done, again = done + len(todo), False
            more = next_round(study, out, every) if shard is None else []
            if not more:
                break
            every += more
    rows = merge(out, every)
    failed = sum(1 for point in every if not _finished(out, point))
    return Outcome(rows, len(every), done, failed, time.perf_counter() - begun)


def rehearse(study: Study, out: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return what `study` would take: its points, those without result in `out`, seconds and memory of the first of them.

    The first missing point is computed here and thrown away; the estimate takes the others to be like it.
    """
    every = points(study)
    for point in every:
        checked(point.task, point.settings)
    todo = list({p.key: p for p in every}.values()) if out is None else missing(Path(out), every)
    found: dict[str, Any] = {"study": study.name, "points": len(every), "missing": len(todo)}
    if todo:
        begun = time.perf_counter()
        run_task(todo[0].task, todo[0].settings)
        each = time.perf_counter() - begun
        found |= {"seconds_of_the_first": round(each, 2), "seconds_on_one_worker": round(each * len(todo), 1)}
    if resource is not None:
        found["memory_of_this_process_B"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found | {"first_points": [dict(point.settings) for point in todo[:5]]}


def work(out: str, task: str, settings: dict[str, Any]) -> tuple[str, str | None, float]:
    """Compute one point and write its file; return (key, error, seconds).  What a worker runs."""
    point, begun = Point(task, settings), time.perf_counter()
    rows, error = None, None
    try:
        rows = run_task(task, settings)
    except Exception as problem:  # whatever it is, it is this point's alone, and is kept
        where = traceback.extract_tb(problem.__traceback__)[-1]
        place = "" if isinstance(problem, ValueError) else f" ({Path(where.filename).name}:{where.lineno})"
        error = f"{type(problem).__name__}: {problem}{place}"
    seconds = time.perf_counter() - begun
    write_shard(Path(out), point, rows, error, seconds)
    return point.key, error, seconds


def _same_study(out: Path, study: Study) -> None:
    # Another study's table in this folder would be overwritten; its points would stay, and are not harmful.
    path = out / "study.json"
    if path.exists():
        name = json.loads(path.read_text(encoding="utf-8")).get("name")
        if name != study.name:
            raise ValueError(f"{out}: holds the study {name!r}; accepted for {study.name!r}: its own folder, or a new one.")


def _finished(out: Path, point: Point) -> bool:
    shard = read_shard(out, point)
    return shard is not None and shard["error"] is None  # without rows too: a point may have nothing to say


def _refuse(
    workers: int | None, scheduler: str | None, tls: Tls | None, slurm: bool, shard: tuple[int, int] | None
) -> None:
    if shard is not None and not (shard[1] >= 1 and 0 <= shard[0] < shard[1]):
        raise ValueError(f"shard: found {shard[0]}/{shard[1]}; accepted: 0/N to N-1/N.")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: found {workers}; accepted: 1 or more.")
    if scheduler is not None:
        _safe(scheduler, tls)
    if slurm and (workers or scheduler or shard):
        raise ValueError("slurm: found workers, a scheduler or a shard beside it; accepted: one way to run.")


def _safe(scheduler: str, tls: Tls | None) -> None:
    # A Dask port runs whatever it is sent: in the clear it is for this machine alone.
    place = urlparse(scheduler)
    if place.scheme not in ("tcp", "tls") or not place.hostname or not place.port:
        raise ValueError(f"scheduler: found {scheduler!r}; accepted: tls://HOST:PORT, or tcp://127.0.0.1:PORT.")
    if place.scheme == "tcp" and place.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError(f"scheduler: found {scheduler!r}; accepted in the clear: 127.0.0.1 alone; elsewhere tls://.")
    if place.scheme == "tls" and tls is None:
        raise ValueError("scheduler: tls:// needs the files of an authority, a certificate and a key.")


@contextmanager
def _client(workers: int | None, scheduler: str | None, tls: Tls | None) -> Iterator[Any]:
    """Give a client of a running cluster, or of one on this machine that ends with the block."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    if scheduler is not None:
        security = None
        if tls is not None:
            files = {"tls_ca_file": tls.ca, "tls_client_cert": tls.certificate, "tls_client_key": tls.key}
            security = Security(**files, require_encryption=True)
        with Client(scheduler, security=security, timeout=30) as client:
            yield client
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = workers or cores
    threads = str(max(1, cores // count))
    libraries = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL")}  # read when they are loaded
    settings = {"distributed.scheduler.allowed-failures": _DEATHS, "distributed.nanny.pre-spawn-environ": libraries}
    with (
        _environment_kept(),
        dask.config.set(settings),
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50,
            env={"NUMBA_NUM_THREADS": threads},
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def _environment_kept() -> Iterator[None]:
    # A nanny puts what its workers need into the environment of this process and leaves it there.
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _compute(client: Any, out: Path, todo: Sequence[Point], tell: Tell) -> None:
    progress = _Progress(len(todo), tell)
    if client is None:
        for point in todo:
            progress.one(*work(str(out), point.task, dict(point.settings)))
        return
    from distributed import as_completed

    folder = str(out.resolve())
    futures = {
        client.submit(work, folder, point.task, dict(point.settings), key=f"{point.key}-{time.time_ns()}", pure=False): point
        for point in todo
    }
    for future in as_completed(futures):
        point = futures[future]
        problem = future.exception()
        if problem is None:
            progress.one(*future.result())
        else:  # the point itself never raises: its worker died, or could not be reached
            error = f"{type(problem).__name__}: its worker died, {_DEATHS + 1} times over"
            write_shard(out, point, None, error, 0.0)
            progress.one(point.key, error, 0.0)
        future.release()


class _Progress:
    """Counts points, and says how long the rest will take at the pace so far."""

    def __init__(self, total: int, tell: Tell) -> None:
        self.total, self.tell, self.done, self.begun = total, tell, 0, time.perf_counter()

    def one(self, key: str, error: str | None, seconds: float) -> None:
        """Count one point."""
        self.done += 1
        left = (time.perf_counter() - self.begun) / self.done * (self.total - self.done)
        said = f"{self.done} of {self.total}, {key}, {seconds:.1f} s"
        said += f", failed: {error}" if error else ""
        self.tell(said + (f"; about {left:.0f} s left" if self.done < self.total else ""))
