"""Settling: when every sample has settled, and how far every stage is from its target at every clock."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Figure, Section, Table
from dbpsim.report.figures import draw_energy, draw_settling
from dbpsim.report.settling_figure import draw_settling_times, settling_percentiles

_WAVES = (
    "Distance of every stage from its target over the clocks: "
    "activations settle from the first stage on, then stress from the last."
)
_TIMES = "Share of the samples that have settled by a time, with the median, the 95th percentile and the last."
_COLUMNS = (
    Column("samples", "samples", form="d"), Column("p50_s", "median", "s"), Column("p95_s", "95 %", "s"),
    Column("max_s", "last", "s"), Column("unsettled_share", "not settled", form=".0%"),
)  # fmt: skip


def settling_section(contents: Contents) -> Section | None:
    """Return the distribution of settling times and the waves of a recorded relaxation."""
    run, times = contents.run, contents.settling
    history = getattr(run, "history", None)
    if history is None and times is None:
        return None
    texts, figures, tables = [], [], []
    data: dict[str, Any] = {}
    if times is not None:
        found = settling_percentiles(times)
        figures.append(Figure("settling_times", _TIMES, partial(draw_settling_times, times=times), (5.4, 2.6)))
        tables.append(Table("settling_times", "Time a sample takes to settle.", _COLUMNS, [[len(times), *found.values()]]))
        data = {"times_s": _plain(times), **found}
        texts.append(
            "Samples do not wait for each other: each has settled when activation and stress of every stage stay within a "
            "tolerance of their targets. What settles is the network that the cells hold: read noise never stands still."
        )
    if history is not None:
        energy = partial(draw_energy, history=history, loss=run.gain * run.loss)  # type: ignore[union-attr]
        figures.append(Figure("settling", _WAVES, partial(draw_settling, history=history)))
        figures.append(Figure("energy", "Energy E(x, z) over the clocks; at equilibrium it is the loss.", energy))
        data |= {"residual": history.residual, "stress": history.stress, "energy": history.energy}
    return Section("settling", "Settling", texts, figures, tables, data=data)


def _plain(times: np.ndarray) -> list[float]:
    return [float(value) for value in times]
