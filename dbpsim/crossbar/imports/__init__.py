"""Hardware from other simulators' files (aihwkit's presets and rpu-configs), with a report, field by field."""

from dbpsim.crossbar.imports.aihwkit import import_aihwkit
from dbpsim.crossbar.imports.aihwkit_tables import aihwkit_presets
from dbpsim.crossbar.imports.ledger import ImportedField, ImportReport

__all__ = ["ImportReport", "ImportedField", "aihwkit_presets", "import_aihwkit"]
