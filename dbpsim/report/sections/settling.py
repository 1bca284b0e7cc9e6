"""Waves of settling: how far every stage is from its target at every clock."""

from __future__ import annotations

from functools import partial

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Figure, Section
from dbpsim.report.figures import draw_energy, draw_settling

_WAVES = (
    "Distance of every stage from its target over the clocks: "
    "activations settle from the first stage on, then stress from the last."
)


def settling_section(contents: Contents) -> Section | None:
    """Return the waves of a recorded relaxation."""
    run = contents.run
    history = getattr(run, "history", None)
    if history is None:
        return None
    energy = partial(draw_energy, history=history, loss=run.gain * run.loss)  # type: ignore[union-attr]
    figures = [
        Figure("settling", _WAVES, partial(draw_settling, history=history)),
        Figure("energy", "Energy E(x, z) over the clocks; at equilibrium it is the loss.", energy),
    ]
    data = {"residual": history.residual, "stress": history.stress, "energy": history.energy}
    return Section("settling", "Waves of settling", figures=figures, data=data)
