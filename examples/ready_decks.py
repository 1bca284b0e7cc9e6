"""Write the ready decks of netlists/: python examples/ready_decks.py [--out FOLDER].

    subcircuits.cir    cell pair, column amplifier and neurons, to read or to build from
    single_neuron.cir  one tanh neuron, one input, target 0.5
    transistor_neuron.cir   the same neuron, its tanh a bipolar differential pair instead of an expression
    xor.cir            2-4-4-1, tanh, part of the way to XOR, so that stress is left, at the input (1, -1)
    digits.cir         16-32-10, tanh, trained on digits averaged to 4 x 4, at the first test image; its cells are programmed PCM,
                       which reads this 1 as a 9: there is stress to see

Each runs as it is: ngspice -b digits.cir.  Seeds are fixed; training in another order of additions may move last digits.
"""

import argparse
from pathlib import Path

import numpy as np

import dbpsim as dbp
from dbpsim.circuit.dense import CAPACITANCE_F, RESISTANCE_OHM, DenseCircuit, dense_circuit
from dbpsim.circuit.netlist import deck, neuron_lines, number
from dbpsim.crossbar.neuron_circuit import ELEMENTARY_CHARGE_C, BOLTZMANN_J_per_K
from dbpsim.files import write_text

TAIL_A = 1e-5  # of the differential pair; a choice
CELLS = """\
* dbpsim: the parts of its decks, with what each pin is. One volt stands for one unit of activation.
*
* cell pair: W = R_f (gp - gn). v drives the column u (forward), d drives the row b (the same cells transposed).
* Decks write these sources as lists in one subcircuit a crossbar; they are the same four a pair.
.subckt cell_pair v u d b gp=1.0e-06 gn=1.0e-06
Gp 0 u v 0 {gp}
Gn u 0 v 0 {gn}
Gtp 0 b d 0 {gp}
Gtn b 0 d 0 {gn}
.ends cell_pair
*
* column amplifier: turns the column's current into the voltage u = R_f i, and adds the bias.
.subckt column_amplifier u rf=1.0e+05 bias=0.0e+00
Ru u 0 {rf}
Iu 0 u DC {bias/rf}
.ends column_amplifier
*
"""


def single_neuron() -> DenseCircuit:
    """Return a tanh neuron with weight 0.8 and bias 0.1 at input 0.5."""
    stage = dbp.Stage("neuron", [dbp.layers.Dense(1), dbp.activations.Activation("tanh")])
    net = dbp.Network([stage], (1,), loss=dbp.losses.MeanSquaredError(), dtype="float64")
    net.assign({"neuron.weight": np.array([[0.8]]), "neuron.bias": np.array([0.1])})
    return dense_circuit(net, np.array([0.5]), np.array([[0.5]]))


def transistor_neuron() -> str:
    """Return the deck of `single_neuron` with a tanh of two transistors.

    The collector currents of a differential pair differ by alpha I tanh(V / 2 V_T), alpha = beta / (1 + beta) (Gray, Hurst,
    Lewis and Meyer, Analysis and Design of Analog Integrated Circuits, section 3.5.1); beta 10,000 is a choice, that
    the pair be within 1e-4 of a tanh.
    """
    halves = number(BOLTZMANN_J_per_K * 300.15 / ELEMENTARY_CHARGE_C)  # V_T at SPICE's 27 degrees: V = 2 V_T u, halved a side
    pair = [
        "* tanh: a differential pair; f is 1 V times the difference of its collector currents over the tail current",
        f"Eplus base_1 0 u 0 {halves}", f"Eminus base_2 0 u 0 -{halves}",
        "Q1 collector_1 base_1 tail pair", "Q2 collector_2 base_2 tail pair", f"Itail tail 0 DC {number(TAIL_A)}",
        "Vsupply supply 0 DC 1.0", "Vsense_1 supply collector_1 DC 0", "Vsense_2 supply collector_2 DC 0",
        "Fplus 0 f Vsense_1 1.0", "Fminus f 0 Vsense_2 1.0", f"Rf f 0 {number(1 / TAIL_A)}",
        ".model pair NPN IS=1.0e-16 BF=1.0e+04",
    ]  # fmt: skip
    return deck(single_neuron()).replace("Bf f 0 V=tanh(V(u))", "\n".join(pair))


def xor() -> DenseCircuit:
    """Return a network on its way to XOR of two signs."""
    x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    y = -np.prod(x, axis=1, keepdims=True)  # 1 where the signs differ
    net = dbp.models.mlp(2, 4, 4, 1, activation="tanh", loss=dbp.losses.MeanSquaredError(), dtype="float64", seed=3)
    for _ in range(20):
        _descend(net, x, y, 0.2)
    return dense_circuit(net, x[2], y[2])


def digits() -> DenseCircuit:
    """Return a network that has learnt digits of 4 x 4 pixels, programmed into PCM pairs."""
    train, test = dbp.datasets.load("digits", image_shape=(8, 8, 1))
    net = dbp.models.mlp(16, 32, 10, activation="tanh", dtype="float64", seed=0)
    for index in range(200):
        x, y = train.batch(64, index % (len(train) // 64), dtype=np.float64)
        _descend(net, _averaged(x), y, 0.5)
    x, y = test.batch(1, dtype=np.float64)
    return dense_circuit(dbp.Chip.program(net, "pcm", seed=0), _averaged(x), y)


def _averaged(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(x), 16)


def _descend(net: dbp.Network, x: np.ndarray, y: np.ndarray, rate: float) -> None:
    gradients = dbp.backprop(net, x, y).gradients
    net.assign({name: net.parameters[name] - rate * gradient for name, gradient in gradients.items()})


DECKS = {"single_neuron": single_neuron, "xor": xor, "digits": digits}


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "netlists")
    out = parser.parse_args().out
    parts = [line for kind in ("tanh", "relu", "sigmoid", "identity")
             for line in neuron_lines(kind, RESISTANCE_OHM, CAPACITANCE_F, "ngspice")]  # fmt: skip
    write_text(out / "subcircuits.cir", CELLS + "\n".join(parts) + "\n")
    write_text(out / "transistor_neuron.cir", transistor_neuron())
    for name, build in DECKS.items():
        print(f"{name}.cir: {dbp.netlist(build(), out / f'{name}.cir'):,} elements")


if __name__ == "__main__":
    main()
