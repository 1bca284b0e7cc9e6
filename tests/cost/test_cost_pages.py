"""docs/components.md, docs/limits.md and docs/nodes.md are what their scripts write."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["components", "limits", "nodes"])
def test_the_page_is_what_the_model_says(name):
    spec = importlib.util.spec_from_file_location(f"{name}_page", DOCS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.page()
    text = page if isinstance(page, str) else page[0]
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == text, f"run python3 docs/{name}.py"
