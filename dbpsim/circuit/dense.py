"""A dense network as a circuit: conductance pairs, column amplifiers, two RC nodes a neuron.

    u = R_f (G+ - G-) v + beta           column amplifiers; v the inputs, or the mean nodes m = (x + z)/2 of the stage before
    C dx/dt = (f(u) - x + b/2) / R       the two compartments of a neuron
    C dz/dt = (f(u) - z - b/2) / R
    b = (R_f (G+ - G-))^T d,  d = f'(u) (x - z)       of the stage behind, through the same cells
    b = dC/dm                                          at the output

One volt stands for one unit of activation.  The equations are theory.md's (arXiv:2602.02281) with tau = R C.
What is in here is what `netlist` writes and what its decks are compared with; R and C are choices.
With wires G+ - G- is what the cells come to between the ends of their lines (`dbpsim.crossbar.tile_wires`), the same both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit, gammainccinv

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, weight_per_siemens
from dbpsim.crossbar.operators import CrossbarDense
from dbpsim.crossbar.tile_wires import between_ends
from dbpsim.crossbar.wires import Wires
from dbpsim.kernels.compartments import runge_kutta
from dbpsim.network.activations import Activation
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Dense, Flatten
from dbpsim.network.losses import CrossEntropy, MeanSquaredError, targets

ACTIVATIONS = ("relu", "tanh", "sigmoid", "identity")
_KINDS = ("identity", "relu", "tanh", "sigmoid")  # the kernel's numbers
LARGEST_S = 1e-5  # assumed: what the largest weight of a network without hardware becomes
RESISTANCE_OHM = 1e5  # assumed: leak of a compartment
CAPACITANCE_F = 1e-13  # assumed: with it tau = 10 ns, the presets' clock.tau_s


@dataclass(frozen=True)
class TileWires:
    """Wires of the tiles that a crossbar is cut into; drivers and senses are alike.

    Attributes
    ----------
    resistances : Wires
    rows, columns : int
        Inputs and outputs of a tile.
    """

    resistances: Wires
    rows: int
    columns: int

    def tiles(self, outputs: int, inputs: int) -> list[tuple[slice, slice]]:
        """Return (outputs, inputs) of every tile."""
        return [(i, j) for j in blocks(inputs, self.rows) for i in blocks(outputs, self.columns)]


@dataclass(frozen=True)
class DenseStage:
    """One crossbar and the neurons behind it.

    Attributes
    ----------
    name : str
    activation : {"relu", "tanh", "sigmoid", "identity"}
    g_plus_S, g_minus_S : arrays, shape (outputs, inputs)
    feedback_ohm : array, shape (outputs,)
        R_f of the column amplifiers: weight per siemens.
    bias_V : array, shape (outputs,)
    wires : TileWires or None
        None: ideal lines.
    """

    name: str
    activation: str
    g_plus_S: np.ndarray
    g_minus_S: np.ndarray
    feedback_ohm: np.ndarray
    bias_V: np.ndarray
    wires: TileWires | None = None

    @cached_property
    def weight(self) -> np.ndarray:
        """The weights that reads see, shape (outputs, inputs)."""
        seen = self.g_plus_S - self.g_minus_S
        for at in self.wires.tiles(*seen.shape) if self.wires else []:
            ends = between_ends(self.g_plus_S[at].T, self.g_minus_S[at].T, self.wires.resistances)[False]  # type: ignore[union-attr]
            seen[at] = (ends.plus - ends.minus).T
        return seen * self.feedback_ohm[:, None]


@dataclass(frozen=True)
class DenseCircuit:
    """A chain of `DenseStage`, one clamped input, one target, and the parts all compartments are made of.

    Attributes
    ----------
    stages : tuple of DenseStage
    loss : {"cross_entropy", "mean_squared_error"}
    input_V : array, shape (inputs,)
    target : array, shape (outputs,)
    resistance_ohm, capacitance_F : float
    """

    stages: tuple[DenseStage, ...]
    loss: str
    input_V: np.ndarray
    target: np.ndarray
    resistance_ohm: float = RESISTANCE_OHM
    capacitance_F: float = CAPACITANCE_F

    @property
    def tau_s(self) -> float:
        """Time constant of a compartment."""
        return self.resistance_ohm * self.capacitance_F

    @property
    def settling_s(self) -> float:
        """Time after which a linear chain of this depth has settled to 1e-6 (theory.md, fact 3)."""
        return float(self.tau_s * gammainccinv(2 * len(self.stages), 1e-6))

    @property
    def neurons(self) -> int:
        """Neurons of all stages; the state is x of all, then z of all."""
        return sum(len(stage.bias_V) for stage in self.stages)


def dense_circuit(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    resistance_ohm: float = RESISTANCE_OHM,
    capacitance_F: float = CAPACITANCE_F,
) -> DenseCircuit:
    """Return the circuit of a dense network or chip for one sample.

    Parameters
    ----------
    network : Network or Chip
        A chain of stages with a dense layer and at most an activation behind it.  On a chip with conductance pairs the
        cells' programmed conductances are taken; converters and noise that differs from read to read are not.
    x, y : arrays
        One sample (its batch axis may be 1 or absent) and its label or target.

    Raises
    ------
    ValueError
        For a network that is not such a chain, another loss, a mapping other than pairs, or parts that are not positive.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> circuit = dense_circuit(mlp(4, 3, 2, activation="tanh"), np.ones(4), np.array(1))
    >>> circuit.neurons, round(circuit.tau_s * 1e9, 3)
    (5, 10.0)
    """
    for name, value in (("resistance_ohm", resistance_ohm), ("capacitance_F", capacitance_F)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: found {value}; accepted: a finite number above 0.")
    if type(network.loss) not in (CrossEntropy, MeanSquaredError):
        raise ValueError(f"loss: found {network.loss}; accepted: CrossEntropy, MeanSquaredError.")
    stages, before = [], "input"
    for stage in network.stages:
        if stage.parents != (before,):
            raise ValueError(f"stage {stage.name}: found parents {stage.parents}; accepted: a chain, here ({before!r},).")
        stages.append(_stage(stage))
        before = stage.name
    if np.size(x) != np.prod(network.input_shape):
        raise ValueError(f"x: found {np.size(x)} numbers; accepted: one sample of shape {network.input_shape}.")
    sample = network.as_input(np.asarray(x).reshape(1, *network.input_shape)).astype(float)
    wanted = np.asarray(y)
    label = wanted.size == 1 and wanted.dtype.kind in "iu"
    wanted = wanted.reshape(1) if label else wanted.reshape(1, -1)
    smoothing = getattr(network.loss, "label_smoothing", 0.0)
    target = targets(np.zeros((1, len(stages[-1].bias_V))), wanted, smoothing)[0]
    loss = "cross_entropy" if isinstance(network.loss, CrossEntropy) else "mean_squared_error"
    return DenseCircuit(tuple(stages), loss, sample.ravel(), target, float(resistance_ohm), float(capacitance_F))


def _stage(stage: Stage) -> DenseStage:
    layers = [layer for layer in stage.layers if not isinstance(layer, Flatten)]
    kinds = [type(layer) for layer in layers]
    if kinds not in ([Dense], [Dense, Activation]):
        raise ValueError(f"stage {stage.name}: found {stage.layers}; accepted: Dense with at most an activation behind it.")
    activation = layers[1].kind if len(layers) == 2 else "identity"  # type: ignore[attr-defined]
    if activation not in ACTIVATIONS:
        raise ValueError(f"stage {stage.name}: found activation {activation}; accepted: {', '.join(ACTIVATIONS)}.")
    weight = layers[0].parameters["weight"].astype(float)
    bias = layers[0].parameters.get("bias", np.zeros(len(weight))).astype(float)
    operator = layers[0].operator  # type: ignore[attr-defined]
    if isinstance(operator, CrossbarDense):
        return DenseStage(stage.name, activation, *_programmed(operator), bias, _wires(operator.hardware, operator.name))
    largest = np.abs(weight).max(initial=0.0) or 1.0
    scaled = weight * (LARGEST_S / largest)
    rows = np.full(len(weight), largest / LARGEST_S)
    return DenseStage(stage.name, activation, np.maximum(scaled, 0), np.maximum(-scaled, 0), rows, bias)


def _programmed(operator: CrossbarDense) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mapping, cells = operator.hardware.mapping, operator.tiles.cells
    if mapping.scheme != "pair" or mapping.scale == "tile" or mapping.transpose != "same":
        raise ValueError(
            f"{operator.name}: found mapping {mapping.scheme}, scale {mapping.scale}, transpose {mapping.transpose}; "
            "accepted in a circuit: pair, scale matrix or column, transpose same."
        )
    scale = weight_per_siemens(cells.w_max, cells.device.conductance)
    return (
        cells.g_plus.T.astype(float),
        cells.g_minus.T.astype(float),
        np.broadcast_to(scale.ravel(), cells.shape[1:]).astype(float),
    )


def _wires(hardware: Hardware, name: str) -> TileWires | None:
    if hardware.wires is None or not hardware.wired:
        return None
    resistances = hardware.wires.resistances
    if resistances.r_driver_ohm != resistances.r_sense_ohm:
        raise ValueError(
            f"{name}: found wires.driver_ohm {resistances.r_driver_ohm:g}, sense_ohm {resistances.r_sense_ohm:g}; accepted in a "
            "circuit: two alike, whose reads both ways see one matrix, or effects.wires = false."
        )
    return TileWires(resistances, hardware.tile.rows, hardware.tile.columns)


def derivative(circuit: DenseCircuit, v: np.ndarray) -> np.ndarray:
    """Return tau dv/dt for v = (x of all stages, z of all stages), shape (2 neurons,)."""
    x, z = split(circuit, v)
    forward, slope, a = [], [], circuit.input_V
    for stage, xs, zs in zip(circuit.stages, x, z, strict=True):
        f, df = _activate(stage.activation, stage.weight @ a + stage.bias_V)
        forward.append(f)
        slope.append(df)
        a = (xs + zs) / 2
    b = _cost_gradient(circuit, a)
    upward, downward = [], []
    for number in range(len(x) - 1, -1, -1):
        upward.append(forward[number] - x[number] + b / 2)
        downward.append(forward[number] - z[number] - b / 2)
        if number:
            b = circuit.stages[number].weight.T @ (slope[number] * (x[number] - z[number]))
    return np.concatenate(upward[::-1] + downward[::-1])


def integrate(circuit: DenseCircuit, times_s: np.ndarray, *, relative: float = 1e-9) -> np.ndarray:
    """Return the compartments' voltages from rest, shape (times, 2 neurons), by Dormand and Prince's 8(5,3) pair (scipy).

    Raises
    ------
    ValueError
        If the integration stops early, with the time it reached.
    """
    at = np.asarray(times_s, float) / circuit.tau_s
    done = solve_ivp(
        lambda _, v: derivative(circuit, v), (0.0, at[-1]), np.zeros(2 * circuit.neurons), "DOP853", at, rtol=relative, atol=1e-12
    )
    if not done.success:
        raise ValueError(f"integrate: stopped at {done.t[-1] * circuit.tau_s:g} s: {done.message}")
    return done.y.T


def integrate_evenly(circuit: DenseCircuit, stop_s: float, steps: int) -> np.ndarray:
    """Return the compartments' voltages at `steps` + 1 even times from rest to `stop_s`, by Runge-Kutta 4 in compiled loops.

    Raises
    ------
    ValueError
        If the step is beyond the method's stability for a leak, 2.78 time constants, or not positive.
    """
    if steps < 1 or not 0 < stop_s / steps < 2.78 * circuit.tau_s:
        raise ValueError(f"found {steps} steps to {stop_s} s; accepted: below {2.78 * circuit.tau_s:.3g} s each.")
    stages = circuit.stages
    return runge_kutta(
        np.concatenate([stage.weight.ravel() for stage in stages]),
        np.concatenate([stage.bias_V for stage in stages]),
        np.array([len(circuit.input_V), *(len(stage.bias_V) for stage in stages)]),
        np.array([_KINDS.index(stage.activation) for stage in stages]),
        int(circuit.loss == "cross_entropy"),
        circuit.input_V.astype(float),
        circuit.target.astype(float),
        stop_s / circuit.tau_s,
        steps,
    )


def gradients(circuit: DenseCircuit, v: np.ndarray) -> dict[str, np.ndarray]:
    """Return dC/dW and dC/dbeta as a chip would read them at voltages `v`: (f'(u) s) m^T and f'(u) s."""
    found, a = {}, circuit.input_V
    for stage, xs, zs in zip(circuit.stages, *split(circuit, v), strict=True):
        d = _activate(stage.activation, stage.weight @ a + stage.bias_V)[1] * (xs - zs)
        found[f"{stage.name}.weight"], found[f"{stage.name}.bias"] = np.outer(d, a), d
        a = (xs + zs) / 2
    return found


def split(circuit: DenseCircuit, v: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return (x of every stage, z of every stage) of a state."""
    ends = np.cumsum([len(stage.bias_V) for stage in circuit.stages])[:-1]
    return np.split(v[: circuit.neurons], ends), np.split(v[circuit.neurons :], ends)


def _activate(kind: str, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if kind == "relu":
        return np.maximum(u, 0), (u > 0).astype(float)
    if kind == "tanh":
        f = np.tanh(u)
        return f, 1 - f * f
    if kind == "sigmoid":
        f = expit(u)
        return f, f * (1 - f)
    return u, np.ones_like(u)


def _cost_gradient(circuit: DenseCircuit, m: np.ndarray) -> np.ndarray:
    if circuit.loss == "mean_squared_error":
        return m - circuit.target
    p = np.exp(m - m.max())
    return p / p.sum() - circuit.target
