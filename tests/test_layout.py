"""The shape of the project: rooms import downward, the package list is the tree, importing is light."""

import ast
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dbpsim"
ROOMS = [
    "files", "data", "kernels", "network", "credit", "devices", "crossbar", "circuit", "chip", "cost", "findings", "explain",
    "check", "training", "studies", "report", "commands", "cli",
]  # fmt: skip


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imported_rooms(path: Path) -> set[str]:
    package = ["dbpsim", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            names = [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        # `import dbpsim` is the top: its __init__ imports the rooms
        found |= {f"{name}.__init__".split(".")[1] for name in names if name.split(".")[0] == "dbpsim"}
    return found


def _height(room: str) -> int:
    return ROOMS.index(room) if room in ROOMS else len(ROOMS)


def test_rooms_import_only_from_those_before_them():
    unknown = {_room(path) for path in PACKAGE.rglob("*.py")} - {*ROOMS, "__init__"}
    assert not unknown, "give a new room its place in ROOMS"
    upward = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for room in _imported_rooms(path)
        if _height(room) > _height(_room(path))
    ]
    assert not upward


@pytest.mark.parametrize(
    "line",
    ["from ..report import x", "from .. import report", "import dbpsim.report", "from dbpsim import report",
     "def f():\n    from dbpsim.report import x"],
)  # fmt: skip
def test_every_spelling_of_an_import_is_seen(line, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "layers.py").write_text(line)
    assert _imported_rooms(tmp_path / "network" / "layers.py") == {"report"}


def test_every_package_is_listed_for_installation():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in PACKAGE.rglob("__init__.py")}
    assert listed == found | {"dbpsim.data.devices", "dbpsim.data.netlists"}


def test_importing_dbpsim_loads_no_heavy_optional_package():
    code = "import sys, dbpsim; print([n for n in ('matplotlib', 'brian2', 'torch', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_an_installed_copy_finds_every_device_without_the_checkout(tmp_path):
    # laid out as package_dir in setup.cfg makes pip lay it out
    shutil.copytree(PACKAGE, tmp_path / "dbpsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "devices", tmp_path / "dbpsim" / "data" / "devices")
    code = "from dbpsim.devices import library; print(library.__file__, *sorted(library._library()))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    where, *names = done.stdout.split()
    assert where.startswith(str(tmp_path))
    assert names == sorted(path.stem for path in (ROOT / "devices").glob("*.toml"))


def test_files_stay_readable_in_one_sitting():
    long = {str(p.relative_to(ROOT)): n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long


def test_no_two_test_files_share_a_name():
    # pytest imports them by their bare names, and stops at the second.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
