"""Apical neurons: is the stress what cortical neurons show between apical dendrite and soma? Six predictions, five measurements.

The paper (arXiv:2602.02281) leaves this open.  Here x is taken for the apical and z for the basal and somatic compartment; six
predictions are worked out, most of them in Brian2 with published membrane constants, and each is held against a published
measurement.  Writes a figure and prints the verdicts, also those that are against.

    pip install dbpsim[brian]
    python examples/apical_neurons.py --out docs/figures/apical_neurons.png

Measurements:
    [1] Francioni et al., Nature 2026, 10.1038/s41586-026-10190-7
    [2] Beaulieu-Laroche et al., Neuron 2019, 10.1016/j.neuron.2019.05.014
    [3] Francioni et al., eLife 2019, 10.7554/eLife.49145
    [4] Gillon et al., J Neurosci 2024, 10.1523/JNEUROSCI.1009-23.2023
    [5] Doron et al., Science 2020, 10.1126/science.aaz3136
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dbpsim as dbp
from dbpsim.circuit.brian import CORTICAL, REVERSAL_V, Membrane, compartments, equal_membrane, to_brian
from dbpsim.circuit.dense import dense_circuit, gradients

try:
    import brian2
except ModuleNotFoundError:
    sys.exit("This example needs Brian2: pip install 'dbpsim[brian]'")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
TAU = 0.016  # s, the soma of Naud and Sprekeler, for both compartments where they are equal


def digits(part: dbp.datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the embedded digits as 8 x 8 numbers."""
    x, y = part.batch(len(part))
    return x.mean(-1).reshape(-1, 8, 4, 8, 4).mean((2, 4)).reshape(-1, 64), y


def network(widths: tuple[int, ...], loss: object = None) -> dbp.Network:
    """Return a tanh network in float64."""
    return dbp.models.mlp(*widths, activation="tanh", dtype="float64", loss=loss, seed=1)


def stress_of(net: dbp.Network, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (m, s) of every neuron and sample, s of each sample's own cost."""
    run = dbp.relax(net, x, y, record=True)
    return run.activations, {name: s * len(x) for name, s in run.stress.items()}


def descend(net: dbp.Network, x: np.ndarray, y: np.ndarray, rate: float, share: float = 1.0) -> None:
    """Make one step of gradient descent; of every hidden stage only the `share` of neurons with the largest stress learn."""
    m, s = stress_of(net, x, y)
    before = x
    for stage in net.stages:
        a = m[stage.name]
        hidden = stage.name != net.output
        d = s[stage.name] * (1 - a**2 if hidden else 1.0)
        if hidden and share < 1:
            d = d * (np.abs(d) >= np.quantile(np.abs(d), 1 - share, axis=1, keepdims=True))
        net.parameters[f"{stage.name}.weight"] -= rate * d.T @ before / len(x)
        net.parameters[f"{stage.name}.bias"] -= rate * d.mean(0)
        before = a


def epochs(net: dbp.Network, x: np.ndarray, y: np.ndarray, count: int, share: float = 1.0) -> None:
    """Train for `count` epochs in batches of 50."""
    for epoch in range(count):
        order = np.random.default_rng(epoch).permutation(len(x))
        for at in np.split(order, len(x) // 50):
            descend(net, x[at], y[at], 0.1, share)


def accuracy(net: dbp.Network, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of images that are classified rightly."""
    return float((net.evaluate(x).values[net.output].argmax(-1) == y).mean())


def sign(ax: plt.Axes) -> str:
    """Compare s with what learning does to neurons that drive a cursor, five up and five down, as in the task of [1]."""
    random = np.random.default_rng(0)
    net = network((20, 40, 30, 1), dbp.losses.MeanSquaredError())
    role = np.repeat([1.0, -1.0, 0.0], [5, 5, 20])
    net.parameters["dense3.weight"][...] = 0.3 * role
    x, target = random.standard_normal((500, 20)), np.full((500, 1), 1.5)
    m, s = stress_of(net, x, target)
    early, before = s["dense2"].mean(0), m["dense2"].mean(0)
    for _ in range(60):
        descend(net, x, target, 0.05)
        net.parameters["dense3.weight"][...] = 0.3 * role  # the experimenter's, not learnt
        net.parameters["dense3.bias"][...] = 0.0
    change = stress_of(net, x, target)[0]["dense2"].mean(0) - before
    for value, name, colour in ((1, "drive the cursor up", 0), (-1, "drive it down", 1), (0, "not in the task", 2)):
        ax.plot(early[role == value], change[role == value], "os^"[colour], color=COLOURS[colour], label=name)
    ax.set(xlabel="s = x - z before learning", ylabel="change of mean activity", title="sign follows the neuron's role")
    r = np.corrcoef(early[role != 0], change[role != 0])[0, 1]
    up, down = early[role > 0].mean(), early[role < 0].mean()
    return (
        f"sign: mean s {up:+.2f} in neurons that should rise, {down:+.2f} in those that should fall; correlation "
        f"with the change of activity {r:.2f}. [1]: soma-dendrite residuals, signs by causal role, predict the "
        "change. SUPPORTS"
    )


def correlation(ax: plt.Axes, net: dbp.Network, x: np.ndarray, y: np.ndarray) -> str:
    """Measure over images how alike the two compartments of a neuron are."""
    gains, medians = np.logspace(-1, 2.5, 15), []
    m, s = stress_of(net, x, y)
    for gain in gains:
        pairs = [(m[k] + gain * s[k] / 2, m[k] - gain * s[k] / 2) for k in ("dense1", "dense2", "dense3")]
        medians.append([np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)]) for p, q in pairs])
    for k, line in enumerate(np.transpose(medians)):
        ax.semilogx(gains, line, "os^"[k] + "-", color=COLOURS[k], markersize=4, label=f"hidden layer {k + 1}")
    ax.set(xlabel="cost gain", ylabel="correlation of apical and soma", title="two compartments, one activity")
    one = medians[int(np.argmin(np.abs(gains - 1)))]
    return (
        f"correlation: median {min(one):.3f} or more at gain 1 in a trained network. [2] finds dendrite and soma "
        "'surprisingly' alike, in every state. SUPPORTS, but back-propagating spikes explain it as well: it "
        "bounds the gain, no more"
    )


def settled(net: dbp.Network, x: np.ndarray, y: np.ndarray, membrane: Membrane) -> tuple[list[float], list[float]]:
    """Return by stage (cosine with backpropagation's gradient, ratio of norms) after 1.5 s in Brian2."""
    exact = dbp.backprop(net, x, y).gradients
    brian = to_brian(net, x, y, membrane=membrane)
    brian.run(1.5 * brian2.second, namespace={})
    found = gradients(dense_circuit(net, x, y), compartments(brian))
    pairs = [(found[k], exact[k]) for k in exact if k.endswith("weight")]
    norms = [(float(np.linalg.norm(a)), float(np.linalg.norm(b))) for a, b in pairs]
    return [float((a * b).sum()) / (p * q) for (a, b), (p, q) in zip(pairs, norms, strict=True)], [p / q for p, q in norms]


def coupling(ax: plt.Axes, net: dbp.Network, x: np.ndarray, y: np.ndarray) -> str:
    """Measure what a conductance between the compartments does to the gradient of the first layer."""
    equal = equal_membrane(TAU)
    shares = (0.0, 0.1, 0.2, 0.4, 0.8)
    kinds = {"equal leaks": equal, "apical leak a third": replace(equal, apical_S=equal.apical_S / 3), "cortical": CORTICAL}
    found = {k: [settled(net, x, y, replace(v, coupling_S=c * v.soma_S)) for c in shares] for k, v in kinds.items()}
    for number, (name, runs) in enumerate(found.items()):
        ax.semilogy(shares, [ratio[0] for _, ratio in runs], "os^"[number] + "-", color=COLOURS[number], label=f"{name}: size")
        missing = [max(1 - cosine[0], 1e-12) for cosine, _ in runs]
        ax.semilogy(shares, missing, "os^"[number] + ":", color=COLOURS[number], label=f"{name}: 1 - cos")
    ax.set(xlabel="coupling / soma's leak", ylabel="first layer's gradient", ylim=(1e-19, 3), title="coupling shrinks")
    strong = found["equal leaks"][-1][1][0]
    turned = 1 - found["apical leak a third"][-1][0][0]
    return (
        f"coupling: 0.8 of the leak leaves {strong:.3f} of the first layer's gradient, its direction kept; with "
        f"unequal leaks it hardly turns (1 - cos {turned:.1e}). [3] finds strong coupling, lossy from soma to tuft "
        "and not back. CONTRADICTS the uncoupled pair of the theory; what coupling costs is size, layer by layer, "
        "which a gain a layer can give back"
    )


def time_course(ax: plt.Axes, net: dbp.Network, x: np.ndarray, y: np.ndarray) -> str:
    """Let the network settle without a cost, show the target, and see when s arrives where."""
    brian = to_brian(net, x, y, membrane=CORTICAL, step=1e-4)
    neurons, weights = brian["neurons"], np.cumsum([64, *(len(net.parameters[f"{s.name}.bias"]) for s in net.stages)])
    output = net.evaluate(x).values[net.output][0]
    target = np.array(neurons.target)
    neurons.target[int(weights[-2]) :] = np.exp(output) / np.exp(output).sum()
    brian.run(0.6 * brian2.second, namespace={})
    neurons.target = target
    monitor = brian2.StateMonitor(neurons, "s", record=True, dt=1e-3 * brian2.second)
    brian.add(monitor)
    brian.run(0.3 * brian2.second, namespace={})
    time = np.asarray(monitor.t / brian2.ms) - 600
    halves = []
    for number in range(len(net.stages) - 1, -1, -1):
        size = np.linalg.norm(np.asarray(monitor.s)[weights[number] : weights[number + 1]], axis=0)
        ax.plot(time, size / size[-1], color=COLOURS[number], label=f"layer {number + 1}")
        halves.append(float(np.interp(0.5, size / size[-1], time)))
    ax.set(xlabel="ms after the target", ylabel="|s| / where it settles", title="stress walks down, layer by layer")
    waits = ", ".join(f"{half:.0f}" for half in halves)
    return (
        f"time course: half of s after {waits} ms, output to first layer, with 7 and 16 ms membranes. Calcium "
        "imaging, as in [1] to [4], is slower than that. NOT TESTED: voltage imaging of tuft and soma would"
    )


def scaling(ax: plt.Axes, x: np.ndarray, y: np.ndarray) -> str:
    """Follow s while the network learns."""
    net, sizes = network((64, 32, 24, 16, 10)), []
    for _ in range(12):
        s = stress_of(net, x, y)[1]
        sizes.append([np.abs(s[k]).mean() for k in ("dense1", "dense2", "dense3")])
        epochs(net, x, y, 1)
    for k, line in enumerate(np.transpose(sizes)):
        ax.semilogy(line, "os^"[k] + "-", color=COLOURS[k], markersize=4, label=f"hidden layer {k + 1}")
    ax.set(xlabel="epoch", ylabel="mean |s|", title="stress falls as the error does")
    fall = np.array(sizes[0]) / np.array(sizes[-1])
    return (
        f"scaling: mean |s| falls {fall.min():.1f} to {fall.max():.1f} times while the network learns. [4]: over "
        "days apical responses to pattern violations grow while somatic ones fall. CONTRADICTS, as far as "
        "watching without a task is learning of this kind"
    )


def gating(ax: plt.Axes, x: np.ndarray, y: np.ndarray, test: tuple[np.ndarray, np.ndarray]) -> str:
    """Let only the few neurons learn whose stress would make a burst."""
    shares, scores = (1.0, 0.5, 0.25, 0.11, 0.05), []
    for share in shares:
        net = network((64, 32, 24, 16, 10))
        epochs(net, x, y, 12, share)
        scores.append(100 * accuracy(net, *test))
    ax.semilogx([100 * share for share in shares], scores, "o-", color=COLOURS[0], label="after 12 epochs")
    ax.axvline(11, color=COLOURS[1], linestyle=":", label="share that bursts in [5]")
    ax.set(xlabel="% of neurons that learn from a sample", ylabel="test accuracy, %", title="plasticity gated by |s|")
    return (
        f"gating: {scores[3]:.1f} % with the 11 % of largest stress learning, {scores[0]:.1f} % with all. [5]: 11 "
        "% of layer 5 neurons burst more as the animal learns; silencing dendrites stops it. SUPPORTS that so few "
        "suffice"
    )


def conductances(net: dbp.Network, x: np.ndarray, y: np.ndarray) -> str:
    """Measure the gradient through conductances that reverse at 0 and -75 mV."""
    cosines, ratios = settled(net, x, y, replace(CORTICAL, reversal_V=REVERSAL_V))
    return (
        f"conductance-based synapses: cosine {min(cosines):.2f} to {max(cosines):.2f}, size {min(ratios):.2f} to "
        f"{max(ratios):.2f} of backpropagation's: inhibition that reverses 5 mV below rest rectifies a signed s. "
        "The pair wants inhibition with room below rest"
    )


def main(out: Path) -> None:
    """Draw the six panels and print what was found."""
    brian2.prefs.codegen.target = "numpy"
    train, held_out = (digits(part) for part in dbp.datasets.load("digits"))
    net = network((64, 32, 24, 16, 10))
    epochs(net, *train, 3)
    wrong = int(np.flatnonzero(net.evaluate(held_out[0]).values[net.output].argmax(-1) != held_out[1])[0])
    x, y = held_out[0][wrong : wrong + 1], held_out[1][wrong : wrong + 1]
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    found = [
        sign(axes[0, 0]), correlation(axes[0, 1], net, *held_out), coupling(axes[0, 2], net, x, y),
        time_course(axes[1, 0], net, x, y), scaling(axes[1, 1], *train), gating(axes[1, 2], *train, held_out),
    ]  # fmt: skip
    for ax in axes.flat:
        ax.legend(fontsize=7, loc="lower right" if ax is axes[0, 2] else "best")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(*found, conductances(net, x, y), f"figure: {out}", sep="\n\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("apical_neurons.png"), help="where the figure goes")
    main(options.parse_args().out)
