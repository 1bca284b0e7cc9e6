"""A network of neurons with the imperfections of a circuit settles: whether, when, on what gradient, at what energy.

Free-running neurons follow `dbpsim.circuit.settle`; switched ones move by their ratios of capacitors at once, and every clock
leaves the noise k T / C of a new sample on each (`dbpsim.circuit.neuron`).  The imperfections are keys of the hardware file,
"neuron.difference_offset_V" and so on.  The energy is that of the states alone: C V^2 of both compartments at the voltage on
which they settle, for one sample (amplifiers, arrays and drivers are the cost model's, and do not depend on C).

A circuit holds one sample at a time, so a cost gain of 1 is a sample's own cost, not its share of a batch's mean.
Of neurons that are still on the move at the last clock, `limit_cycle` says that they do not come nearer, and `period` after how
many clocks they are where they were; without one they wander.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbpsim.circuit.neuron import Pair, draw_neurons
from dbpsim.circuit.results import IntegrationError
from dbpsim.circuit.settle import settle
from dbpsim.credit.backprop import Arrays, backprop, read_gradients
from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.fidelity import fidelity
from dbpsim.credit.gain import automatic_gain
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network
from dbpsim.studies.tasks.common import Common, Rows, Task, batch, chip_seed, hardware, measured, network

_NOISY_FOR = 60.0  # tau: noise keeps residuals up, so the end is set
_NOISY_STEP = 0.2  # tau
_CYCLE = 0.5  # of the clocks: if the residual has not halved over that last part, it goes round
_LONGEST = 64  # clocks of a cycle that is recognised
_SAME = 0.05  # of a clock's movement: two states this near are the same one


class CircuitSettings(Common):
    """A row a settling."""

    hardware: str | None = "ideal"
    batch: int = Field(default=8, ge=1)
    clocking: Literal["free", "switched"] = "free"
    cost_gain: float | Literal["auto"] = 1.0  # of one sample's cost
    tolerance: float = Field(default=1e-4, gt=0, lt=1)
    clocks: int = Field(default=200, ge=2)  # the most, switched
    step_tau: float | None = Field(default=None, gt=0, le=1)  # free: fixed steps of first order; adaptive ones where not given
    bias: float = Field(default=0.0, ge=0)  # sigma of random biases of a network as initialised, which has none


@dataclass(frozen=True)
class _Scaled:
    """A loss times the cost gain (theory.md, fact 4)."""

    loss: Any
    gain: float

    def value(self, a: np.ndarray, y: np.ndarray) -> float:
        return float(self.loss.value(a, y))

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.loss.gradient(a, y) * a.dtype.type(self.gain)


@dataclass(frozen=True)
class _End:
    gradients: Arrays
    settled: bool
    residual: float
    clocks: int | None = None
    time_tau: float | None = None
    cycle: bool = False
    period: int | None = None
    held_square: float = 0.0  # sum of the squares of both states, of all neurons, a sample


def _circuit(given: CircuitSettings, changes: Mapping[str, Any]) -> Rows:
    net = network(given)
    fresh = given.weights is None and not given.training_steps
    for name, value in net.parameters.items():
        if fresh and given.bias and name.endswith("bias"):
            value += given.bias * stream(given.seed, "study", "bias", name).standard_normal(value.shape).astype(value.dtype)
    x, y = batch(net, given, given.batch)
    gain = automatic_gain(net, x, y) if given.cost_gain == "auto" else given.cost_gain * len(x)
    net.loss = _Scaled(net.loss, gain)
    made = hardware(given, changes)
    assert made is not None
    circuit = made.neuron or NeuronCircuit()
    run = _free if given.clocking == "free" else _switched
    end = run(given, net, x, y, made, circuit, chip_seed(given))
    found = fidelity(end.gradients, backprop(net, x, y).gradients)
    return [{
        "settled": int(end.settled),  # 0 of noisy neurons, which never rest
        "unsettled": int(not end.settled),
        "limit_cycle": int(end.cycle),
        "period": end.period,
        "clocks_taken": end.clocks,
        "settling_time_tau": end.time_tau,
        "residual": end.residual,
        "gain": gain / len(x),
        **measured(found),
        "state_energy_J": circuit.capacitance_F * circuit.unit_V**2 * end.held_square,
        "noise_rms": circuit.noise_rms,
    }]  # fmt: skip


def _free(
    given: CircuitSettings, net: Network, x: np.ndarray, y: np.ndarray, made: Hardware, circuit: NeuronCircuit, seed: int
) -> _End:
    how: dict[str, Any] = {"tolerance": given.tolerance}
    if circuit.noisy:
        how = {"t_stop": _NOISY_FOR * circuit.tau_s}
    step = given.step_tau or (_NOISY_STEP if circuit.noisy else None)
    if step is not None:
        how |= {"method": "exponential_euler", "step": step * circuit.tau_s}
    try:
        run, settled = settle(net, x, y, hardware=made, seed=seed, **how), not circuit.noisy
    except IntegrationError as error:
        run, settled = error.partial, False
    frame = Coordinates(circuit.states, circuit.coupling)
    held = {k: frame.pair(m, run.stress[k]) for k, m in run.activations.items()}
    worst, time = max(run.residual.values()), run.time / circuit.tau_s
    return _End(run.gradients, settled, worst, time_tau=time, held_square=_square(held) / len(x))


def _switched(
    given: CircuitSettings, net: Network, x: np.ndarray, y: np.ndarray, made: Hardware, circuit: NeuronCircuit, seed: int
) -> _End:
    x = net.as_input(x)
    neurons = draw_neurons(net, circuit, seed)
    if circuit.null_calibration:
        neurons.calibrate(net, x, y)
    held: dict[str, Pair] = {s.name: (np.zeros((len(x), *s.shape)),) * 2 for s in net.stages}
    residuals: list[float] = []
    earlier: deque[dict[str, Pair]] = deque(maxlen=_LONGEST)
    for clock in range(1, given.clocks + 1):
        before = held
        earlier.append(before)
        held = neurons.clock(net, x, y, held)
        residuals.append(max(_moved(neurons.frame.read(*held[k]), neurons.frame.read(*before[k])) for k in held))
        if circuit.noise_rms:
            held = {k: _sampled(pair, circuit.noise_rms, seed, k, clock) for k, pair in held.items()}
        if residuals[-1] <= given.tolerance:
            break
    m, s = neurons.read_all(net, held)
    gradients = read_gradients(net, net.evaluate(x, m), s)
    settled = residuals[-1] <= given.tolerance
    late = residuals[int(_CYCLE * len(residuals)) :]
    cycle = not settled and not circuit.noisy and min(late) > 0.5 * late[0]
    period = _period(held, earlier) if cycle else None
    return _End(gradients, settled, residuals[-1], clock, cycle=cycle, period=period, held_square=_square(held) / len(x))


def _period(held: Mapping[str, Pair], earlier: Sequence[Mapping[str, Pair]]) -> int | None:
    """Return how many clocks ago everything was where it is, None where it never was."""
    away = [sum(float(np.sum((a - b) ** 2)) for k in held for a, b in zip(held[k], old[k], strict=True)) for old in earlier]
    within = _SAME**2 * away[-1]  # the newest of them is one clock old
    return next((ago for ago, way in enumerate(reversed(away), 1) if ago > 1 and way <= within), None)


def _moved(now: Pair, before: Pair) -> float:
    """Return by how much activation or stress moved, relative to its norm, whichever is more."""
    ways = [(float(np.linalg.norm(a - b)), float(np.linalg.norm(a))) for a, b in zip(now, before, strict=True)]
    return max(way / size if size else float(way > 0) for way, size in ways)


def _sampled(pair: Pair, sigma: float, seed: int, stage: str, clock: int) -> Pair:
    random = stream(seed, "study", "sampled", stage, clock)
    return pair[0] + sigma * random.standard_normal(pair[0].shape), pair[1] + sigma * random.standard_normal(pair[1].shape)


def _square(held: Mapping[str, Pair]) -> float:
    return sum(float(np.vdot(first, first) + np.vdot(second, second)) for first, second in held.values())


CIRCUIT = Task(CircuitSettings, _circuit)
