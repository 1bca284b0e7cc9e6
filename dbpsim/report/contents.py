"""What a report is made from: results that are there, None where there are none.  Sections make pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dbpsim.chip import Chip
from dbpsim.cost.comparison import Comparison
from dbpsim.cost.components import Components
from dbpsim.cost.constants import figures
from dbpsim.cost.limits import Limit, physical_limits
from dbpsim.cost.table import CostTable
from dbpsim.cost.uncertainty import Uncertainty
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
    fidelity, training, cost, uncertainty, comparison : optional
    components : Components, optional
        The library `cost` was worked out with.
    ranges : dict
        5th, 50th and 95th percentile of a sample's energy (J) by mode of `comparison`.
    settling : array, optional
        Seconds each sample takes to settle; nan where it does not.
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
    uncertainty: Uncertainty | None
    comparison: Comparison | None
    ranges: dict[str, tuple[float, float, float]]
    settling: np.ndarray | None
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

    @property
    def bits(self) -> float:
        """Resolution of a read: that of the converters, of the comparison where there are none, else 8."""
        adc = None if self.chip is None else self.chip.hardware.adc
        if adc is not None and adc.levels:
            return int(adc.bits)
        return 8 if self.comparison is None else self.comparison.setting.bits

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What physics asks of a multiply-accumulate on this chip's tiles."""
        return () if self.chip is None else physical_limits(self.bits, self.chip.hardware.tile.rows)

    @property
    def units(self) -> dict[str, str]:
        """Unit of every figure of the library."""
        return {} if self.components is None else {figure.path: figure.unit for figure in figures(self.components)}
