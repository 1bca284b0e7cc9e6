"""The sections of a report, one function each, in the order of the page.

A section is a function of the `Contents` that returns a `Section`, or None where there is nothing to say.
"""

from collections.abc import Callable

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Section
from dbpsim.report.sections.assumptions import assumptions_section
from dbpsim.report.sections.comparison import comparison_section
from dbpsim.report.sections.cost import cost_section
from dbpsim.report.sections.gradient import fidelity_section
from dbpsim.report.sections.learning import training_section
from dbpsim.report.sections.limits import limits_section
from dbpsim.report.sections.settling import settling_section
from dbpsim.report.sections.sources import provenance_section
from dbpsim.report.sections.uncertainty import uncertainty_section
from dbpsim.report.sections.verdict import verdict

SECTIONS: tuple[Callable[[Contents], Section | None], ...] = (
    fidelity_section,
    training_section,
    cost_section,
    comparison_section,
    settling_section,
    uncertainty_section,
    limits_section,
    assumptions_section,
    provenance_section,
)

__all__ = ["SECTIONS", "verdict"]
