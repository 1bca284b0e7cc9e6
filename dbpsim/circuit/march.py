"""A network on its way to rest: the state between steps, its residuals, what ends it, and what is read off it.

`Run` moves by steps of `integrators`, all stages at once; `CollocationRun` by those of `collocation`, stage after stage.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dbpsim.circuit.collocation import LONGEST, Cascade, Step
from dbpsim.circuit.integrators import between, dormand_prince, exponential_euler, heun, next_step
from dbpsim.circuit.neuron import Neurons
from dbpsim.circuit.results import IntegrationError, Settling, Trajectory
from dbpsim.credit.backprop import Arrays, in_order, pull, read_gradients
from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.field import drive_and_feedback, loss_feedback
from dbpsim.credit.settling import relative
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network

_LEAST = 1e-9  # in tau: a controller that asks for less cannot meet its tolerance
_FLOOR = 1e-3  # a stage's error is held to its own size, or to this part of the network's settled activation or cost gradient
_LOOP = (
    "x and z of a neuron move at different rates, so that moving stress moves the activations and both keep each other going "
    "(theory.md, fact 9). Match the capacitors better, use smooth activations, or hold m and s (states = \"ms\")."
)
_STILL = 1e-2  # of tolerance and accuracy: how near its target a state stands still


class Run:
    """The state on its way: one vector that holds the first of the pair of every stage, then the second.

    Behind them, where amplifiers have a bandwidth, what the sum and the difference amplifier of every stage pass on.
    """

    def __init__(
        self, network: Network, x: np.ndarray, y: np.ndarray, frame: Coordinates, tau: float, tolerance: float | None,
        method: str, x0: Arrays, z0: Arrays, record: bool | np.ndarray, neurons: Neurons | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.neurons, self.random = neurons, stream(seed, "neuron noise")
        self.network, self.x, self.y, self.frame, self.tau = network, x, y, frame, tau
        self.tolerance, self.method, self.record = tolerance, method, record is True
        self.wanted = list(record) if isinstance(record, np.ndarray) else []  # times (tau) at which states are kept, still ahead
        self.moments: list[float] = []
        self.names = [stage.name for stage in network.stages]
        self.shapes = {k: x0[k].shape for k in self.names}
        self.ends = np.cumsum([x0[k].size for k in self.names])
        self.t, self.steps, self.rejected, self.evaluations = 0.0, 0, 0, 0
        pair = {k: (x0[k].astype(float), z0[k].astype(float)) for k in self.names}
        if frame.held == "ms":
            pair = {k: Coordinates("xz", frame.coupling).read(*held) for k, held in pair.items()}
        # of the amplifiers, in 1 / tau; 0 where they follow at once
        self.band = 2 * np.pi * tau * (neurons.circuit.bandwidth_Hz or 0.0) if neurons is not None else 0.0
        self.late = 0  # steps that a signal takes to the next stage
        self.least = self._least() if method == "dormand_prince" else (0.0, 0.0)
        self.times: list[float] = []
        self.residuals: list[dict[str, float]] = []
        self.kept: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []
        self.v = self._flat(pair)
        self._begin()

    def _begin(self) -> None:
        self.rates: Any = 1.0
        if self.neurons is not None:
            own = self.neurons.rates
            whole = [[np.broadcast_to(own[k][side], self.shapes[k]) for k in self.names] for side in (0, 1)]
            self.rates = self._flat({k: (whole[0][i], whole[1][i]) for i, k in enumerate(self.names)})
            if self.band:
                self.rates = np.concatenate([self.rates, np.full(self.rates.size, self.band)])
                shown = {k: self.neurons.shown(k, self.frame.pair(*pair)) for k, pair in self._read(self.v).items()}
                self.v = np.concatenate([self.v, self._flat(shown)])
        self.past: deque[tuple[Arrays, Arrays]] = deque()
        self.slope = self._slope(self.v)
        self._look()

    def _least(self) -> tuple[float, float]:
        # from zero the stress grows as a high power of time: held to its own size no first step would be small enough
        m = self.network.evaluate(self.x).values
        s = loss_feedback(self.network, self.y, m[self.network.output], 1.0)
        return _FLOOR * max(_rms(a.astype(float)) for a in m.values()), _FLOOR * _rms(s.astype(float))

    def _flat(self, pair: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.concatenate([pair[k][side].ravel() for side in (0, 1) for k in self.names])

    def _read(self, v: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {k: self.frame.read(*pair) for k, pair in self._cut(v).items()}

    def _cut(self, v: np.ndarray, behind: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the first (or `behind` it the second) pair of states of every stage."""
        half = self.ends[-1]
        first, second = (np.split(v[k * half : (k + 1) * half], self.ends[:-1]) for k in (2 * behind, 2 * behind + 1))
        return {
            k: (a.reshape(self.shapes[k]), b.reshape(self.shapes[k])) for k, a, b in zip(self.names, first, second, strict=True)
        }

    def _cast(self, v: np.ndarray) -> tuple[Arrays, Arrays]:
        """Return the (m, s) that other stages see, in the network's dtype."""
        dtype, pairs = self.network.dtype, self._read(v)
        if self.band:
            pairs = self._cut(v, 1)
        elif self.neurons is not None:
            pairs = {k: self.neurons.shown(k, self.frame.pair(*pair)) for k, pair in pairs.items()}
        return {k: m.astype(dtype) for k, (m, _) in pairs.items()}, {k: s.astype(dtype) for k, (_, s) in pairs.items()}

    def _slope(self, v: np.ndarray) -> np.ndarray:
        self.evaluations += 1
        seen = self._cast(v)
        if self.late:
            self.past.append(seen)
            seen = self.past[0] if len(self.past) <= self.late else self.past.popleft()
        if self.neurons is None:
            at, b = drive_and_feedback(self.network, self.x, self.y, *seen)
            return self._flat({k: self.frame.pair(at.values[k].astype(float), b[k].astype(float)) for k in self.names}) - v
        at, b = self.neurons.drive_and_feedback(self.network, self.x, self.y, *seen)
        aims = {k: self.neurons.target(k, at.values[k].astype(float), b[k].astype(float)) for k in self.names}
        if not self.band:
            return self.rates * (self._flat(aims) - v)
        held = 2 * self.ends[-1]
        shown = self._flat({k: self.neurons.shown(k, self.frame.pair(*pair)) for k, pair in self._read(v).items()})
        follow, slew = self.band * (shown - v[held:]), self.neurons.circuit.slew_V_per_s
        if slew is not None:
            limit = slew * self.tau / self.neurons.circuit.unit_V
            follow = limit * np.tanh(follow / limit)
        return np.concatenate([self.rates[:held] * (self._flat(aims) - v[:held]), follow])

    def _look(self) -> None:
        """Note time and residuals, and the state where it is recorded."""
        away = self.slope / self.rates
        change, target = self._read(away), self._read(self.v + away)
        self.times.append(self.t)
        off = {k: [relative(_square(c), _square(a)) for c, a in zip(change[k], target[k], strict=True)] for k in self.names}
        self.residuals.append({k: float(np.max(both)) for k, both in off.items()})
        if self.record:
            self._keep(self.t, {k: (m.copy(), s.copy()) for k, (m, s) in self._read(self.v).items()})

    def _keep(self, time: float, states: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.moments.append(time)
        self.kept.append(states)

    def _due(self, until: float) -> Iterator[float]:
        """Yield the wanted times up to `until`, and strike them off."""
        while self.wanted and self.wanted[0] <= until * (1 + 1e-12):
            yield self.wanted.pop(0)

    def to(self, stop: float, h: float, accuracy: float, max_steps: int) -> None:
        """Move on to time `stop` (in tau), or until the tolerance is met."""
        before = 1.0
        if self.neurons is not None:
            self.late = round(self.neurons.circuit.delay_s / (self.tau * h))
            self.past.append(self._cast(self.v))
        while self.t < stop * (1 - 1e-12) and not self._settled():
            worst = max(self.residuals[-1], key=self.residuals[-1].__getitem__)
            if self.steps + self.rejected >= max_steps:
                self._fail(worst, f"not done after {max_steps} steps. Allow more, or a larger step, accuracy or tolerance.")
            taken = min(h, stop - self.t)
            if self.method == "exponential_euler":
                v = exponential_euler(self.v, self.slope, taken, self.rates) + self._kick(-np.expm1(-2 * taken * self.rates))
                slope, error = self._slope(v), 0.0
            elif self.method == "heun":
                v = heun(self._slope, self.v, self.slope, taken, self._kick(2 * taken * self.rates))
                slope, error = self._slope(v), 0.0
            else:
                v, estimate, slopes = dormand_prince(self._slope, self.v, self.slope, taken)
                slope = slopes[-1]
                error, worst = self._error(estimate, v, accuracy)
                self._refuse_small(taken, error, accuracy, worst)
                h = next_step(taken, error, before)
            if error > 1.0:
                self.rejected += 1
                continue
            self._refuse_nan(v, slope)
            for time in self._due(self.t + taken):
                self._keep(time, self._read(between(self.v, slopes, taken, (time - self.t) / taken)))
            self.v, self.slope, before = v, slope, error
            self.t += taken
            self.steps += 1
            self._look()
        self._refuse_unsettled()

    def _refuse_unsettled(self) -> None:
        if self.tolerance is not None and not self._settled():
            worst = max(self.residuals[-1], key=self.residuals[-1].__getitem__)
            help_ = "Allow more time."
            if self.neurons is not None and self.frame.held == "xz" and self.neurons.circuit.rate_mismatch:
                help_ = _LOOP
            self._fail(worst, f"residual {self.residuals[-1][worst]:.1e}; accepted: {self.tolerance:.1e}. {help_}")

    def _kick(self, variance: np.ndarray | float) -> np.ndarray | float:
        """Return a step's noise, `variance` in units of that of a compartment at rest."""
        if self.neurons is None or not self.neurons.circuit.noisy:
            return 0.0
        rms = np.full(len(self.v), self.neurons.circuit.noise_rms)
        rms[2 * self.ends[-1] :] = self.neurons.circuit.amplifier_rms
        return rms * np.sqrt(variance) * self.random.standard_normal(len(self.v))

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
        neuron = int(np.argmin(np.isfinite(sums[bad][0] + sums[bad][1]).all(axis=0).ravel()))
        why = "the state became infinite or nan; accepted: finite states. Lower the scale of the weights, or the step."
        self._fail(bad, why, neuron)

    def _fail(self, stage: str, why: str, neuron: int | None = None) -> None:
        if neuron is None:  # the one that has furthest to go, over all samples
            away = [np.square(change).reshape(len(change), -1).sum(axis=0) for change in self._away(stage)]
            neuron = int(np.argmax(sum(part / (part.sum() or 1.0) for part in away)))
        now = self.t * self.tau
        message = f"settle: at {now:.4g} s, stage {stage}, neuron {neuron}: {why}"
        raise IntegrationError(message, now, stage, neuron, self.result())

    def _away(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Return how far activation and stress of `stage` are from their targets."""
        return self._read(self.slope / self.rates)[stage]

    def result(self) -> Settling:
        """Read loss and gradients off the state."""
        network = self.network
        m, s = self._cast(self.v)
        at = network.evaluate(self.x, m)
        if self.neurons is not None:
            at, _ = self.neurons.drive_and_feedback(network, self.x, self.y, m, s)
        return Settling(
            time=self.t * self.tau, loss=network.loss.value(m[network.output], self.y),
            gradients=in_order(network, read_gradients(network, at, s)), settling_time={k: self._time_of(k) for k in self.names},
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
        if not self.kept:
            return None
        parts: Any = [{k: np.stack([state[k][side] for state in self.kept]) for k in self.names} for side in (0, 1)]
        return Trajectory(np.array(self.moments) * self.tau, *parts)


class CollocationRun(Run):
    """The same, moved by `collocation`: activations and stress of the nodes of each step."""

    def _begin(self) -> None:
        m, s = ({k: pair[side] for k, pair in self._read(self.v).items()} for side in (0, 1))
        self.scales = self._scales()
        self.cascade = Cascade(self.network, self.x, self.y, m, s, 0.0)
        self._look_at(self.cascade.now)

    def _look_at(self, step: Step) -> None:
        """Take `step`, note times and residuals of its nodes up to the first that is settled, and the states if recorded."""
        m, s = step.activations, step.stress
        start = self.cascade.now.time[-1]
        off = {k: (_relative(step.drives[k], m[k]), _relative(step.feedback[k], s[k])) for k in self.names}
        for place, time in enumerate(step.time):
            self.t = float(time)
            self.times.append(self.t)
            self.residuals.append({k: float(np.max([both[0][place], both[1][place]])) for k, both in off.items()})
            if self.record:
                self._keep(self.t, {k: (m[k][place], s[k][place]) for k in self.names})
            if self._settled():
                break
        for time in self._due(self.t):
            span = step.time[-1] - start
            self._keep(time, self.cascade.between(step, (time - start) / span if span else 1.0))
        self.cascade.take(step.until(place), {k: (both[0][place], both[1][place]) for k, both in off.items()})

    def to(self, stop: float, h: float, accuracy: float, max_steps: int) -> None:
        """Move on to time `stop` (in tau), or to the first node at which the tolerance is met."""
        before = 1.0
        self.cascade.still = _STILL * min(self.tolerance or 1.0, 1e-4, accuracy)
        while self.t < stop * (1 - 1e-12) and not self._settled():
            worst = max(self.residuals[-1], key=self.residuals[-1].__getitem__)
            if self.steps + self.rejected >= max_steps:
                self._fail(worst, f"not done after {max_steps} steps. Allow more, or a larger step, accuracy or tolerance.")
            taken = min(h, LONGEST, stop - self.t)
            step = self.cascade.step(taken)
            error, worst = self._worst(step, accuracy)
            self._refuse_small(taken, error, accuracy, worst)
            h = next_step(taken, error, before)
            if error > 1.0:
                self.rejected += 1
                continue
            before = error
            self.steps += 1
            self._look_at(step)
        self._refuse_unsettled()

    def _away(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        now = self.cascade.now
        return now.drives[stage][-1] - now.activations[stage][-1], now.feedback[stage][-1] - now.stress[stage][-1]

    def _scales(self) -> dict[str, tuple[float, float]]:
        """Return the norms at which activation and stress of every stage settle."""
        at, received = self.network.evaluate(self.x), {}
        received[self.network.output] = loss_feedback(self.network, self.y, at.values[self.network.output], 1.0)
        pull(self.network, at, reversed(self.network.stages), received, received)
        return {k: (_rms(at.values[k]), _rms(received[k])) for k in self.names}

    def _worst(self, step: Step, accuracy: float) -> tuple[float, str]:
        found: dict[str, float] = dict.fromkeys(self.names, 0.0)
        for side, states in enumerate((step.activations, step.stress)):
            start = (self.cascade.now.activations, self.cascade.now.stress)[side]
            for k in self.names:
                wrong, size = _rms(step.errors[k][side]), max(_rms(start[k][-1]), _rms(states[k][-1]))
                if not np.isfinite(wrong) or not np.isfinite(size):
                    return 1e9, k
                found[k] = max(found[k], wrong / (accuracy * max(size, self.scales[k][side]) + 1e-300))
        worst = max(found, key=found.__getitem__)
        return found[worst], worst

    def result(self) -> Settling:
        """Read loss and gradients off the state."""
        now = self.cascade.now
        held = {k: (now.activations[k][-1].astype(float), now.stress[k][-1].astype(float)) for k in self.names}
        self.v = self._flat({k: self.frame.pair(*pair) for k, pair in held.items()})
        self.evaluations = -(-self.cascade.made // (2 * len(self.names)))
        return replace(super().result(), spared=1.0 - self.cascade.made / self.cascade.asked)


def _relative(target: np.ndarray, state: np.ndarray) -> list[float]:
    """Return the distance of the state from its target at every node, relative to the target."""
    flat = target.reshape(len(target), -1)
    away = flat - state.reshape(len(state), -1)
    return [relative(_square(a), _square(t)) for a, t in zip(away, flat, strict=True)]


def _square(a: np.ndarray) -> float:
    return float(np.vdot(a, a))


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.vdot(a, a) / a.size))
