"""What training reached, where the report is of a training run."""

from __future__ import annotations

from functools import partial

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Figure, Section, Table
from dbpsim.report.figures import draw_accuracy, draw_loss

_COLUMNS = (
    Column("epoch", "epoch", form="d"), Column("loss", "loss", form=".4f"),
    Column("train_accuracy", "training accuracy", form=".2%"),
    Column("test_accuracy", "test accuracy", form=".2%"), Column("seconds", "seconds", form=".1f"),
    Column("images_per_s", "images/s", form=".0f"),
)  # fmt: skip


def training_section(contents: Contents) -> Section | None:
    """Return the epochs of a training run."""
    training = contents.training
    if training is None:
        return None
    c = training.config
    text = f"Method {c.method}, batch {c.batch}, rate {c.rate:g} ({c.schedule}), seed {c.seed}; data: {training.data}."
    if not training.epochs:
        return Section("training", "Accuracy", [text], data=training.to_dict())
    rows = [[epoch[column.key] for column in _COLUMNS] for epoch in training.epochs]
    return Section(
        "training", "Accuracy", [text],
        [
            Figure("loss", "Loss over the epochs.", partial(draw_loss, training=training)),
            Figure("accuracy", "Accuracy over the epochs.", partial(draw_accuracy, training=training)),
        ],
        [Table("training", "Epochs; seconds are the simulator's, not the hardware's.", _COLUMNS, rows)],
        data=training.to_dict(),
    )  # fmt: skip
