"""What physics allows, beside what was costed: the least energy of a multiply-accumulate and the least time to settle."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from dbpsim.cost.limits import bits_of, clocked_settling_time_s, settling_time_s
from dbpsim.cost.machines import Machine, published_machines
from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Figure, Section, Table
from dbpsim.report.limit_figures import draw_limits

_ENERGY = (
    Column("limit", "limit"), Column("energy_per_multiply_accumulate_J", "least energy a multiply-accumulate", "J"),
    Column("times_above", "this design is above by", form=".2g"), Column("what", "what it bounds", prose=True),
    Column("source", "source", prose=True),
)  # fmt: skip
_DRAWN = "Energy of a multiply-accumulate over its resolution: bounds of physics as lines, machines and this design as points."
_TIME = (Column("schedule", "schedule"), Column("least_s", "least time", "s"))


def limits_section(contents: Contents) -> Section | None:
    """Return the bounds at the resolution of a read, with the resolution that the gradient reached."""
    table, chip = contents.cost, contents.chip
    if table is None or chip is None:
        return None
    each, bits, tau = table.joules_per_multiply_accumulate, contents.bits, chip.hardware.clock.tau_s
    energy = [[limit.name, limit.energy_J, each / limit.energy_J, limit.text, limit.source] for limit in contents.limits]
    time: list[list[Any]] = [
        ["free-running, all stages at once", settling_time_s(chip.depth, bits, tau)],
        ["one stage after another, forward and back", clocked_settling_time_s(chip.depth, bits, tau)],
    ]
    reached = ""
    if contents.fidelity is not None and 0 < contents.fidelity.whole.signal_to_noise < math.inf:
        whole = contents.fidelity.whole
        reached = f" The gradient came out at {whole.signal_to_noise_dB:.0f} dB, {bits_of(whole.signal_to_noise):.1f} bits."
    text = f"At {bits:g} bits of full scale a read, {chip.hardware.tile.rows} rows a tile, 300 K.{reached}"
    here = Machine("this design", "dbpsim", bits, each, "this report")
    drawing = partial(draw_limits, machines=(*published_machines(), here), rows=chip.hardware.tile.rows)
    return Section(
        "limits", "Physical limits", [text], [Figure("limits", _DRAWN, drawing, (5.8, 4.2))] if each > 0 else [],
        tables=[
            Table("limits_energy", "Energy of a multiply-accumulate, in reads.", _ENERGY, energy),
            Table("limits_time", "Time of one sample to settle.", _TIME, time),
        ],
        data={
            "bits": bits,
            "energy": [dict(zip((c.key for c in _ENERGY), row, strict=True)) for row in energy],
            "time": [dict(zip((c.key for c in _TIME), row, strict=True)) for row in time],
        },
    )  # fmt: skip
