"""Neighbours of dyadic relaxation on a dense chain, each in minimal readable form: a dictionary of them."""

from dbpsim.studies.neighbours.dual import Dual
from dbpsim.studies.neighbours.dyadic import Dyadic
from dbpsim.studies.neighbours.equilibrium import Equilibrium
from dbpsim.studies.neighbours.predictive import Predictive
from dbpsim.studies.neighbours.settling import Method

METHODS: dict[str, Method] = {
    "dyadic": Dyadic(),
    "dual": Dual(),
    "equilibrium": Equilibrium(),
    "predictive": Predictive(),
    "predictive-clamped": Predictive(clamped=True),
    "predictive-fixed": Predictive(clamped=True, fixed=True),
}
