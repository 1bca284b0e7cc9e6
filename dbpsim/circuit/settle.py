"""A network settles in continuous time: the free-running circuit of two RC nodes a neuron.

    tau dx/dt = f(m) - x + b/2       tau dz/dt = f(m) - z - b/2        m = (x + z)/2, s = x - z   (midpoint)

(arXiv:2602.02281; the split coupling is in `credit.dynamics`).  Equal to tau dm/dt = f - m, tau ds/dt = b - s.  A linear
chain of unit weights settles by Erlang's law: m_l(t) = P(l, t/tau), s_l(t) = P(2L - l + 1, t/tau) times what it settles at.
Any network and any chip settles.  Three integrators move it, `march` between them and the result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from dbpsim.circuit.march import CollocationRun, Run
from dbpsim.circuit.neuron import draw_neurons
from dbpsim.circuit.results import Settling
from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.relax import starting_pair
from dbpsim.credit.settling import time_to
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.network.graph import Network

METHODS = ("collocation", "dormand_prince", "exponential_euler", "heun")
_FIRST = {"collocation": 2.0, "dormand_prince": 0.01, "exponential_euler": 0.1, "heun": 0.05}  # steps, in tau
_STIFF = 5.0  # rates, in 1 / tau, beyond which explicit adaptive steps are held down by stability
_SLACK = 4.0  # as in `relax`: times the unit chain's settling time before a network counts as not settling


def settle(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    tau: float | None = None,
    hardware: str | os.PathLike[str] | Hardware | None = None,
    t_stop: float | None = None,
    tolerance: float | None = None,
    method: str | None = None,
    step: float | None = None,
    accuracy: float | None = None,
    max_steps: int = 100_000,
    states: str | None = None,
    coupling: str | None = None,
    init: str | tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] = "zero",
    seed: int = 0,
    record: bool | np.ndarray = False,
) -> Settling:
    """Return loss and gradient that a free-running circuit has reached, and when.

    Parameters
    ----------
    network : Network or Chip
    x, y : arrays
        As in `relax`.
    tau : float, optional
        Time constant of ideal compartments, seconds.  Or else
    hardware : str, path or Hardware, optional
        Whose [neuron] section says what the neurons are, or without one whose clock says tau.  A chip's own by default.
    t_stop : float, optional
        Seconds to integrate.  With `tolerance`: the most there may be.
    tolerance : float, optional
        Stop when every stage's activation and stress are within it of their targets, relative to their norms.  By
        default, without `t_stop`, 1e-4; a noisy chip then runs for the time in which the unit chain settles to 1e-4.
    method : {"collocation", "dormand_prince", "exponential_euler", "heun"}, optional
        "collocation", the fastest by far: adaptive steps of high order, stage after stage, for ideal neurons.
        "dormand_prince": adaptive steps of fifth order, all stages at once.  "exponential_euler": fixed steps of first
        order, exact for the leak and its noise.  "heun": fixed steps of second order.  By default the first
        that fits: fixed steps with noise, delays or fast amplifiers, "dormand_prince" with other imperfections.
    step : float, optional
        Seconds of a fixed step (tau / 10; "heun": tau / 20), or of the first adaptive one (2 tau, or tau / 100).
    accuracy : float, optional
        Error allowed to an adaptive step.  Of "collocation" relative to what a stage settles at, 1e-2: errors of a step are
        forgotten as the network settles, so this leaves the settled state alone and moves settling times by less than
        1e-3; give less where the way there matters.  Of "dormand_prince" relative to the state, 1e-6 (float32:
        1e-5) or a tenth of `tolerance`, whichever is less.
    max_steps : int
        Steps tried, accepted or not.
    states : {"ms", "xz"}, optional
        What a neuron holds; as the [neuron] section says, or "ms".
    coupling : {"midpoint", "split"}, optional
        As the [neuron] section says, or "midpoint".
    init : {"zero", "random"} or pair of mappings (x0, z0)
    seed : int
        Seed of a random start, of the neurons drawn and of their noise.
    record : bool or array
        Keep the trajectory: at every step (every node, of "collocation"), or at these times (s, rising), interpolated
        within the steps; with adaptive methods.

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
    _positive(tau=tau, t_stop=t_stop, tolerance=tolerance, step=step, accuracy=accuracy)
    circuit, tau = _circuit(network, tau, hardware, states, coupling)
    frame = Coordinates(circuit.states, circuit.coupling)
    noisy = network.noisy or circuit.noisy
    method = _method(method, circuit, noisy, network.noisy)
    if max_steps < 1:
        raise ValueError(f"max_steps: found {max_steps}; accepted: at least 1.")
    if tolerance is not None and tolerance >= 1:
        raise ValueError(f"tolerance: found {tolerance}; accepted: between 0 and 1.")
    if method == "dormand_prince" and accuracy is not None and accuracy > (tolerance or np.inf):
        raise ValueError(f"accuracy: found {accuracy}, looser than the tolerance {tolerance}; accepted: no more than that.")
    if tolerance is None and t_stop is None:
        if noisy:
            t_stop = tau * time_to(1e-4, network.depth)
        else:
            tolerance = 1e-4
    stop = _SLACK * time_to(tolerance or 1e-4, network.depth) if t_stop is None else t_stop / tau
    if accuracy is None:
        accuracy = min(1e-6 if network.dtype == np.float64 else 1e-5, (tolerance or 1.0) / 10)
        if method == "collocation":
            accuracy = 1e-2
    x = network.as_input(x)
    x0, z0 = starting_pair(network, len(x), init, seed)
    neurons = None if circuit.perfect else draw_neurons(network, circuit, seed)
    if neurons is not None and circuit.null_calibration:
        neurons.calibrate(network, x, y)
    times = _times(record, tau, method)
    kind = CollocationRun if method == "collocation" else Run
    run = kind(network, x, y, frame, tau, tolerance, method, x0, z0, times, neurons, seed)
    run.to(stop, _FIRST[method] if step is None else step / tau, accuracy, max_steps)
    return run.result()


def _times(record: bool | np.ndarray, tau: float, method: str) -> bool | np.ndarray:
    """Return whether every step is kept, or the times (tau) that are."""
    if isinstance(record, bool):
        return record
    times = np.asarray(record, float)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any() or (times <= 0).any():
        raise ValueError(f"record: found {record!r}; accepted: True, False, or rising times above 0.")
    if method not in ("collocation", "dormand_prince"):
        raise ValueError(f"record: found times with {method}; accepted: True, or collocation and dormand_prince.")
    return times / tau


def _circuit(
    network: Network,
    tau: float | None,
    hardware: str | os.PathLike[str] | Hardware | None,
    states: str | None,
    coupling: str | None,
) -> tuple[NeuronCircuit, float]:
    """Return what the neurons are, and their time constant."""
    if tau is not None and hardware is not None:
        raise ValueError("settle: found both tau and hardware; accepted: one of them.")
    if tau is None and hardware is None:
        hardware = getattr(network, "hardware", None)
        if hardware is None:
            raise ValueError("settle: found neither tau nor hardware; accepted: one of them, or a chip.")
    kind = None if hardware is None else load_hardware(hardware)
    given = NeuronCircuit(states="ms") if kind is None or kind.neuron is None else kind.neuron
    changes = {key: value for key, value in (("states", states), ("coupling", coupling)) if value is not None}
    Coordinates(states or given.states, coupling or given.coupling)  # refuses what it does not know
    if tau is None:
        tau = kind.clock.tau_s if kind.neuron is None else kind.neuron.tau_s  # type: ignore[union-attr]
    return given.model_copy(update=changes), tau


def _method(method: str | None, circuit: NeuronCircuit, noisy: bool, noisy_reads: bool) -> str:
    """Return the method asked for, or the first that fits."""
    late = circuit.delay_s > 0
    fitting = [name for name, fits in (
        ("collocation", circuit.perfect and not noisy), ("dormand_prince", not noisy and not late),
        ("exponential_euler", True), ("heun", not noisy_reads and not late),
    ) if fits]  # fmt: skip
    if method is None:
        # amplifiers much faster than compartments make the equations stiff; slewing is no leak that could be taken exactly
        stiff = circuit.slew_V_per_s is None and 2 * np.pi * circuit.tau_s * (circuit.bandwidth_Hz or 0.0) > _STIFF
        return "exponential_euler" if stiff else fitting[0]
    if method not in METHODS:
        raise ValueError(f"method: found {method!r}; accepted: {', '.join(METHODS)}.")
    if method not in fitting:
        why = "noisy reads" if noisy_reads else "noisy neurons" if noisy else "delays" if late else "imperfect neurons"
        raise ValueError(f"method: found {method} with {why}; accepted: {', '.join(fitting)}.")
    return method


def _positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name}: found {value}; accepted: a finite number above 0.")
