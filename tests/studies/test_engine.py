"""A study survives what happens to it: killed workers, killed schedulers, points that fail, shards, any number of workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import distributed  # noqa: F401 (its own settings must be there before a test changes some)
import odd_tasks  # noqa: F401 (registers a task in this process)
import psutil
import pytest

from dbpsim.cli import main
from dbpsim.studies.engine import Tls, rehearse, run_study
from dbpsim.studies.rounds import interval
from dbpsim.studies.study import Study, load_study

ROOT = Path(__file__).resolve().parents[2]
PRELOAD = {"distributed.worker.preload": [str(Path(__file__).with_name("odd_tasks.py"))]}


def odd(count=12, **settings):
    return Study(name="odd", task="odd", settings=settings, axes={"number": list(range(count))})


def table(out):
    return (Path(out) / "table.csv").read_bytes()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    out = tmp_path_factory.mktemp("serial")
    outcome = run_study(odd(wait=0.0), out, shard=(0, 1))
    assert (outcome.points, outcome.computed, outcome.failed) == (12, 12, 0)
    return table(out)


@pytest.fixture
def workers():
    with dask.config.set(PRELOAD):
        yield


def test_two_workers_make_the_table_of_none(serial, workers, tmp_path):
    said = []
    before = dict(os.environ)
    outcome = run_study(odd(wait=0.0), tmp_path, workers=2, tell=said.append)
    assert dict(os.environ) == before
    assert table(tmp_path) == serial
    assert len(said) == 12
    assert "s left" in said[0]
    assert run_study(odd(wait=0.0), tmp_path, workers=2).computed == 0
    assert outcome.rows[3]["square"] == 9 / 7


def test_a_killed_worker_loses_nothing_and_changes_no_number(workers, tmp_path):
    study = odd(wait=0.3)
    killed = []

    def kill():
        while not killed:
            time.sleep(0.05)
            done = len(list((tmp_path / "points").glob("*.json"))) if (tmp_path / "points").exists() else 0
            busy = [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
            if done >= 3 and busy:
                busy[-1].kill()
                killed.append(done)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    outcome = run_study(study, tmp_path, workers=2)
    thread.join(10)
    assert killed
    assert killed[0] < 12
    assert (outcome.computed, outcome.failed) == (12, 0)
    other = tmp_path / "serial"
    run_study(study, other, shard=(0, 1))
    assert table(tmp_path) == table(other)


def test_a_point_that_kills_its_worker_is_given_up_and_the_rest_is_not(workers, tmp_path):
    outcome = run_study(odd(6, fatal=2), tmp_path, workers=2)
    assert (outcome.points, outcome.failed, len(outcome.rows)) == (6, 1, 5)
    assert "worker died" in (tmp_path / "failures.csv").read_text()


def test_a_point_that_raises_is_kept_with_its_error_and_tried_again_when_asked(tmp_path):
    outcome = run_study(odd(4, wrong=1), tmp_path, shard=(0, 1))
    assert (outcome.failed, len(outcome.rows)) == (1, 3)
    assert "ZeroDivisionError: this point divides (odd_tasks.py:" in (tmp_path / "failures.csv").read_text()
    assert run_study(odd(4, wrong=1), tmp_path, shard=(0, 1)).computed == 0
    assert run_study(odd(4, wrong=1), tmp_path, shard=(0, 1), again=True).computed == 1


def test_shards_meet_in_one_folder(serial, tmp_path):
    study = odd(wait=0.0)
    for part in (2, 0, 1):
        outcome = run_study(study, tmp_path, shard=(part, 3))
    assert table(tmp_path) == serial
    assert outcome.computed == 4


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    # the scheduler lives in this process: SIGKILL takes it and its workers with it
    file = tmp_path / "slow.toml"
    file.write_text('name = "slow"\ntask = "gradient"\n[settings]\nmodel = "mlp:64-64-64-10"\neta = 0.3\nbatch = 64\n'
                    "[axes]\nseed = [" + ", ".join(map(str, range(40))) + "]\n")  # fmt: skip
    out = tmp_path / "out"
    start = "from dbpsim.cli import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", start, "study", str(file), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([*command, "--workers", "2"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.time() + 60
    while len(list((out / "points").glob("*.json"))) < 5 and time.time() < deadline and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(1.0)  # orphaned workers end by themselves
    before = len(list((out / "points").glob("*.json")))
    assert 5 <= before < 40
    study = load_study(file)
    outcome = run_study(study, out, shard=(0, 1))
    assert outcome.computed <= 40 - before
    whole = run_study(study, tmp_path / "whole", shard=(0, 1))
    assert whole.failed == 0
    assert table(out) == table(tmp_path / "whole")


def test_bisection_finds_where_the_target_crosses(tmp_path):
    study = Study(
        name="threshold", task="gradient", settings={"model": "mlp:16-16-10", "hardware": "ideal", "batch": 16},
        axes={"read.output_noise": {"low": 1e-5, "high": 1e-1, "log": True}},
        design={"kind": "bisect", "count": 6, "target": "misalignment", "threshold": 0.01},
    )  # fmt: skip
    rows = run_study(study, tmp_path, shard=(0, 1)).rows
    assert len(rows) == 2  # a shard cannot know what the others found
    rows = run_study(study, tmp_path, workers=1).rows
    assert len(rows) == 8
    noise = {row["read.output_noise"]: row["misalignment"] for row in rows}
    below, above = max(n for n, m in noise.items() if m < 0.01), min(n for n, m in noise.items() if m >= 0.01)
    assert 1 < above / below < (1e4) ** (1 / 2**6) * 1.01


def test_seeds_end_where_the_interval_is_narrow_whoever_computes(tmp_path):
    study = Study(
        name="enough", task="gradient", settings={"model": "mlp:4-3-2"}, axes={"batch": [1, 256], "seed": list(range(10))},
        stop={"over": "seed", "column": "loss", "width": 0.35, "at_least": 3},
    )  # fmt: skip
    assert len(run_study(study, tmp_path / "shard", shard=(0, 1)).rows) == 6
    rows = run_study(study, tmp_path / "two", workers=2).rows
    taken = {batch: [row["seed"] for row in rows if row["batch"] == batch] for batch in (1, 256)}
    assert len(taken[256]) < len(taken[1])
    for batch, seeds in taken.items():
        losses = [row["loss"] for row in rows if row["batch"] == batch]
        narrow = [interval(losses[:n], f"{cell_name(study, batch)}") for n in range(3, len(seeds) + 1)]
        enough = [high - low <= 0.35 * sum(losses[:n]) / n for n, (low, high) in enumerate(narrow, 3)]
        assert sorted(seeds) == list(range(len(seeds)))
        assert enough[:-1] == [False] * (len(enough) - 1)
        assert enough[-1] or len(seeds) == 10
    run_study(study, tmp_path / "one", workers=1)
    assert table(tmp_path / "one") == table(tmp_path / "two")


def cell_name(study, batch):
    return (("model", study.settings["model"]), ("batch", batch))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "tcp://10.0.0.1:8786"}, "accepted in the clear: 127.0.0.1 alone"),
        ({"scheduler": "tls://head:8786"}, "needs the files"), ({"scheduler": "head"}, "accepted: tls://HOST:PORT"),
        ({"scheduler": "http://127.0.0.1:1", "tls": Tls("a", "b", "c")}, "accepted: tls://"),
        ({"shard": (3, 3)}, "accepted: 0/N to N-1/N"), ({"workers": 0}, "workers: found 0"),
    ],
)  # fmt: skip
def test_unsafe_or_impossible_ways_to_run_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run_study(odd(), tmp_path, **options)
    assert not list(tmp_path.iterdir())


def slurm_tasks(out, count, spec):
    """Start the tasks of a job as srun does, each with its number."""
    program = "import sys; from dbpsim.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "study", spec, "--out", str(out), "--slurm"]
    job = {"SLURM_NTASKS": str(count), "SLURM_JOB_ID": "7", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return [subprocess.Popen(command, env=os.environ | job | {"SLURM_PROCID": str(rank)}, **pipes) for rank in range(count)]


def test_the_tasks_of_a_slurm_job_make_the_table_of_one_process(tmp_path):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: no SLURM")
    pytest.importorskip("cryptography", reason="cryptography is not installed: no SLURM")
    spec = tmp_path / "small.toml"
    spec.write_text('name = "small"\ntask = "gradient"\n[settings]\nmodel = "mlp:4-3-2"\n[axes]\nseed = [0, 1, 2, 3]\n')
    run_study(load_study(spec), tmp_path / "serial", shard=(0, 1))
    tasks = slurm_tasks(tmp_path / "job", 3, str(spec))
    said = [task.communicate(timeout=120) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], said
    assert table(tmp_path / "job") == table(tmp_path / "serial")
    assert not list((tmp_path / "job").glob("key-*"))


def test_slurm_is_refused_outside_a_job(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(ValueError, match="inside an allocation"):
        run_study(odd(), tmp_path, slurm=True)
    with pytest.raises(ValueError, match="one way to run"):
        run_study(odd(), tmp_path, slurm=True, workers=2)


def test_a_folder_belongs_to_one_study(tmp_path):
    run_study(odd(2), tmp_path, shard=(0, 1))
    with pytest.raises(ValueError, match="holds the study 'odd'"):
        run_study(odd(2).model_copy(update={"name": "even"}), tmp_path, shard=(0, 1))


def test_what_a_study_would_take(tmp_path):
    found = rehearse(odd(5))
    assert (found["points"], found["missing"]) == (5, 5)
    run_study(odd(5), tmp_path, shard=(0, 1))
    assert rehearse(odd(5), tmp_path)["missing"] == 0


def test_the_command(tmp_path, capsys):
    file = tmp_path / "one.toml"
    file.write_text('name = "one"\ntask = "gradient"\n[settings]\nmodel = "mlp:4-3"\n[axes]\nseed = [0, 1]\n')
    assert main(["study", str(file), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == 2
    assert main(["study", str(file), "--out", str(tmp_path / "out"), "--shard", "0/1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["computed"] == 2
    assert main(["study", str(file)]) == 2
    assert main(["study", "deptth", "--out", str(tmp_path / "x")]) == 2
    assert "did you mean depth" in capsys.readouterr().err
