"""How close the gradients are to exact ones."""

from __future__ import annotations

from functools import partial

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Figure, Section, Table
from dbpsim.report.figures import draw_fidelity

_COLUMNS = (
    Column("stage", "stage"), Column("misalignment", "misalignment 1 - cos", form=".2e"),
    Column("relative_error", "relative error", form=".2e"), Column("signal_to_noise", "SNR", form=".2e"),
    Column("signal_to_noise_dB", "SNR (dB)", form=".1f"),
)  # fmt: skip


def fidelity_section(contents: Contents) -> Section | None:
    """Return table and figure of the gradients' errors, stage by stage."""
    found = contents.fidelity
    if found is None:
        return None
    rows = [[getattr(r, column.key) for column in _COLUMNS] for r in (*found.stages, found.whole)]
    alt = "Relative error, misalignment and inverse signal-to-noise ratio of the gradient, stage by stage."
    return Section(
        "fidelity", "Gradient fidelity",
        ["Gradients of the run against exact backpropagation with the same weights, as numbers, on the same batch."],
        [Figure("fidelity", alt, partial(draw_fidelity, found=found))],
        [Table("fidelity", "Errors of the gradient by stage; the last row takes all parameters as one vector.", _COLUMNS, rows)],
        data=found.to_dict(),
    )  # fmt: skip
