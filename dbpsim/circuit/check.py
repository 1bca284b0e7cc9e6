"""Holding a deck that ngspice ran against our own integration of the same equations.

Voltages are compared at ngspice's own time points, in units of full scale, the largest |v| of all nodes; gradients at the
last one, ||g - g_ref|| / ||g_ref|| of the worst parameter array.  Our integration is SciPy's on the circuit's own equations, to
which `settle` is held by a test (1e-9): ngspice, SciPy and our kernels make three.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from dbpsim.circuit.dense import DenseCircuit, gradients, integrate
from dbpsim.circuit.netlist import deck, nodes
from dbpsim.circuit.ngspice import run_ngspice

_FLOOR = 1e-3  # of the largest array's gradient: what a smaller one is held to


@dataclass(frozen=True)
class DeckCheck:
    """How far ngspice and we are apart.

    Attributes
    ----------
    voltage : float
        Largest deviation of a node at any time, of full scale.
    gradient : float
        Largest relative error of a parameter's gradient at the end.
    full_scale_V, stop_s : float
    points, nodes : int
    allowed : float
    holds : bool
    """

    voltage: float
    gradient: float
    full_scale_V: float
    stop_s: float
    points: int
    nodes: int
    allowed: float
    holds: bool

    def __str__(self) -> str:
        return (
            f"ngspice against our integration, {self.nodes} nodes, {self.points} time points to {self.stop_s:.3g} s: "
            f"voltages within {self.voltage:.1e} of full scale ({self.full_scale_V:.3g} V), "
            f"gradients within {self.gradient:.1e}; allowed {self.allowed:.0e}: {'holds' if self.holds else 'DOES NOT HOLD'}"
        )

    def to_dict(self) -> dict[str, float | int | bool]:
        """Return the fields as plain data."""
        return asdict(self)


def check_deck(
    circuit: DenseCircuit, *, allowed: float = 1e-3, stop_s: float | None = None, timeout_s: float = 120.0
) -> DeckCheck:
    """Run the deck of `circuit` in ngspice and compare all compartments over the transient.

    Raises
    ------
    ValueError
        If ngspice is not there or fails.
    """
    run = run_ngspice(deck(circuit, stop_s=stop_s), timeout_s=timeout_s)
    names = nodes(circuit)
    times = run.columns(["time"])[:, 0]
    theirs = run.columns([f"v({name})" for name in names])
    wanted = circuit.settling_s if stop_s is None else stop_s
    if times[-1] < 0.999999 * wanted:
        raise ValueError(f"ngspice: stopped at {times[-1]:g} s of {wanted:g} s.")
    ours = integrate(circuit, times)
    full_scale = float(np.abs(ours).max())
    voltage = float(np.abs(ours - theirs).max() / full_scale) if full_scale else float(np.abs(theirs).max())
    exact, found = gradients(circuit, ours[-1]), gradients(circuit, theirs[-1])
    floor = _FLOOR * max(np.linalg.norm(g) for g in exact.values()) or 1.0
    gradient = float(max(np.linalg.norm(found[n] - g) / max(np.linalg.norm(g), floor) for n, g in exact.items()))
    holds = voltage <= allowed and gradient <= allowed
    return DeckCheck(voltage, gradient, full_scale, float(times[-1]), len(times), len(names), allowed, holds)
