import dbpsim

project = "dbpsim"
author = "The dbpsim developers"
release = dbpsim.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
html_theme = "furo"
exclude_patterns = ["_build", "reference"]  # notes, read as files
numpydoc_show_class_members = False
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # the README links to files beside it
