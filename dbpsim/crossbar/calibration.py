"""Calibration of the converters behind an array: what a chip can find out about them by reading itself.

Known vectors of random signs are read in pairs, v and -v, with the noise and the converters of any read.  Whatever a linear
array answers cancels in the sum of a pair, so per line, with codes c as shares of full scale R and the results e = W v the
controller expects,

    offset = mean( c(v) + c(-v) ) / 2
    gain   = sum( e/R (c(v) - c(-v)) / 2 ) / sum( (e/R)^2 )

The offset needs no knowledge of the weights: it is what the line shows when nothing is asked of it, read at many codes
instead of at zero alone, so that rounding averages out too.  Of the transposed read it is the null of the stress path: with
the cost switched off stress is exactly zero, and what a chip shows then is its own (ours).  The gain takes the mean
error of a column's cells with it.  Residuals fall as 1 / sqrt(pairs).

Where known vectors drive converters beyond a range that is not their own, all are read again at half the size; each read counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dbpsim.crossbar.column_converters import Columns, codes, unlike_none
from dbpsim.crossbar.mapping import blocks
from dbpsim.kernels.random import bits, stream
from dbpsim.kernels.readout import read_out

if TYPE_CHECKING:
    from dbpsim.crossbar.tiles import TiledMatrix

_MOST_PAIRS = 1 << 16
_MOST_HALVINGS = 16
_SATURATED = 1e-3  # share of conversions beyond the range from which inputs are halved: less moves a mean by less than that


@dataclass(frozen=True)
class Calibrated:
    """What calibration of one direction found and what it took.

    Attributes
    ----------
    columns : Columns
        The converters with their new corrections.
    vectors : int
        Vectors read.
    power_W : float
        Sum over them of V^2 G.
    saturated, lost : int
        Conversions beyond the range, and those that came out as zero.
    """

    columns: Columns
    vectors: int
    power_W: float
    saturated: int
    lost: int


def check_pairs(pairs: object) -> int:
    """Return `pairs`, a number of pairs of known vectors.

    Raises
    ------
    ValueError
        If it is not a whole number from 1 to 65536.
    """
    if isinstance(pairs, bool) or not isinstance(pairs, int | np.integer) or not 1 <= pairs <= _MOST_PAIRS:
        raise ValueError(f"calibrate: pairs: found {pairs!r}; accepted: a whole number from 1 to {_MOST_PAIRS}.")
    return int(pairs)


def calibrate(tiles: TiledMatrix, expected: np.ndarray, transposed: bool, pairs: int, *, gain: bool) -> Calibrated:
    """Read known vectors and return the converters of this direction with corrections for what they showed.

    Parameters
    ----------
    tiles : TiledMatrix
    expected : array, shape (rows, columns)
        The weights the controller asked for.
    transposed : bool
    pairs : int
    gain : bool
        Whether to correct gains too; otherwise they stay as corrected before.
    """
    lines, columns = tiles.shape[transposed], tiles.columns[transposed]
    if columns is None:
        columns = unlike_none(tiles.hardware, tiles.shape, expected.dtype, transposed)
    size, drive = tiles.input_range(transposed) or 1.0, tiles.input_gain(transposed)
    full = np.full(lines, size) if drive is None else size / drive
    draw = stream(tiles.seed, tiles.name, "calibration", int(transposed), tiles.reads[transposed])
    signs = draw.integers(0, 2, (pairs, lines)) * 2 - 1
    vectors = (np.concatenate([signs, -signs]) * full).astype(expected.dtype)
    read, power, saturated, lost = 0, 0.0, 0, 0
    for halvings in range(_MOST_HALVINGS + 1):
        found, over, under = _corrected(tiles, columns, expected, transposed, vectors * 0.5**halvings, size, gain)
        read, saturated, lost = read + 2 * pairs, saturated + over, lost + under
        power += tiles.power(np.full(lines, 2.0 * pairs * 0.25**halvings), transposed)
        if over <= _SATURATED * 2 * pairs * found.gain.size:
            break
    return Calibrated(found, read, power, saturated, lost)


def _corrected(
    tiles: TiledMatrix, columns: Columns, expected: np.ndarray, transposed: bool, vectors: np.ndarray, size: float, gain: bool
) -> tuple[Columns, int, int]:
    # (converters with corrections by one read of `vectors`, conversions saturated, conversions lost).
    key, tile, levels, pairs = tiles.next_key(transposed), tiles.hardware.tile, tiles.hardware.adc.levels, len(vectors) // 2
    matrix, shares = expected.T if transposed else expected, np.full(2 * pairs, size**-2)
    gains, offsets, saturated, lost = columns.corrected_gain.copy(), columns.corrected_offset.copy(), 0, 0
    for number, cut in enumerate(blocks(vectors.shape[1], tile.columns if transposed else tile.rows)):
        mean, variance, behind, column = tiles.seen(vectors, transposed, cut, shares)
        read_out(mean, variance, np.uint64(bits(key, number)), 0, 0.0, 0, mean, accumulate=False)
        code, reach, over, under = codes(mean, column * tiles.sense_share(transposed), levels, columns.block(number))
        saturated, lost = saturated + over, lost + under
        up, down = code.astype(np.float64).reshape(2, pairs, -1)
        offsets[number] = (up + down).mean(axis=0) / 2
        if gain:
            scale = reach.reshape(2, pairs).mean(axis=0)[:, None]
            wanted = vectors[:pairs, cut].astype(np.float64) @ matrix[cut] / (1.0 if behind is None else behind)
            share = np.divide(wanted, scale, out=np.zeros_like(wanted), where=scale > 0)
            gains[number] = _slope(share, (up - down) / 2, levels)
    return columns.corrected(gains, offsets), saturated, lost


def _slope(share: np.ndarray, code: np.ndarray, levels: int) -> np.ndarray:
    # A line whose results stay below a step, weights of zero for one, has no gain that could be measured: it keeps 1.
    energy = np.square(share).sum(axis=0)
    measurable = energy > len(share) / levels**2
    slope = np.divide((share * code).sum(axis=0), energy, out=np.ones(len(energy)), where=measurable)
    return np.clip(slope, 0.5, 2.0)
