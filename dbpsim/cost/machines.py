"""What machines take for a multiply-accumulate at which resolution: points to hold against `dbpsim.cost.limits`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dbpsim.cost.published import inputs, neurram_published


@dataclass(frozen=True)
class Machine:
    """Joules a multiply-accumulate (2 operations), and bits of a result.

    Attributes
    ----------
    kind : {"measured", "designed", "digital", "dbpsim"}
        Silicon; a simulation or projection; digital, of either sort; a prediction of ours.
    """

    name: str
    kind: Literal["measured", "designed", "digital", "dbpsim"]
    bits: float
    energy_J: float
    source: str


def published_machines() -> tuple[Machine, ...]:
    """Return the machines that `published.toml` knows, NeuRRAM once for each of its resolutions.

    Examples
    --------
    >>> [(m.bits, round(m.energy_J * 1e15)) for m in published_machines() if m.name == "NeuRRAM, 130 nm"][-3:]
    [(8, 218), (9, 257), (10, 308)]
    """
    known = inputs()
    source = known["neurram"]["published"]["source"]
    measured = (Machine("NeuRRAM, 130 nm", "measured", p.out_bits, 2 * p.total_J_per_op, source) for p in neurram_published())
    return (*measured, *(Machine(**machine) for machine in known["machine"]))
