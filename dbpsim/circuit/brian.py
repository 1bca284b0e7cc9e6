"""A dense network as a Brian2 network of two-compartment neurons, in volts, farads and siemens.

    C_a dV_a/dt = g_a (U (f(u) + b/2) - (V_a - E)) + g_c (V_s - V_a)       apical compartment, x = (V_a - E) / U
    C_s dV_s/dt = g_s (U (f(u) - b/2) - (V_s - E)) + g_c (V_a - V_s)       basal and somatic one, z = (V_s - E) / U
    u = sum_j W_ij m_j + beta,  m = (x + z)/2             summed into the neuron behind a synapse
    b = sum_i W_ij d_i,  d = f'(u) (x - z)                summed into the neuron before it, through the same synapse

With equal membranes and g_c = 0 these are the equations of `settle` (arXiv:2602.02281) with tau = C / g.  Which
compartment is x is the paper's open question; here it is the apical one.  A coupling g_c draws the two together: between
equal membranes m keeps its course, and every s settles at 1 / (1 + 2 g_c / g) of its feedback; the gradient of the n-th
stage from the output, counting from 1, is scaled by that to the power n, and keeps its direction.

With reversal potentials (E_e, E_i) an input of U h, h of either sign, comes through a conductance,
g U h (E_r - V) / (E_r - E) with E_r = E_e for h > 0 and E_i otherwise: at rest the same current, less as V nears E_r.

Brian2 updates summed variables once a step and holds them through it: its "exponential_euler" is `settle`'s method of
that name to rounding, and "euler" with a step of tau is the unit step: exact backpropagation after 2L steps.

Brian2 is an extra: ``pip install dbpsim[brian]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dbpsim.circuit.dense import ACTIVATIONS, DenseCircuit, dense_circuit
from dbpsim.network.graph import Network

METHODS = ("exponential_euler", "euler")

_CURRENT = "g_{0} * unit * ({1})"
_REVERSAL = "(e_inhibitory + int(({1}) > 0) * (e_excitatory - e_inhibitory))"
_CONDUCTANCE = f"{_CURRENT} * ({_REVERSAL} - v_{{0}}) / ({_REVERSAL} - rest)"
_NEURON = """
dv_apical/dt = ({apical} - g_apical * (v_apical - rest) + g_coupling * (v_soma - v_apical)) / c_apical : volt
dv_soma/dt = ({soma} - g_soma * (v_soma - rest) + g_coupling * (v_apical - v_soma)) / c_soma : volt
m = (hidden + output) * (v_apical + v_soma - 2 * rest) / (2 * unit) + (1 - hidden - output) * bias : 1
s = (v_apical - v_soma) / unit : 1
h = u + bias : 1
f = {f} : 1
d = ({slope}) * s : 1
b = hidden * feedback + output * cost : 1
u : 1
feedback : 1
total : 1
cost : 1
bias : 1 (constant)
kind : integer (constant)
hidden : 1 (constant)
output : 1 (constant)
target : 1 (constant)
rest : volt (shared, constant)
unit : volt (shared, constant)
c_apical : farad (shared, constant)
c_soma : farad (shared, constant)
g_apical : siemens (shared, constant)
g_soma : siemens (shared, constant)
g_coupling : siemens (shared, constant)
e_excitatory : volt (shared, constant)
e_inhibitory : volt (shared, constant)
"""
# one expression for neurons of every kind, in the order of ACTIVATIONS
_F = "int(kind == 0) * clip(h, 0, inf) + int(kind == 1) * tanh(h) + int(kind == 2) * (1 + tanh(h / 2)) / 2 + int(kind == 3) * h"
_SLOPE = "int(kind == 0) * int(h > 0) + int(kind == 1) * (1 - f**2) + int(kind == 2) * f * (1 - f) + int(kind == 3)"
_COST = {"mean_squared_error": "cost = m - target", "cross_entropy": "cost = exp(m) / total - target"}


@dataclass(frozen=True)
class Membrane:
    """Constants of the two compartments of a neuron.

    Attributes
    ----------
    apical_F, soma_F : float
        Capacitances.
    apical_S, soma_S : float
        Leaks.
    coupling_S : float
        Conductance between the two.
    rest_V, unit_V : float
        Resting potential E, and the voltage U that one unit of activation is.
    reversal_V : pair of float, optional
        Of excitatory and inhibitory synapses.  None for synapses that are currents.
    """

    apical_F: float
    soma_F: float
    apical_S: float
    soma_S: float
    coupling_S: float = 0.0
    rest_V: float = -0.07
    unit_V: float = 0.015
    reversal_V: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("apical_F", "soma_F", "apical_S", "soma_S", "unit_V"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"Membrane.{name}: found {getattr(self, name)}; accepted: a finite number above 0.")
        if not 0 <= self.coupling_S < np.inf:
            raise ValueError(f"Membrane.coupling_S: found {self.coupling_S}; accepted: a finite number of at least 0.")
        if self.reversal_V is not None and not self.reversal_V[0] > self.rest_V > self.reversal_V[1]:
            raise ValueError(f"Membrane.reversal_V: found {self.reversal_V}; accepted: one above and one below {self.rest_V}.")


def equal_membrane(tau: float) -> Membrane:
    """Return two equal, uncoupled compartments of time constant `tau` (s): the network of `settle`.  170 pF is a choice."""
    if not 0 < tau < np.inf:
        raise ValueError(f"tau: found {tau}; accepted: a finite number above 0.")
    return Membrane(1.7e-10, 1.7e-10, 1.7e-10 / tau, 1.7e-10 / tau)


# Naud and Sprekeler, PNAS 2018, 10.1073/pnas.1720995115: soma 370 pF, 16 ms; dendrite 170 pF, 7 ms
CORTICAL = Membrane(1.7e-10, 3.7e-10, 1.7e-10 / 7e-3, 3.7e-10 / 16e-3)
# Urbanczik and Senn, Neuron 2014, 10.1016/j.neuron.2013.11.030: potentials 14/3 and -1/3 where rest is 0 and 1 stands
# for 15 mV, that is 0 and -75 mV from -70 mV
REVERSAL_V = (0.0, -0.075)


def to_brian(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    tau: float | None = None,
    membrane: Membrane | None = None,
    step: float | None = None,
    method: str = "exponential_euler",
) -> Any:
    """Return a Brian2 Network at rest, which runs the relaxation of one sample.

    Parameters
    ----------
    network : Network or Chip
        A dense chain, as in `dbpsim.netlist`; of a chip the programmed conductances.
    x, y : arrays
        One sample and its label or target.
    tau : float, optional
        Time constant (s) of two equal, uncoupled compartments; or else give
    membrane : Membrane, optional
        `CORTICAL`, or constants of your own.
    step : float, optional
        Seconds of a step; by default a tenth of the shortest time constant.
    method : {"exponential_euler", "euler"}

    Returns
    -------
    brian2.Network
        With the NeuronGroup "neurons", the Synapses "weights" and, for cross-entropy, the Synapses "softmax".  The clamped
        input comes first among the neurons, then the stages; the variables of a neuron are in the module's equations.

    Raises
    ------
    ValueError
        For another network, or arguments out of range.
    ModuleNotFoundError
        Without Brian2.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> net = mlp(4, 3, 2, activation="tanh", dtype="float64")
    >>> brian = to_brian(net, np.ones(4), np.array(1), tau=0.01)  # doctest: +SKIP
    >>> brian.run(0.2 * brian2.second)  # doctest: +SKIP
    >>> compartments(brian).shape  # doctest: +SKIP
    (10,)
    """
    if (tau is None) == (membrane is None):
        raise ValueError("to_brian: found both or neither of tau and membrane; accepted: one of them.")
    if method not in METHODS:
        raise ValueError(f"method: found {method!r}; accepted: {', '.join(METHODS)}.")
    membrane = membrane or equal_membrane(tau)  # type: ignore[arg-type]
    shortest = min(membrane.apical_F / membrane.apical_S, membrane.soma_F / membrane.soma_S)
    step = shortest / 10 if step is None else step
    if not 0 < step < np.inf:
        raise ValueError(f"step: found {step}; accepted: a finite number above 0.")
    brian2 = _brian2()
    circuit = dense_circuit(network, x, y)
    clock = brian2.Clock(step * brian2.second, name="clock")
    group = _neurons(brian2, circuit, membrane, method, clock)
    parts = [group, _weights(brian2, circuit, group, clock)]
    if circuit.loss == "cross_entropy":
        parts.append(_softmax(brian2, circuit, group, clock))
    return brian2.Network(*parts)


def compartments(brian: Any) -> np.ndarray:
    """Return x of all stages, then z of all stages, in units of activation: the state of `dbpsim.circuit.dense`."""
    group = brian["neurons"]
    stages = np.flatnonzero(np.asarray(group.hidden) + np.asarray(group.output))
    rest, unit = float(np.asarray(group.rest)), float(np.asarray(group.unit))
    x, z = ((np.asarray(v)[stages] - rest) / unit for v in (group.v_apical, group.v_soma))
    return np.concatenate([x, z])


def _brian2() -> Any:
    try:
        import brian2
    except ModuleNotFoundError:
        raise ModuleNotFoundError("to_brian needs Brian2: pip install 'dbpsim[brian]'") from None
    return brian2


def _sizes(circuit: DenseCircuit) -> list[int]:
    return [len(circuit.input_V), *(len(stage.bias_V) for stage in circuit.stages)]


def _neurons(brian2: Any, circuit: DenseCircuit, membrane: Membrane, method: str, clock: Any) -> Any:
    sizes = _sizes(circuit)
    way = _CURRENT if membrane.reversal_V is None else _CONDUCTANCE
    equations = _NEURON.format(
        apical=way.format("apical", "f + b / 2"), soma=way.format("soma", "f - b / 2"), f=_F, slope=_SLOPE
    )
    group = brian2.NeuronGroup(sum(sizes), equations, method=method, clock=clock, name="neurons")
    _set(brian2, group, membrane)
    group.bias = np.concatenate([circuit.input_V, *(stage.bias_V for stage in circuit.stages)])
    kinds = ["identity", *(stage.activation for stage in circuit.stages)]
    group.kind = np.repeat([ACTIVATIONS.index(kind) for kind in kinds], sizes)
    hidden = len(sizes) - 2
    group.hidden = np.repeat([0, *[1] * hidden, 0], sizes)
    group.output = np.repeat([0, *[0] * hidden, 1], sizes)
    group.target = np.concatenate([np.zeros(sum(sizes[:-1])), circuit.target])
    start = membrane.rest_V + membrane.unit_V * np.concatenate([circuit.input_V, np.zeros(sum(sizes[1:]))])
    group.v_apical, group.v_soma = start * brian2.volt, start * brian2.volt
    # held through the step, as summed variables are, and after them
    group[sum(sizes[:-1]) :].run_regularly(_COST[circuit.loss], clock=clock, when="before_groups", order=10)
    return group


def _set(brian2: Any, group: Any, membrane: Membrane) -> None:
    farad, siemens, volt = brian2.farad, brian2.siemens, brian2.volt
    group.c_apical, group.c_soma = membrane.apical_F * farad, membrane.soma_F * farad
    group.g_apical, group.g_soma = membrane.apical_S * siemens, membrane.soma_S * siemens
    group.g_coupling = membrane.coupling_S * siemens
    group.rest, group.unit = membrane.rest_V * volt, membrane.unit_V * volt
    if membrane.reversal_V is not None:
        group.e_excitatory, group.e_inhibitory = np.array(membrane.reversal_V) * volt


def _weights(brian2: Any, circuit: DenseCircuit, group: Any, clock: Any) -> Any:
    starts = np.concatenate([[0], np.cumsum(_sizes(circuit))])
    before, behind, weights = [], [], []
    for number, stage in enumerate(circuit.stages):
        outputs, inputs = np.indices(stage.weight.shape)
        before.append(inputs.ravel() + starts[number])
        behind.append(outputs.ravel() + starts[number + 1])
        weights.append(stage.weight.ravel())
    model = "weight : 1 (constant)\nu_post = weight * m_pre : 1 (summed)\nfeedback_pre = weight * d_post : 1 (summed)"
    synapses = brian2.Synapses(group, group, model, clock=clock, name="weights")
    synapses.connect(i=np.concatenate(before), j=np.concatenate(behind))
    synapses.weight = np.concatenate(weights)
    for order, name in enumerate(("u_post", "feedback_pre")):  # d takes f'(u) at this step's u
        updater = synapses.summed_updaters[name]
        updater.when, updater.order = "before_groups", order
    return synapses


def _softmax(brian2: Any, circuit: DenseCircuit, group: Any, clock: Any) -> Any:
    sizes = _sizes(circuit)
    outputs = np.arange(sum(sizes[:-1]), sum(sizes))
    synapses = brian2.Synapses(group, group, "total_post = exp(m_pre) : 1 (summed)", clock=clock, name="softmax")
    synapses.connect(i=np.repeat(outputs, len(outputs)), j=np.tile(outputs, len(outputs)))
    updater = synapses.summed_updaters["total_post"]
    updater.when, updater.order = "before_groups", 0
    return synapses
