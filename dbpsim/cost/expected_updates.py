"""What a step of training is expected to write, from how far weights move.

    programmed, write_verify, mixed_precision     a sample of the cells takes one step as all of them would: weights move by
                                                  independent normal numbers of the step's rms
    stochastic_pulses                             pulses = rate sum |a| |d| / dw (Gokmen and Vlasov 2016: trains are made so);
                                                  slots = 2 sum of the trains' lengths;  cells = sum 1 - exp(-pulses of one)
    tiki_taka, tiki_taka_2                        the same for A, and the reads of transfers

Blind controllers keep what is less than a step dw, so before the sample's step its remainders are drawn from where a random
walk that is reset at a step spends its time: density 1 + 0.58 r - |x| on (-1, 1) steps, r = rms / dw (triangular for small r;
0.58 is Siegmund's overshoot of a discrete walk).  For small r that gives r^2 pulses a cell and step, for large r |r z|'s mean.

Not expected: pulses of Tiki-Taka's transfers, which follow from what A has gathered; refreshes of pairs that are full after many
steps; what trains without management lose where their probability would be above 1 (pulses are then fewer).  Gradients that keep
their sign over steps move cells by more than independent ones of the same size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dbpsim.cost.drives import matrix_shape, positions, signals
from dbpsim.cost.expected_cells import CellSample, cell_sample, headroom_of
from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.hardware import Hardware
from dbpsim.devices.update import middle_step
from dbpsim.kernels.im2col import patches
from dbpsim.kernels.random import stream
from dbpsim.network.graph import Network
from dbpsim.network.layers import Conv2d, WeightLayer

ASSUMED_CHANGE = 1e-3  # rms of a step over that of the weights: assumed, the rule of thumb for learning rates of gradient descent
_CELLS = 8192
_OVERSHOOT = 0.5826


@dataclass(frozen=True)
class Change:
    """How far one step moves a matrix.

    Attributes
    ----------
    rms : float
        Of the step.
    rows, columns : arrays
        Sums over a row's or a column's weights of rate sum |a| |d|, the absolute changes that pulse trains ask for.
    largest : array
        rate x max |a| x max |d| of every vector, which sets the length of its trains.
    """

    rms: float
    rows: np.ndarray
    columns: np.ndarray
    largest: np.ndarray


def measured_changes(network: Network, x: np.ndarray, y: np.ndarray, rate: float) -> dict[str, Change]:
    """Return how far a step of gradient descent with `rate` on a batch moves every weight, from a digital sweep.

    Examples
    --------
    >>> from dbpsim.network.models import mlp
    >>> change = measured_changes(mlp(4, 2), np.ones((1, 4)), np.array([0]), 0.1)["dense1"]
    >>> bool(np.isclose(change.rows.sum(), change.columns.sum()))
    True
    """
    found = {}
    for stage, (a, d) in signals(network, x, y).items():
        layer = stage.weight_layer
        assert layer is not None
        step = rate * layer.operator.outer(d, a)
        inputs, stress = np.abs(_vectors(layer, a)), np.abs(d.reshape(-1, d.shape[-1]))
        found[stage.name] = Change(
            rms=float(np.sqrt(np.mean(np.square(step, dtype=np.float64)))),
            rows=rate * (stress.sum(axis=1) @ inputs),
            columns=rate * (inputs.sum(axis=1) @ stress),
            largest=rate * inputs.max(axis=1) * stress.max(axis=1),
        )
    return found


def _vectors(layer: WeightLayer, a: np.ndarray) -> np.ndarray:
    if isinstance(layer, Conv2d):
        return patches(a, layer.kernel, layer.stride, layer.padding)
    return a.reshape(-1, a.shape[-1])


def assumed_changes(network: Network, batch: int, relative: float = ASSUMED_CHANGE) -> dict[str, Change]:
    """Return steps of `relative` times the rms of the weights, made of vectors of independent normal numbers.

    A sum of n products has then sqrt(n) 2 / pi of its rms for each of the absolute ones, and n normal numbers sqrt(2 ln n) as the
    largest.
    """
    found = {}
    for stage in network.weight_stages:
        layer = stage.weight_layer
        assert layer is not None
        weight, (rows, columns) = layer.parameters["weight"].ravel(order="K"), matrix_shape(layer)
        rms, vectors = relative * math.sqrt(float(np.dot(weight, weight)) / weight.size), batch * positions(layer)
        each = rms / math.sqrt(vectors)  # rate x rms of a x rms of d
        reach = math.prod(math.sqrt(2 * math.log(max(lines, 2))) for lines in (rows, columns))
        total = vectors * each * 2 / math.pi
        largest = np.full(vectors, each * reach)
        found[stage.name] = Change(rms, np.full(rows, columns * total), np.full(columns, rows * total), largest)
    return found


def expected_update(matrix: np.ndarray, hardware: Hardware, change: Change, name: str, seed: int = 0) -> tuple[Counts, Counts]:
    """Return (what one step writes, what it reads besides) for the matrix that holds `matrix`, replicas and slices included.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
    change : Change
    name, seed
        Of the random streams.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> matrix = np.random.default_rng(0).standard_normal((64, 32))
    >>> step = Change(0.01, np.zeros(64), np.zeros(32), np.zeros(1))
    >>> hardware = load_hardware("pcm", {"update.mode": "write_verify", "mapping.headroom": 2.0})
    >>> written, _ = expected_update(matrix, hardware, step, "fc")
    >>> written.cells == 2 * matrix.size  # all are programmed anew
    True
    """
    columns = min(matrix.shape[1], hardware.tile.columns)
    shape = max(1, min(matrix.shape[0], hardware.tile.rows, _CELLS // columns)), columns
    sample = cell_sample(matrix, hardware, shape, name, seed)
    if hardware.update.in_place:
        return _in_place(matrix.shape, hardware, change, sample)
    return _written(matrix.shape, hardware, change.rms / sample.unit, sample, stream(seed, name, "expected update")), Counts()


def _written(
    shape: tuple[int, ...], hardware: Hardware, rms: float, sample: CellSample, random: np.random.Generator
) -> Counts:
    weights, update = sample.weights, hardware.device.update
    if update is not None and hardware.update.mode == "mixed_precision":
        weights = weights + _remainders(weights.shape, rms, _step(hardware), random).astype(weights.dtype)
        for cells in sample.cells:
            cells.write(weights)
    before = [cells.written for cells in sample.cells]
    moved = weights + (rms * random.standard_normal(weights.shape)).astype(weights.dtype)
    for cells in sample.cells:
        cells.write(moved)
    took = sum((cells.written - old for cells, old in zip(sample.cells, before, strict=True)), Counts())
    banks = 2 if hardware.mapping.transpose == "replica" else 1
    share = banks * shape[0] * shape[1] / weights.size
    rows = banks * min(shape[0], hardware.tile.rows) / weights.shape[0]
    return Counts(cells=round(share * took.cells), pulses=round(share * took.pulses), slots=round(rows * took.slots))


def _step(hardware: Hardware) -> float:
    # Weight of a pulse in the middle of the window, where the largest weight is 1.
    update, window = hardware.device.update, hardware.device.conductance
    assert update is not None
    return middle_step(update) / window.span_S * headroom_of(hardware) * (2 if hardware.mapping.scheme == "offset_column" else 1)


def _remainders(shape: tuple[int, ...], rms: float, step: float, random: np.random.Generator) -> np.ndarray:
    # Drawn by inverting the distribution function of (1 + c - |x|) on (-1, 1).
    c = _OVERSHOOT * rms / step
    u = random.random(shape)
    size = (1 + c) - np.sqrt((1 + c) ** 2 - u * (1 + 2 * c))
    return 0.999 * step * size * random.choice([-1.0, 1.0], shape)


def _in_place(shape: tuple[int, ...], hardware: Hardware, change: Change, sample: CellSample) -> tuple[Counts, Counts]:
    scheme, trained = hardware.update, sample.cells[0].in_place
    assert trained is not None
    fast = scheme.fast_rate if trained.fast is not None else 1.0
    in_steps = fast / (trained.step_weight * sample.unit)
    total = float(change.rows.sum())
    each = in_steps * np.outer(change.rows, change.columns) / (total or 1.0)
    sides = 2 if hardware.device.update is not None and hardware.device.update.polarity == "up" else 1
    length = np.full(change.largest.size, float(scheme.bit_length))
    if scheme.managed:
        length = np.clip(np.ceil(in_steps * change.largest), 1, scheme.bit_length)
    slots = 2 * float(length[change.largest > 0].sum())
    cells = float(-np.expm1(-each / sides).sum()) * sides
    written = Counts(cells=round(cells), pulses=round(in_steps * total), slots=round(slots))
    if trained.fast is None:
        return written, Counts()
    lines = min(scheme.transfer_lines, shape[0]) / scheme.transfer_every  # a step, in the mean
    vectors = max(1, round(lines)) if lines >= 0.5 else 0
    return written, Counts(vectors=vectors, outputs=vectors * shape[1], sensed=vectors * shape[1])

