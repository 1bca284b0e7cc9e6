"""What tasks.py promises a fresh machine."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tasks


def test_an_old_python_is_refused_with_what_is_accepted(monkeypatch):
    monkeypatch.setattr(sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 9})((3, 9)))
    with pytest.raises(tasks.SetUpError, match=r"found Python 3\.9; accepted: 3\.11"):
        tasks.check_python()


def test_a_python_without_venv_is_told_the_package_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(tasks.SetUpError, match=r"apt install python3\.\d+-venv"):
        tasks.check_python()


def test_the_kernel_cache_moves_when_a_kernel_changes(monkeypatch, tmp_path):
    (tmp_path / "dbpsim" / "kernels").mkdir(parents=True)
    source = tmp_path / "dbpsim" / "kernels" / "a.py"
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    source.write_text("x = 1")
    before = tasks.kernel_cache()
    source.write_text("x = 2")
    assert tasks.kernel_cache() != before


def test_tasks_needs_nothing_but_the_standard_library():
    code = "import sys; sys.argv = ['tasks.py', '--help']; import runpy; runpy.run_path('tasks.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tasks.ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_ctrl_c_leaves_the_command_time_to_save(tmp_path):
    started, saved = tmp_path / "started", tmp_path / "saved"
    # longer than the quarter of a second after which subprocess.run kills
    command = f"""import pathlib, time
try:
    pathlib.Path({str(started)!r}).touch()
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(1)
    pathlib.Path({str(saved)!r}).touch()"""
    outer = f"import sys, tasks; tasks.run([sys.executable, '-c', {command!r}])"
    process = subprocess.Popen([sys.executable, "-c", outer], cwd=tasks.ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 20
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert process.wait(timeout=20) != 0
    assert saved.exists()


@pytest.mark.parametrize("library", ["python3.9", f"python3.{sys.version_info.minor}"])
def test_an_environment_of_another_python_or_cut_short_is_made_anew(library, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    (tmp_path / "lib" / library / "site-packages").mkdir(parents=True)
    assert not tasks.usable(tmp_path)
    (tmp_path / "lib" / library / "site-packages" / "pip").mkdir()
    assert tasks.usable(tmp_path) == (library != "python3.9")


def _environment(path):
    library = path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (library / "pip").mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "bin" / "python").touch()
    return path


def test_set_up_is_skipped_while_nothing_changed_and_repeated_where_the_project_was_copied(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(tasks, "run", lambda command, **_: commands.append(command) or 0)
    here = _environment(tmp_path / "here")
    tasks.install(here, ["-e", "."], b"sources")
    first = len(commands)
    assert first > 0
    tasks.install(here, ["-e", "."], b"sources")
    assert len(commands) == first
    shutil.copytree(here, tmp_path / "there")
    for changed in ((tmp_path / "there", b"sources"), (here, b"other")):
        before = len(commands)
        tasks.install(changed[0], ["-e", "."], changed[1])
        assert len(commands) > before


def test_a_failed_installation_is_tried_again_even_when_the_sources_go_back(monkeypatch, tmp_path, capsys):
    environment = _environment(tmp_path / "here")
    monkeypatch.setattr(tasks, "run", lambda command, **_: 0)
    tasks.install(environment, ["-e", "."], b"good")

    def failing(command, stdout, **_):
        stdout.write("pip says why")
        return 1

    monkeypatch.setattr(tasks, "run", failing)
    with pytest.raises(tasks.SetUpError, match="whole log"):
        tasks.install(environment, ["-e", "."], b"bad")
    assert "pip says why" in capsys.readouterr().err
    with pytest.raises(tasks.SetUpError):
        tasks.install(environment, ["-e", "."], b"good")


class _Bench:
    """A project with two benchmarks, one of which has a peer, and what was run in it."""

    def __init__(self, root, monkeypatch):
        for name, text in (("alone", ""), ("beside", 'parser.add_argument("--out")')):
            path = root / "benchmarks" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.commands, self.missing = [], False
        monkeypatch.setattr(tasks, "ROOT", root)
        monkeypatch.setattr(tasks, "PEERS", {"beside": (root / ".venv-peers", ["a-peer==1"])})
        monkeypatch.setattr(tasks, "PROGRAMS", {})
        monkeypatch.setattr(tasks, "install", self._install)
        monkeypatch.setattr(tasks, "run", lambda command, **_: self.commands.append(command[1:]) or 0)

    def _install(self, environment, wanted, sources=b""):
        if self.missing:
            raise tasks.SetUpError(f"tasks.py: pip install {' '.join(wanted)} failed")


def test_benchmarks_get_their_peers_python_and_a_place_for_their_figures(monkeypatch, tmp_path):
    project = _Bench(tmp_path, monkeypatch)
    assert tasks.bench(tmp_path / "python", ["--peers", "--save"]) == 0
    files = [str(tmp_path / "benchmarks" / f"{name}.py") for name in ("alone", "beside")]
    peer = ["--peer-python", str(tmp_path / ".venv-peers" / "bin" / "python")]
    saved = ["--out", str(tmp_path / "results" / "beside.json")]
    assert project.commands == [[files[0]], [files[1], *peer, *saved], [str(tmp_path / "docs" / "benchmarks.py")]]


def test_a_peer_that_cannot_be_installed_is_skipped_with_a_word(monkeypatch, tmp_path, capsys):
    project = _Bench(tmp_path, monkeypatch)
    project.missing = True
    assert tasks.bench(tmp_path / "python", ["--peers"]) == 0
    assert project.commands == [[str(tmp_path / "benchmarks" / "alone.py")]]
    assert capsys.readouterr().err == "skipped beside: tasks.py: pip install a-peer==1 failed\n"
    assert tasks.bench(tmp_path / "python", ["--peers", "beside"]) == 1  # nothing of what was asked for was run


def test_a_program_that_is_not_there_is_skipped_with_the_package_that_brings_it(monkeypatch, tmp_path, capsys):
    project = _Bench(tmp_path, monkeypatch)
    monkeypatch.setattr(tasks, "PROGRAMS", {"alone": "a-program-nobody-has"})
    assert tasks.bench(tmp_path / "python", ["--peers"]) == 0
    assert len(project.commands) == 1
    assert "skipped alone: tasks.py: there is no a-program-nobody-has" in capsys.readouterr().err
