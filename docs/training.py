"""Draws docs/figures/training_full.png and prints the table of docs/training.md, both from the logs in results/training.

    python docs/training.py
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
PAIR = {"exact backpropagation": "fast_bp", "relaxation, eta = 1": "fast_relax"}
RUNS = PAIR | {"relaxation, eta = 1, later settings": "full_relax"}
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


if __name__ == "__main__":
    main()
