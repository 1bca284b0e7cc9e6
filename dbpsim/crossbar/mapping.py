"""Weights as pairs of conductances.

    W = (G+ - G-) w_max / (g_max - g_min)

One cell of a pair holds the weight's magnitude and the other rests at g_min.  There is one w_max a matrix,
not a tile or a column: a read of W and a read of W^T then have the same gain, and stay adjoint with no
digital scaling in between.

Layout: matrices are stored as the arrays see them, inputs along rows, outputs along columns.  A dense
weight (out, in) lies transposed; a convolution's (kh, kw, in, out) is its im2col matrix, rows in the order
(kernel row, kernel column, channel).  Tile (i, j) holds rows i R to (i+1) R and columns j C to (j+1) C; the
last ones may be partly empty.
"""

from __future__ import annotations

import math

import numpy as np

from dbpsim.crossbar.hardware import Hardware, Tile
from dbpsim.devices.schema import Conductance


def weight_limit(matrix: np.ndarray, hardware: Hardware) -> float:
    """Return w_max, the weight that fills the window."""
    largest = float(np.abs(matrix).max(initial=0.0))
    return (largest or 1.0) * hardware.mapping.headroom


def differential(matrix: np.ndarray, w_max: float, window: Conductance) -> np.ndarray:
    """Return G+ - G- (S) for weights `matrix`, clipped to what the window can hold."""
    span = window.span_S
    return np.clip(matrix * (span / w_max), -span, span).astype(matrix.dtype, copy=False)


def pair(difference: np.ndarray, window: Conductance) -> tuple[np.ndarray, np.ndarray]:
    """Return (G+, G-), in S, for wanted differences G+ - G-.

    Examples
    --------
    >>> window = Conductance(g_min_S=1.0, g_max_S=5.0, source="a doctest")
    >>> [g.tolist() for g in pair(np.array([3.0, -2.0]), window)]
    [[4.0, 1.0], [1.0, 3.0]]
    """
    return window.g_min_S + np.maximum(difference, 0), window.g_min_S + np.maximum(-difference, 0)


def weights(g_plus: np.ndarray, g_minus: np.ndarray, w_max: float, window: Conductance) -> np.ndarray:
    """Return the weights that conductances stand for."""
    return (g_plus - g_minus) * (w_max / window.span_S)


def blocks(size: int, tile: int) -> list[slice]:
    """Return the slices that cut an axis of `size` into tiles.

    Examples
    --------
    >>> blocks(5, 4)
    [slice(0, 4, None), slice(4, 5, None)]
    """
    return [slice(i, min(i + tile, size)) for i in range(0, size, tile)]


def tile_count(shape: tuple[int, int], tile: Tile) -> tuple[int, int]:
    """Return how many tiles a matrix of `shape` takes, along rows and along columns."""
    return math.ceil(shape[0] / tile.rows), math.ceil(shape[1] / tile.columns)
