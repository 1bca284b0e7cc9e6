"""Settling latency: how long the physics takes, free-running and clocked, over depth, and with unequal time constants.

A linear chain of unit weights has a law (theory.md, fact 3): its slowest stress is Q(2L, t / tau) from rest free-running, and
P[Binomial(k, eta) < 2L] after k sample-and-hold clocks of period -tau ln(1 - eta).  Here both are measured by integration,
beside networks with random weights.  Prints the table for L = 9 and draws four panels.

    python examples/settling_latency.py --out docs/figures/settling_latency.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dbpsim as dbp
from dbpsim.credit.settling import clocked_latency, clocks_to, time_to

TOLERANCE = 1e-4
ETAS = (0.3, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def chain(depth: int) -> dbp.Network:
    """Return a chain of `depth` linear neurons with unit weights."""
    stages = [dbp.Stage(f"s{i}", [dbp.layers.Dense(1)]) for i in range(1, depth + 1)]
    net = dbp.Network(stages, (1,), loss=dbp.losses.MeanSquaredError(), dtype="float64")
    net.assign({k: np.ones_like(p) if k.endswith("weight") else np.zeros_like(p) for k, p in net.parameters.items()})
    return net


def random_network(depth: int, seed: int, activation: str = "tanh") -> dbp.Network:
    """Return a network of width 32 with biases."""
    net = dbp.models.mlp(16, *[32] * (depth - 1), 10, activation=activation, dtype="float64", seed=seed)
    random = np.random.default_rng(seed)
    for name, values in net.parameters.items():
        if name.endswith("bias"):
            values += 0.1 * random.standard_normal(values.shape)
    return net


def sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return eight inputs and labels for `random_network`."""
    random = np.random.default_rng(seed)
    return random.standard_normal((8, 16)), random.integers(0, 10, 8)


def free_of_chain(depth: int) -> float:
    """Return the time (tau) after which the first neuron's stress stays within the tolerance of its end, by integration."""
    stop = 1.3 * time_to(TOLERANCE, depth)
    run = dbp.settle(chain(depth), np.ones((1, 1)), np.zeros((1, 1)), tau=1.0, t_stop=stop, accuracy=1e-8, record=True)
    left = np.abs(1.0 - run.trajectory.stress["s1"].ravel())
    last = int(np.flatnonzero(left > TOLERANCE)[-1])
    rise = np.log(left[last] / TOLERANCE) / np.log(left[last] / left[last + 1])
    return float(run.trajectory.time[last] + rise * (run.trajectory.time[last + 1] - run.trajectory.time[last]))


def clocked_of_chain(depth: int, eta: float) -> float:
    """Return the same in clocks of rate `eta`, counted."""
    period, limit = -np.log1p(-eta), 3 * clocks_to(TOLERANCE, eta, depth)
    run = dbp.settle(
        chain(depth), np.ones((1, 1)), np.zeros((1, 1)), tau=1.0, t_stop=limit * period, step=period, record=True,
        method="exponential_euler",
    )  # fmt: skip
    left = np.abs(1.0 - run.trajectory.stress["s1"].ravel())
    return float((np.flatnonzero(left > TOLERANCE)[-1] + 1) * period)


def waves(ax: plt.Axes, depth: int = 9) -> None:
    """Draw every layer's distance from rest over time: m forward, s backward."""
    net, (x, y) = random_network(depth, 0), sample()
    run = dbp.settle(net, x, y, tau=1.0, t_stop=45.0, accuracy=1e-5, record=True)
    end = dbp.settle(net, x, y, tau=1.0, tolerance=1e-10)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, depth))
    for stage, colour in zip(net.stages, colours, strict=True):
        way = run.trajectory
        for states, last, style in ((way.activations, end.activations, "-"), (way.stress, end.stress, "--")):
            aim = last[stage.name]
            left = [np.linalg.norm(v - aim) / np.linalg.norm(aim) for v in states[stage.name]]
            ax.semilogy(run.trajectory.time, left, style, color=colour, linewidth=1)
    ax.set(xlabel="time / tau", ylabel="distance from where it settles", ylim=(1e-6, 3))
    ax.set_title("m settles forward (solid), s backward (dashed)")
    ax.annotate("first layer", (3, 1e-5), color=colours[0])
    ax.annotate("last layer", (30.5, 2e-6), color=colours[-1])
    ax.axhline(TOLERANCE, color="grey", linewidth=0.6)


def clocks(ax: plt.Axes, depth: int = 9) -> None:
    """Print and draw latency over the clock's period."""
    free, predicted = free_of_chain(depth), time_to(TOLERANCE, depth)
    print(f"latency to {TOLERANCE:g}, L = {depth}, in tau")
    print(f"  free-running             predicted {predicted:7.2f}   measured {free:7.2f}")
    rows = [(eta, -np.log1p(-eta), clocked_latency(TOLERANCE, eta, depth), clocked_of_chain(depth, eta)) for eta in ETAS]
    for eta, period, law, found in rows:
        count = clocks_to(TOLERANCE, eta, depth)
        print(f"  eta {eta:<6g} {count:3d} clocks of {period:5.2f}: predicted {law:7.2f}   measured {found:7.2f}", end="")
        print(f"   {law / predicted:5.2f} x free")
    fine = 1 - np.exp(-np.logspace(-1.3, 1.0, 120))
    law = [clocked_latency(TOLERANCE, eta, depth) for eta in fine]
    ax.semilogx(-np.log1p(-fine), law, color=COLOURS[0], label="clocked, law")
    ax.semilogx([row[1] for row in rows], [row[3] for row in rows], "o", color=COLOURS[1], label="clocked, measured")
    ax.axhline(free, color=COLOURS[2], linestyle="--", label="free-running")
    ax.set(xlabel="clock period / tau", ylabel="latency / tau", title=f"short clocks win, no clock wins most (L = {depth})")
    ax.legend()


def depths(ax: plt.Axes) -> None:
    """Draw latency over depth."""
    deep = np.unique(np.logspace(np.log10(2), 2, 12).astype(int))
    fine = np.arange(2, 101)
    ax.plot(fine, [time_to(TOLERANCE, int(n)) for n in fine], color=COLOURS[0], label="law, unit chain")
    ax.plot(deep, [free_of_chain(int(n)) for n in deep], "o", color=COLOURS[1], label="unit chain, integrated")
    for activation, colour, marker in (("tanh", COLOURS[2], "s"), ("relu", COLOURS[3], "^")):
        some = deep[deep <= 40]
        found = [
            dbp.settle(random_network(int(n), 0, activation), *sample(), tau=1.0, tolerance=TOLERANCE).settling_time["dense1"]
            for n in some
        ]
        ax.plot(some, found, marker, color=colour, label=f"{activation}, width 32")
    ax.plot(fine, 2 * fine, color="grey", linestyle=":", label="2 L")
    ax.set(xlabel="depth L", ylabel=f"latency / tau, to {TOLERANCE:g}", title="latency grows as 2 L")
    ax.legend()


def spreads(ax: plt.Axes, depth: int = 9) -> None:
    """Print and draw what unequal time constants cost."""
    sizes = (0.0, 0.05, 0.1, 0.2, 0.3)
    cases = (
        ("whole neurons", "tau_spread", "xz", COLOURS[0], "o"),
        ("x against z, (x, z) held", "capacitor_matching_um", "xz", COLOURS[1], "s"),
        ("m against s, (m, s) held", "capacitor_matching_um", "ms", COLOURS[2], "^"),
    )
    print(f"latency with unequal time constants, tanh, L = {depth}, mean of three draws, over none")
    for name, key, states, colour, marker in cases:
        found = []
        for size in sizes:
            kind = dbp.load_hardware(
                "ideal", {f"neuron.{key}": size, "neuron.capacitor_area_um2": 1.0, "neuron.states": states, "neuron.leak_S": 1e-5}
            )
            runs = [
                dbp.settle(
                    random_network(depth, 0), *sample(), hardware=kind, tolerance=TOLERANCE, seed=seed, method="dormand_prince"
                )
                for seed in range(3)
            ]
            found.append(np.mean([max(run.settling_time.values()) for run in runs]) / 1e-8)
        print(f"  {name:26s}", *(f" {size:.0%}: {value / found[0]:.3f}" for size, value in zip(sizes, found, strict=True)))
        ax.plot([100 * size for size in sizes], found, marker + "-", color=colour, label=name)
    ax.set(xlabel="spread of time constants, %", ylabel="latency / tau", title="slow neurons set the pace")
    ax.legend()


def main(out: Path) -> None:
    """Draw the four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for draw, ax in zip((waves, clocks, depths, spreads), axes.flat, strict=True):
        draw(ax)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(f"figure: {out}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("settling_latency.png"), help="where the figure goes")
    main(options.parse_args().out)
