"""What a point can be: functions from settings to rows of a table, one file each.

A task says in a pydantic model which settings it knows; those with a dot go to the hardware file.  Rows are what a task returns,
plain numbers and texts, so that any process on any machine gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbpsim.devices.library import validated
from dbpsim.devices.schema import suggestion
from dbpsim.studies.tasks.ageing import AGEING
from dbpsim.studies.tasks.circuit import CIRCUIT
from dbpsim.studies.tasks.common import Common, Rows, Task, lacks_effect
from dbpsim.studies.tasks.comparing import COMPARE
from dbpsim.studies.tasks.depth import DEPTH
from dbpsim.studies.tasks.gradient import GRADIENT
from dbpsim.studies.tasks.neighbours import NEIGHBOUR, NEIGHBOUR_TRAIN
from dbpsim.studies.tasks.overhead import OVERHEAD
from dbpsim.studies.tasks.precision import PRECISION
from dbpsim.studies.tasks.recurrent import RECURRENT
from dbpsim.studies.tasks.skips import SKIPS
from dbpsim.studies.tasks.training import TRAIN
from dbpsim.studies.tasks.transport import TRANSPORT

__all__ = ["TASKS", "Common", "Task", "checked", "run_task"]

TASKS: dict[str, Task] = {
    "gradient": GRADIENT,
    "train": TRAIN,
    "compare": COMPARE,
    "transport": TRANSPORT,
    "ageing": AGEING,
    "neighbour": NEIGHBOUR,
    "neighbour-train": NEIGHBOUR_TRAIN,
    "circuit": CIRCUIT,
    "depth": DEPTH,
    "precision": PRECISION,
    "overhead": OVERHEAD,
    "skips": SKIPS,
    "recurrent": RECURRENT,
}


def run_task(name: str, settings: Mapping[str, Any]) -> Rows:
    """Return the rows of task `name` at `settings`; none where the hardware lacks the effect that is asked for.

    Raises
    ------
    ValueError
        For an unknown task or setting, or one that is not accepted.

    Examples
    --------
    >>> rows = run_task("gradient", {"model": "mlp:4-3-2", "eta": 1.0, "dtype": "float64"})
    >>> rows[0]["steps"], rows[0]["relative_error"]
    (4, 0.0)
    """
    task, given, changes = checked(name, settings)
    return [] if lacks_effect(given, changes) else task.run(given, changes)


def checked(name: str, settings: Mapping[str, Any]) -> tuple[Task, Common, dict[str, Any]]:
    """Return the task, its settings and the keys of the hardware file, without running it."""
    if name not in TASKS:
        words = suggestion(name, list(TASKS)) or "."
        raise ValueError(f"task {name!r}: not known{words} Accepted: {', '.join(TASKS)}.")
    changes = {key: value for key, value in settings.items() if "." in key}
    plain = {key: value for key, value in settings.items() if "." not in key}
    given = validated(TASKS[name].settings, plain, f"task {name}")
    if changes and given.hardware is None:
        raise ValueError(f"task {name}: {next(iter(changes))} is a key of the hardware file; accepted with a hardware.")
    return TASKS[name], given, changes
