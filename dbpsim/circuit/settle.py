"""A network settles in continuous time: the free-running circuit of two RC nodes a neuron.

    tau dx/dt = f(m) - x + b/2       tau dz/dt = f(m) - z - b/2        m = (x + z)/2, s = x - z   (midpoint)

(arXiv:2602.02281; the split coupling is in `credit.dynamics`).  Equal to tau dm/dt = f - m, tau ds/dt = b - s.  A linear
chain of unit weights settles by Erlang's law: m_l(t) = P(l, t/tau), s_l(t) = P(2L - l + 1, t/tau) times what it settles at.
The drives come from `credit.field`, so any network and any chip settles.  States are float64; drives have the network's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbpsim.circuit.integrators import dormand_prince, exponential_euler, next_step
from dbpsim.credit.backprop import Arrays, in_order
from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.field import drive_and_feedback, loss_feedback
from dbpsim.credit.relax import starting_pair
from dbpsim.credit.settling import relative, time_to
from dbpsim.network.graph import Network

METHODS = ("exponential_euler", "dormand_prince")
_SLACK = 4.0  # as in `relax`: times the unit chain's settling time before a network counts as not settling
_LEAST = 1e-9  # in tau: a controller that asks for less cannot meet its tolerance
_FLOOR = 1e-3  # a stage's error is held to its own size, or to this part of the network's settled activation or cost gradient


class IntegrationError(RuntimeError):
    """Settling failed; `time` (s) and `stage` are where, `partial` what there was (a `Settling`)."""

    def __init__(self, message: str, time: float, stage: str, partial: Settling) -> None:
        super().__init__(message)
        self.time = time
        self.stage = stage
        self.partial = partial


@dataclass(frozen=True)
class Trajectory:
    """What was recorded: `time` (s), shape (T,), and by stage `activations` and `stress`, each of shape (T, N, ...)."""

    time: np.ndarray
    activations: Arrays = field(repr=False)
    stress: Arrays = field(repr=False)


@dataclass(frozen=True)
class Settling:
    """What `settle` returns.

    Attributes
    ----------
    time : float
        Reached, in seconds.
    loss : float
    gradients : dict of str to array
        dC/dtheta as read at that time, named as in ``network.parameters``.
    settling_time : dict of str to float
        By stage, seconds after which activation and stress stay within the tolerance (1e-4 if none was given) of their
        targets, interpolated between steps; nan if they are not within it at the end.
    residual : dict of str to float
        By stage, the larger relative distance of activation and stress from their targets at the end.
    steps, rejected, evaluations : int
        Accepted steps, refused ones, and evaluations of the whole network in both directions.
    method, coupling, states : str
    activations, stress : dict of str to array
        m and s at the end.
    trajectory : Trajectory or None
    """

    time: float
    loss: float
    gradients: Arrays = field(repr=False)
    settling_time: dict[str, float]
    residual: dict[str, float]
    steps: int
    rejected: int
    evaluations: int
    method: str
    coupling: str
    states: str
    activations: Arrays = field(repr=False)
    stress: Arrays = field(repr=False)
    trajectory: Trajectory | None = field(default=None, repr=False)


def settle(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    tau: float,
    t_stop: float | None = None,
    tolerance: float | None = None,
    method: str = "dormand_prince",
    step: float | None = None,
    accuracy: float | None = None,
    max_steps: int = 100_000,
    states: str = "ms",
    coupling: str = "midpoint",
    init: str | tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] = "zero",
    seed: int = 0,
    record: bool = False,
) -> Settling:
    """Return loss and gradient that a free-running circuit has reached, and when.

    Parameters
    ----------
    network : Network or Chip
    x, y : arrays
        As in `relax`.
    tau : float
        Time constant of a compartment, seconds.
    t_stop : float, optional
        Seconds to integrate.  With `tolerance`: the most there may be.
    tolerance : float, optional
        Stop when every stage's activation and stress are within it of their targets, relative to their norms.  By
        default, without `t_stop`, 1e-4; a noisy chip then runs for the time in which the unit chain settles to 1e-4.
    method : {"dormand_prince", "exponential_euler"}
        Adaptive steps of fifth order, or fixed steps of first order that are exact for the leak.
    step : float, optional
        Seconds of a fixed step (tau / 10), or of the first adaptive one (tau / 100).
    accuracy : float, optional
        Relative error allowed to an adaptive step; 1e-6 (float32: 1e-5) or a tenth of `tolerance`, whichever is less.
    max_steps : int
        Steps tried, accepted or not.
    states : {"ms", "xz"}
        What a neuron holds.
    coupling : {"midpoint", "split"}
    init : {"zero", "random"} or pair of mappings (x0, z0)
    seed : int
        Seed of a random start.
    record : bool
        Keep the trajectory, one entry a step.

    Raises
    ------
    ValueError
        For arguments out of range, or adaptive steps on hardware whose reads are noisy.
    IntegrationError
        If a state becomes infinite or nan, the accuracy or the tolerance cannot be met: with time, stage, partial result.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> run = settle(mlp(4, 8, 3), np.ones((2, 4)), np.array([0, 2]), tau=1e-8, tolerance=1e-4)
    >>> bool(5e-8 < run.time < 3e-7), sorted(run.settling_time)
    (True, ['dense1', 'dense2'])
    """
    frame = Coordinates(states, coupling)
    _positive(tau=tau, t_stop=t_stop, tolerance=tolerance, step=step, accuracy=accuracy)
    if method not in METHODS:
        raise ValueError(f"method: found {method!r}; accepted: {', '.join(METHODS)}.")
    if max_steps < 1:
        raise ValueError(f"max_steps: found {max_steps}; accepted: at least 1.")
    if tolerance is not None and tolerance >= 1:
        raise ValueError(f"tolerance: found {tolerance}; accepted: between 0 and 1.")
    if network.noisy and method == "dormand_prince":
        raise ValueError(
            "method: found dormand_prince with noisy reads, whose error no step lowers; accepted: exponential_euler."
        )
    if tolerance is None and t_stop is None:
        if network.noisy:
            t_stop = tau * time_to(1e-4, network.depth)
        else:
            tolerance = 1e-4
    stop = _SLACK * time_to(tolerance or 1e-4, network.depth) if t_stop is None else t_stop / tau
    if accuracy is None:
        accuracy = min(1e-6 if network.dtype == np.float64 else 1e-5, (tolerance or 1.0) / 10)
    x = network.as_input(x)
    x0, z0 = starting_pair(network, len(x), init, seed)
    run = _Run(network, x, y, frame, tau, tolerance, method, x0, z0, record)
    h = (0.1 if method == "exponential_euler" else 0.01) if step is None else step / tau
    run.to(stop, h, accuracy, max_steps)
    return run.result()


def _positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name}: found {value}; accepted: a finite number above 0.")


class _Run:
    """The state on its way: one vector that holds the first of the pair of every stage, then the second."""

    def __init__(
        self, network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, tau: float, tolerance: float | None,
        method: str, x0: Arrays, z0: Arrays, record: bool,
    ) -> None:  # fmt: skip
        self.network, self.x, self.y, self.frame, self.tau = network, x, y, frame, tau
        self.tolerance, self.method, self.record = tolerance, method, record
        self.names = [stage.name for stage in network.stages]
        self.shapes = {k: x0[k].shape for k in self.names}
        self.ends = np.cumsum([x0[k].size for k in self.names])
        self.t, self.steps, self.rejected, self.evaluations = 0.0, 0, 0, 0
        pair = {k: (x0[k].astype(float), z0[k].astype(float)) for k in self.names}
        if frame.held == "ms":
            pair = {k: Coordinates("xz", frame.coupling).read(*held) for k, held in pair.items()}
        self.least = self._least() if method == "dormand_prince" else (0.0, 0.0)
        self.v = self._flat(pair)
        self.slope = self._slope(self.v)
        self.times: list[float] = []
        self.residuals: list[dict[str, float]] = []
        self.kept: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []
        self._look()

    def _least(self) -> tuple[float, float]:
        # from zero the stress grows as a high power of time: held to its own size no first step would be small enough
        m = self.network.evaluate(self.x).values
        s = loss_feedback(self.network, self.y, m[self.network.output], 1.0)
        return _FLOOR * max(_rms(a.astype(float)) for a in m.values()), _FLOOR * _rms(s.astype(float))

    def _flat(self, pair: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.concatenate([pair[k][side].ravel() for side in (0, 1) for k in self.names])

    def _read(self, v: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        half = len(v) // 2
        first, second = np.split(v[:half], self.ends[:-1]), np.split(v[half:], self.ends[:-1])
        return {
            k: self.frame.read(a.reshape(self.shapes[k]), b.reshape(self.shapes[k]))
            for k, a, b in zip(self.names, first, second, strict=True)
        }

    def _cast(self, v: np.ndarray) -> tuple[Arrays, Arrays]:
        dtype, pairs = self.network.dtype, self._read(v)
        return {k: m.astype(dtype) for k, (m, _) in pairs.items()}, {k: s.astype(dtype) for k, (_, s) in pairs.items()}

    def _slope(self, v: np.ndarray) -> np.ndarray:
        self.evaluations += 1
        at, b = drive_and_feedback(self.network, self.x, self.y, *self._cast(v))
        aims = {k: self.frame.pair(at.values[k].astype(float), b[k].astype(float)) for k in self.names}
        return self._flat(aims) - v

    def _look(self) -> None:
        """Note time and residuals, and the state where it is recorded."""
        change, target = self._read(self.slope), self._read(self.v + self.slope)
        self.times.append(self.t)
        off = {k: [relative(_square(c), _square(a)) for c, a in zip(change[k], target[k], strict=True)] for k in self.names}
        self.residuals.append({k: float(np.max(both)) for k, both in off.items()})
        if self.record:
            self.kept.append({k: (m.copy(), s.copy()) for k, (m, s) in self._read(self.v).items()})

    def to(self, stop: float, h: float, accuracy: float, max_steps: int) -> None:
        """Move on to time `stop` (in tau), or until the tolerance is met."""
        before = 1.0
        while self.t < stop * (1 - 1e-12) and not self._settled():
            worst = max(self.residuals[-1], key=self.residuals[-1].__getitem__)
            if self.steps + self.rejected >= max_steps:
                self._fail(worst, f"not done after {max_steps} steps. Allow more, or a larger step, accuracy or tolerance.")
            taken = min(h, stop - self.t)
            if self.method == "exponential_euler":
                v = exponential_euler(self.v, self.slope, taken)
                slope, error = self._slope(v), 0.0
            else:
                v, estimate, slope = dormand_prince(self._slope, self.v, self.slope, taken)
                error, worst = self._error(estimate, v, accuracy)
                self._refuse_small(taken, error, accuracy, worst)
                h = next_step(taken, error, before)
            if error > 1.0:
                self.rejected += 1
                continue
            self._refuse_nan(v, slope)
            self.v, self.slope, before = v, slope, error
            self.t += taken
            self.steps += 1
            self._look()
        if self.tolerance is not None and not self._settled():
            worst = max(self.residuals[-1], key=self.residuals[-1].__getitem__)
            self._fail(worst, f"residual {self.residuals[-1][worst]:.1e}; accepted: {self.tolerance:.1e}. Allow more time.")

    def _settled(self) -> bool:
        return self.tolerance is not None and max(self.residuals[-1].values()) <= self.tolerance

    def _error(self, estimate: np.ndarray, v: np.ndarray, accuracy: float) -> tuple[float, str]:
        """Return the largest error of a stage over what is allowed, and the stage; activation and stress each by itself."""
        errors, now, then = self._read(estimate), self._read(self.v), self._read(v)
        found: dict[str, float] = dict.fromkeys(self.names, 0.0)
        for side in (0, 1):
            sizes = {k: max(_rms(now[k][side]), _rms(then[k][side])) for k in self.names}
            for k in self.names:
                wrong = _rms(errors[k][side])
                if not np.isfinite(wrong) or not np.isfinite(sizes[k]):
                    return 1e9, k
                if wrong > 0:
                    found[k] = max(found[k], wrong / (accuracy * max(sizes[k], self.least[side]) + 1e-300))
        worst = max(found, key=found.__getitem__)
        return found[worst], worst

    def _refuse_small(self, taken: float, error: float, accuracy: float, stage: str) -> None:
        if error > 1.0 and taken < _LEAST:
            self._fail(stage, f"a step of {taken * self.tau:.1e} s misses the accuracy {accuracy:.1e} by {error:.1e} times.")

    def _refuse_nan(self, v: np.ndarray, slope: np.ndarray) -> None:
        if np.isfinite(v).all() and np.isfinite(slope).all():
            return
        sums = self._read(v + slope)
        bad = next((k for k in self.names if not all(np.isfinite(part).all() for part in sums[k])), self.names[-1])
        self._fail(bad, "the state became infinite or nan; accepted: finite states. Lower the scale of the weights, or the step.")

    def _fail(self, stage: str, why: str) -> None:
        now = self.t * self.tau
        raise IntegrationError(f"settle: at {now:.4g} s, stage {stage}: {why}", now, stage, self.result())

    def result(self) -> Settling:
        """Read loss and gradients off the state."""
        network = self.network
        m, s = self._cast(self.v)
        at = network.evaluate(self.x, m)
        found: Arrays = {}
        for stage in network.stages:
            _, own = stage.pullback(at.memory[stage.name], s[stage.name], inputs=False, gradients=True)
            found |= {f"{stage.name}.{key}": value for key, value in own.items()}
        return Settling(
            time=self.t * self.tau, loss=network.loss.value(m[network.output], self.y),
            gradients=in_order(network, found, 1.0), settling_time={k: self._time_of(k) for k in self.names},
            residual=self.residuals[-1], steps=self.steps, rejected=self.rejected, evaluations=self.evaluations,
            method=self.method, coupling=self.frame.coupling, states=self.frame.held, activations=m, stress=s,
            trajectory=self._trajectory(),
        )  # fmt: skip

    def _time_of(self, name: str) -> float:
        wanted = self.tolerance or 1e-4
        r = np.array([found[name] for found in self.residuals])
        above = np.flatnonzero(~(r <= wanted))
        if len(above) == 0:
            return 0.0
        last = int(above[-1])
        if last == len(r) - 1:
            return float("nan")
        t0, t1 = self.times[last], self.times[last + 1]
        high, low = np.log(r[last]), np.log(max(r[last + 1], 1e-300))
        share = 1.0 if not np.isfinite(high) or high == low else (high - np.log(wanted)) / (high - low)
        return float((t0 + share * (t1 - t0)) * self.tau)

    def _trajectory(self) -> Trajectory | None:
        if not self.record:
            return None
        parts: Any = [{k: np.stack([state[k][side] for state in self.kept]) for k in self.names} for side in (0, 1)]
        return Trajectory(np.array(self.times) * self.tau, *parts)


def _square(a: np.ndarray) -> float:
    return float(np.vdot(a, a))


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.vdot(a, a) / a.size))
