"""A weight matrix on tiles: what its cells hold, how it is read, how it is written.

    forward     u_i = sum_j W_ij v_j + sqrt( sum_j S_ij v_j^2 ) z_i,    z_i ~ N(0, 1)
    transposed  the same cells with rows and columns exchanged

W are the weights of the pairs; S_ij = (sigma+_ij^2 + sigma-_ij^2) (w_max / span)^2 is the variance of a
read of one pair.  The cells of a column are independent and Gaussian, so their sum is drawn once an output
with the exact variance, at the price of one more matrix product, instead of once a cell.  (Outputs of one
read share no cell, so they are independent too.)

With an ADC every stack of tiles is converted by itself and partial sums are added as numbers; without,
currents add on the wire.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.converters import sense_limit
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, differential, pair, weight_limit, weights
from dbpsim.devices.programming import program
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.schema import Device
from dbpsim.devices.update import pulsed, whole_pulses
from dbpsim.devices.update_laws import Update
from dbpsim.kernels.memory import empty
from dbpsim.kernels.random import bits, stream, stream_key
from dbpsim.kernels.readout import read_out


def _without_switched_off(hardware: Hardware) -> Device:
    off: dict[str, object] = {}
    device, effects = hardware.device, hardware.effects
    if not effects.programming_error:
        off["programming"] = None
    if not effects.read_noise:
        off["read_noise"] = None
    if not effects.update_noise and device.update is not None:
        off["update"] = device.update.model_copy(update={"step_sigma": 0.0})
    return device.model_copy(update=off)


class TiledMatrix:
    """A matrix held by pairs of cells, inputs along rows.

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
    g_plus, g_minus : arrays, shape (rows, columns)
        Conductances (S).
    effective : array, shape (rows, columns)
        The weights that the conductances stand for.
    variance : array, shape (rows, columns), or None
        Variance of one read of a pair, in units of the weight squared.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name, self.seed = hardware, name, seed
        self.device = _without_switched_off(hardware)
        self._keys = (stream_key(seed, name, "forward"), stream_key(seed, name, "transposed"))
        self.reads = [0, 0]
        self.writes = 0
        self.written = Counts()
        self._program(matrix)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.g_plus.shape[0], self.g_plus.shape[1]

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
        mean = self._product(v, self.effective, transposed, cut)
        if self.variance is None:
            return mean, None
        return mean, self._product(v * v if squares is None else squares, self.variance, transposed, cut)

    @staticmethod
    def _product(v: np.ndarray, matrix: np.ndarray, transposed: bool, cut: slice) -> np.ndarray:
        seen = matrix[:, cut].T if transposed else matrix[cut]
        return np.matmul(v[:, cut], seen, out=empty((len(v), seen.shape[1]), v.dtype))

    def read(
        self, v: np.ndarray, samples: int, first: int, key: np.uint64, transposed: bool
    ) -> tuple[np.ndarray, int, int]:
        """Return (W v or W^T v with noise and conversion, values saturated, values lost).

        Parameters
        ----------
        v : array, shape (samples x positions, rows), or columns when transposed
        samples, first : int
            How many samples `v` holds, and the number of the first within the read.
        key : uint64
            From `next_key`.
        """
        adc, tile = self.hardware.adc, self.hardware.tile
        if not adc.levels and self.variance is None:
            return self.currents(v, transposed)[0], 0, 0
        step = tile.columns if transposed else tile.rows
        cuts = blocks(v.shape[1], step) if adc.levels else [slice(None)]
        squares = None if self.variance is None else np.square(v, out=empty(v.shape, v.dtype))
        out = empty((len(v), self.shape[0] if transposed else self.shape[1]), v.dtype)
        saturated = lost = 0
        for number, cut in enumerate(cuts):
            mean, variance = self.currents(v, transposed, cut, squares)
            limit = sense_limit(adc, self.hardware.dac, min(step, v.shape[1]), self.w_max, managed=transposed)
            over, under = self.sense(
                mean, variance, samples, first, np.uint64(bits(key, number)), limit, out, number > 0
            )
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
        return read_out(
            flat, spread, key, first, limit, self.hardware.adc.levels, result, accumulate=accumulate
        )

    def power(self, squares: np.ndarray, transposed: bool) -> float:
        """Return sum V^2 G (W) for `squares`, the sum over vectors of each line's (input / full scale)^2."""
        lines = self._line_conductance[transposed]
        return float(squares @ lines) * self.hardware.read.v_read_V**2

    def write(self, matrix: np.ndarray) -> None:
        """Bring the cells as close to `matrix` as the device's update allows."""
        self.writes += 1
        if self.device.update is None:
            self._program(matrix)
        else:
            self._pulse(matrix, self.device.update)

    def _program(self, matrix: np.ndarray) -> None:
        random = stream(self.seed, self.name, "program", self.writes)
        window = self.device.conductance
        self.w_max = weight_limit(matrix, self.hardware)
        wanted = differential(matrix, self.w_max, window)
        plus, minus = (
            program(np.asarray(g, matrix.dtype), self.device, random) for g in pair(wanted, window)
        )
        each = self.hardware.device.programming.pulses_per_cell if self.hardware.device.programming else 1
        rows = min(self.hardware.tile.rows, len(matrix))
        self.written += Counts(
            cells=2 * matrix.size, pulses=round(2 * matrix.size * each), slots=round(rows * each)
        )
        self.g_plus, self.g_minus = plus, minus
        self.believed = wanted if self.device.update is not None else None
        self._look()

    def _pulse(self, matrix: np.ndarray, update: Update) -> None:
        assert self.believed is not None
        window = self.device.conductance
        wanted = differential(matrix, self.w_max, window)
        wanted -= self.believed
        pulses = whole_pulses(wanted, update)
        at = np.flatnonzero(pulses)
        if not at.size:
            return
        n, old = pulses.ravel()[at], self.believed.ravel()[at]
        new = np.clip(old + n * update.step_S, -window.span_S, window.span_S).astype(old.dtype)
        up, down = (np.maximum(n, 0), np.maximum(-n, 0))
        if (
            update.polarity == "both"
        ):  # keep one cell of the pair at rest: a change across zero is shared by both
            up, down = ((np.maximum(s * new, 0) - np.maximum(s * old, 0)) / update.step_S for s in (1, -1))
        random = stream(self.seed, self.name, "pulse", self.writes)
        plus = pulsed(self.g_plus.ravel()[at], up, update, window.g_max_S, random)
        minus = pulsed(self.g_minus.ravel()[at], down, update, window.g_max_S, random)
        given = np.ceil(np.abs(up) - 1e-3) + np.ceil(np.abs(down) - 1e-3)
        if update.polarity == "up":
            given += self._refresh(plus, minus, new, random)
        for held, now in ((self.g_plus, plus), (self.g_minus, minus), (self.believed, new)):
            held.ravel()[at] = now
        cells = int(np.count_nonzero(up) + np.count_nonzero(down))
        self.written += Counts(cells=cells, pulses=int(given.sum()), slots=self._slots(at, given))
        self._look(at)

    def _refresh(
        self, plus: np.ndarray, minus: np.ndarray, difference: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        # One-sided cells fill up; a pair with a full cell is erased and programmed anew, in place.
        window = self.device.conductance
        full = np.maximum(plus, minus) >= window.g_max_S
        for held, target in zip((plus, minus), pair(difference[full], window), strict=True):
            held[full] = program(np.asarray(target, held.dtype), self.device, random)
        each = self.hardware.device.programming.pulses_per_cell if self.hardware.device.programming else 1
        return full * (2.0 * each)

    def _slots(self, at: np.ndarray, given: np.ndarray) -> int:
        # Rows of a tile one after another, the cells of a row and all tiles together.
        tile = self.hardware.tile
        rows, columns = np.divmod(at, self.shape[1])
        longest = np.zeros((self.shape[0], -(-self.shape[1] // tile.columns)))
        np.maximum.at(longest, (rows, columns // tile.columns), given)
        return int(np.add.reduceat(longest, range(0, self.shape[0], tile.rows), axis=0).max())

    def _look(self, at: np.ndarray | None = None) -> None:
        # What follows from the conductances, for all cells or for those at flat index `at`.
        window = self.device.conductance
        if at is None:
            self.effective = weights(self.g_plus, self.g_minus, self.w_max, window)
            self.variance = (
                None if self.device.read_noise is None else self._variance(self.g_plus, self.g_minus)
            )
        else:
            plus, minus = self.g_plus.ravel()[at], self.g_minus.ravel()[at]
            self.effective.ravel()[at] = weights(plus, minus, self.w_max, window)
            if self.variance is not None:
                self.variance.ravel()[at] = self._variance(plus, minus)
        self._line_conductance = tuple(
            self.g_plus.sum(axis, dtype=np.float64) + self.g_minus.sum(axis, dtype=np.float64)
            for axis in (1, 0)
        )

    def _variance(self, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
        scale = (
            self.w_max / self.device.conductance.span_S
        )  # before squaring: S^2 is near float32's smallest numbers
        return (read_sigma(plus, self.device) * scale) ** 2 + (read_sigma(minus, self.device) * scale) ** 2

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that reads and writes depend on and change, as arrays."""
        state = {
            "g_plus": self.g_plus,
            "g_minus": self.g_minus,
            "w_max": np.array(self.w_max),
            "counters": np.array([*self.reads, self.writes], np.int64),
            "written": self.written.as_array(),
        }
        if self.believed is not None:
            state["believed"] = self.believed
        return {key: value.copy() for key, value in state.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError
            If the arrays are not those of this matrix on this hardware.
        """
        wanted = set(self.state())
        if not wanted <= set(state):
            raise ValueError(f"{self.name}: chip state lacks {', '.join(sorted(wanted - set(state)))}")
        for key in ("g_plus", "g_minus", *(["believed"] if self.believed is not None else [])):
            if state[key].shape != self.shape:
                raise ValueError(
                    f"{self.name}: chip state {key}: found shape {state[key].shape}; accepted: {self.shape}"
                )
            setattr(self, key, np.array(state[key], self.g_plus.dtype))
        self.w_max = float(state["w_max"])
        *self.reads, self.writes = (int(n) for n in state["counters"])
        self.written = Counts.from_array(state["written"])
        self._look()
