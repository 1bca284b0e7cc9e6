"""Decks: what ngspice makes of them, what they refuse, and what no deck may hold."""

import json
import shutil
import struct
import warnings

import numpy as np
import pytest

import dbpsim as dbp
from dbpsim.circuit import netlist as writer
from dbpsim.circuit.check import check_deck
from dbpsim.circuit.dense import DenseCircuit, DenseStage, dense_circuit, gradients, integrate
from dbpsim.circuit.ngspice import parse_raw, run_ngspice
from dbpsim.cli import main

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed: apt-get install ngspice")


def _circuit(*widths, activation="tanh", hardware=None, loss=None, seed=0):
    net = dbp.models.mlp(*widths, activation=activation, dtype="float64", seed=seed, loss=loss)
    random = np.random.default_rng(seed)
    for stage in net.weight_stages:
        net.parameters[f"{stage.name}.bias"][...] = 0.1 * random.standard_normal(stage.shape)
    x, y = random.standard_normal((1, widths[0])), np.array([1])
    tested = net if hardware is None else dbp.Chip.program(net, hardware, seed=seed)
    return dense_circuit(tested, x, y), tested, x, y


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("loss", [None, dbp.losses.MeanSquaredError()])
def test_the_settled_circuit_holds_backpropagations_gradient(activation, loss):
    circuit, net, x, y = _circuit(5, 4, 3, activation=activation, loss=loss)
    settled = integrate(circuit, np.array([0.0, 1.5 * circuit.settling_s]))[-1]
    exact = dbp.backprop(net, x, y).gradients
    for name, found in gradients(circuit, settled).items():
        np.testing.assert_allclose(found, exact[name], atol=1e-6)


def test_a_single_neurons_equations_against_their_closed_form():
    # m = w v + b behind one lag; s two lags of m - t: with r = 1 - exp(-t), s = c0 (1 - e^-t) - m0 t e^-t
    stage = DenseStage("a", "identity", np.array([[3e-6]]), np.array([[1e-6]]), np.array([1e6]), np.array([0.5]))
    circuit = DenseCircuit((stage,), "mean_squared_error", np.array([0.25]), np.array([0.4]))
    t = np.linspace(0, 8, 9)
    v = integrate(circuit, t * circuit.tau_s)
    m = 1.0 * (1 - np.exp(-t))  # 2e-6 S x 1e6 ohm x 0.25 V + 0.5 V = 1 V
    s = (1.0 - 0.4) * (1 - np.exp(-t)) - 1.0 * t * np.exp(-t)
    np.testing.assert_allclose(v.mean(axis=1), m, atol=1e-8)
    np.testing.assert_allclose(v[:, 0] - v[:, 1], s, atol=1e-8)


@needs_ngspice
@pytest.mark.parametrize(
    ("activation", "hardware", "loss"),
    [("tanh", "pcm", None), ("relu", None, None), ("sigmoid", "ecram", dbp.losses.MeanSquaredError()), ("identity", None, None)],
)
def test_ngspice_agrees_over_the_transient(activation, hardware, loss):
    found = check_deck(_circuit(8, 6, 5, 3, activation=activation, hardware=hardware, loss=loss)[0])
    assert found.holds, found
    assert found.voltage < 5e-4
    assert found.gradient < 1e-5


@needs_ngspice
def test_column_gains_survive_the_transposed_read():
    hardware = dbp.load_hardware("pcm")
    mapping = hardware.mapping.model_copy(update={"scale": "column"})
    circuit = _circuit(6, 5, 4, hardware=hardware.model_copy(update={"mapping": mapping}))[0]
    assert np.ptp(circuit.stages[1].feedback_ohm) > 0
    assert check_deck(circuit).holds


@needs_ngspice
def test_a_wrong_cell_does_not_hold(monkeypatch):
    circuit = _circuit(4, 3, 2)[0]
    real = writer.deck
    first = writer.number(circuit.stages[0].g_plus_S.max())
    monkeypatch.setattr("dbpsim.circuit.check.deck", lambda c, **k: real(c, **k).replace(first, writer.number(2e-5)))
    assert not check_deck(circuit).holds


def test_conductances_of_a_chip_are_those_programmed():
    circuit, chip, *_ = _circuit(6, 4, 3, hardware="pcm")
    for stage in circuit.stages:
        np.testing.assert_allclose(stage.weight, chip.crossbars[stage.name].weight, rtol=1e-5, atol=1e-9)


def test_no_payload_gets_into_a_deck(tmp_path):
    payload = "a\n.control\nshell touch pwned\n.endc\n"
    net = dbp.models.mlp(2, 2)
    net.name = payload
    dbp.netlist(net, tmp_path / "named.cir")
    text = (tmp_path / "named.cir").read_text()
    assert ".control" not in text
    assert "shell" not in text
    net.stages[0].name = payload
    with pytest.raises(ValueError, match="stage name"):
        dbp.netlist(net, tmp_path / "b.cir")
    assert [p.name for p in tmp_path.iterdir()] == ["named.cir"]


WIRES = {
    "wires.segment_row_ohm": 40.0, "wires.segment_column_ohm": 25.0, "wires.driver_ohm": 300.0, "wires.sense_ohm": 300.0,
    "tile.rows": 5, "tile.columns": 4,
}  # fmt: skip


@needs_ngspice
@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_ngspice_agrees_about_wires_resistor_by_resistor(scale):
    hardware = dbp.load_hardware("pcm", WIRES | {"mapping.scale": scale})
    circuit, chip = _circuit(8, 6, 5, 3, hardware=hardware)[:2]
    found = check_deck(circuit)
    assert found.holds, found
    assert found.voltage < 5e-4
    assert found.gradient < 1e-5
    for stage in circuit.stages:  # tiles of 5 x 4 pairs, the last ones smaller
        bare = (stage.g_plus_S - stage.g_minus_S) * stage.feedback_ohm[:, None]
        assert np.abs(stage.weight - bare).max() > 0.02 * np.abs(bare).max()


def test_a_deck_of_wires_has_the_elements_that_were_counted():
    circuit = _circuit(8, 6, 5, 3, hardware=dbp.load_hardware("ecram", WIRES))[0]
    inside, found = 1, 0
    for line in writer.deck(circuit).splitlines():
        word = line.split()[0]
        if word in (".subckt", ".ends"):  # what is in a neuron counts as often as there are neurons of the kind
            kind = line.split()[1].removeprefix("neuron_")
            inside = sum(len(s.bias_V) for s in circuit.stages if s.activation == kind) if "neuron" in line else 1
            inside = 1 if word == ".ends" else inside
        elif word[0].isalpha() and word[0] != "X":
            found += inside
    assert found == writer.count(circuit)


def test_a_chip_with_unlike_ends_is_refused_unless_its_wires_are_off():
    wires = WIRES | {"wires.sense_ohm": 0.0}
    with pytest.raises(ValueError, match=r"dense1.*driver_ohm 300, sense_ohm 0.*effects\.wires = false"):
        _circuit(4, 3, 2, hardware=dbp.load_hardware("pcm", wires))
    off = _circuit(4, 3, 2, hardware=dbp.load_hardware("pcm", wires | {"effects.wires": False}))[0]
    np.testing.assert_array_equal(off.stages[0].g_plus_S, _circuit(4, 3, 2, hardware="pcm")[0].stages[0].g_plus_S)
    assert off.stages[0].wires is None


def test_names_that_spice_cannot_tell_apart_are_refused(tmp_path):
    stages = [dbp.Stage("A", [dbp.layers.Dense(2)]), dbp.Stage("a", [dbp.layers.Dense(2)])]
    with pytest.raises(ValueError, match="capitals"):
        dbp.netlist(dbp.Network(stages, (2,)), tmp_path / "a.cir")


@pytest.mark.parametrize("dialect", ["ngspice", "xyce"])
def test_a_deck_is_plain(dialect):
    text = writer.deck(_circuit(3, 4, 2, activation="relu")[0], dialect)
    assert text.endswith(".end\n")
    assert max(map(len, text.splitlines())) < 200
    assert ("IF(" in text) == (dialect == "xyce")


def test_the_count_is_the_number_of_elements():
    circuit = _circuit(3, 4, 2)[0]
    text = writer.deck(circuit).replace("\n+ ", " ")
    bodies, total, name = {}, 0, None
    for line in text.splitlines():
        if line.startswith(".subckt"):
            name = line.split()[1]
        elif line.startswith(".ends"):
            name = None
        elif name:
            bodies[name] = bodies.get(name, 0) + 1
        elif line.startswith("X"):
            total += bodies[line.split()[-1]]
        elif line[0] in "RGBIV":
            total += 1
    assert writer.count(circuit) == total


def test_a_large_deck_warns(monkeypatch):
    monkeypatch.setattr(writer, "LARGE", 10)
    with pytest.warns(UserWarning, match="elements"):
        writer.deck(_circuit(3, 2)[0])
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.deck(_circuit(3, 2)[0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: _circuit(3, 4, 2, activation="gelu"), "activation gelu"),
        (lambda: writer.deck(_circuit(3, 2)[0], "hspice"), "hspice"),
        (lambda: writer.deck(_circuit(3, 2)[0], stop_s=-1.0), "stop_s"),
        (lambda: dense_circuit(dbp.models.mlp(3, 2), np.ones(3), np.array(0), capacitance_F=-1e-13), "capacitance_F"),
        (lambda: dense_circuit(dbp.models.vgg9(width=8), np.ones((32, 32, 3)), np.array(0)), "stage conv1"),
        (lambda: dense_circuit(dbp.models.mlp(3, 2), np.ones(4), np.array(0)), "x: found 4 numbers"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@needs_ngspice
def test_nothing_is_left_behind_when_time_is_up(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match=r"not done after 0\.05 s"):
        run_ngspice(writer.deck(_circuit(30, 30, 10)[0], stop_s=1.0), timeout_s=0.05)
    assert not list(tmp_path.iterdir())


def test_without_ngspice_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ValueError, match="apt-get install ngspice"):
        run_ngspice("* deck\n.end\n")


_HEADER = "Title: t\nFlags: real\nNo. Variables: 2\nNo. Points: 2\nVariables:\n\t0\ttime\ttime\n\t1\tV(a)\tvoltage\n"


def test_binary_and_ascii_raw_files_read_the_same():
    ascii_file = (_HEADER + "Values:\n 0\t0.0\n\t1.5\n 1\t1e-9\n\t-2.5\n").encode()
    binary = (_HEADER + "Binary:\n").encode() + struct.pack("<4d", 0.0, 1.5, 1e-9, -2.5)
    for data in (ascii_file, binary):
        run = parse_raw(data)
        assert run.names == ("time", "v(a)")
        np.testing.assert_array_equal(run.values, [[0.0, 1.5], [1e-9, -2.5]])


_SHORT = (_HEADER + "Binary:\n").encode() + b"\0" * 31


@pytest.mark.parametrize("data", [b"", b"nonsense\nBinary:\n", _SHORT, b"No. Points: -4\nBinary:\n"])
def test_a_broken_raw_file_is_refused(data):
    with pytest.raises(ValueError, match="raw file"):
        parse_raw(data)


@needs_ngspice
def test_the_command_checks_a_deck(tmp_path, capsys):
    out = tmp_path / "mlp.cir"
    assert main(["netlist", "mlp:16-32-10", "--hardware", "pcm", "--out", str(out), "--check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["check"]["holds"]
    assert document["check"]["voltage"] < 1e-3
    assert out.read_text().endswith(".end\n")


def test_the_command_refuses_other_models(tmp_path, capsys):
    assert main(["netlist", "vgg9", "--out", str(tmp_path / "a.cir")]) == 2
    assert "mlp:" in capsys.readouterr().err
