"""From activity to joules and seconds."""

from dbpsim.cost.components import Components, load_components
from dbpsim.cost.estimate import CostTable, cost, estimate

__all__ = ["Components", "CostTable", "cost", "estimate", "load_components"]
