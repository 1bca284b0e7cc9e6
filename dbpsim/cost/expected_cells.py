"""What a matrix's cells are expected to conduct, without programming them.

Conductances depend on a weight only through w / w_max, so a sample of the weights, divided by the limits of the whole matrix
and programmed as any cells are, has the mean conductance of all: with the device's window, errors, levels, spread and faults, and
with with the mapping's pairs, reference columns and slices.  The mean over 8,192 weights is known to about 1 %.

With wires one tile stands for all: with a share c of E[v]^2 in E[v^2], sources give V^T Y V = E[v^2] ((1 - c) tr Y + c sum Y).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.cells import Cells
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import limits_at, tile_count, weight_limits
from dbpsim.crossbar.tiles import TiledMatrix
from dbpsim.kernels.random import stream

_SAMPLE = (64, 128)  # cells of each side that are programmed in place of all


@dataclass(frozen=True)
class ExpectedCells:
    """What the cells of a matrix are expected to conduct and to have taken.

    Attributes
    ----------
    forward_S, transposed_S : float
        Sum of the conductances that a read drives; of a replica its own.  A reference column counts for the forward read.
    cells, pulses : int
        Cells programmed and the pulses that took, of all slices and replicas.
    """

    forward_S: float
    transposed_S: float
    cells: int
    pulses: int


def expected_cells(
    matrix: np.ndarray, hardware: Hardware, name: str, seed: int = 0, *, common: float = 0.0
) -> ExpectedCells:
    """Return what the cells that hold `matrix` are expected to conduct.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
    hardware : Hardware
    name : str
        Names the random streams, with `seed`.
    common : float
        Share of the squared mean in the mean square of what drives the forward read; counts with wires.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> cells = expected_cells(np.array([[1.0, -0.5]]), load_hardware("ideal"), "fc")  # 1 uS stands for 1
    >>> round(cells.forward_S * 1e6, 2), cells.cells
    (1.5, 4)
    """
    sample = cell_sample(matrix, hardware, _SAMPLE, name, seed)
    held = sample.cells
    share = matrix.size / sample.weights.size
    conductance = share * sum(float(g.sum(dtype=np.float64)) for cells in held for _, g in cells.sides)
    banks = 2 if hardware.mapping.transpose == "replica" else 1
    forward, transposed = conductance + _reference(matrix.shape, hardware, held[0]), conductance
    if hardware.wired:
        forward, transposed = _behind_wires(matrix, hardware, common, name, seed)
    return ExpectedCells(
        forward_S=forward,
        transposed_S=transposed,
        cells=banks * len(held) * len(held[0].sides) * matrix.size,
        pulses=round(banks * share * sum(cells.written.pulses for cells in held)),
    )


def _reference(shape: tuple[int, ...], hardware: Hardware, cells: Cells) -> float:
    # Of an offset column: a fixed resistor a row and tile.
    if len(cells.sides) == 2:
        return 0.0
    return float(cells.g_minus.flat[0]) * shape[0] * tile_count((shape[0], shape[1]), hardware.tile)[1]


def _behind_wires(matrix: np.ndarray, hardware: Hardware, common: float, name: str, seed: int) -> tuple[float, float]:
    # Conductance (S) that the sources of the forward and of the transposed read see, of all tiles.
    shape = min(matrix.shape[0], hardware.tile.rows), min(matrix.shape[1], hardware.tile.columns)
    weights, _ = _sample(matrix, hardware, shape, stream(seed, name, "expected tile"))
    tile, share = TiledMatrix(weights, _unscaled(hardware), name, seed), matrix.size / weights.size
    found = []
    for transposed in (False, True):
        ones = np.ones((1, weights.shape[transposed]), weights.dtype)
        alone = together = tile.power(ones[0], transposed)
        if tile.coupled:
            together = tile.power_of(ones, np.ones(1), transposed)
        mean = 0.0 if transposed else common
        found.append(share * ((1 - mean) * alone + mean * together) / hardware.read.v_read_V**2)
    return found[0], found[1]


def _unscaled(hardware: Hardware) -> Hardware:
    # For weights that are divided by their limits already.
    return hardware.model_copy(update={"mapping": hardware.mapping.model_copy(update={"scale": "matrix"})})


@dataclass(frozen=True)
class CellSample:
    """Some weights of a matrix and the cells, of every slice, that hold them.

    Attributes
    ----------
    weights : array
        Over `unit`, so that the largest a matrix, tile or column holds is 1.
    cells : list of Cells
    unit : float
        Weight that 1 stands for, the mean of the sample.
    """

    weights: np.ndarray
    cells: list[Cells]
    unit: float


def cell_sample(matrix: np.ndarray, hardware: Hardware, shape: tuple[int, int], name: str, seed: int = 0) -> CellSample:
    """Return a sample of `shape` (all, where the matrix is smaller) of the weights of `matrix`, programmed."""
    mapping, random = hardware.mapping, stream(seed, name, "expected cells")
    weights, unit = _sample(matrix, hardware, shape, random)
    parts = range(mapping.slices if mapping.scheme == "bit_sliced" else 1)
    alike = _unscaled(hardware)
    return CellSample(weights, [Cells(weights, alike, name, seed, part) for part in parts], unit)


def _sample(
    matrix: np.ndarray, hardware: Hardware, shape: tuple[int, int], random: np.random.Generator
) -> tuple[np.ndarray, float]:
    # Weights over the largest of their matrix, tile or column; the first is such a largest one, which sets the limit.
    columns = matrix.shape[1]
    if matrix.size <= shape[0] * shape[1]:
        at, shape = np.arange(matrix.size), (matrix.shape[0], columns)
    else:
        at = np.sort(random.integers(0, matrix.size, shape[0] * shape[1]))
    unit = limits_at(_limits(matrix, hardware), at, columns, hardware.tile) / headroom_of(hardware)
    row, column = np.divmod(at, columns)
    found = (matrix[row, column] / unit).astype(matrix.dtype)
    if matrix.size > found.size:
        found[0] = 1.0
    return found.reshape(shape), float(unit.mean())


def headroom_of(hardware: Hardware) -> float:
    """Return w_max over the largest weight, clipping switched off or not."""
    headroom = hardware.mapping.headroom
    return headroom if hardware.effects.clipping else max(headroom, 1.0)


def _limits(matrix: np.ndarray, hardware: Hardware) -> np.ndarray:
    if hardware.mapping.scale != "matrix":
        return weight_limits(matrix, hardware)
    largest = max(float(matrix.max(initial=0.0)), -float(matrix.min(initial=0.0))) or 1.0  # in the order of memory: quicker
    return np.full((1, 1), largest * headroom_of(hardware))
