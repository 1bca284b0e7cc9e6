"""Circuit ablations: what each imperfection of the neurons does to the gradient, in continuous time, one panel each.

A start with x and z apart, offsets in the stress path with and without null calibration, cost gain against offset and
saturation, gain errors, derivative circuits that switch at the wrong place, noise, and unequal rates of x and z, free-running
and by unit clocks.  Network: 16-32-32-32-10, tanh where not said, trained a little on the embedded digits; the error is that
of the whole gradient of eight images against exact backpropagation, relative.

    python examples/circuit_ablations.py --out docs/figures/circuit_ablations.png
"""

import argparse
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dbpsim as dbp
from dbpsim.circuit.neuron import draw_neurons
from dbpsim.credit.backprop import read_gradients

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
SEEDS = range(3)


class Weighted(dbp.losses.CrossEntropy):
    """Cross-entropy times a factor: the cost gain of theory.md, fact 4, set by hand."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def gradient(self, output: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the gradient of one batch."""
        return self.scale * super().gradient(output, y)


@lru_cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the embedded digits as 4 x 4 numbers."""
    train = dbp.datasets.load("digits")[0]
    x, y = train.batch(len(train))
    return x.mean(-1).reshape(-1, 4, 8, 4, 8).mean((2, 4)).reshape(-1, 16), y


def deep(activation: str) -> dbp.Network:
    """Return nine stages as initialised, with biases and a cost gain of 8."""
    net = dbp.models.mlp(16, *[32] * 8, 10, activation=activation, dtype="float64", loss=Weighted(8.0), seed=1)
    random = np.random.default_rng(1)
    for name, values in net.parameters.items():
        if name.endswith("bias"):
            values += 0.1 * random.standard_normal(values.shape)
    return net


@lru_cache
def trained(activation: str, scale: float = 1.0) -> dbp.Network:
    """Return a network after five epochs of plain descent, its cost weighted by `scale`."""
    net = dbp.models.mlp(16, 32, 32, 32, 10, activation=activation, dtype="float64", seed=1)
    x, y = digits()
    for epoch in range(5):
        order = np.random.default_rng(epoch).permutation(len(x))
        for at in np.array_split(order, 30):
            for name, gradient in dbp.backprop(net, x[at], y[at]).gradients.items():
                net.parameters[name] -= 0.1 * gradient
    if scale != 1.0:
        net.loss = Weighted(scale)
    return net


def error(net: dbp.Network, found: dict[str, np.ndarray]) -> float:
    """Return the relative error of the whole gradient."""
    exact = dbp.backprop(net, *sample()).gradients
    wrong = sum(((found[k] - g) ** 2).sum() for k, g in exact.items())
    return float(np.sqrt(wrong / sum((g**2).sum() for g in exact.values())))


def sample() -> tuple[np.ndarray, np.ndarray]:
    """Return eight images."""
    x, y = digits()
    return x[:8], y[:8]


def errors(net: dbp.Network, **keys: object) -> float:
    """Return the mean error of three draws of neurons with these [neuron] keys, after 60 tau."""
    kind = dbp.load_hardware("ideal", {f"neuron.{key}": value for key, value in keys.items()})
    found = []
    for seed in SEEDS:
        # first order does for where it ends: a fixed point does not depend on the step
        run = dbp.settle(net, *sample(), hardware=kind, seed=seed, t_stop=6e-7, method="exponential_euler", step=2e-9)
        found.append(error(net, run.gradients))
    return float(np.mean(found))


def starts(ax: plt.Axes) -> str:
    """Start with x and z apart."""
    net = trained("tanh")
    x, y = sample()
    shapes = {stage.name: (len(x), *stage.shape) for stage in net.stages}
    random = np.random.default_rng(0)
    m0 = {k: random.standard_normal(shape) for k, shape in shapes.items()}
    times, worst = np.linspace(1, 40, 14), 0.0
    for apart, colour in ((0.0, COLOURS[0]), (1.0, COLOURS[1]), (10.0, COLOURS[2])):
        gap = {k: apart * random.standard_normal(shape) for k, shape in shapes.items()}
        init = ({k: m0[k] + gap[k] / 2 for k in m0}, {k: m0[k] - gap[k] / 2 for k in m0})
        line = [error(net, dbp.settle(net, x, y, tau=1.0, t_stop=t, init=init, accuracy=1e-8).gradients) for t in times]
        ax.semilogy(times, line, "o-", color=colour, markersize=4, label=f"|x0 - z0| = {apart:g}")
        worst = max(worst, line[-1])
    ax.set(xlabel="time / tau", title="x0 != z0 is forgotten")
    return f"start: after 40 tau the error is {worst:.1e} or less, however far apart x and z began"


def offsets(ax: plt.Axes) -> str:
    """Offsets of the difference amplifiers, as they are and calibrated; a cost gain of 8 beside."""
    sizes = np.array([0.1, 0.3, 1.0, 3.0, 10.0])  # mV
    net, strong = trained("tanh"), trained("tanh", 8.0)
    raw = [errors(net, difference_offset_V=1e-3 * v) for v in sizes]
    gained = [errors(strong, difference_offset_V=1e-3 * v) for v in sizes]
    nulled = [errors(net, difference_offset_V=1e-3 * v, null_calibration=True) for v in sizes]
    ax.loglog(sizes, raw, "o-", color=COLOURS[0], label="as it is")
    ax.loglog(sizes, gained, "s-", color=COLOURS[1], label="cost gain 8")
    ax.loglog(sizes, nulled, "^-", color=COLOURS[2], label="null calibrated")
    ax.set(xlabel="offset of the difference amplifier, mV (sigma)", title="offsets in the stress path")
    return f"offset of 1 mV (unit 0.5 V): {raw[2]:.3f}, at gain 8 {gained[2]:.3f}, null calibrated {nulled[2]:.1e}"


def gains(ax: plt.Axes) -> str:
    """Cost gain against offset, and against saturation."""
    scales = 2.0 ** np.arange(-2, 9)
    nets = [trained("tanh", scale) for scale in scales]
    offset = [errors(net, difference_offset_V=1e-3) for net in nets]
    swing = [errors(net, saturation_V=5.0) for net in nets]
    both = [errors(net, difference_offset_V=1e-3, saturation_V=5.0) for net in nets]
    ax.loglog(scales, offset, "o-", color=COLOURS[0], base=2, label="offset 1 mV")
    ax.loglog(scales, swing, "s-", color=COLOURS[1], label="swing 5 V = 10 units")
    ax.loglog(scales, both, "^-", color=COLOURS[2], label="both")
    best = int(np.argmin(both))
    ax.set(xlabel="cost gain", title="gain: out of the offset, into the rails")
    return f"gain: with an offset of 1 mV and a swing of ten units the best is {scales[best]:g}, error {both[best]:.3f}"


def amplifiers(ax: plt.Axes) -> str:
    """Gain errors of sum and difference amplifiers, and offsets of sum amplifier and activation circuit."""
    sizes, lines = np.array([0.1, 0.3, 1.0, 3.0, 10.0]), {}
    net = trained("tanh")
    for key, name in (("sum_gain_error", "sum amplifier"), ("difference_gain_error", "difference amplifier")):
        lines[name] = [errors(net, **{key: v / 100}) for v in sizes]
    for (name, line), colour, mark in zip(lines.items(), COLOURS, "os", strict=False):
        ax.loglog(sizes, line, mark + "-", color=colour, label=name)
    ax.set(xlabel="gain error, % (sigma)", title="gain errors")
    one = {name: line[2] for name, line in lines.items()}
    return f"gain error of 1 %: sum {one['sum amplifier']:.3f}, difference {one['difference amplifier']:.3f}"


def gates(ax: plt.Axes) -> str:
    """Take derivatives at another u: comparators of rectifiers, slopes of tanh."""
    sizes = np.array([1.0, 3.0, 10.0, 30.0, 100.0])  # mV
    found = {}
    for activation, colour, mark in (("relu", COLOURS[0], "o"), ("tanh", COLOURS[1], "s")):
        net = trained(activation)
        found[activation] = [errors(net, gate_offset_V=1e-3 * v) for v in sizes]
        ax.loglog(sizes, np.maximum(found[activation], 1e-6), mark + "-", color=colour, label=activation)
    ax.set(xlabel="offset of the derivative circuit, mV (sigma)", title="derivatives taken beside the point")
    return f"derivative circuit off by 10 mV: relu {found['relu'][2]:.3f}, tanh {found['tanh'][2]:.3f}"


def noises(ax: plt.Axes) -> str:
    """Thermal noise of the capacitors, at cost gains 1 and 32, read once."""
    sizes = np.array([1e-14, 1e-13, 1e-12, 1e-11])
    rows = []
    for scale, colour, mark in ((1.0, COLOURS[0], "o"), (32.0, COLOURS[1], "s")):
        net = trained("tanh", scale)
        rows.append([errors(net, noise_K=300.0, capacitance_F=c, leak_S=c / 1e-8) for c in sizes])
        ax.loglog(sizes * 1e15, rows[-1], mark + "-", color=colour, label=f"cost gain {scale:g}")
    ax.loglog(sizes * 1e15, rows[0][0] * np.sqrt(sizes[0] / sizes), ":", color="grey", label="1 / sqrt(C)")
    ax.set(xlabel="capacitance, fF", title="kT/C noise, read once")
    return f"kT/C: at 100 fF error {rows[0][1]:.2f} at gain 1, {rows[1][1]:.3f} at gain 32"


def rates(ax: plt.Axes) -> str:
    """Unequal rates of x and z: free-running, and switched at once (unit clocks)."""
    sizes, found = np.array([0.1, 1.0, 3.0, 10.0]), {}
    for activation in ("tanh", "relu"):
        net = deep(activation)
        for states in ("xz", "ms"):
            keys = {"states": states, "capacitor_area_um2": 1.0}
            found[activation, states, "free"] = [errors(net, capacitor_matching_um=v / 100, **keys) for v in sizes]
            found[activation, states, "clocked"] = [_switched(net, v / 100, states) for v in sizes]
    for (activation, states, how), line in found.items():
        style = {"xz": "-", "ms": ":"}[states]
        colour = COLOURS[("tanh", "relu").index(activation) + 2 * (how == "clocked")]
        ax.loglog(sizes, np.maximum(line, 1e-9), "o" + style, color=colour, markersize=4, label=f"{activation} {states} {how}")
    ax.set(xlabel="mismatch, %", title="unequal rates of the pair, nine stages")
    free = max(line[-1] for (_, _, how), line in found.items() if how == "free")
    return (
        f"rates 10 % apart: free-running within {free:.0e}; after 200 unit clocks relu in (x, z) "
        f"{found['relu', 'xz', 'clocked'][-1]:.1e}, in (m, s) {found['relu', 'ms', 'clocked'][-1]:.1e}"
    )


def _switched(net: dbp.Network, mismatch: float, states: str) -> float:
    """Return the mean error after 200 switched-capacitor clocks."""
    x, y = sample()
    x = net.as_input(x)
    kind = dbp.load_hardware("ideal", {
        "neuron.states": states, "neuron.capacitor_matching_um": mismatch, "neuron.capacitor_area_um2": 1.0,
    })  # fmt: skip
    found = []
    for seed in SEEDS:
        neurons = draw_neurons(net, kind.neuron, seed)
        held = {s.name: (np.zeros((len(x), *s.shape)), np.zeros((len(x), *s.shape))) for s in net.stages}
        for _ in range(200):
            held = neurons.clock(net, x, y, held)
        m, s = neurons.read_all(net, held)
        found.append(error(net, read_gradients(net, net.evaluate(x, m), s)))
    return float(np.mean(found))


def main(out: Path) -> None:
    """Draw the panels and say what they show."""
    figure, axes = plt.subplots(2, 4, figsize=(16, 7.5), layout="constrained")
    panels = (starts, offsets, gains, amplifiers, gates, noises, rates)
    for draw, ax in zip(panels, axes.flat, strict=False):
        print(draw(ax))
        ax.set_ylabel("relative error of the gradient")
        ax.legend(fontsize=7)
    axes.flat[-1].axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    print(f"figure: {out}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("circuit_ablations.png"), help="where the figure goes")
    main(options.parse_args().out)
