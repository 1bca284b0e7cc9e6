"""Crossbars whose cells conduct more at higher voltage, behind wires: Newton's method on the nodal equations.

    I = g V0 sinh(V / V0)          g the conductance at small voltage, V0 how far it reaches

is the law of cells that conduct by hopping or tunnelling through a gap.  At the voltages w across the cells a step of Newton
replaces every cell by its tangent, which is a linear array,

    conductance g cosh(w / V0)  beside a source of  g (w cosh(w / V0) - V0 sinh(w / V0))  into the word line

solved exactly by `dbpsim.crossbar.wires`.  Where a voltage rises, the next tangent is laid where the cell carries the current
that this one has found, not at the voltage, which overshoots (as circuit simulators do with diodes); the two agree to second
order.  Every input has tangents of its own: it costs as much as eight inputs of the linear array, times the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.wires import Network, Solution, Wires, checked, checked_voltages, solve_network, with_powers

_MOST = 50.0  # of |V| / V0: e^50 is beyond any cell
_TOLERANCE = 1e-11  # of the largest input
_LIMIT = 200


@dataclass(frozen=True)
class NonlinearSolution(Solution):
    """A `Solution`, and for each input how far (V) voltages across cells were at most from where each step laid the tangents."""

    changes: tuple[tuple[float, ...], ...]


def solve_nonlinear(conductances: np.ndarray, v0: float | np.ndarray, voltages: np.ndarray, wires: Wires) -> NonlinearSolution:
    """Solve the crossbar of cells I = g V0 sinh(V / V0) for `voltages` (batch, rows) V at its rows.

    Parameters
    ----------
    conductances : array (rows, columns), S
        At small voltage.
    v0 : float or array (rows, columns), V
    voltages : array (batch, rows), V
    wires : Wires

    Raises
    ------
    ValueError
        For a V0 that is not positive, or so small that |V| / V0 is above 50; for what `wires.solve` refuses.

    Examples
    --------
    >>> found = solve_nonlinear(np.array([[1e-3]]), 0.25, np.array([[1.0]]), Wires(100, 200, 300, 400))
    >>> across = 1 - 1000 * found.currents[0, 0]
    >>> bool(abs(1e-3 * 0.25 * np.sinh(across / 0.25) - found.currents[0, 0]) < 1e-12)
    True
    """
    g = checked(conductances)
    v, reach = checked_voltages(voltages, len(g)), np.asarray(v0, dtype=np.float64)
    if reach.shape not in ((), g.shape) or not (np.isfinite(reach).all() and (reach > 0).all()):
        raise ValueError(f"wires: v0 of shape {reach.shape}: accepted is one positive number, or {g.shape} of them")
    if np.abs(v).max(initial=0) > _MOST * reach.min():
        raise ValueError(f"wires: {np.abs(v).max():.3g} V at cells of v0 = {reach.min():.3g} V: accepted is up to {_MOST:g} v0")
    solved = [_newton(g, reach, one, wires) for one in v]
    empty = [np.zeros((0, n)) for n in (g.shape[1], g.shape[0])] + [np.zeros((0, *g.shape))] * 2
    parts = zip(empty, *(vars(network).values() for network, _ in solved), strict=True)
    found = Network(*(np.concatenate(part) for part in parts))
    cells = g * reach * np.sinh((found.row_voltages - found.column_voltages) / reach)
    return NonlinearSolution(**vars(with_powers(found, v, cells, wires)), changes=tuple(changes for _, changes in solved))


def _newton(g: np.ndarray, v0: np.ndarray, v: np.ndarray, wires: Wires) -> tuple[Network, tuple[float, ...]]:
    across, changes = np.zeros_like(g), list[float]()
    while True:
        x = across / v0
        slope = g * np.cosh(x)
        found = solve_network(slope, v[None], wires, True, (slope * across - g * v0 * np.sinh(x))[None])
        new = (found.row_voltages - found.column_voltages)[0]
        changes.append(float(np.abs(new - across).max()))
        if changes[-1] <= _TOLERANCE * np.abs(v).max():
            return found, tuple(changes)
        if len(changes) == _LIMIT:
            raise ValueError(f"wires: voltages of nonlinear cells still change by {changes[-1]:.2g} V after {_LIMIT} steps")
        held = v0 * np.arcsinh(np.sinh(x) + np.cosh(x) * (new / v0 - x))
        across = np.where(np.abs(new) > np.abs(across), held, new)
