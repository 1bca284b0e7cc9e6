"""The converters of an array's lines, no two alike, and what calibration corrects of them.

Converter i sees the current t, as a share of full scale, and gives the code nearest to

    L t' ,    t' = (1 + g_i) t + (o_i + b_i (1 - t^2)) / L,     L = 2^(bits-1) - 1

with gain error g_i, offset o_i and bow b_i in steps, normal over the converters of a chip.  The bow is what is left at the
middle of the range when a straight line is laid through its ends: integral nonlinearity by its end-point definition.
A parabola is the smoothest curve of that kind (a choice).  The number handed on is (t' - o) / g with the corrections
o, g that calibration found (0 and 1 before).  Every line of every stack of tiles has a converter of its own in each direction.

A range of the sample's own has room for the spread, so that nothing saturates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import tile_count
from dbpsim.kernels.random import stream
from dbpsim.kernels.readout import digitise

_WAYS = ("forward", "transposed")


@dataclass(frozen=True)
class Columns:
    """Converters of one read direction, each array of shape (stacks of tiles, lines), or (lines,) of one stack.

    Attributes
    ----------
    gain : 1 + g
    offset, bow : in steps of the converter
    corrected_gain, corrected_offset : what calibration found; the offset as a share of full scale
    """

    gain: np.ndarray
    offset: np.ndarray
    bow: np.ndarray
    corrected_gain: np.ndarray
    corrected_offset: np.ndarray

    def block(self, number: int) -> Columns:
        """Return the converters behind one stack of tiles."""
        return Columns(*(getattr(self, f.name)[number] for f in fields(self)))

    def corrected(self, gain: np.ndarray, offset: np.ndarray) -> Columns:
        """Return the same converters with other corrections."""
        kind = self.gain.dtype
        return replace(self, corrected_gain=np.asarray(gain, kind), corrected_offset=np.asarray(offset, kind))


def _drawn(hardware: Hardware, shape: tuple[int, int], kind: Any, name: str, seed: int, transposed: bool) -> Columns:
    stacks = tile_count(shape, hardware.tile)[1 if transposed else 0]
    lines = shape[0] if transposed else shape[1]
    z = stream(seed, name, "converters", _WAYS[transposed]).standard_normal((3, stacks, lines))
    g, offset, bow = (sigma * each for sigma, each in zip(hardware.converter_sigmas, z, strict=True))
    one, zero = np.ones((stacks, lines), kind), np.zeros((stacks, lines), kind)
    return Columns((1 + g).astype(kind), offset.astype(kind), bow.astype(kind), one, zero)


def unlike_none(hardware: Hardware, shape: tuple[int, int], kind: Any, transposed: bool) -> Columns:
    """Return converters that only round, for corrections to go with."""
    stacks = tile_count(shape, hardware.tile)[1 if transposed else 0]
    one = np.ones((stacks, shape[0] if transposed else shape[1]), kind)
    return Columns(one, 0 * one, 0 * one, one, 0 * one)


def columns_of(hardware: Hardware, shape: tuple[int, int], kind: Any, name: str, seed: int) -> list[Columns | None]:
    """Return the converters of a matrix of `shape` (rows, columns), forward and transposed; None where they only round."""
    if not any(hardware.converter_sigmas):
        return [None, None]
    return [_drawn(hardware, shape, kind, name, seed, transposed) for transposed in (False, True)]


def block_of(columns: Columns | None, number: int) -> Columns | None:
    """Return the converters behind one stack of tiles, or None where they only round."""
    return None if columns is None else columns.block(number)


def convert(
    x: np.ndarray, limit: float, levels: int, columns: Columns, out: np.ndarray, *, accumulate: bool
) -> tuple[int, int]:
    """Convert `x` into `out`, or add it to `out`; return (values beyond the range, values other than zero that became zero).

    Parameters
    ----------
    x, out : arrays, shape (samples, vectors of a sample x lines)
    limit : float
        Full scale, in units of `x`; 0 for each sample's own.
    levels : int
        L above.
    columns : Columns
        Of one stack of tiles.
    """
    code, reach, saturated, lost = codes(x, limit, levels, columns)
    result = ((code - columns.corrected_offset) / columns.corrected_gain * reach[:, None, None]).reshape(out.shape)
    np.add(out, result, out=out) if accumulate else np.copyto(out, result)
    return saturated, lost


def codes(x: np.ndarray, limit: float, levels: int, columns: Columns) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return (codes / L, shape (samples, vectors, lines), range of each sample, values saturated, values lost) of `convert`."""
    seen = x.reshape(len(x), -1, columns.gain.size)
    reach = np.full(len(x), limit, x.dtype) if limit > 0 else _own_range(seen, levels, columns)
    full_scale = reach[:, None, None]
    t = np.divide(seen, full_scale, out=np.zeros_like(seen), where=full_scale > 0)
    bow = columns.bow * (1 - np.square(np.clip(t, -1, 1)))
    bent = t * columns.gain + (columns.offset + bow) / levels
    code, _, saturated, _ = digitise(bent.reshape(len(x), -1).astype(x.dtype, copy=False), 1.0, levels)
    return code.reshape(seen.shape), reach, saturated, int(np.count_nonzero((code == 0) & (x != 0)))


def _own_range(seen: np.ndarray, levels: int, columns: Columns) -> np.ndarray:
    largest = np.abs(seen * columns.gain).max(axis=(1, 2), initial=0)
    room = (np.abs(columns.offset).max(initial=0) + np.abs(columns.bow).max(initial=0)) / levels
    return (largest / max(1 - room, 0.5)).astype(seen.dtype)


def saved_corrections(columns: list[Columns | None]) -> dict[str, np.ndarray]:
    """Return the corrections of both directions as arrays; none where there was no calibration."""
    state = {}
    for way, each in zip(_WAYS, columns, strict=True):
        if each is not None and not ((each.corrected_gain == 1).all() and (each.corrected_offset == 0).all()):
            state[f"calibration.{way}"] = np.stack([each.corrected_gain, each.corrected_offset])
    return state


def load_corrections(columns: list[Columns | None], state: dict[str, np.ndarray]) -> list[Columns | None]:
    """Return `columns` with the corrections that `saved_corrections` wrote down."""
    found = [state.get(f"calibration.{way}") for way in _WAYS]
    return [each if saved is None else _with(each, saved) for each, saved in zip(columns, found, strict=True)]


def _with(columns: Columns | None, saved: np.ndarray) -> Columns:
    if columns is None:
        one = np.ones(saved.shape[1:], saved.dtype)
        columns = Columns(one, 0 * one, 0 * one, one, 0 * one)
    return columns.corrected(*saved)
