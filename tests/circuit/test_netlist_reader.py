"""Decks read back: round trips, resistor crossbars of other people, and what is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dbpsim as dbp
from dbpsim.circuit.dense import DenseCircuit, DenseStage, dense_circuit
from dbpsim.circuit.spice_reader import ResistorCrossbar, value

WORDS = st.sampled_from(["0", "u0", "v1", "d0", "1e-6", "x", "R"])
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(lambda name: name.lower() != "input")


@st.composite
def circuits(draw):
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    names = draw(st.lists(NAMES, min_size=len(widths) - 1, max_size=len(widths) - 1, unique_by=str.lower))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    stages = [
        DenseStage(
            name,
            draw(st.sampled_from(["relu", "tanh", "sigmoid", "identity"])),
            random.uniform(0, 1e-5, (outputs, inputs)),
            random.uniform(0, 1e-5, (outputs, inputs)),
            random.uniform(1e4, 1e6, outputs),
            random.standard_normal(outputs),
        )
        for name, inputs, outputs in zip(names, widths[:-1], widths[1:], strict=True)
    ]
    loss = draw(st.sampled_from(["cross_entropy", "mean_squared_error"]))
    parts = {"resistance_ohm": draw(st.floats(1e2, 1e8)), "capacitance_F": draw(st.floats(1e-15, 1e-9))}
    return DenseCircuit(tuple(stages), loss, random.standard_normal(widths[0]), random.standard_normal(widths[-1]), **parts)


@settings(deadline=None, max_examples=40)
@given(circuits(), st.sampled_from(["ngspice", "xyce"]))
def test_what_was_written_is_read_back(tmp_path_factory, circuit, dialect):
    path = tmp_path_factory.mktemp("deck") / "a.cir"
    dbp.netlist(circuit, path, dialect)
    found = dbp.read_netlist(path)
    assert isinstance(found, DenseCircuit)
    for name in ("loss", "resistance_ohm", "capacitance_F"):
        assert getattr(found, name) == getattr(circuit, name)
    np.testing.assert_array_equal(found.input_V, circuit.input_V)
    np.testing.assert_array_equal(found.target, circuit.target)
    assert [(s.name, s.activation) for s in found.stages] == [(s.name, s.activation) for s in circuit.stages]
    for ours, theirs in zip(circuit.stages, found.stages, strict=True):
        for name in ("g_plus_S", "g_minus_S", "feedback_ohm"):
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
        np.testing.assert_allclose(theirs.bias_V, ours.bias_V, rtol=1e-15)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_a_resistor_crossbar_in_any_order_is_found_by_its_nodes(tmp_path_factory, rows, columns, random):
    wanted = np.array([[random.uniform(1e-6, 1e-4) for _ in range(columns)] for _ in range(rows)])
    lines = []
    for i in range(rows):
        for j in range(columns):
            ends = [f"wl{i}", f"BL{j}"]
            random.shuffle(ends)
            lines.append(f"R{random.randrange(10**9)}_{i}x{j} {' '.join(ends)} {float(1 / wanted[i, j])!r}")
    random.shuffle(lines)
    sources = [f"Vin{i} wl{i} 0 DC {0.1 * (i + 1)!r}" for i in range(rows)]
    path = tmp_path_factory.mktemp("deck") / "bar.cir"
    path.write_text("\n".join(["somebody's crossbar", *sources, *lines, ".op", ".end", ""]))
    bar = dbp.read_netlist(path)
    assert isinstance(bar, ResistorCrossbar)
    order = [int(name[2:]) for name in bar.rows], [int(name[2:]) for name in bar.columns]
    np.testing.assert_allclose(bar.conductance_S, wanted[np.ix_(*order)], rtol=1e-12)
    np.testing.assert_allclose(bar.drive_V, [0.1 * (i + 1) for i in order[0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t\n.include /etc/passwd\n", "line 2: found .include"),
        ("t\nR1 a b 1\n.CONTROL\nshell x\n", "line 3: found .CONTROL"),
        ("t\n.lib x\n", "line 2: found .lib"),
        ("t\n+ 1\n", "line 2: found a continuation"),
        ("t\nR1 a b\n", "line 2: found 'r1 a b'"),
        ("t\nR1 a b {x}\n", "line 2: found '{x}'"),
        ("t\nR1 a b -3\n", "line 2: found -3 ohm"),
        ("t\nR1 a b 1e999\n", "line 2: found '1e999'"),
        ("t\nR1 a b 1\nR2 b c 1\nR3 c a 1\n", "on one side"),
        ("t\nR1 a b 1\nX1 a b cell\n", "line 3: found a subcircuit"),
        ("t\nV1 a 0 1\n", "found no resistors"),
        ("", "found no resistors"),
    ],
)
def test_what_is_refused_names_its_line(tmp_path, text, message):
    path = tmp_path / "bad.cir"
    path.write_text(text)
    with pytest.raises(ValueError, match="bad.cir: ") as error:
        dbp.read_netlist(path)
    assert message in str(error.value)


def _wired(rows, columns, sources, ends):
    lines = [f"Rg{i}_{j} u{i}_{j} b{i}_{j} 10k" for i in range(rows) for j in range(columns)]
    lines += [f"Rr{i}_{j} u{i}_{j - 1} u{i}_{j} 1" for i in range(rows) for j in range(1, columns)]
    lines += [f"Rc{i}_{j} b{i - 1}_{j} b{i}_{j} 1" for i in range(1, rows) for j in range(columns)]
    if ends:
        lines += [f"Rd{i} in{i} u{i}_0 50" for i in range(rows)] + [f"Rs{j} b{rows - 1}_{j} out{j} 50" for j in range(columns)]
    if sources:
        lines += [f"V{i} {f'in{i}' if ends else f'u{i}_0'} 0 0.2" for i in range(rows)]
        lines += [f"Vs{j} {f'out{j}' if ends else f'b{rows - 1}_{j}'} 0 0" for j in range(columns)]
    return "\n".join(["wires", *lines, ".end", ""])


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (4, 4), (2, 9), (8, 8)])
@pytest.mark.parametrize("sources", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_wires_with_resistance_are_refused(tmp_path, shape, sources, ends):
    path = tmp_path / "wires.cir"
    path.write_text(_wired(*shape, sources, ends))
    with pytest.raises(ValueError, match=r"wires\.cir: line \d+: found \w+ .*wires with resistance"):
        dbp.read_netlist(path)


def test_a_sparse_crossbar_with_sources_is_read(tmp_path):
    path = tmp_path / "sparse.cir"
    near = [(i, j) for i in range(9) for j in (i, (i + 1) % 9)]  # 18 of 81 pairs, all in one part
    text = [f"R{i}_{j} w{i} b{j} 10k" for i, j in near] + [f"V{i} w{i} 0 0.1" for i in range(9)]
    path.write_text("\n".join(["sparse", *text, ".end", ""]))
    bar = dbp.read_netlist(path)
    assert (bar.conductance_S > 0).sum() == 18
    path.write_text("\n".join(["islands", *(f"R{i} w{i} b{i} 10k" for i in range(9)), ".end", ""]))
    np.testing.assert_allclose(dbp.read_netlist(path).conductance_S, 1e-4 * np.eye(9))


def test_a_transposed_read_of_another_cell_is_seen(tmp_path):
    path = tmp_path / "a.cir"
    dbp.netlist(dbp.models.mlp(2, 2, 2), path)
    lines = path.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("Gtp_0_0"))
    lines[place] = lines[place].rpartition(" ")[0] + " 4.0e-05"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=f"line {place + 1}: .*same cells"):
        dbp.read_netlist(path)


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="RVGXB.subcktend +0123ab*\n-eu_", max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("deck") / "a.cir"
    path.write_text(text)
    with contextlib.suppress(ValueError):  # and nothing else
        dbp.read_netlist(path)


def test_numbers_as_spice_has_them():
    assert [value(w) for w in ("1m", "1M", "1meg", "3.3kohm", "2n", "1e-3", ".5")] == [1e-3, 1e-3, 1e6, 3.3e3, 2e-9, 1e-3, 0.5]


@pytest.fixture(scope="module")
def small_deck(tmp_path_factory):
    path = tmp_path_factory.mktemp("deck") / "small.cir"
    dbp.netlist(dbp.models.mlp(2, 2, 2), path)
    return path.read_text().splitlines()


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_deck_is_read_or_refused(small_deck, tmp_path_factory, data):
    lines = list(small_deck)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        words = lines[place].split()
        match data.draw(st.sampled_from(["drop", "cut", "word", "twice"])):
            case "drop":
                lines.pop(place)
            case "cut":
                lines[place] = " ".join(words[: data.draw(st.integers(0, len(words)))])
            case "word" if words:
                words[data.draw(st.integers(0, len(words) - 1))] = data.draw(WORDS)
                lines[place] = " ".join(words)
            case _:
                lines.insert(place, lines[place])
    path = tmp_path_factory.mktemp("deck") / "a.cir"
    path.write_text("\n".join(lines))
    with contextlib.suppress(ValueError):  # and nothing else
        dbp.read_netlist(path)


def test_a_resistor_without_nodes_in_a_deck_names_its_line(small_deck, tmp_path):
    place = next(i for i, line in enumerate(small_deck) if line.startswith("Ru_0"))
    path = tmp_path / "a.cir"
    path.write_text("\n".join([*small_deck[:place], "Ru_0", *small_deck[place + 1 :]]))
    with pytest.raises(ValueError, match=f"line {place + 1}: found 'Ru_0'"):
        dbp.read_netlist(path)


@pytest.fixture(scope="module")
def wired_deck(tmp_path_factory):
    wires = {"wires.segment_row_ohm": 3, "wires.segment_column_ohm": 5, "wires.driver_ohm": 70, "wires.sense_ohm": 70}
    hardware = dbp.load_hardware("ecram", wires | {"tile.rows": 4, "tile.columns": 3})
    chip = dbp.Chip.program(dbp.models.mlp(6, 5, 4, dtype="float64"), hardware)
    path = tmp_path_factory.mktemp("deck") / "wired.cir"
    circuit = dense_circuit(chip, np.ones(6), np.array(1))
    dbp.netlist(circuit, path)
    return circuit, path.read_text().splitlines()


def test_arrays_of_wires_are_read_back(wired_deck, tmp_path):
    circuit, lines = wired_deck
    path = tmp_path / "a.cir"
    path.write_text("\n".join(lines) + "\n")
    found = dbp.read_netlist(path)
    for ours, theirs in zip(circuit.stages, found.stages, strict=True):
        for name in ("g_plus_S", "g_minus_S"):
            np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), rtol=1e-15)
        assert (theirs.wires.rows, theirs.wires.columns) == (4, 3)
        assert theirs.wires.resistances == ours.wires.resistances
        np.testing.assert_allclose(theirs.weight, ours.weight, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("widths", [(1, 1), (1, 3, 1), (3, 1, 2)])
def test_narrow_arrays_of_wires_are_read_back(widths, tmp_path):
    wires = {"wires.segment_row_ohm": 300, "wires.segment_column_ohm": 500, "wires.driver_ohm": 70, "wires.sense_ohm": 70}
    chip = dbp.Chip.program(dbp.models.mlp(*widths, dtype="float64"), dbp.load_hardware("ecram", wires))
    circuit = dense_circuit(chip, np.ones(widths[0]), np.array(0))
    dbp.netlist(circuit, tmp_path / "a.cir")
    for ours, theirs in zip(circuit.stages, dbp.read_netlist(tmp_path / "a.cir").stages, strict=True):
        np.testing.assert_allclose(theirs.weight, ours.weight, rtol=1e-9)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_deck_of_wires_is_read_or_refused(wired_deck, tmp_path_factory, data):
    lines = list(wired_deck[1])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        words = lines[place].split()
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(WORDS | st.sampled_from(["qf0_0_0", "wt1_1_1", "Vf0_1"]))
        lines[place] = " ".join(words)
    path = tmp_path_factory.mktemp("deck") / "a.cir"
    path.write_text("\n".join(lines))
    with contextlib.suppress(ValueError):
        dbp.read_netlist(path)


def test_a_transposed_array_of_other_cells_is_seen(wired_deck, tmp_path):
    lines = list(wired_deck[1])
    place = next(i for i, line in enumerate(lines) if line.startswith("Rct0_0_0"))
    lines[place] = lines[place].rpartition(" ")[0] + " 5.0e6"
    (tmp_path / "a.cir").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="same cells both ways"):
        dbp.read_netlist(tmp_path / "a.cir")
