"""Dyadic relaxation: the gradient of a network by letting its neurons settle.

Every neuron holds an activation m and a stress s (`dynamics`), is driven by f(m) and b (`field`), and moves by clocks of
rate eta.  At eta = 1 the activations are exact after `depth` clocks and the stress after 2 depth: backpropagation in
finite time (arXiv:2602.02281).

Two schedules compute it.  *Synchronous*: all neurons move at every clock, as hardware does; a clock costs one
evaluation of the whole network in both directions.  *Wavefront* (ours; eta = 1 only): a neuron whose inputs have not
changed stays where it is, and stress that the next clocks will overwrite is not computed.  What is left of the
2 depth clocks is one sweep forward and one back; the result is the synchronous schedule's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbpsim.credit.backprop import Arrays, activity_since, in_order, pull, read_gradients
from dbpsim.credit.dynamics import Coordinates, blend, stress_through_xz
from dbpsim.credit.field import drive_and_feedback, energy_of, loss_feedback
from dbpsim.credit.gain import automatic_gain
from dbpsim.credit.settling import StopTest, clocks_to, relative
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network

SCHEDULES = ("synchronous", "wavefront")
_Pair = tuple[np.ndarray, np.ndarray]
_SLACK = 4  # real networks may need this many times the clocks of the unit chain before they count as not settling
_TOLERANCE = {  # the relative residual at which rounding takes over, a factor of ten above it
    ("float64", "ms"): 1e-13,
    ("float64", "xz"): 1e-12,
    ("float32", "ms"): 2e-6,
    ("float32", "xz"): 2e-5,
}


class NotSettledError(RuntimeError):
    """The relaxation diverged or did not settle; `stage` is where, `run` what it had (None after nan)."""

    def __init__(self, message: str, stage: str, run: Relaxation | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.run = run


@dataclass(frozen=True)
class History:
    """What was recorded, one entry a step: dicts by stage for `residual` and `stress` (the norm of s), floats for `energy`."""

    residual: list[dict[str, float]] = field(default_factory=list)
    stress: list[dict[str, float]] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Relaxation:
    """What `relax` returns.

    Attributes
    ----------
    loss : float
        C at the activations reached.
    gradients : dict of str to array
        dC/dtheta, named as in ``network.parameters``.
    steps : int
        Clocks.
    residual : float
        The largest relative distance of a stage's activation or stress from its target at the last clock; nan where
        the schedule did not look (wavefront).
    gain : float
        The factor on the cost under which the stress was held; the gradients are already divided by it.
    activations, stress : dict of str to array
        m and s (divided by the gain) of every stage, if recorded.
    history : History or None
    output, statistics, activity
        As in `Backprop`.
    """

    loss: float
    gradients: Arrays = field(repr=False)
    steps: int
    residual: float
    gain: float
    eta: float
    coupling: str
    coordinates: str
    schedule: str
    output: np.ndarray = field(repr=False)
    statistics: Arrays = field(repr=False)
    activations: Arrays = field(default_factory=dict, repr=False)
    stress: Arrays = field(default_factory=dict, repr=False)
    history: History | None = field(default=None, repr=False)
    activity: Any = field(default=None, repr=False)


def relax(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    eta: float = 1.0,
    coupling: str = "midpoint",
    coordinates: str = "ms",
    schedule: str = "synchronous",
    gain: float | str = "auto",
    eps: float | None = None,
    stop: str = "relative",
    max_steps: int | None = None,
    init: str | tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] = "zero",
    record: bool = False,
    seed: int = 0,
) -> Relaxation:
    """Return the loss and its gradient, by relaxation.

    Parameters
    ----------
    network : Network
        Or a `Chip`, whose weight operators are simulated crossbars.
    x : array, shape (N, ...)
        Clamped.
    y : array
        N labels, or targets shaped like the output.
    eta : float
        Rate of a clock, 0 < eta < 2: eta = 1 - exp(-T / tau) for sample-and-hold hardware of period T.
    coupling : {"midpoint", "split"}
    coordinates : {"ms", "xz"}
        What a neuron holds; "xz" is the hardware's pair, "ms" loses no digits.
    schedule : {"synchronous", "wavefront"}
        "wavefront" needs eta = 1.
    gain : float or "auto"
        Factor on the cost during the relaxation.
    eps : float, optional
        Tolerance of the stop test.  By default there is none at eta = 1 (exactly 2 depth steps are made), nor on hardware
        whose reads are noisy (the settling law gives the steps for 1e-4); else it is set by the dtype.
    stop : {"relative", "absolute"}
        See `StopTest`.
    max_steps : int, optional
        Without `eps`: exactly this many steps.  With it: the most there may be.
    init : {"zero", "random"} or pair of mappings (x0, z0)
        The start.  It does not matter at equilibrium (theory, fact 1).
    record : bool
        Keep the history and the final state.
    seed : int
        Seed of a random start.

    Raises
    ------
    ValueError
        For arguments out of range, or data that do not fit the network.
    NotSettledError
        If a state becomes infinite or nan, or the tolerance is not met within `max_steps`.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> net, x, y = mlp(4, 8, 3), np.ones((2, 4)), np.array([0, 2])
    >>> relax(net, x, y).steps
    4
    """
    frame = Coordinates(coordinates, coupling)
    x = network.as_input(x)
    before = network.activity
    plan = _plan(network, frame, eta, schedule, eps, stop, max_steps)
    gamma = _gain(gain, network, x, y, frame)
    run = _wavefront if schedule == "wavefront" else _synchronous
    start = None if schedule == "wavefront" else starting_pair(network, len(x), init, seed)
    found = run(network, x, y, frame, plan, gamma, start, record)
    return Relaxation(
        gain=gamma, eta=eta, coupling=coupling, coordinates=coordinates, schedule=schedule,
        activity=activity_since(network, before), **found,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    eta: float
    most: int
    test: StopTest | None


def _plan(
    network: Network, frame: Coordinates, eta: float, schedule: str, eps: float | None, stop: str, max_steps: int | None
) -> _Plan:
    """Settle how many steps there are and what ends them."""
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: found {schedule!r}; accepted: {', '.join(SCHEDULES)}.")
    exact = 2 * network.depth
    law = clocks_to(1e-4, eta, network.depth)
    if max_steps is not None and not (isinstance(max_steps, int | np.integer) and max_steps >= 1):
        raise ValueError(f"max_steps: found {max_steps!r}; accepted: an integer, at least 1.")
    if schedule == "wavefront":
        if eta != 1.0 or eps is not None or max_steps not in (None, exact):
            raise ValueError("schedule 'wavefront' is the unit step's: it needs eta=1 and makes exactly 2 depth steps.")
        return _Plan(eta, exact, None)
    if eps is None and max_steps is not None:
        return _Plan(eta, max_steps, None)
    if eps is None and eta == 1.0:
        return _Plan(eta, exact, None)
    if eps is None and network.noisy:
        return _Plan(eta, law, None)
    tolerance = _TOLERANCE[network.dtype.name, frame.held] if eps is None else eps
    test = StopTest(stop, tolerance)
    most = _SLACK * max(clocks_to(min(tolerance, 0.1), eta, network.depth), law) if max_steps is None else max_steps
    return _Plan(eta, most, test)


def _gain(gain: float | str, network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates) -> float:
    if gain == "auto":
        return automatic_gain(network, x, y) if frame.held == "xz" else 1.0
    if isinstance(gain, str) or not 0 < gain < np.inf:
        raise ValueError(f"gain: found {gain!r}; accepted: 'auto' or a positive number.")
    return float(gain)


def starting_pair(network: Network, n: int, init: Any, seed: int) -> tuple[Arrays, Arrays]:
    """Return x0 and z0 of every stage."""
    shapes = {stage.name: (n, *stage.shape) for stage in network.stages}
    if init == "zero":
        return ({k: np.zeros(v, network.dtype) for k, v in shapes.items()},) * 2
    if init == "random":
        return tuple(  # type: ignore[return-value]
            {k: stream(seed, "start", which, k).standard_normal(v).astype(network.dtype) for k, v in shapes.items()}
            for which in ("x", "z")
        )
    if isinstance(init, str) or len(init) != 2:
        raise ValueError(f"init: found {init!r}; accepted: 'zero', 'random' or a pair of mappings (x0, z0).")
    for given in init:
        for name, shape in shapes.items():
            if name not in given or given[name].shape != shape:
                found = given[name].shape if name in given else "nothing"
                raise ValueError(f"init: stage {name}: found {found}; accepted: an array of shape {shape}.")
    return tuple({k: np.ascontiguousarray(given[k], network.dtype) for k in shapes} for given in init)  # type: ignore[return-value]


def _synchronous(
    network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, plan: _Plan, gamma: float, start: Any, record: bool
) -> dict[str, Any]:
    names = [stage.name for stage in network.stages]
    held = {k: _held(frame, start[0][k], start[1][k]) for k in names}
    history = History() if record else None
    residual: dict[str, float] = {}
    for step in range(1, plan.most + 1):
        m, s = frame.read_all(held)
        at, b = drive_and_feedback(network, x, y, m, s, gamma)
        moved = {k: _clock(frame, held[k], (m[k], s[k]), (at.values[k], b[k]), plan.eta) for k in names}
        held = {k: pair for k, (pair, _, _) in moved.items()}
        residual = {k: r for k, (_, r, _) in moved.items()}
        _refuse_nan(names, residual, step, plan.eta)
        if history is not None:
            history.residual.append(residual)
            history.stress.append({k: float(np.linalg.norm(s[k])) for k in names})
            history.energy.append(energy_of(network, y, at, m, s, gamma))
        squared_step = plan.eta**2 * sum(square for _, _, square in moved.values())
        settled = plan.test is not None and plan.test.met(residual, squared_step)
        if settled:
            break
    found = _readout(network, x, y, frame, held, gamma, record)
    found |= {"steps": step, "residual": max(residual.values()), "history": history}
    if plan.test is not None and not settled:
        worst = max(residual, key=residual.__getitem__)
        raise NotSettledError(
            f"stage {worst}: residual {residual[worst]:.1e} after {step} steps of eta={plan.eta}; "
            f"accepted: {plan.test.tolerance:.1e}. Allow more steps, a larger eps, or a smaller eta.",
            worst,
            Relaxation(gain=gamma, eta=plan.eta, coupling=frame.coupling, coordinates=frame.held,
                       schedule="synchronous", **found),
        )  # fmt: skip
    return found


def _held(frame: Coordinates, x0: np.ndarray, z0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if frame.held == "xz":
        return x0, z0
    return Coordinates("xz", frame.coupling).read(x0, z0)


def _clock(frame: Coordinates, held: _Pair, now: _Pair, aims: _Pair, eta: float) -> tuple[_Pair, float, float]:
    """Move one stage by one clock; return what it holds, its relative residual, and ||dx||^2 + ||dz||^2 at eta = 1.

    `now` and `aims` are (m, s) and (f, b): the residual is that of activation and stress each by itself, also where
    x and z are held, of which a small stress would be too small a part to notice.
    """
    targets = frame.pair(*aims)
    first, change_1, size_1 = blend(held[0], targets[0], eta)
    second, change_2, size_2 = blend(held[1], targets[1], eta)
    if frame.held == "xz":
        _, change_m, size_m = blend(now[0], aims[0], 1.0)
        _, change_s, size_s = blend(now[1], aims[1], 1.0)
        residual = float(np.maximum(relative(change_m, size_m), relative(change_s, size_s)))
        return (first, second), residual, change_1 + change_2
    share = frame.share
    cross = float(np.vdot(targets[0] - held[0], targets[1] - held[1])) * (2 * share - 1) * 2 if share != 0.5 else 0.0
    squared_step = 2 * change_1 + (share**2 + (1 - share) ** 2) * change_2 + cross
    # np.maximum rather than max, which would let a nan in the stress pass
    residual = float(np.maximum(relative(change_1, size_1), relative(change_2, size_2)))
    return (first, second), residual, squared_step


def _refuse_nan(names: list[str], residual: Mapping[str, float], step: int, eta: float) -> None:
    for name in names:
        if not np.isfinite(residual[name]) and not residual[name] == np.inf:
            raise NotSettledError(
                f"stage {name}: state became infinite or nan at step {step} with eta={eta}; accepted: finite states. "
                "Lower eta, the gain or the scale of the weights, or use float64.",
                name,
            )


def _readout(
    network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, held: Any, gamma: float, record: bool
) -> dict[str, Any]:
    """Read loss and gradients off the state."""
    m, s = frame.read_all(held)
    at = network.evaluate(x, m)
    gradients = read_gradients(network, at, s)
    return _result(network, y, gradients, m, s, network.statistics(at), gamma, record)


def _wavefront(
    network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, plan: _Plan, gamma: float, start: Any, record: bool
) -> dict[str, Any]:
    at = network.sweep(x, training=True)  # clocks 1 to depth: each stage when its inputs have just settled
    statistics = network.statistics(at)
    m = dict(at.values)
    s = {network.output: loss_feedback(network, y, m[network.output], gamma)}
    kept: Arrays = {}
    gradients: Arrays = {}
    for stage in reversed(network.stages):  # clocks depth + 1 to 2 depth
        name = stage.name
        if frame.held == "xz":
            s[name] = stress_through_xz(m[name], s[name], frame.share)
        pull(network, at, [stage], s, s, gradients)
        kept[name] = s.pop(name)
        if not record:
            del at.memory[name], kept[name]
    if not np.isfinite(m[network.output]).all() or not all(np.isfinite(g).all() for g in gradients.values()):
        bad = next((k for k, v in m.items() if not np.isfinite(v).all()), network.output)
        raise NotSettledError(f"stage {bad}: state became infinite or nan; accepted: finite states.", bad)
    found = _result(network, y, gradients, m, kept, statistics, gamma, record)
    return found | {"steps": plan.most, "residual": float("nan"), "history": None}


def _result(
    network: Network, y: np.ndarray, gradients: Arrays, m: Arrays, s: Arrays, statistics: Arrays, gamma: float, record: bool
) -> dict[str, Any]:
    output = m[network.output]
    return {
        "loss": network.loss.value(output, y),
        "gradients": in_order(network, gradients, gamma),
        "output": output,
        "statistics": statistics,
        "activations": m if record else {},
        "stress": {k: v / v.dtype.type(gamma) for k, v in s.items()} if record else {},
    }
