"""Weights as conductances, and where they lie.

    pair             W = (G+ - G-) w_max / span,    span = g_max - g_min: one cell of a pair holds the weight's magnitude
                     and the other rests at g_min
    offset_column    W = 2 (G - G_ref) w_max / span: one cell a weight; the reference column of every tile holds fixed
                     resistors in the middle of the window, G_ref = (g_min + g_max) / 2, without error or noise (a choice)
    bit_sliced       W = sum_k of `slices` pairs of cells on arrays of their own: the first holds W rounded to 2^bits - 1
                     steps a side, each further one what rounding has left, with w_max(k + 1) = w_max(k) / (2 (2^bits - 1));
                     the last one holds its remainder unrounded.  (Rounding to the nearest keeps the halves apart that
                     truncation would carry over: a residue fits the next slice with either sign.)

w_max, the weight that fills the window, is one number a matrix, a tile or a column:

    matrix   reads of W and of W^T have the same gain; nothing is rescaled
    tile     every tile's result is multiplied by its own w_max as a number, in both directions
    column   one output gain a column (forward), the same gain on what drives it (transposed): both reads stay adjoint

Layout: matrices are stored as the arrays see them, inputs along rows, outputs along columns.  A dense
weight (out, in) lies transposed; a convolution's (kh, kw, in, out) is its im2col matrix, rows in the order
(kernel row, kernel column, channel).  Tile (i, j) holds rows i R to (i+1) R and columns j C to (j+1) C; the
last ones may be partly empty.  Both cells of a pair are on one word line, each has a bit line of its own.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.crossbar.hardware import Hardware, Tile, WeightMapping
from dbpsim.devices.schema import Conductance


def weight_limits(matrix: np.ndarray, hardware: Hardware) -> np.ndarray:
    """Return w_max, float64: of shape (1, 1), (tiles down, tiles across) or (1, columns), as the mapping's scale says.

    Where all weights are zero w_max is 1.
    """
    tile, scale = hardware.tile, hardware.mapping.scale
    largest = np.maximum(matrix.max(axis=0, initial=0.0), -matrix.min(axis=0, initial=0.0)).astype(np.float64)[None]
    if scale == "matrix":
        largest = largest.max(keepdims=True)
    elif scale == "tile":
        starts = np.arange(0, matrix.shape[1], tile.columns)
        rows = (np.abs(matrix[cut]).max(axis=0) for cut in blocks(len(matrix), tile.rows))
        largest = np.array([np.maximum.reduceat(row, starts) for row in rows], np.float64)
    headroom = hardware.mapping.headroom if hardware.effects.clipping else max(hardware.mapping.headroom, 1.0)
    return np.where(largest > 0, largest, 1.0) * headroom


def limits_of_rows(w_max: np.ndarray, first: int, columns: int, tile: Tile) -> np.ndarray:
    """Return w_max of every column (or of all, shape (1,)) in the row of tiles that holds row `first`."""
    row = w_max[min(first // tile.rows, len(w_max) - 1)]
    return row if row.size in (1, columns) else np.repeat(row, tile.columns)[:columns]


def limits_at(w_max: np.ndarray, at: np.ndarray, columns: int, tile: Tile) -> np.ndarray:
    """Return w_max of the cells at the flat indices `at`, or the one number there is, shape (1,)."""
    if w_max.size == 1:
        return w_max.ravel()
    row, column = np.divmod(at, columns)
    if len(w_max) == 1 and w_max.shape[1] == columns:
        return w_max[0, column]
    return w_max[row // tile.rows, column // tile.columns]


def slice_factor(mapping: WeightMapping) -> float:
    """Return w_max of a slice over that of the slice before it."""
    return 0.5 / (2**mapping.bits_per_slice - 1)


def sliced(matrix: np.ndarray, w_max: np.ndarray, number: int, mapping: WeightMapping) -> np.ndarray:
    """Return the part of `matrix` that slice `number` holds; all of it without slices.

    Parameters
    ----------
    matrix : array
    w_max : array
        Of the first slice; broadcast against `matrix`.

    Examples
    --------
    >>> cut = WeightMapping(scheme="bit_sliced", slices=2, bits_per_slice=2)
    >>> [sliced(np.array([1.0, -0.4]), np.array(1.0), k, cut).round(4).tolist() for k in (0, 1)]
    [[1.0, -0.3333], [0.0, -0.0667]]
    """
    if mapping.scheme != "bit_sliced":
        return matrix
    left, limit = np.clip(matrix, -w_max, w_max).astype(matrix.dtype, copy=False), w_max
    for step in range(number + 1):
        if step == mapping.slices - 1:
            return left
        unit = (limit / (2**mapping.bits_per_slice - 1)).astype(matrix.dtype)
        held = np.rint(left / unit) * unit
        if step == number:
            return held
        left, limit = left - held, limit * slice_factor(mapping)
    raise ValueError(f"slice: found {number}; accepted: 0 to {mapping.slices - 1}.")


def differential(matrix: np.ndarray, w_max: np.ndarray | float, window: Conductance) -> np.ndarray:
    """Return G+ - G- (S) for weights `matrix`, clipped to what the window can hold."""
    span = window.span_S
    factor = np.asarray(span / np.asarray(w_max)).astype(matrix.dtype)
    return np.clip(matrix * factor, -span, span).astype(matrix.dtype, copy=False)


def pair(difference: np.ndarray, window: Conductance, scheme: str = "pair") -> tuple[np.ndarray, np.ndarray]:
    """Return (G+, G-), in S, for wanted differences G+ - G-; of an offset column (G, G_ref).

    Examples
    --------
    >>> window = Conductance(g_min_S=1.0, g_max_S=5.0, source="a doctest")
    >>> [g.tolist() for g in pair(np.array([3.0, -2.0]), window)]
    [[4.0, 1.0], [1.0, 3.0]]
    >>> [g.tolist() for g in pair(np.array([4.0, -2.0]), window, "offset_column")]
    [[5.0, 2.0], [3.0, 3.0]]
    """
    if scheme == "offset_column":
        return reference_S(window) + difference / 2, np.broadcast_to(difference.dtype.type(reference_S(window)), difference.shape)
    return window.g_min_S + np.maximum(difference, 0), window.g_min_S + np.maximum(-difference, 0)


def reference_S(window: Conductance) -> float:
    """Return the conductance of a reference column's resistors (S)."""
    return window.g_min_S + window.span_S / 2


def weight_per_siemens(w_max: np.ndarray | float, window: Conductance, scheme: str = "pair") -> np.ndarray:
    """Return the weight that a difference G+ - G- (or G - G_ref) of 1 S stands for."""
    return np.asarray(w_max) * ((2.0 if scheme == "offset_column" else 1.0) / window.span_S)


def weights(
    g_plus: np.ndarray, g_minus: np.ndarray, w_max: np.ndarray | float, window: Conductance, scheme: str = "pair"
) -> np.ndarray:
    """Return the weights that conductances stand for."""
    return (g_plus - g_minus) * weight_per_siemens(w_max, window, scheme).astype(g_plus.dtype)


def blocks(size: int, tile: int) -> list[slice]:
    """Return the slices that cut an axis of `size` into tiles.

    Examples
    --------
    >>> blocks(5, 4)
    [slice(0, 4, None), slice(4, 5, None)]
    """
    return [slice(i, min(i + tile, size)) for i in range(0, size, tile)]


def tile_count(shape: tuple[int, int], tile: Tile) -> tuple[int, int]:
    """Return how many tiles a matrix of `shape` takes, along rows and along columns (of each slice and replica)."""
    return math.ceil(shape[0] / tile.rows), math.ceil(shape[1] / tile.columns)
