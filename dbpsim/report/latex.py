r"""The tables of a report as LaTeX, for booktabs: \input{tables.tex}, with \usepackage{booktabs} in the preamble."""

from __future__ import annotations

from collections.abc import Sequence

from dbpsim.report.elements import Section, Table

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "µ": r"\ensuremath{\mu}", "²": r"\textsuperscript{2}", "Ω": r"\ensuremath{\Omega}",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Return `text` so that LaTeX prints it as it stands; what its standard fonts lack becomes a question mark.

    Examples
    --------
    >>> print(escaped("conv_1 & 50 % of 3 µm²"))
    conv\_1 \& 50 \% of 3 \ensuremath{\mu}m\textsuperscript{2}
    """
    return "".join(_ESCAPES.get(c, c if " " <= c <= "~" else " " if c.isspace() else "?") for c in text)


def latex(sections: Sequence[Section]) -> str:
    """Return every table of `sections` whose entries are short, as `table` environments."""
    tables = [table for section in sections for table in section.tables if not any(c.prose or c.group for c in table.columns)]
    return "% \\usepackage{booktabs}\n\n" + "\n".join(map(_environment, tables))


def _environment(table: Table) -> str:
    sides = "".join("r" if number else "l" for number in table.numeric)
    lines = ["\\begin{table}", "\\centering\\small", f"\\caption{{{escaped(table.caption)}}}"]
    lines += [f"\\begin{{tabular}}{{{sides}}}", "\\toprule"]
    lines.append(_row([column.label for column in table.shown]))
    lines.append("\\midrule")
    for texts in table.texts:
        if texts[0] in ("total", "all"):
            lines.append("\\midrule")
        lines.append(_row(texts))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _row(texts: Sequence[str]) -> str:
    return " & ".join(map(escaped, texts)) + r" \\"
