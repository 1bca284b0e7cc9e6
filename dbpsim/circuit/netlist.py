"""SPICE decks of a `DenseCircuit`, for ngspice and Xyce.

    cell pair       Gp (0 -> u) and Gn (u -> 0), both driven by the input's voltage: two voltage-controlled current sources of the
                    programmed conductances; two more read the same cells transposed
    with wires      resistors instead of both (`dbpsim.circuit.wired_array`)
    amplifiers      one resistor a column (row), R_f: the source of a node is the sum of its cells' currents
    compartment     C and R, with sources of f/R and +-b/(2 R)
    activation      behavioural (B) sources for f(u) and d = f'(u) (x - z)

One subcircuit a crossbar and one a kind of neuron.  G sources in lists and B sources of a few terms are the fast idioms:
one long B expression a neuron takes twice, POLY sources eight times as long (measured with ngspice 39).
ngspice runs `.control` blocks, shell commands included, so no text from outside gets into a deck: names are checked
against [A-Za-z_][A-Za-z0-9_]{0,63}, numbers are written in exponent form by us, and titles are ours.
Xyce's decks are generated, not run here.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator

import numpy as np

from dbpsim.circuit.dense import DenseCircuit, DenseStage, dense_circuit
from dbpsim.circuit.wired_array import elements, wired_array
from dbpsim.files import write_text
from dbpsim.network.graph import Network

DIALECTS = ("ngspice", "xyce")
LARGE = 100_000  # elements: beyond it ngspice takes minutes and gigabytes (a choice)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FORWARD = {"relu": "max(V(u),0)", "tanh": "tanh(V(u))", "sigmoid": "1/(1+exp(-V(u)))", "identity": "V(u)"}
_STRESS = {
    "relu": {"ngspice": "u(V(u))*(V(x)-V(z))", "xyce": "IF(V(u)>0,1,0)*(V(x)-V(z))"},
    "tanh": {d: "(1-V(f)*V(f))*(V(x)-V(z))" for d in DIALECTS},
    "sigmoid": {d: "V(f)*(1-V(f))*(V(x)-V(z))" for d in DIALECTS},
    "identity": {d: "V(x)-V(z)" for d in DIALECTS},
}


def netlist(
    network: Network | DenseCircuit,
    file: str | os.PathLike[str],
    dialect: str = "ngspice",
    *,
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
    stop_s: float | None = None,
) -> int:
    """Write a SPICE deck of a dense network or chip to `file`, whole or not at all, and return its number of elements.

    Parameters
    ----------
    network : Network, Chip or DenseCircuit
        A chain of dense stages (`dbpsim.circuit.dense.dense_circuit`).
    file : path
    dialect : {"ngspice", "xyce"}
    x, y : arrays, optional
        One sample and its label or target; ones and label (or target) 0 by default.  A `DenseCircuit` has its own.
    stop_s : float, optional
        Length of the transient; by default the time to settle.

    Warns
    -----
    UserWarning
        Beyond 100,000 elements, before anything is written.

    Raises
    ------
    ValueError
        For a network that is no such chain, a name that is not a plain identifier, two that SPICE cannot tell apart, or a
        number that is not finite.

    Examples
    --------
    >>> import tempfile
    >>> from dbpsim.network.models import mlp
    >>> netlist(mlp(2, 3, activation="tanh"), tempfile.mkdtemp() + "/a.cir")
    66
    """
    if isinstance(network, DenseCircuit):
        if x is not None or y is not None:
            raise ValueError("netlist: found x or y beside a circuit, which has its own; accepted: with a network or a chip.")
        circuit = network
    else:
        given = np.ones(network.input_shape) if x is None else x
        circuit = dense_circuit(network, given, np.array(0) if y is None else y)
    write_text(file, deck(circuit, dialect, stop_s=stop_s))
    return count(circuit)


def deck(circuit: DenseCircuit, dialect: str = "ngspice", *, stop_s: float | None = None) -> str:
    """Return the text that `netlist` writes."""
    if dialect not in DIALECTS:
        raise ValueError(f"dialect: found {dialect!r}; accepted: {', '.join(DIALECTS)}.")
    names = [stage.name for stage in circuit.stages]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"stage name: found {name!r}; accepted: [A-Za-z_][A-Za-z0-9_]{{0,63}}.")
        if sum(name.lower() == other.lower() for other in names) > 1 or name.lower() == "input":
            raise ValueError(f"stage name: found {name!r} twice, or input; SPICE does not tell capitals from small letters.")
    size = count(circuit)
    if size > LARGE:
        warnings.warn(f"netlist: {size:,} elements, more than {LARGE:,}: SPICE will be slow and large.", stacklevel=3)
    stop = circuit.settling_s if stop_s is None else stop_s
    if not 0 < stop < np.inf:
        raise ValueError(f"stop_s: found {stop}; accepted: a finite time above 0.")
    return "\n".join(_lines(circuit, dialect, stop)) + "\n"


def count(circuit: DenseCircuit) -> int:
    """Return the number of elements of the deck, subcircuits flattened."""
    total = len(circuit.input_V)
    for number, stage in enumerate(circuit.stages):
        outputs, inputs = stage.g_plus_S.shape
        if stage.wires is not None:
            total += elements(stage, number > 0)
        else:
            total += 2 * outputs * inputs * (2 if number else 1)
        total += 2 * outputs + 13 * outputs + (inputs if number else 0)
    extra = 2 * len(circuit.target) + 1 if circuit.loss == "cross_entropy" else len(circuit.target)
    return total + extra


def nodes(circuit: DenseCircuit) -> list[str]:
    """Return the names of the compartments' nodes, x of all neurons and then z of all, as in a state."""
    return [f"{stage.name}_{side}{i}".lower() for side in "xz" for stage in circuit.stages for i in range(len(stage.bias_V))]


def number(value: float) -> str:
    """Return `value` in exponent form, which has no suffix to misread, exact to the last bit.

    Examples
    --------
    >>> number(0.5), number(-1e-6)
    ('5.0000000000000000e-01', '-9.9999999999999995e-07')
    """
    if not np.isfinite(value):
        raise ValueError(f"netlist: found {value}; accepted: finite numbers.")
    return f"{value:.16e}"


def _lines(circuit: DenseCircuit, dialect: str, stop: float) -> Iterator[str]:
    shape = "-".join(str(n) for n in (len(circuit.input_V), *(len(s.bias_V) for s in circuit.stages)))
    yield f"* dbpsim: dense network {shape}, two compartments a neuron, {dialect}"
    yield "* One volt is one unit of activation. x and z of neuron i of stage S are nodes S_xi and S_zi."
    yield "* m = (x + z)/2 carries the activation, x - z the loss gradient (arXiv:2602.02281)."
    yield "*"
    for kind in sorted({stage.activation for stage in circuit.stages}):
        yield from neuron_lines(kind, circuit.resistance_ohm, circuit.capacitance_F, dialect)
    for place, stage in enumerate(circuit.stages):
        yield from _crossbar(stage, transposed=place > 0)
    yield "* stimulus: the clamped input"
    for j, value in enumerate(circuit.input_V):
        yield f"Vinput{j} input_m{j} 0 DC {number(value)}"
    before = "input"
    for place, stage in enumerate(circuit.stages):
        yield from _instances(stage, before, len(circuit.input_V) if place == 0 else len(circuit.stages[place - 1].bias_V), place)
        before = stage.name
    yield from _cost(circuit)
    yield from _analysis(circuit, dialect, stop)


def neuron_lines(kind: str, resistance_ohm: float, capacitance_F: float, dialect: str) -> Iterator[str]:
    """Yield the subcircuit of a neuron with activation `kind`."""
    yield f"* neuron, {kind}: u column voltage, b feedback, x z compartments, m their mean, d = f'(u)(x - z)"
    yield f".subckt neuron_{kind} u b x z m d"
    yield f"Bf f 0 V={_FORWARD[kind]}"
    for node, sign in (("x", ""), ("z", "-")):
        yield f"C{node} {node} 0 {number(capacitance_F)} IC=0"
        yield f"R{node} {node} 0 {number(resistance_ohm)}"
        yield f"Gf{node} 0 {node} f 0 {number(1 / resistance_ohm)}"
        yield f"Gb{node} 0 {node} b 0 {sign}{number(0.5 / resistance_ohm)}"
    yield f"Gmx 0 m x 0 {number(0.5)}"
    yield f"Gmz 0 m z 0 {number(0.5)}"
    yield f"Rm m 0 {number(1.0)}"
    yield f"Bd d 0 V={_STRESS[kind][dialect]}"
    yield f".ends neuron_{kind}"
    yield "*"


def _crossbar(stage: DenseStage, transposed: bool) -> Iterator[str]:
    outputs, inputs = stage.g_plus_S.shape
    yield f"* crossbar of {stage.name}: {inputs} inputs v, {outputs} columns u; conductances in siemens"
    ports = [f"v{j}" for j in range(inputs)] + [f"u{i}" for i in range(outputs)]
    if transposed:
        ports += [f"d{i}" for i in range(outputs)] + [f"b{j}" for j in range(inputs)]
    yield from _folded(f".subckt crossbar_{stage.name} " + " ".join(ports))
    reference = float(stage.feedback_ohm.max())
    if stage.wires is not None:
        yield from wired_array(stage, transposed, number)
    for i in range(outputs):
        for j in range(inputs if stage.wires is None else 0):
            plus, minus = number(stage.g_plus_S[i, j]), number(stage.g_minus_S[i, j])
            yield f"Gp_{i}_{j} 0 u{i} v{j} 0 {plus}"
            yield f"Gn_{i}_{j} u{i} 0 v{j} 0 {minus}"
            if transposed:
                share = stage.feedback_ohm[i] / reference  # one output gain a column drives its transposed read
                yield f"Gtp_{i}_{j} 0 b{j} d{i} 0 {number(stage.g_plus_S[i, j] * share)}"
                yield f"Gtn_{i}_{j} b{j} 0 d{i} 0 {number(stage.g_minus_S[i, j] * share)}"
        yield f"Ru_{i} u{i} 0 {number(stage.feedback_ohm[i])}"
        yield f"Iu_{i} 0 u{i} DC {number(stage.bias_V[i] / stage.feedback_ohm[i])}"
    if transposed:
        for j in range(inputs):
            yield f"Rb_{j} b{j} 0 {number(reference)}"
    yield f".ends crossbar_{stage.name}"
    yield "*"


def _instances(stage: DenseStage, before: str, inputs: int, place: int) -> Iterator[str]:
    name, outputs = stage.name, len(stage.bias_V)
    ports = [f"{before}_m{j}" for j in range(inputs)] + [f"{name}_u{i}" for i in range(outputs)]
    if place:
        ports += [f"{name}_d{i}" for i in range(outputs)] + [f"{before}_b{j}" for j in range(inputs)]
    yield f"* stage {name}"
    yield from _folded(f"Xcrossbar_{name} " + " ".join(ports) + f" crossbar_{name}")
    for i in range(outputs):
        yield f"Xneuron_{name}_{i} " + " ".join(f"{name}_{port}{i}" for port in "ubxzmd") + f" neuron_{stage.activation}"


def _cost(circuit: DenseCircuit) -> Iterator[str]:
    last, outputs = circuit.stages[-1].name, len(circuit.target)
    yield f"* cost: b = dC/dm, {circuit.loss}"
    if circuit.loss == "mean_squared_error":
        for i, t in enumerate(circuit.target):
            yield f"Bcost{i} {last}_b{i} 0 V=V({last}_m{i})-({number(t)})"
        return
    # The node holds the sum less what it is at m = 0: the quotient is right at a solver's first guess, all nodes at 0 V.
    for i, t in enumerate(circuit.target):
        yield f"Bexp{i} 0 exp_sum I=exp(V({last}_m{i}))-1"
        yield f"Bcost{i} {last}_b{i} 0 V=exp(V({last}_m{i}))/(V(exp_sum)+{number(outputs)})-({number(t)})"
    yield f"Rexp exp_sum 0 {number(1.0)}"


def _analysis(circuit: DenseCircuit, dialect: str, stop: float) -> Iterator[str]:
    step = circuit.tau_s / 20
    last = circuit.stages[-1].name
    if dialect == "ngspice":
        yield f".options reltol={number(1e-4)} vntol={number(1e-9)} abstol={number(1e-15)} chgtol={number(1e-20)}"
        yield from _folded(".save " + " ".join(f"v({node})" for node in nodes(circuit)))
    else:
        yield from _folded(".print tran " + " ".join(f"v({node})" for node in nodes(circuit)))
    yield f".tran {number(step)} {number(stop)} 0 {number(circuit.tau_s / 10)} uic"
    for i in range(len(circuit.target)):
        yield f".meas tran x_{last}_{i} FIND v({last}_x{i}) AT={number(0.99 * stop)}"
        yield f".meas tran z_{last}_{i} FIND v({last}_z{i}) AT={number(0.99 * stop)}"
    yield ".end"


def _folded(line: str, width: int = 110) -> Iterator[str]:
    start, length = "", 0
    words: list[str] = []
    for word in line.split():
        if length + len(word) > width:
            yield start + " ".join(words)
            start, words, length = "+ ", [], 0
        words.append(word)
        length += len(word) + 1
    yield start + " ".join(words)
