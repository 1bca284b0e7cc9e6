"""The same training by other means: dyadic modes, classical analog, digital machines."""

from __future__ import annotations

from functools import partial

from dbpsim.cost.table import COMPONENTS
from dbpsim.report.contents import Contents
from dbpsim.report.cost_figures import draw_comparison, draw_energy_delay
from dbpsim.report.elements import Column, Figure, Section, Table

_COLUMNS = (
    Column("label", "mode"), Column("energy_per_sample_J", "energy a sample", "J"), Column("p5_J", "5 %", "J"),
    Column("p95_J", "95 %", "J"), Column("latency_per_sample_s", "latency a sample", "s"),
    Column("energy_delay_per_sample_Js", "energy x delay", "Js"), Column("energy_per_step_J", "energy a step", "J"),
    Column("energy_per_epoch_J", "energy an epoch", "J"), Column("energy_per_training_J", "energy a training", "J"),
    Column("latency_per_training_s", "time of a training", "s"), Column("tops_per_W", "TOPS/W"),
    Column("tops_per_mm2", "TOPS/mm²"), Column("area_m2", "area", "m2"),
)  # fmt: skip


def comparison_section(contents: Contents) -> Section | None:
    """Return tables and charts of the modes, with the limits of physics."""
    found, ranges = contents.comparison, contents.ranges
    if found is None:
        return None
    data = found.to_dict()
    for row in data["modes"]:
        row["p5_J"], row["p50_J"], row["p95_J"] = ranges[row["name"]]
    rows = [[row[column.key] for column in _COLUMNS] for row in data["modes"]]
    used = [c for c in COMPONENTS if any(c in row["energy_by_component_J"] for row in data["modes"])]
    used += sorted({c for row in data["modes"] for c in row["energy_by_component_J"]} - set(used))
    parts = [[row["label"], *(row["energy_by_component_J"].get(c) for c in used)] for row in data["modes"]]
    columns = (Column("label", "mode"), *(Column(f"{c}_J", c.replace("_", " "), "J") for c in used))
    return Section(
        "comparison", "Other ways to train the same network",
        [f"Expected from shapes and statistics, not run: one sample of a batch of {data['batch']}, settled to {data['bits']} "
         f"bits; a training is {data['epochs']} epochs of {data['images']:,} images. Hardware, device, library and update are "
         "the same in every analog mode, and the pulses of the update are in it. "
         "The range is what the ranges of component figures make of it."],
        [
            Figure("modes", "Energy of a training sample by mode, with its 5 to 95 % range and the least that physics allows.",
                   partial(draw_comparison, comparison=found, ranges=ranges, limits=contents.limits),
                   (5.8, 2.6 + 0.25 * len(rows))),
            Figure("energy_delay", "Energy against latency of a training sample by mode; grey lines join equal products.",
                   partial(draw_energy_delay, comparison=found), (5.8, 4.2)),
        ],
        [Table("modes", "A training sample, step, epoch and training by each mode.", _COLUMNS, rows),
         Table("modes_components", "Energy of a sample by mode and component.", columns, parts)],
        [*data["decisive"], *(f"{row.label}: {'; '.join(row.assumptions)}" for row in found.rows)],
        data=data,
    )  # fmt: skip
