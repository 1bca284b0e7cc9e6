"""What a report is made from: results that are there, None where there are none.  Sections make pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbpsim.chip import Chip
from dbpsim.cost.components import Components
from dbpsim.cost.table import CostTable
from dbpsim.credit.backprop import Backprop
from dbpsim.credit.fidelity import Fidelity
from dbpsim.credit.relax import Relaxation
from dbpsim.network.graph import Network
from dbpsim.training.loop import TrainingResult


@dataclass(frozen=True)
class Contents:
    """The results of one run.

    Attributes
    ----------
    network : Network
        Or the `Chip` that ran.
    run : Relaxation or Backprop
    facts : dict
        Settings, by the name the page gives them.
    fidelity, training, cost : optional
    components : Components, optional
        The library `cost` was worked out with.
    provenance : dict
        Versions, seeds and the command (`dbpsim.report.provenance`).
    environment : dict
        Machine and threads: on the page and in provenance.json, but not in report.json, which does not depend on them.
    command : str, optional
    """

    network: Network
    run: Backprop | Relaxation
    facts: dict[str, Any]
    fidelity: Fidelity | None
    training: TrainingResult | None
    cost: CostTable | None
    components: Components | None
    provenance: dict[str, Any]
    environment: dict[str, Any]
    command: str | None

    @property
    def samples(self) -> int:
        """Samples of the batch."""
        return len(self.run.output)

    @property
    def chip(self) -> Chip | None:
        """The chip, where there is one."""
        return self.network if isinstance(self.network, Chip) else None
