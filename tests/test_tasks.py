"""What tasks.py promises a fresh machine."""

import subprocess
import sys

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
