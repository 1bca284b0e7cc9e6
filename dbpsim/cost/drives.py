"""How hard lines are driven: the mean of (V / full scale)^2 over the lines and vectors of a read.

A read takes sum over lines of V^2 G, and where line conductances are nearly alike that is

    vectors x q x v_read^2 x (sum of all conductances),      q = mean of (input / full scale)^2

q depends on the numbers and on the rule of the range, not on the cells.  It is expected (`dbpsim.cost.drive_law`) or measured,
here, by one sweep forward and one back of the digital network through the converters' rule alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbpsim.chip import Chip
from dbpsim.credit.backprop import pull
from dbpsim.crossbar.hardware import Hardware, load_hardware
from dbpsim.crossbar.mapping import weight_limits
from dbpsim.kernels.im2col import patches
from dbpsim.kernels.readout import digitise, weighted_squares
from dbpsim.network.graph import Network, Stage
from dbpsim.network.layers import Conv2d, WeightLayer


@dataclass(frozen=True)
class Statistics:
    """Mean square of the relative drive, by stage and direction.

    Attributes
    ----------
    forward, transposed : mapping of stage name to float
        q of the module's first lines, between 0 and 1; zeros of a convolution's padding count.
    source : str
        Where they come from, for the notes of a cost table.
    common : mapping of stage name to float
        Share of the squared mean in the mean square of the forward drive: what behind wires adds up.
    """

    forward: Mapping[str, float]
    transposed: Mapping[str, float]
    source: str
    common: Mapping[str, float] = field(default_factory=dict)


def matrix_shape(layer: WeightLayer) -> tuple[int, int]:
    """Return (rows, columns) of a weight as the arrays see it."""
    weight = layer.parameters["weight"]
    return (weight.size // weight.shape[-1], weight.shape[-1]) if weight.ndim == 4 else (weight.shape[1], weight.shape[0])


def as_matrix(layer: WeightLayer) -> np.ndarray:
    """Return the weight as the arrays see it, inputs along rows (a view)."""
    weight = layer.parameters["weight"]
    return weight.reshape(-1, weight.shape[-1]) if weight.ndim == 4 else weight.T


def positions(layer: WeightLayer) -> int:
    """Return the vectors that a read of `layer` takes a sample: positions of a convolution, or tokens."""
    if isinstance(layer, Conv2d):
        return math.prod(layer.output_size)
    return math.prod(layer.input_shape[:-1])  # type: ignore[attr-defined]


def read_back(stage: Stage) -> bool:
    """Return whether the stress of `stage` goes through its weight: not where only the input is behind it."""
    return stage.parents != ("input",) or parameters_in_front(stage)


def parameters_in_front(stage: Stage) -> bool:
    """Return whether a layer in front of the weight has parameters, for whose gradient the stress is read back as well."""
    for layer in stage.layers:
        if isinstance(layer, WeightLayer):
            return False
        if layer.parameters:
            return True
    return False


def measured_statistics(
    network: Network, x: np.ndarray, y: np.ndarray, hardware: str | os.PathLike[str] | Hardware
) -> Statistics:
    """Return how hard the lines are driven by a batch, from one digital sweep forward and one back.

    Parameters
    ----------
    network : Network
        Of a chip, what it should compute.
    x, y : arrays
        As for `backprop`.
    hardware : Hardware, str or path
        Whose range rule and DAC resolution hold.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> found = measured_statistics(mlp(8, 4, 2), np.ones((1, 8)), np.array([0]), "ideal")
    >>> found.forward["dense1"]  # all inputs at full scale
    1.0
    """
    hardware = load_hardware(hardware)
    forward, transposed, common = {}, {}, {}
    for stage, (a, d) in signals(network, x, y).items():
        layer = stage.weight_layer
        assert layer is not None
        forward[stage.name] = _forward(layer, a, hardware)
        square = float(np.square(a).mean())
        common[stage.name] = float(a.mean()) ** 2 / square if square > 0 else 0.0
        if read_back(stage):
            transposed[stage.name] = _transposed(layer, d, hardware)
    return Statistics(forward, transposed, f"drives: measured on a digital batch of {len(x)}", common)


def signals(network: Network, x: np.ndarray, y: np.ndarray) -> dict[Stage, tuple[np.ndarray, np.ndarray]]:
    """Return, for every weight stage, what its weight is driven by forward and transposed: a and d of the gradient sum d a^T."""
    network = network.digital() if isinstance(network, Chip) else network
    at = network.sweep(network.as_input(x), training=True)
    stress = {network.output: network.loss.gradient(at.values[network.output], y)}
    pull(network, at, reversed(network.stages), stress, stress)
    found = {}
    for stage in network.weight_stages:
        place = next(i for i, layer in enumerate(stage.layers) if isinstance(layer, WeightLayer))
        memory = at.memory[stage.name]
        found[stage] = memory[place], _at_weight(stage, place, memory, stress[stage.name])
    return found


def _at_weight(stage: Stage, place: int, memory: list[Any], d: np.ndarray) -> np.ndarray:
    # The stress behind the weight layer: what the transposed read is driven by.
    for number in range(len(stage.layers) - 1, place, -1):
        d = stage.layers[number].pullback(memory[number], d)
    return d


def _forward(layer: WeightLayer, a: np.ndarray, hardware: Hardware) -> float:
    squares = _squares(a.reshape(len(a), -1), hardware, False)
    if isinstance(layer, Conv2d):
        height, width, channels = layer.input_shape
        seen = patches(squares.reshape(1, height, width, channels), layer.kernel, layer.stride, layer.padding)
        return float(seen.mean()) / len(a)
    return float(squares.mean()) / len(a)


def _transposed(layer: WeightLayer, d: np.ndarray, hardware: Hardware) -> float:
    flat = d.reshape(len(d), -1)
    if hardware.mapping.scale == "column":
        gain = weight_limits(as_matrix(layer), hardware)[0].astype(d.dtype)
        flat = flat * np.tile(gain, flat.shape[1] // gain.size)
    return float(_squares(flat, hardware, True).mean()) / len(d)


def _squares(flat: np.ndarray, hardware: Hardware, transposed: bool) -> np.ndarray:
    # Sum over samples of (V / full scale)^2 of every input.
    dac = hardware.dac
    limit = dac.fixed(transposed)
    if dac.mode(transposed) == "calibrated":
        magnitudes = np.abs(flat[flat != 0])
        limit = float(np.percentile(magnitudes, dac.percentile)) if magnitudes.size else 0.0
    driven, full_scale, _, _ = digitise(np.ascontiguousarray(flat), limit, dac.levels)
    share = np.divide(1.0, full_scale.astype(np.float64) ** 2, out=np.zeros(len(flat)), where=full_scale > 0)
    return weighted_squares(driven, share)
