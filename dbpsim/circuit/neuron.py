"""Neurons as circuits, one drawn for every neuron of a network: what they pass on of their state, and where they move.

The imperfections are the [neuron] section's (`dbpsim.crossbar.neuron_circuit`).  With rates p_x and p_z of the compartments

    dx/dt = p_x (f + b/2 - x) / tau        dz/dt = p_z (f - b/2 - z) / tau

the fixed point is the ideal one, but with P and Q half the sum and difference of the rates

    dm/dt = P (f - m) + Q (b - s) / 2      ds/dt = 2 Q (f - m) + P (b - s)

so a stress that still moves moves m, and the order of stages in which everything settles is lost (theory.md, fact 9).
A neuron whose capacitors hold m and s has no such loop: its rates only change when it arrives.

Free-running neurons stand mismatches of several per cent.  `Neurons.clock` is the other extreme, a switched-capacitor neuron,
whose capacitors move by p_x and p_z of the way at once (eta = 1, where p is a ratio of capacitors): there the loop shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from dbpsim.credit.backprop import Arrays
from dbpsim.credit.dynamics import Coordinates
from dbpsim.credit.field import drive_and_feedback
from dbpsim.crossbar.neuron_circuit import NeuronCircuit
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Linearisation, Network

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class Neurons:
    """The neurons of a network.

    Attributes
    ----------
    circuit : NeuronCircuit
    frame : Coordinates
    rates : dict of str to pair of arrays
        By stage, of the first and second capacitor, in 1 / tau.
    gains, offsets : dict of str to pair of arrays
        Of the sum and the difference amplifier; offsets in units of activation.
    drive_offset, gate_offset : dict of str to array
    null : dict of str to array
        What is subtracted from the stress.
    """

    circuit: NeuronCircuit
    frame: Coordinates
    rates: dict[str, Pair] = field(repr=False)
    gains: dict[str, Pair] = field(repr=False)
    offsets: dict[str, Pair] = field(repr=False)
    drive_offset: Arrays = field(repr=False)
    gate_offset: Arrays = field(repr=False)
    null: Arrays = field(repr=False)

    def shown(self, name: str, held: Pair) -> Pair:
        """Return the (m, s) that other stages see of stage `name`, whose capacitors hold `held`."""
        swing = self.circuit.saturation_V
        if swing is not None:
            limit = swing / self.circuit.unit_V
            held = (limit * np.tanh(held[0] / limit), limit * np.tanh(held[1] / limit))
        m, s = self.frame.read(*held)
        gain, offset = self.gains[name], self.offsets[name]
        return gain[0] * m + offset[0], gain[1] * s + offset[1] - self.null[name]

    def target(self, name: str, f: np.ndarray, b: np.ndarray) -> Pair:
        """Return what the two capacitors of stage `name` move to."""
        return self.frame.pair(f + self.drive_offset[name], b)

    def drive_and_feedback(
        self, network: Network, x: np.ndarray, y: np.ndarray, m: Arrays, s: Arrays, gain: float = 1.0
    ) -> tuple[Linearisation, Arrays]:
        """Return (f, b) with the derivative taken where the derivative circuit's offset puts it."""
        if not self.circuit.gate_offset_V:
            return drive_and_feedback(network, x, y, m, s, gain)
        drives = network.evaluate(x, m)
        with _shifted(network, self.gate_offset):
            at, b = drive_and_feedback(network, x, y, m, s, gain)
        return Linearisation(drives.values, at.memory), b

    def clock(self, network: Network, x: np.ndarray, y: np.ndarray, held: Mapping[str, Pair]) -> dict[str, Pair]:
        """Return what the capacitors hold after they have moved by their rates times the way to their targets."""
        at, b = self.drive_and_feedback(network, x, y, *self.read_all(network, held))
        aims = {k: self.target(k, at.values[k].astype(float), b[k].astype(float)) for k in held}
        moved = {}
        for name, pair in held.items():
            first, second = (v + p * (aim - v) for v, p, aim in zip(pair, self.rates[name], aims[name], strict=True))
            moved[name] = first, second
        return moved

    def calibrate(self, network: Network, x: np.ndarray, y: np.ndarray) -> None:
        """Set `null` to the stress that is read with the cost switched off, from the last stage to the first."""
        for _ in range(network.depth):
            held = {stage.name: (np.zeros((len(x), *stage.shape)),) * 2 for stage in network.stages}
            for _ in range(2 * network.depth):
                m, s = self.read_all(network, held)
                at, b = self.drive_and_feedback(network, x, y, m, s, 0.0)
                held = {k: self.target(k, at.values[k].astype(float), b[k].astype(float)) for k in held}
            for name, pair in held.items():
                self.null[name] = self.null[name] + self.shown(name, pair)[1].mean(axis=0)

    def read_all(self, network: Network, held: Mapping[str, Pair]) -> tuple[Arrays, Arrays]:
        """Return the activation and stress that every stage shows, in the dtype of `network`."""
        read = {name: self.shown(name, pair) for name, pair in held.items()}
        return tuple({k: pair[side].astype(network.dtype) for k, pair in read.items()} for side in (0, 1))  # type: ignore[return-value]


@contextmanager
def _shifted(network: Network, by: Mapping[str, np.ndarray]) -> Iterator[None]:
    biases = {name: network.parameters[f"{name}.bias"] for name in by}
    before = {name: bias.copy() for name, bias in biases.items()}
    for name, bias in biases.items():
        bias += by[name].astype(bias.dtype)
    try:
        yield
    finally:
        for name, bias in biases.items():
            bias[...] = before[name]


def draw_neurons(network: Network, circuit: NeuronCircuit, seed: int = 0) -> Neurons:
    """Return neurons for every stage of `network`, drawn from the circuit's sigmas.

    Raises
    ------
    ValueError
        For an offset of the derivative circuit where a stage has no bias to add it to.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> neurons = draw_neurons(mlp(4, 3, 2), NeuronCircuit(difference_offset_V=0.005))
    >>> neurons.offsets["dense1"][1].shape, float(abs(neurons.offsets["dense1"][0]).max())
    ((3,), 0.0)
    """
    unit = circuit.unit_V
    rates: dict[str, Pair] = {}
    gains: dict[str, Pair] = {}
    offsets: dict[str, Pair] = {}
    drive: Arrays = {}
    gate: Arrays = {}
    for stage in network.stages:
        name, shape = stage.name, stage.shape

        def normal(what: str, sigma: float, name: str = name, shape: tuple[int, ...] = shape) -> np.ndarray:
            return sigma * stream(seed, "neuron", name, what).standard_normal(shape)

        own = np.exp(-normal("tau", circuit.tau_spread))
        apart = normal("mismatch", circuit.rate_mismatch) / 2
        rates[name] = own * np.exp(apart), own * np.exp(-apart)
        errors = circuit.sum_gain_error, circuit.difference_gain_error
        gains[name] = 1 + normal("sum gain", errors[0]), 1 + normal("difference gain", errors[1])
        sigmas = circuit.sum_offset_V / unit, circuit.difference_offset_V / unit
        offsets[name] = normal("sum offset", sigmas[0]), normal("difference offset", sigmas[1])
        drive[name] = normal("drive offset", circuit.drive_offset_V / unit)
        layer = stage.weight_layer
        if circuit.gate_offset_V and layer is not None:
            if "bias" not in layer.parameters:
                raise ValueError(f"gate_offset_V: stage {name} has no bias to add it to; accepted: 0, or layers with a bias.")
            bias = layer.parameters["bias"]
            gate[name] = circuit.gate_offset_V / unit * stream(seed, "neuron", name, "gate").standard_normal(bias.shape)
    frame = Coordinates(circuit.states, circuit.coupling)
    null = {stage.name: np.zeros(stage.shape) for stage in network.stages}
    return Neurons(circuit, frame, rates, gains, offsets, drive, gate, null)
