"""Effective conductances after a few changes: beside the array solved anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dbpsim.crossbar import changed_cells
from dbpsim.crossbar.changed_cells import updated_effective_conductance
from dbpsim.crossbar.wires import Wires, effective_conductance

WIRES = Wires(1.0, 2.0, 50.0, 30.0)


@settings(max_examples=25, deadline=None)
@given(
    shape=some.tuples(some.integers(3, 40), some.integers(3, 40)), share=some.floats(0, 0.5), ohm=some.floats(0.01, 300),
    seed=some.integers(0, 99),
)  # fmt: skip
def test_updates_are_what_a_new_solve_gives(shape, share, ohm, seed):
    random = np.random.default_rng(seed)
    g, wires = random.uniform(1e-6, 1e-4, shape), Wires(ohm, 2 * ohm, 10.0, 5.0)
    at = np.unravel_index(random.permutation(g.size)[: int(share * min(shape))], shape)
    values = random.choice([0.0, 1e-6, 1e-4, 1e-3], len(at[0]))  # cells that were there are taken out, and made far larger
    before, after = effective_conductance(g, wires), g.copy()
    after[at] = values
    expected = effective_conductance(after, wires)
    found = updated_effective_conductance(g, before, at, values, wires)
    assert np.abs(found - expected).max() <= 1e-10 * np.abs(expected).max()


def test_few_changes_are_not_solved_anew(monkeypatch):
    random = np.random.default_rng(0)
    g = random.uniform(1e-5, 1e-4, (50, 60))
    before = effective_conductance(g, WIRES)
    monkeypatch.setattr(changed_cells, "effective_conductance", lambda *rest: pytest.fail("solved anew"))
    rows, columns = random.permutation(50)[:10], random.permutation(60)[:10]
    found = updated_effective_conductance(g, before, (rows, columns), np.full(10, 2e-4), WIRES)
    assert np.abs(found - before).max() > 1e-5


@pytest.mark.parametrize(
    ("rows", "columns", "values", "word"),
    [
        ([0], [5], [1e-4], "outside"),
        ([-1], [0], [1e-4], "outside"),
        ([0, 0], [1, 1], [1e-4, 1e-4], "twice"),
        ([0], [1], [-1e-4], "negative"),
        ([0], [1, 2], [1e-4], "columns"),
    ],
)
def test_bad_changes_are_named(rows, columns, values, word):
    g = np.full((4, 5), 1e-4)
    with pytest.raises(ValueError, match=word):
        updated_effective_conductance(g, g, (rows, columns), values, WIRES)
