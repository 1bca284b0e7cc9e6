"""Weight operators on crossbars: the analog side of the seam in `dbpsim.network.operators`.

    forward(a)      W a      inputs on rows, currents from columns
    transpose(d)    W^T d    the same cells: inputs on columns, currents from rows
    outer(d, a)     dC/dW    digital, from the digital d and a
    write(weight)   what the [update] scheme makes of the new weights, pulses for what has changed by a step or more by default
    descend(d, a)   the step itself, in place: pulses that meet in the array (schemes that work in place)

A convolution reads its im2col matrix once a position; the transposed reads of overlapping positions are added
where they meet (`fold`).  Each read has its own random numbers, named by (seed, name, direction, count of
reads), and the counts are part of `state`, so a resumed run goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import numpy as np

from dbpsim.crossbar.activity import Counts, StageActivity
from dbpsim.crossbar.calibration import calibrate
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import tile_count
from dbpsim.crossbar.read_counts import read_counts
from dbpsim.crossbar.table import cell_tables
from dbpsim.crossbar.tiles import TiledMatrix
from dbpsim.kernels import convolution
from dbpsim.kernels.convolution_read import read_convolution, read_convolution_transposed
from dbpsim.kernels.im2col import fold, output_size, patches
from dbpsim.kernels.memory import empty
from dbpsim.kernels.readout import digitise, weighted_squares

_CHUNK = 1 << 22  # numbers in a block of patches: 16 MB of float32, near the last-level cache


class _CrossbarOperator:
    """What dense and convolutional crossbars share: one programmed matrix and its counts."""

    def __init__(self, weight: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware = hardware
        self.name = name
        self.weight_shape = weight.shape
        self.tiles = TiledMatrix(self._matrix(weight), hardware, name, seed)
        self._counts = [Counts(), Counts(), Counts()]  # reads forward and transposed, digital outer products
        self._factors: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def in_place(self) -> bool:
        """Whether training pulses the array directly, from the factors of the gradient."""
        return self.tiles.cells.in_place is not None

    def take_factors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (d, a) of the last `outer`, once; None where the array is not trained in place."""
        factors, self._factors = self._factors, None
        return factors

    def descend(self, d: np.ndarray, a: np.ndarray, rate: float) -> None:
        """Make the step W <- W - rate sum d a^T by pulses, in place."""
        self.tiles.descend([self._vectors(d, a)], rate)

    def _vectors(self, d: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # (inputs, stress) as the array sees them: one vector a position.
        raise NotImplementedError

    def _remember(self, d: np.ndarray, a: np.ndarray, vectors: int) -> None:
        # Pulses in the array need the factors; without them the product is digital arithmetic, which is counted.
        if self.in_place:
            self._factors = d, a
        else:
            self._counts[2] += Counts(vectors=vectors)

    @property
    def noisy(self) -> bool:
        """Whether two reads of the same input may differ."""
        return self.hardware.output_noise > 0 or any(view.variance is not None for view in self.tiles.views)

    @property
    def clipped(self) -> int:
        """Weights of the last write that the window could not hold."""
        return self.tiles.cells.clipped

    def cell_tables(self, weight: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield where the cells of `weight` are and what they hold (`dbpsim.crossbar.table`)."""
        return cell_tables(self.tiles, self._matrix(weight))

    def wait(self, seconds: float, compensate: bool = False) -> None:
        """Age the cells by `seconds`; with `compensate` undo the mean of drift by one scale a tile, counted as reads."""
        for transposed, vectors in enumerate(self.tiles.wait(seconds, compensate)):
            if vectors:
                lines = np.full(self.tiles.shape[transposed], float(vectors))
                self._count(bool(transposed), vectors, 0, 0, self.tiles.power(lines, bool(transposed)))

    def calibrate(self, weight: np.ndarray, pairs: int, null_only: bool = False) -> None:
        """Correct gain and offset of every converter by reads of known vectors; with `null_only` the offsets of the way back."""
        expected = self._matrix(weight)
        digital = self.hardware.mapping.transpose == "digital"  # no converters on the way back
        for transposed in (False,) * (not null_only) + (True,) * (not digital):
            found = calibrate(self.tiles, expected, transposed, pairs, gain=not null_only)
            self.tiles.columns = [found.columns if way == transposed else old for way, old in enumerate(self.tiles.columns)]
            self._count(transposed, found.vectors, found.saturated, found.lost, found.power_W)

    @property
    def weight(self) -> np.ndarray:
        """The weights the conductances stand for, shaped like the digital ones (a new array)."""
        raise NotImplementedError

    @property
    def activity(self) -> StageActivity:
        """Counts since the chip was programmed."""
        rows, columns = self.tiles.shape
        down, across = tile_count(self.tiles.shape, self.hardware.tile)
        forward, transposed, products = self._counts
        arrays = down * across * sum(len(bank.slices) for bank in self.tiles.banks)
        written = self.tiles.written + products
        return StageActivity(rows, columns, arrays, forward + self.tiles.cells.transferred, transposed, written)

    def write(self, weight: np.ndarray) -> None:
        """Program what has changed: whole steps of the device now, the rest when it has grown to a step.

        Raises
        ------
        ValueError
            If `weight` has another shape or holds NaN or infinity.
        """
        if weight.shape != self.weight_shape:
            raise ValueError(
                f"{self.name}: write: found a weight of shape {weight.shape}; accepted: {self.weight_shape}"
            )
        self.tiles.write(self._matrix(weight))

    def shadow(self) -> Self:
        """Return an operator that reads the same cells, but numbers and counts its reads by itself."""
        twin = copy.copy(self)
        twin.tiles = copy.copy(self.tiles)
        twin.tiles.reads = list(self.tiles.reads)
        twin._counts, twin._factors = list(self._counts), None
        return twin

    def state(self) -> dict[str, np.ndarray]:
        """Return conductances, beliefs, random counters and activity, as arrays."""
        counts = np.stack([c.as_array() for c in self._counts])
        return {**self.tiles.state(), "counts": counts}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned; reads then go on as they would have there."""
        self.tiles.load_state(state)
        self._counts = [Counts.from_array(c) for c in state["counts"]]

    def _matrix(self, weight: np.ndarray) -> np.ndarray:
        if not (np.isfinite(weight.max(initial=0)) and np.isfinite(weight.min(initial=0))):  # without an array of answers
            raise ValueError(
                f"{self.name}: weights hold NaN or infinity; found {np.count_nonzero(~np.isfinite(weight))}."
            )
        return self._as_matrix(weight)

    def _as_matrix(self, weight: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _count(
        self, transposed: bool, vectors: int, saturated: int, lost: int, power_W: float
    ) -> None:
        self._counts[transposed] += read_counts(
            self.tiles.shape, self.hardware, transposed, vectors, power_W, saturated, lost
        )

    def _drive(self, a: np.ndarray, transposed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Numbers as the arrays see them, (v_read / full scale)^2 of each sample, and the sum over samples of (V / v_read)^2.
        flat = np.ascontiguousarray(a).reshape(len(a), -1)
        gain = self.tiles.input_gain(transposed)
        if gain is not None:
            gain = np.tile(gain, flat.shape[1] // gain.size)
        dac, limit, asked = self.hardware.dac, self.tiles.input_range(transposed), flat if gain is None else flat * gain
        self.tiles.ranges.note(transposed, 0, asked, dac.percentile)
        driven, full_scale, clipped, dropped = digitise(asked, limit, dac.levels)
        if dac.levels and limit:  # in a range of its own next to nothing of a sample is lost
            self._counts[transposed] += Counts(inputs=int(np.count_nonzero(flat)), clipped=clipped, dropped=dropped)
        weight = np.divide(
            1.0, full_scale.astype(np.float64) ** 2, out=np.zeros(len(a)), where=full_scale > 0
        )
        squares = weighted_squares(driven, weight)
        if gain is not None:
            driven = driven / gain if dac.levels else flat
        return driven, weight, squares

    def _power(self, squares: np.ndarray, coupled_W: float, transposed: bool) -> float:
        # With wires what driven lines take depends on the other inputs of the same vector: the sum of squares does not do.
        return coupled_W if self.tiles.coupled else self.tiles.power(squares, transposed)


class CrossbarDense(_CrossbarOperator):
    """A dense weight on tiles.

    Parameters
    ----------
    weight : array, shape (out, in)
    hardware : Hardware
    name : str
        Name of the stage: names its random streams, its activity and its errors.
    seed : int

    Raises
    ------
    ValueError
        If `weight` holds NaN or infinity.

    Examples
    --------
    >>> from dbpsim.crossbar import load_hardware
    >>> operator = CrossbarDense(np.array([[1.0, -2.0]]), load_hardware("ideal"), "fc", seed=0)
    >>> operator.forward(np.array([[3.0, 1.0]])).tolist(), operator.transpose(np.array([[1.0]])).tolist()
    ([[1.0]], [[1.0, -2.0]])
    """

    def _as_matrix(self, weight: np.ndarray) -> np.ndarray:
        return weight.T

    @property
    def weight(self) -> np.ndarray:
        return self.tiles.views[0].weights.T.copy()

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Return W a for `a` of shape (..., in)."""
        return self._read(a, transposed=False)

    def transpose(self, d: np.ndarray) -> np.ndarray:
        """Return W^T d for `d` of shape (..., out)."""
        if self.hardware.mapping.transpose == "digital":
            self._count(True, d.size // d.shape[-1], 0, 0, 0.0)
            return (d.reshape(-1, d.shape[-1]) @ self.tiles.views[0].weights.T).reshape(*d.shape[:-1], -1)
        return self._read(d, transposed=True)

    def outer(self, d: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return dC/dW, shape (out, in), summed over all leading axes."""
        self._remember(d, a, a.size // a.shape[-1])
        return d.reshape(-1, d.shape[-1]).T @ a.reshape(-1, a.shape[-1])

    def _vectors(self, d: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return a.reshape(-1, a.shape[-1]), d.reshape(-1, d.shape[-1])

    def _read(self, a: np.ndarray, transposed: bool) -> np.ndarray:
        if a.ndim == 2 and self.tiles.one_pass(a, transposed):
            out, squares, lost = self.tiles.read_in_one_pass(a, transposed)
            self._count(transposed, len(a), 0, lost, self.tiles.power(squares, transposed))
            return out
        driven, shares, squares = self._drive(a, transposed)
        vectors = driven.reshape(-1, a.shape[-1])
        out, saturated, lost = self.tiles.read(
            vectors, len(a), 0, self.tiles.next_key(transposed), transposed, shares
        )
        coupled = self.tiles.power_of(vectors, shares, transposed)
        power = self._power(squares.reshape(-1, a.shape[-1]).sum(axis=0), coupled, transposed)
        self._count(transposed, len(vectors), saturated, lost, power)
        return out.reshape(*a.shape[:-1], out.shape[1])


class CrossbarConvolution(_CrossbarOperator):
    """A two-dimensional convolution of NHWC images, as its im2col matrix on tiles.

    Parameters
    ----------
    weight : array, shape (kernel height, kernel width, in, out)
    hardware, name, seed
        As in `CrossbarDense`.
    input_shape : (height, width, channels)
    stride, padding : (vertical, horizontal)
    """

    def __init__(
        self,
        weight: np.ndarray,
        hardware: Hardware,
        name: str,
        seed: int,
        input_shape: tuple[int, int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(weight, hardware, name, seed)
        self.input_shape, self.stride, self.padding = input_shape, stride, padding
        self.kernel_shape = (weight.shape[0], weight.shape[1])
        self._window = (self.kernel_shape, stride, padding)
        self.output_size = output_size((input_shape[0], input_shape[1]), self.kernel_shape, stride, padding)

    def _as_matrix(self, weight: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(weight.reshape(-1, weight.shape[3]))

    @property
    def weight(self) -> np.ndarray:
        return self.tiles.views[0].weights.reshape(self.weight_shape).copy()

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Return W a, shape (N, OH, OW, out), for `a` of shape (N, H, W, in)."""
        driven, shares, squares = self._drive(a, transposed=False)
        images, key, coupled = driven.reshape(a.shape), self.tiles.next_key(False), 0.0
        if self.tiles.plain(False):
            view, limit, levels = self.tiles.views[0], self.tiles.limit(False), self.hardware.adc.levels
            out, saturated, lost = read_convolution(
                images, view.weights, view.variance, self._window, self.tiles.step(False), key, limit, levels
            )
        else:
            out, saturated, lost, coupled = self._read_patches(images, key, shares)
        # Windows of the summed squares are the sums of the windows' squares.
        power = self._power(self._patches(squares.reshape(1, *self.input_shape)).sum(axis=0), coupled, False)
        self._count(False, len(a) * self._positions, saturated, lost, power)
        return out

    def transpose(self, d: np.ndarray) -> np.ndarray:
        """Return W^T d, shape (N, H, W, in), for `d` of shape (N, OH, OW, out)."""
        if self.hardware.mapping.transpose == "digital":
            self._count(True, len(d) * self._positions, 0, 0, 0.0)
            held = self.tiles.views[0].weights.reshape(self.weight_shape)
            return convolution.convolve_transposed(d, held, (len(d), *self.input_shape), self.stride, self.padding)
        driven, shares, squares = self._drive(d, transposed=True)
        key, coupled = self.tiles.next_key(True), 0.0
        if self.tiles.plain(True):
            view, limit, levels = self.tiles.views[1], self.tiles.limit(True), self.hardware.adc.levels
            stress, shape, step = driven.reshape(d.shape), self.input_shape, self.tiles.step(True)
            out, saturated, lost = read_convolution_transposed(
                stress, view.weights, view.variance, shape, self._window, step, key, limit, levels
            )
        else:
            out, saturated, lost, coupled = self._fold_reads(driven.reshape(len(d), self._positions, d.shape[-1]), key, shares)
        power = self._power(squares.reshape(-1, d.shape[-1]).sum(axis=0), coupled, True)
        self._count(True, len(d) * self._positions, saturated, lost, power)
        return out

    def _read_patches(self, images: np.ndarray, key: np.uint64, shares: np.ndarray) -> tuple[np.ndarray, int, int, float]:
        # (Results, saturated, lost, power of coupled lines) of any forward read, some images at a time.
        out = empty((len(images), *self.output_size, self.weight_shape[3]), images.dtype)
        saturated, lost, coupled = 0, 0, 0.0
        for first, last in self._chunks(len(images)):
            rows = self._patches(images[first:last])
            coupled += self.tiles.power_of(rows, shares[first:last], False)
            read, over, under = self.tiles.read(rows, last - first, first, key, False, shares[first:last])
            out[first:last] = read.reshape(last - first, *out.shape[1:])
            saturated, lost = saturated + over, lost + under
        return out, saturated, lost, coupled

    def _fold_reads(self, vectors: np.ndarray, key: np.uint64, shares: np.ndarray) -> tuple[np.ndarray, int, int, float]:
        # The same of any transposed read.
        out = empty((len(vectors), *self.input_shape), vectors.dtype)
        saturated, lost, coupled = 0, 0, 0.0
        for first, last in self._chunks(len(vectors)):
            rows = vectors[first:last].reshape(-1, vectors.shape[2])
            coupled += self.tiles.power_of(rows, shares[first:last], True)
            over, under = self._transposed_chunk(rows, first, last, key, shares, out)
            saturated, lost = saturated + over, lost + under
        return out, saturated, lost, coupled

    def outer(self, d: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return dC/dW, shaped like the weight, summed over the batch and all positions."""
        self._remember(d, a, len(a) * self._positions)
        return convolution.convolve_outer(d, a, self.kernel_shape, self.stride, self.padding)

    def descend(self, d: np.ndarray, a: np.ndarray, rate: float) -> None:
        self.tiles.descend((self._vectors(d[i:j], a[i:j]) for i, j in self._chunks(len(a))), rate)

    def _vectors(self, d: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._patches(np.ascontiguousarray(a)), d.reshape(-1, d.shape[-1])

    @property
    def _positions(self) -> int:
        return self.output_size[0] * self.output_size[1]

    def _chunks(self, samples: int) -> list[tuple[int, int]]:
        size = max(1, _CHUNK // (self._positions * self.tiles.shape[0]))
        return [(first, min(first + size, samples)) for first in range(0, samples, size)]

    def _patches(self, images: np.ndarray) -> np.ndarray:
        return patches(images, self.kernel_shape, self.stride, self.padding)

    def _fold(self, rows: np.ndarray, samples: int) -> np.ndarray:
        return fold(rows, (samples, *self.input_shape), self.kernel_shape, self.stride, self.padding)

    def _transposed_chunk(
        self, rows: np.ndarray, first: int, last: int, key: np.uint64, shares: np.ndarray, out: np.ndarray
    ) -> tuple[int, int]:
        samples, target = last - first, out[first:last]
        if self.hardware.adc.levels or self.hardware.output_noise or self.tiles.views[1].variance is None:
            read, saturated, lost = self.tiles.read(rows, samples, first, key, True, shares[first:last])
            target[...] = self._fold(read, samples)
            return saturated, lost
        # Nothing is converted, so the noise of reads that are added is drawn once for their sum.
        mean, variance = self.tiles.currents(rows, True)
        assert variance is not None
        return self.tiles.sense(
            self._fold(mean, samples), self._fold(variance, samples), samples, first, key, 0.0, target, False
        )
