"""Our integration and ngspice on the same circuit, 16-32-32-10 with tanh, at equal accuracy, in one run.

    python benchmarks/settle_vs_ngspice.py [--repeats 10]

Ours takes the fewest even steps (a power of two) whose largest deviation from a tight reference (DOP853, 1e-10), over the
transient, is not above ngspice's.  ngspice's time is that of its process: start, parsing, analysis and raw file; so its time on a
deck of one neuron is given beside it and a second ratio has it subtracted.  Contenders take turns; minima are compared.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import dbpsim as dbp
from dbpsim.circuit.dense import DenseCircuit, dense_circuit, integrate, integrate_evenly
from dbpsim.circuit.netlist import deck, nodes
from dbpsim.circuit.ngspice import run_ngspice


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, help="write the document here as well")
    options = parser.parse_args()
    repeats = options.repeats
    x = np.random.default_rng(0).standard_normal(16)
    circuit = dense_circuit(dbp.models.mlp(16, 32, 32, 10, activation="tanh", dtype="float64", seed=1), x, np.array(3))
    tiny = dense_circuit(dbp.models.mlp(1, 1, dtype="float64"), np.ones(1), np.array(0))
    text, small = deck(circuit), deck(tiny)
    run = run_ngspice(text)
    theirs = run.columns([f"v({name})" for name in nodes(circuit)])
    times = run.columns(["time"])[:, 0]
    theirs_off = float(np.abs(theirs - integrate(circuit, times, relative=1e-10)).max())
    steps = 16
    while (ours_off := _deviation(circuit, steps)) > theirs_off:
        steps *= 2
    taken: dict[str, list[float]] = {"ngspice": [], "ngspice, one neuron": [], "dbpsim": []}
    for _ in range(repeats):
        for name, work in (("ngspice", lambda: run_ngspice(text)), ("ngspice, one neuron", lambda: run_ngspice(small)),
                           ("dbpsim", lambda: integrate_evenly(circuit, circuit.settling_s, steps))):  # fmt: skip
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    best = {name: min(each) for name, each in taken.items()}
    document = json.dumps({
        "states": len(nodes(circuit)), "steps": steps, "ngspice_points": len(times),
        "deviation_V": {"ngspice": theirs_off, "dbpsim": ours_off},
        "seconds": best, "ratio": best["ngspice"] / best["dbpsim"],
        "ratio_without_start": (best["ngspice"] - best["ngspice, one neuron"]) / best["dbpsim"],
    }, indent=2)  # fmt: skip
    print(document)
    if options.out:
        options.out.write_text(document + "\n", encoding="utf-8")


def _deviation(circuit: DenseCircuit, steps: int) -> float:
    times = np.linspace(0, circuit.settling_s, steps + 1)
    return float(np.abs(integrate_evenly(circuit, circuit.settling_s, steps) - integrate(circuit, times, relative=1e-10)).max())


if __name__ == "__main__":
    main()
