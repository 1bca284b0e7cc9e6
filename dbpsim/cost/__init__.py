"""From activity to joules, seconds and square metres."""

from dbpsim.cost.components import Components, list_components, load_components
from dbpsim.cost.constants import Figure, figures, with_values
from dbpsim.cost.estimate import cost, estimate
from dbpsim.cost.table import CostTable

__all__ = [
    "Components", "CostTable", "Figure", "cost", "estimate", "figures", "list_components", "load_components", "with_values",
]  # fmt: skip
