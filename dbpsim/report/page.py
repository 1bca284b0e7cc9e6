"""The page itself: one HTML file with its styles and drawings inside; every text from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup

from dbpsim.report.elements import Section

_NAMED = re.compile(r'(\bid="|href="#|url\(#)')


def page(title: str, verdict: Sequence[tuple[str, str]], sections: Sequence[Section], drawings: Mapping[str, str]) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
    verdict : sequence of (heading, sentence)
    sections : sequence of Section
    drawings : mapping of str to str
        SVG of every figure, by its name.
    """
    source = resources.files("dbpsim.report").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    inline = {name: Markup(_own_names(svg, name)) for name, svg in drawings.items()}  # matplotlib escapes
    return template.render(title=title, verdict=verdict, sections=sections, drawings=inline)


def _own_names(svg: str, name: str) -> str:
    # Drawings share one document: their clips and glyphs must not be named alike.
    return _NAMED.sub(rf"\g<1>{name}-", svg)
