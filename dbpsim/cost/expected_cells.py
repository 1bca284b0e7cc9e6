"""What a matrix's cells are expected to conduct, without programming them.

Conductances depend on a weight only through w / w_max, so a sample of the weights, divided by the limits of the whole matrix
and programmed as any cells are, has the mean conductance of all: with the device's window, errors, levels, spread and faults, and
with the mapping's pairs, reference columns and slices.  The mean over 8,192 weights is known to about 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.cells import Cells
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import limits_at, tile_count, weight_limits
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


def expected_cells(matrix: np.ndarray, hardware: Hardware, name: str, seed: int = 0) -> ExpectedCells:
    """Return what the cells that hold `matrix` are expected to conduct.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
    hardware : Hardware
    name : str
        Names the random streams, with `seed`.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> cells = expected_cells(np.array([[1.0, -0.5]]), load_hardware("ideal"), "fc")  # 1 uS stands for 1
    >>> round(cells.forward_S * 1e6, 2), cells.cells
    (1.5, 4)
    """
    sample = _sample(matrix, hardware, stream(seed, name, "expected cells"))
    mapping = hardware.mapping
    parts = range(mapping.slices if mapping.scheme == "bit_sliced" else 1)
    alike = hardware.model_copy(update={"mapping": mapping.model_copy(update={"scale": "matrix"})})
    held = [Cells(sample, alike, name, seed, part) for part in parts]
    share = matrix.size / sample.size
    conductance = share * sum(float(g.sum(dtype=np.float64)) for cells in held for _, g in cells.sides)
    banks = 2 if mapping.transpose == "replica" else 1
    return ExpectedCells(
        forward_S=conductance + _reference(matrix.shape, hardware, held[0]),
        transposed_S=conductance,
        cells=banks * len(held) * len(held[0].sides) * matrix.size,
        pulses=round(banks * share * sum(cells.written.pulses for cells in held)),
    )


def _reference(shape: tuple[int, ...], hardware: Hardware, cells: Cells) -> float:
    # Of an offset column: a fixed resistor a row and tile.
    if len(cells.sides) == 2:
        return 0.0
    return float(cells.g_minus.flat[0]) * shape[0] * tile_count((shape[0], shape[1]), hardware.tile)[1]


def _sample(matrix: np.ndarray, hardware: Hardware, random: np.random.Generator) -> np.ndarray:
    # Weights over the largest of their matrix, tile or column; the first is such a largest one, which sets the limit.
    rows, columns = matrix.shape
    if matrix.size <= _SAMPLE[0] * _SAMPLE[1]:
        at = np.arange(matrix.size)
        shape = rows, columns
    else:
        at = np.sort(random.integers(0, matrix.size, _SAMPLE[0] * _SAMPLE[1]))
        shape = _SAMPLE
    limits = limits_at(_limits(matrix, hardware), at, columns, hardware.tile)
    row, column = np.divmod(at, columns)
    found = (matrix[row, column] / limits * _headroom(hardware)).astype(matrix.dtype)
    if matrix.size > found.size:
        found[0] = 1.0
    return found.reshape(shape)


def _headroom(hardware: Hardware) -> float:
    headroom = hardware.mapping.headroom
    return headroom if hardware.effects.clipping else max(headroom, 1.0)


def _limits(matrix: np.ndarray, hardware: Hardware) -> np.ndarray:
    if hardware.mapping.scale != "matrix":
        return weight_limits(matrix, hardware)
    largest = max(float(matrix.max(initial=0.0)), -float(matrix.min(initial=0.0))) or 1.0  # in the order of memory: quicker
    return np.full((1, 1), largest * _headroom(hardware))
