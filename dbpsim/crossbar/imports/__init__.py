"""Hardware from other simulators' files, with a report field by field: aihwkit's configurations, CrossSim's parameters."""

from dbpsim.crossbar.imports.aihwkit import import_aihwkit
from dbpsim.crossbar.imports.aihwkit_tables import aihwkit_presets
from dbpsim.crossbar.imports.crosssim import import_crosssim
from dbpsim.crossbar.imports.ledger import ImportedField, ImportReport

__all__ = ["ImportReport", "ImportedField", "aihwkit_presets", "import_aihwkit", "import_crosssim"]
