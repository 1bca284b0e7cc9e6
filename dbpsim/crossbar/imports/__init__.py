"""Hardware from other simulators' files: aihwkit's presets and rpu-configs, CrossSim's parameters; with a report, field by field."""

from dbpsim.crossbar.imports.aihwkit import aihwkit_presets, import_aihwkit
from dbpsim.crossbar.imports.ledger import ImportedField, ImportReport

__all__ = ["ImportReport", "ImportedField", "aihwkit_presets", "import_aihwkit"]
