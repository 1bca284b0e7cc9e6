"""Provenance: what was run, with what, how to run it again and how to cite it."""

from __future__ import annotations

from dbpsim.report.contents import Contents
from dbpsim.report.elements import Column, Section, Table
from dbpsim.report.provenance import citation

_COLUMNS = (Column("name", "name"), Column("value", "value", prose=True))


def provenance_section(contents: Contents) -> Section:
    """Return settings, versions, the command and the citation."""
    found = contents.provenance
    settings = [[name, str(value)] for name, value in contents.facts.items() if value is not None]
    versions = [["dbpsim", found["dbpsim"]], ["commit", found["commit"] or "no checkout"], ["Python", found["python"]]]
    versions += [[name, version] for name, version in found["packages"].items()]
    versions += [[name, str(value)] for name, value in contents.environment.items()]
    code = [("Cite this", citation(found))]
    if contents.command:
        code.insert(0, ("To make this report again", contents.command))
    return Section(
        "provenance", "Provenance",
        tables=[Table("settings", "What was run.", _COLUMNS, settings), Table("versions", "With what.", _COLUMNS, versions)],
        code=code, data=found,
    )  # fmt: skip
