"""The shape of the project: rooms import downward, the package list is the tree, importing is light."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dbpsim"
ROOMS = [
    "files", "data", "kernels", "network", "credit", "devices", "crossbar", "circuit", "chip", "cost", "training",
    "studies", "report", "cli",
]  # fmt: skip


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "dbpsim" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("dbpsim.")}
    return found


def test_rooms_import_only_from_those_before_them():
    upward = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
        for room in _imported_rooms(path) - {"__init__"}
        if ROOMS.index(room) > ROOMS.index(_room(path))
    ]
    assert not upward


def test_every_package_is_listed_for_installation():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in PACKAGE.rglob("__init__.py")}
    assert listed == found | {"dbpsim.data.devices"}


def test_importing_dbpsim_loads_no_heavy_optional_package():
    code = "import sys, dbpsim; print([n for n in ('matplotlib', 'brian2', 'torch', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_files_stay_readable_in_one_sitting():
    long = {str(p.relative_to(ROOT)): n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
