"""The decks in netlists/: they run as they are, and a command writes them again."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.circuit.check import check_deck
from dbpsim.circuit.dense import integrate, split

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("single_neuron", "xor", "digits")
needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed: apt-get install ngspice")


@needs_ngspice
@pytest.mark.parametrize("deck", NAMES)
def test_ngspice_runs_a_ready_deck_as_it_is(deck, tmp_path):
    command = ["ngspice", "-b", str(ROOT / "netlists" / f"{deck}.cir")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert "rror" not in done.stdout + done.stderr
    circuit = dbp.read_netlist(ROOT / "netlists" / f"{deck}.cir")
    x, z = split(circuit, integrate(circuit, np.array([0.0, 0.99 * circuit.settling_s]))[-1])
    for i in range(len(circuit.target)):
        for side, wanted in (("x", x[-1][i]), ("z", z[-1][i])):
            name = f"{side}_{circuit.stages[-1].name}_{i} ".lower()
            line = next(row for row in done.stdout.splitlines() if row.startswith(name))
            assert float(line.split("=")[1].split()[0]) == pytest.approx(wanted, abs=1e-4)


@needs_ngspice
def test_a_neuron_of_transistors_settles_where_the_expression_does(tmp_path):
    file = ROOT / "netlists" / "transistor_neuron.cir"
    assert "tanh(" not in file.read_text()
    done = subprocess.run(["ngspice", "-b", str(file)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    circuit = dbp.read_netlist(ROOT / "netlists" / "single_neuron.cir")
    x, z = split(circuit, integrate(circuit, np.array([0.0, 0.99 * circuit.settling_s]))[-1])
    for side, wanted in (("x", x[0][0]), ("z", z[0][0])):
        line = next(row for row in done.stdout.splitlines() if row.startswith(f"{side}_neuron_0 "))
        assert float(line.split("=")[1].split()[0]) == pytest.approx(wanted, abs=5e-4)


@needs_ngspice
@pytest.mark.parametrize("name", NAMES)
def test_a_ready_deck_holds(name):
    found = check_deck(dbp.read_netlist(ROOT / "netlists" / f"{name}.cir"))
    assert found.holds, found


@pytest.mark.parametrize("name", NAMES)
def test_the_command_writes_a_ready_deck_again(name, tmp_path):
    spec = importlib.util.spec_from_file_location("ready_decks", ROOT / "examples" / "ready_decks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dbp.netlist(module.DECKS[name](), tmp_path / "a.cir")
    again, shipped = dbp.read_netlist(tmp_path / "a.cir"), dbp.read_netlist(ROOT / "netlists" / f"{name}.cir")
    for ours, theirs in zip(again.stages, shipped.stages, strict=True):
        np.testing.assert_allclose(ours.g_plus_S, theirs.g_plus_S, atol=1e-9)
        np.testing.assert_allclose(ours.bias_V, theirs.bias_V, atol=1e-6)
    np.testing.assert_allclose(again.input_V, shipped.input_V)
