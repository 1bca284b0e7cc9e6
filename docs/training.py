"""Draws docs/figures/training_full.png and training_chips.png and prints the tables of docs/training.md, from results/training.

    python docs/training.py
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
PAIR = {"exact backpropagation": "fast_bp", "relaxation, eta = 1": "fast_relax"}
RUNS = PAIR | {"relaxation, eta = 1, later settings": "full_relax"}
CHIPS = {"no devices": "chip_none", "ECRAM": "chip_ecram", "PCM": "chip_pcm"}
COLOURS = ("#0072B2", "#D55E00", "#009E73")


def entries(run: str, kind: str) -> list[dict]:
    """Return the log's entries of one kind."""
    lines = (ROOT / "results" / "training" / f"{run}.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def table() -> str:
    """Return the rows of the table, a column a run."""
    epochs = {run: entries(run, "epoch") for run in RUNS.values()}
    checks = {run: entries(run, "check") for run in RUNS.values()}
    seconds = {run: sum(e["seconds"] for e in rows) for run, rows in epochs.items()}
    compared = [
        f"{len(found)}, largest relative error {max(check['relative_error'] for check in found):g}" if found else ""
        for found in checks.values()
    ]
    rows = [
        ("test accuracy, plain", *(f"**{rows[-1]['test_accuracy']:.2%}**" for rows in epochs.values())),
        ("test accuracy, six views", *(f"**{rows[-1]['views_accuracy']:.2%}**" for rows in epochs.values())),
        ("training accuracy, last epoch", *(f"{rows[-1]['train_accuracy']:.2%}" for rows in epochs.values())),
        ("time of training", *(f"{s / 60:.1f} min" for s in seconds.values())),
        ("images/s, best epoch", *(f"{max(e['images_per_s'] for e in rows):.0f}" for rows in epochs.values())),
        ("checks against backpropagation", *compared),
    ]
    pair = [epochs[run] for run in PAIR.values()]
    equal = all(
        a[key] == b[key]
        for a, b in zip(*pair, strict=True)
        for key in ("loss", "train_accuracy", "test_accuracy", "test_loss")
    )
    rows.append(("time / that of backpropagation", "1", f"{seconds['fast_relax'] / seconds['fast_bp']:.2f}", ""))
    rows.append(("losses and accuracies of all epochs", "", "the same numbers" if equal else "other numbers", ""))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def chip_table() -> str:
    """Return a row a network: test accuracy after every epoch, seconds an epoch."""
    rows = []
    for name, run in CHIPS.items():
        epochs = entries(run, "epoch")
        accuracies = (f"{e['test_accuracy']:.1%}" for e in epochs)
        rows.append((name, *accuracies, f"{min(e['seconds'] for e in epochs):.0f} s"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw_chips() -> None:
    """Draw the learning curves of chips beside the digital one."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for (name, run), colour in zip(CHIPS.items(), ("black", "#009E73", "#D55E00"), strict=True):
        rows = entries(run, "epoch")
        at = [row["epoch"] for row in rows]
        ax.plot(at, [100 * row["test_accuracy"] for row in rows], "o-", color=colour, label=f"{name}: test")
        ax.plot(at, [100 * row["train_accuracy"] for row in rows], "--", color=colour, alpha=0.5, label=f"{name}: training")
    ax.set(xlabel="epoch of 10,000 images", ylabel="accuracy, %", title="VGG9 learns CIFAR-10 by relaxation on chips")
    ax.legend(fontsize=8)
    figure.savefig(ROOT / "docs" / "figures" / "training_chips.png", dpi=110)


def main() -> None:
    """Draw and print."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, run), colour, style in zip(RUNS.items(), COLOURS, ("-", "--", "-"), strict=True):
        rows = entries(run, "epoch")
        at = [row["epoch"] for row in rows]
        left.plot(at, [100 * row["test_accuracy"] for row in rows], style, color=colour, label=f"{name}: test")
        left.plot(at, [100 * row["train_accuracy"] for row in rows], style, color=colour, alpha=0.4, label=f"{name}: training")
        elapsed = [sum(row["seconds"] for row in rows[: n + 1]) / 60 for n in range(len(rows))]
        right.plot(elapsed, [100 * row["test_accuracy"] for row in rows], style, color=colour, label=name)
    left.axhline(92, color="gray", linestyle=":", label="aimed at")
    left.set(xlabel="epoch", ylabel="accuracy, %", title="Both ways to the gradient give the same numbers", ylim=(50, 100))
    right.axhline(92, color="gray", linestyle=":", label="aimed at")
    right.set(xlabel="minutes", ylabel="test accuracy, %", title="Over time (two machines)", ylim=(50, 100))
    for ax in (left, right):
        ax.legend(fontsize=8)
    figure.savefig(ROOT / "docs" / "figures" / "training_full.png", dpi=110)
    print(table())
    draw_chips()
    print(chip_table())


if __name__ == "__main__":
    main()
