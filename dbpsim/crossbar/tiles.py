"""A weight matrix on tiles, as reads see it.

    forward     u_i = sum_j W_ij v_j + sqrt( sum_j S_ij v_j^2 ) z_i,    z_i ~ N(0, 1)
    transposed  the same cells with rows and columns exchanged

W are the weights of the pairs; S_ij = (sigma+_ij^2 + sigma-_ij^2) (w_max / span)^2 is the variance of a
read of one pair.  The cells of a column are independent and Gaussian, so their sum is drawn once an output
with the exact variance, at the price of one more matrix product, instead of once a cell.  (Outputs of one
read share no cell, so they are independent too.)

W and S make a `View`, worked out when cells change (`TiledMatrix._look`), not when they are read.  Both directions
share one view unless something makes them differ.

With an ADC every stack of tiles is converted by itself and partial sums are added as numbers; without,
currents add on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.cells import Cells
from dbpsim.crossbar.converters import sense_limit
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, weights
from dbpsim.devices.read_noise import read_sigma
from dbpsim.kernels.memory import empty
from dbpsim.kernels.random import bits, stream_key
from dbpsim.kernels.readout import read_out


@dataclass(frozen=True)
class View:
    """What reads in one direction see of the cells.

    Attributes
    ----------
    weights : array, shape (rows, columns)
        The weights that the conductances stand for.
    variance : array, shape (rows, columns), or None
        Variance of one read of a pair, in units of the weight squared; None without read noise.
    """

    weights: np.ndarray
    variance: np.ndarray | None


class TiledMatrix:
    """A matrix held by cells on tiles, inputs along rows.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
        Weights to program; its dtype is that of every read.
    hardware : Hardware
    name : str
        Names the random streams, with `seed`.
    seed : int

    Attributes
    ----------
    cells : Cells
    views : pair of View
        Of the forward and of the transposed read; one object where both see the same.
    reads : list of two ints
        Reads so far, forward and transposed; they number the random streams.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name = hardware, name
        self._keys = (stream_key(seed, name, "forward"), stream_key(seed, name, "transposed"))
        self.reads = [0, 0]
        self.cells = Cells(matrix, hardware, name, seed)
        self._look(None)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.cells.shape

    @property
    def written(self) -> Counts:
        """What writes did so far."""
        return self.cells.written

    def next_key(self, transposed: bool) -> np.uint64:
        """Return the random stream of the next read in this direction."""
        count = self.reads[transposed]
        self.reads[transposed] += 1
        return np.uint64(bits(self._keys[transposed], count))

    def currents(
        self, v: np.ndarray, transposed: bool, cut: slice = slice(None), squares: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (product, variance of its noise or None) of vectors `v` with the lines in `cut`.

        Parameters
        ----------
        v : array, shape (vectors, rows), or (vectors, columns) when transposed
        cut : slice
            Of the driven lines.
        squares : array, shape of `v`, optional
            v^2, where it is at hand.
        """
        view = self.views[transposed]
        mean = self._product(v, view.weights, transposed, cut)
        if view.variance is None:
            return mean, None
        return mean, self._product(v * v if squares is None else squares, view.variance, transposed, cut)

    @staticmethod
    def _product(v: np.ndarray, matrix: np.ndarray, transposed: bool, cut: slice) -> np.ndarray:
        seen = matrix[:, cut].T if transposed else matrix[cut]
        return np.matmul(v[:, cut], seen, out=empty((len(v), seen.shape[1]), v.dtype))

    def read(self, v: np.ndarray, samples: int, first: int, key: np.uint64, transposed: bool) -> tuple[np.ndarray, int, int]:
        """Return (W v or W^T v with noise and conversion, values saturated, values lost).

        Parameters
        ----------
        v : array, shape (samples x positions, rows), or columns when transposed
        samples, first : int
            How many samples `v` holds, and the number of the first within the read.
        key : uint64
            From `next_key`.
        """
        adc, tile, noisy = self.hardware.adc, self.hardware.tile, self.views[transposed].variance is not None
        if not adc.levels and not noisy:
            return self.currents(v, transposed)[0], 0, 0
        step = tile.columns if transposed else tile.rows
        cuts = blocks(v.shape[1], step) if adc.levels else [slice(None)]
        squares = np.square(v, out=empty(v.shape, v.dtype)) if noisy else None
        out = empty((len(v), self.shape[0] if transposed else self.shape[1]), v.dtype)
        saturated = lost = 0
        for number, cut in enumerate(cuts):
            mean, variance = self.currents(v, transposed, cut, squares)
            limit = sense_limit(adc, self.hardware.dac, min(step, v.shape[1]), self.cells.w_max, managed=transposed)
            over, under = self.sense(mean, variance, samples, first, np.uint64(bits(key, number)), limit, out, number > 0)
            saturated, lost = saturated + over, lost + under
        return out, saturated, lost

    def sense(
        self,
        mean: np.ndarray,
        variance: np.ndarray | None,
        samples: int,
        first: int,
        key: np.uint64,
        limit: float,
        out: np.ndarray,
        accumulate: bool,
    ) -> tuple[int, int]:
        """Put `mean` (overwritten) with noise and conversion into `out`; return (saturated, lost)."""
        spread = None if variance is None else variance.reshape(samples, -1)
        flat, result = mean.reshape(samples, -1), out.reshape(samples, -1)
        return read_out(flat, spread, key, first, limit, self.hardware.adc.levels, result, accumulate=accumulate)

    def power(self, squares: np.ndarray, transposed: bool) -> float:
        """Return sum V^2 G (W) for `squares`, the sum over vectors of each line's (input / full scale)^2."""
        lines = self._line_conductance[transposed]
        return float(squares @ lines) * self.hardware.read.v_read_V**2

    def write(self, matrix: np.ndarray) -> None:
        """Bring the cells as close to `matrix` as the update scheme allows; what is trained in place and holds it stays."""
        if self.cells.in_place is not None and np.array_equal(matrix, self.views[0].weights):
            return
        changed = self.cells.write(matrix)
        if changed is None or changed.size:
            self._look(changed)

    def descend(self, a: np.ndarray, d: np.ndarray, rate: float) -> None:
        """Make the step W <- W - rate sum_s a_s d_s^T in place, for `a` of shape (vectors, rows), `d` (vectors, columns)."""
        self.cells.descend(a, d, rate)
        self._look(None)

    def _look(self, at: np.ndarray | None) -> None:
        # What follows from the conductances, for all cells or for those at flat index `at`.
        plus, minus = self.cells.g_plus, self.cells.g_minus
        noisy = self.cells.device.read_noise is not None
        if at is None:
            view = View(self._weights(plus, minus), self._variance(plus, minus) if noisy else None)
            self.views = (view, view)
        else:
            plus, minus, view = plus.ravel()[at], minus.ravel()[at], self.views[0]
            view.weights.ravel()[at] = self._weights(plus, minus)
            if view.variance is not None:
                view.variance.ravel()[at] = self._variance(plus, minus)
        self._line_conductance = self.cells.line_conductance()

    def _weights(self, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
        return weights(plus, minus, self.cells.w_max, self.cells.device.conductance)

    def _variance(self, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
        device = self.cells.device
        scale = self.cells.w_max / device.conductance.span_S  # before squaring: S^2 is near float32's smallest numbers
        return (read_sigma(plus, device) * scale) ** 2 + (read_sigma(minus, device) * scale) ** 2

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that reads and writes depend on and change, as arrays."""
        state = self.cells.state() | {"reads": np.array(self.reads, np.int64)}
        return {key: value.copy() for key, value in state.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError
            If the arrays are not those of this matrix on this hardware.
        """
        self.cells.load_state(state)
        self.reads = [int(n) for n in state["reads"]]
        self._look(None)
