"""How long settling in continuous time takes, in times of one exact backpropagation of the same network, in one run.

    python benchmarks/settle_speed.py [--repeats 7]

784-256-128-10, batch 64, float32, settled to 1e-4: tanh; ReLU; and ReLU with random biases, whose gates open and close on the
way.  Each method with its own default accuracy and collocation at tighter ones.  The settling time of the slowest stage
is given beside, as is the gradient's relative error: what the loose default costs.  scipy's solvers are the peers, on the same
field (all stages at once).  Contenders take turns; minima are compared.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

import dbpsim as dbp
from dbpsim.credit.field import drive_and_feedback

TOLERANCE = 1e-4


def network(activation: str, spread: float) -> dbp.Network:
    """Return the network, its biases normal with this spread."""
    net = dbp.models.mlp(784, 256, 128, 10, activation=activation)
    random = np.random.default_rng(0)
    for name, values in net.parameters.items():
        if name.endswith("bias"):
            values += (spread * random.standard_normal(values.shape)).astype(values.dtype)
    return net


def by_scipy(net: dbp.Network, x: np.ndarray, y: np.ndarray, stop: float) -> int:
    """Integrate to `stop` (in tau) by scipy's RK45 at its default accuracy; return the evaluations."""
    shapes = [(len(x), *stage.shape) for stage in net.stages]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def cut(v: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(v.astype(np.float32), ends[:-1])
        return {stage.name: part.reshape(shape) for stage, part, shape in zip(net.stages, parts, shapes, strict=True)}

    def slope(_: float, v: np.ndarray) -> np.ndarray:
        at, b = drive_and_feedback(net, x, y, cut(v[: len(v) // 2]), cut(v[len(v) // 2 :]))
        return np.concatenate([a.ravel() for a in (*at.values.values(), *(b[s.name] for s in net.stages))]) - v

    return solve_ivp(slope, (0, stop), np.zeros(2 * ends[-1]), "RK45").nfev


def error(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> float:
    """Return the largest relative error of a parameter's gradient."""
    return max(float(np.linalg.norm(found[k] - g) / np.linalg.norm(g)) for k, g in exact.items())


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the document here as well")
    options = parser.parse_args()
    repeats = options.repeats
    random = np.random.default_rng(1)
    x, y = random.standard_normal((64, 784)).astype(np.float32), random.integers(0, 10, 64)
    ways = [("collocation", None), ("collocation", 1e-3), ("dormand_prince", None), ("exponential_euler", None)]
    found = {}
    for title, net in (("tanh", network("tanh", 0.1)), ("relu", network("relu", 0.0)), ("relu, biases", network("relu", 0.1))):
        exact = dbp.backprop(net, x, y).gradients
        rows: dict[str, dict] = {"backprop": {"seconds": []}}
        for repeat in range(repeats):
            for _ in range(5):
                start = time.perf_counter()
                dbp.backprop(net, x, y)
                rows["backprop"]["seconds"].append(time.perf_counter() - start)
            for method, accuracy in ways:
                if repeat >= 2 and method != "collocation":  # slow, and not what is held to the bar
                    continue
                start = time.perf_counter()
                run = dbp.settle(net, x, y, tau=1.0, tolerance=TOLERANCE, method=method, accuracy=accuracy)
                row = rows.setdefault(method if accuracy is None else f"{method}, {accuracy:g}", {"seconds": []})
                row["seconds"].append(time.perf_counter() - start)
                row |= {"evaluations": run.evaluations, "settled_tau": max(run.settling_time.values())}
                row |= {"spared": run.spared}
                row |= {"gradient_error": error(run.gradients, exact)}
        start = time.perf_counter()
        evaluations = by_scipy(net, x, y, rows["collocation"]["settled_tau"])
        rows["scipy RK45, 1e-3"] = {"seconds": [time.perf_counter() - start], "evaluations": evaluations}
        one = min(rows["backprop"]["seconds"])
        for row in rows.values():
            row["seconds"] = min(row["seconds"])
            row["ratio_to_backprop"] = row["seconds"] / one
        found[title] = rows
    text = json.dumps({"tolerance": TOLERANCE, "bar": 20, "networks": found}, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
