"""What a training sample costs by every mode of training; a row a mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbpsim.cost.comparison import compare
from dbpsim.crossbar.hardware import load_hardware
from dbpsim.studies.tasks.common import Common, Rows, Task, untrained


class CompareSettings(Common):
    """How the modes are set."""

    bits: int = 8
    eta: float = 1.0
    batch: int = 64
    pulses_per_weight: float = 1.0


def _compare(given: CompareSettings, changes: Mapping[str, Any]) -> Rows:
    hardware = load_hardware(given.hardware or "pcm", changes)
    found = compare(
        untrained(given), hardware, bits=given.bits, eta=given.eta, batch=given.batch, pulses_per_weight=given.pulses_per_weight
    )
    keys = ("energy_per_sample_J", "latency_per_sample_s", "area_m2", "tops_per_W")
    return [{"mode": row["name"], **{key: row[key] for key in keys}} for row in found.to_dict()["modes"]]


COMPARE = Task(CompareSettings, _compare)
