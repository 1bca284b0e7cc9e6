"""A weight matrix on tiles, as reads see it.

    forward     u_i = sum_j W_ij v_j + sqrt( sum_j S_ij v_j^2 ) z_i,    z_i ~ N(0, 1)
    transposed  the same cells with rows and columns exchanged

W are the weights of the pairs; S_ij = (sigma+_ij^2 + sigma-_ij^2) (w_max / span)^2 is the variance of a
read of one pair.  The cells of a column are independent and Gaussian, so their sum is drawn once an output
with the exact variance, at the price of one more matrix product, instead of once a cell.  (Outputs of one
read share no cell, so they are independent too.)

W and S make a `View` (`dbpsim.crossbar.views`).  The two directions share one unless the transposed read has a replica, or
there are wires.

With an ADC every stack of tiles is converted by itself and partial sums are added as numbers; without,
currents add on the wire.  What an ADC sees is in units of full weights (w_max = 1): the gain of a tile or column comes
behind it.  Slices of a weight and reference columns are added, weighted, in front of it (a choice).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.cells import Cells
from dbpsim.crossbar.column_converters import Columns, block_of, columns_of, convert, load_corrections, saved_corrections
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, limits_of_rows, tile_count
from dbpsim.crossbar.ranges import Ranges
from dbpsim.crossbar.views import Bank
from dbpsim.devices.drift import global_scale
from dbpsim.kernels.dense_read import read_dense
from dbpsim.kernels.memory import empty
from dbpsim.kernels.random import bits, stream, stream_key
from dbpsim.kernels.readout import read_out

_ONE_PASS = 1 << 21  # products from which waking the threads for one pass over all of a read pays
_VECTORS_AT_ONCE = 1024  # whose power is worked out together: 1 MB of float32 a tile, in a core's cache
_KNOWN_VECTORS = 32  # that compensation reads: their mean |y| is known to a few per cent of one output's spread


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
    banks : tuple of Bank
        The arrays; a second one where the transposed read has a replica.
    views : pair of View
        Of the forward and of the transposed read; one object where both see the same.
    reads : list of two ints
        Reads so far, forward and transposed; they number the random streams.
    ranges : Ranges
        What calibration set the ranges of the converters to.
    columns : list of two (Columns or None)
        What the converters of the lines of each direction do beyond rounding, and the corrections that calibration found.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name, self.seed = hardware, name, seed
        self._keys = (stream_key(seed, name, "forward"), stream_key(seed, name, "transposed"))
        self.reads = [0, 0]
        names = [name, f"{name}, replica"] if hardware.mapping.transpose == "replica" else [name]
        self.banks = tuple(Bank(matrix, hardware, each, seed) for each in names)
        forward = self.banks[0].blank()
        alike = len(self.banks) == 1 and not hardware.wired
        self.views = (forward, forward if alike else self.banks[-1].blank())
        self.columns, self.ranges = columns_of(hardware, matrix.shape, matrix.dtype, name, seed), Ranges()
        self._look()

    @property
    def cells(self) -> Cells:
        """The cells of the forward read; the most significant ones of slices."""
        return self.banks[0].slices[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.cells.shape

    @property
    def written(self) -> Counts:
        """What writes did so far."""
        return sum((cells.written for bank in self.banks for cells in bank.slices), Counts())

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

    def read(
        self, v: np.ndarray, samples: int, first: int, key: np.uint64, transposed: bool, shares: np.ndarray
    ) -> tuple[np.ndarray, int, int]:
        """Return (W v or W^T v with noise and conversion, values saturated, values lost).

        Parameters
        ----------
        v : array, shape (samples x positions, rows), or columns when transposed
        samples, first : int
            How many samples `v` holds, and the number of the first within the read.
        key : uint64
            From `next_key`.
        shares : array, shape (samples,)
            1 / full scale^2 of the samples, 0 where all inputs are zero.
        """
        adc, noisy = self.hardware.adc, self.views[transposed].variance is not None
        apart = adc.levels > 0 or (self.hardware.output_noise > 0 and self.hardware.links == "digital")
        if not adc.levels and not noisy and not self.hardware.output_noise:
            return self.currents(v, transposed)[0], 0, 0
        cuts = blocks(v.shape[1], self.step(transposed) if apart else v.shape[1])  # lines that are sensed one by one
        squares = np.square(v, out=empty(v.shape, v.dtype)) if noisy else None
        out = empty((len(v), self.shape[0] if transposed else self.shape[1]), v.dtype)
        saturated = lost = 0
        for number, cut in enumerate(cuts):
            mean, variance, gain, full = self.seen(v, transposed, cut, shares, squares)
            limit = full * self.sense_share(transposed)
            number_key, target = np.uint64(bits(key, number)), out if gain is None else empty(out.shape, v.dtype)
            add, at = gain is None and number > 0, block_of(self.columns[transposed], number)
            over, under = self.sense(mean, variance, samples, first, number_key, limit, target, add, at)
            self.ranges.note(transposed, 1, mean, adc.percentile, full)
            if gain is not None:
                np.multiply(target, gain, out=target)
                np.add(target, out if number else 0, out=out)
            saturated, lost = saturated + over, lost + under
        return out, saturated, lost

    def seen(
        self, v: np.ndarray, transposed: bool, cut: slice, shares: np.ndarray, squares: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, float]:
        """Return what senses the lines of `cut` sees: product, variance, gain behind it or None, what a full column gives."""
        hardware = self.hardware
        mean, variance = self.currents(v, transposed, cut, squares)
        gain = self._gain(transposed, cut) if hardware.adc.levels or hardware.output_noise else None
        w_max = float(self.cells.w_max.item()) if gain is None and self.cells.w_max.size == 1 else 1.0
        if gain is not None:
            mean, variance = mean / gain, None if variance is None else variance / gain**2
        if hardware.output_noise:
            variance = self._sensed(mean, variance, w_max, shares)
        return mean, variance, gain, min(self.step(transposed), v.shape[1]) * w_max

    def input_range(self, transposed: bool) -> float:
        """Return the limit of the DACs, 0 where each sample has its own."""
        return self.hardware.dac.reach(transposed, self.ranges.limits[transposed][0])

    def sense_share(self, transposed: bool) -> float:
        """Return the ADCs' full scale over what a full column gives at inputs of 1; 0 where each sample has its own."""
        return self.hardware.adc.reach(transposed, self.ranges.limits[transposed][1]) * self.input_range(transposed)

    def _sensed(self, mean: np.ndarray, variance: np.ndarray | None, w_max: float, shares: np.ndarray) -> np.ndarray:
        # The variance with that of what senses the lines, in units of the product: full scale is another in each sample.
        sigma = self.hardware.output_noise * w_max
        each = np.divide(sigma**2, shares, out=np.zeros(len(shares)), where=shares > 0).astype(mean.dtype)
        spread = np.repeat(each, len(mean) // len(shares))[:, None]
        return np.ascontiguousarray(np.broadcast_to(spread, mean.shape)) if variance is None else variance + spread

    def plain(self, transposed: bool) -> bool:
        """Whether reads are converted, one gain serves all results, and converters are alike and only cells noisy."""
        hardware = self.hardware
        alike = hardware.adc.levels > 0 and self.columns[transposed] is None and hardware.mapping.scale == "matrix"
        return alike and not self.coupled and not hardware.output_noise and not self.ranges.noting

    def step(self, transposed: bool) -> int:
        """Return how many driven lines are converted together: those of a tile."""
        return self.hardware.tile.columns if transposed else self.hardware.tile.rows

    def limit(self, transposed: bool) -> float:
        """Return the ADC's full scale of a plain read in units of the product, or 0 for each sample's own."""
        rows = min(self.step(transposed), self.shape[transposed])
        return rows * float(self.cells.w_max.item()) * self.sense_share(transposed)

    def one_pass(self, a: np.ndarray, transposed: bool) -> bool:
        """Whether a read of the vectors `a` is large and plain enough for `read_in_one_pass`."""
        hardware, (rows, columns) = self.hardware, self.shape
        own = hardware.dac.levels > 0 and not self.input_range(transposed)
        small = len(a) * rows * columns < _ONE_PASS
        return own and not small and a.shape[1] <= self.step(transposed) and self.plain(transposed)

    def read_in_one_pass(self, a: np.ndarray, transposed: bool) -> tuple[np.ndarray, np.ndarray, int]:
        """Return (W a or W^T a, sum over vectors of each line's (input / full scale)^2, values lost), converters included."""
        view, key, hardware = self.views[transposed], np.uint64(bits(self.next_key(transposed), 0)), self.hardware
        weights, variance = view.weights, view.variance
        if transposed:
            weights, variance = weights.T, None if variance is None else variance.T
        return read_dense(np.ascontiguousarray(a), weights, variance, key, hardware.dac.levels, hardware.adc.levels)

    def _gain(self, transposed: bool, cut: slice) -> np.ndarray | None:
        # What the results of the tiles that `cut` drives are multiplied by, behind the converter; None where it is one number.
        w_max, scale, tile = self.cells.w_max, self.hardware.mapping.scale, self.hardware.tile
        if scale == "matrix" or (scale == "column" and transposed):
            return None
        if transposed:
            gain = np.repeat(w_max[:, cut.start // tile.columns], tile.rows)[: self.shape[0]]
        else:
            gain = np.broadcast_to(limits_of_rows(w_max, cut.start, self.shape[1], tile), self.shape[1])
        return gain.astype(self.views[0].weights.dtype)

    def input_gain(self, transposed: bool) -> np.ndarray | None:
        """Return what inputs are multiplied by on their way to the lines, shape (lines,); None where that is one number."""
        if not transposed or self.hardware.mapping.scale != "column":
            return None
        return self.cells.w_max[0].astype(self.views[0].weights.dtype)

    def sense(
        self, mean: np.ndarray, variance: np.ndarray | None, samples: int, first: int, key: np.uint64, limit: float,
        out: np.ndarray, accumulate: bool, columns: Columns | None = None,
    ) -> tuple[int, int]:  # fmt: skip
        """Put `mean` (overwritten) with noise and conversion into `out`; return (saturated, lost)."""
        spread, levels = None if variance is None else variance.reshape(samples, -1), self.hardware.adc.levels
        flat, result = mean.reshape(samples, -1), out.reshape(samples, -1)
        if columns is None or not levels:
            return read_out(flat, spread, key, first, limit, levels, result, accumulate=accumulate)
        read_out(flat, spread, key, first, 0.0, 0, flat, accumulate=False)
        return convert(flat, limit, levels, columns, result, accumulate=accumulate)

    @property
    def coupled(self) -> bool:
        """Whether what a driven line takes depends on the others: wires, exactly."""
        return self.hardware.wired and self._admittance[0][0].ndim == 2

    def power_of(self, v: np.ndarray, shares: np.ndarray, transposed: bool) -> float:
        """Return the power (W) of the sources of vectors `v`, V^T Y V, where wires couple lines; 0 elsewhere.

        Parameters
        ----------
        v : array, shape (vectors, rows), or (vectors, columns) when transposed
        shares : array, shape (samples,)
            1 / full scale^2 of the samples, which are equally many vectors one after another.
        """
        if not self.coupled:
            return 0.0
        gain, total = self.input_gain(transposed), np.zeros(len(v))
        volts = v if gain is None else v * gain
        for cut, admittance in zip(blocks(v.shape[1], self.step(transposed)), self._admittance[transposed], strict=True):
            for some in blocks(len(v), _VECTORS_AT_ONCE):
                total[some] += np.einsum("vi,vi->v", volts[some, cut] @ admittance, volts[some, cut])
        return float(total.reshape(len(shares), -1).sum(axis=1) @ shares) * self.hardware.read.v_read_V**2

    def power(self, squares: np.ndarray, transposed: bool) -> float:
        """Return sum V^2 G (W) for `squares`, the sum over vectors of each line's (input / full scale)^2.

        With wires it is the mean over inputs of random sign, sum V^2 Y_ii; all there is of it to first order.
        """
        lines = self._line_conductance[transposed]
        return float(squares @ lines) * self.hardware.read.v_read_V**2

    def write(self, matrix: np.ndarray) -> None:
        """Bring the cells as close to `matrix` as the update scheme allows; what is trained in place and holds it stays."""
        if self.cells.in_place is not None and np.array_equal(matrix, self.views[0].weights):
            return
        changed = [bank.write(matrix) for bank in self.banks]
        if any(at is None or at.size for at in changed):
            self._look(changed)

    def descend(self, factors: Iterable[tuple[np.ndarray, np.ndarray]], rate: float) -> None:
        """Make the step W <- W - rate sum_s a_s d_s^T in place, for pairs of `a` (vectors, rows) and `d` (vectors, columns)."""
        for a, d in factors:
            self.cells.descend(a, d, rate)
        self._look()

    def wait(self, seconds: float, compensate: bool) -> tuple[int, int]:
        """Age all cells; return how many known vectors compensation read (forward, transposed).

        Compensation reads the same vectors before the cells age for the first time and after every wait, with the noise
        and the converters of any read, and scales every tile's results by sum |y| before over sum |y| now.

        Raises
        ------
        ValueError
            If cells have aged already without that first read.
        """
        known = [0, 0]
        for number, bank in enumerate(self.banks):
            if compensate and bank.reference is None:
                if bank.slices[0].age_s:
                    raise ValueError(
                        f"{self.name}: compensate: found cells that have aged {bank.slices[0].age_s:g} s; "
                        "accepted: compensation from the first wait on, which reads the reference."
                    )
                bank.reference = self._known_outputs(number == 1)
                known[number] += _KNOWN_VECTORS
            for cells in bank.slices:
                cells.wait(seconds)
        self._look()
        if compensate:
            for number, bank in enumerate(self.banks):
                now = self._known_outputs(number == 1)
                known[number] += _KNOWN_VECTORS
                assert bank.reference is not None
                bank.scale = bank.scale * global_scale(bank.reference, now)
            self._look()
        return known[0], known[1]

    def _known_outputs(self, transposed: bool) -> np.ndarray:
        # sum |y| of every tile, shape (tiles down, tiles across), for inputs of random signs.
        tile, lines = self.hardware.tile, self.shape[transposed]
        steps = (tile.columns, tile.rows) if transposed else (tile.rows, tile.columns)
        kind = self.views[transposed].weights.dtype
        signs = stream(self.seed, self.name, "known inputs").integers(0, 2, (_KNOWN_VECTORS, lines)) * 2 - 1
        out, key = empty((_KNOWN_VECTORS, self.shape[not transposed]), kind), self.next_key(transposed)
        sums = []
        for number, cut in enumerate(blocks(lines, steps[0])):
            mean, variance = self.currents(signs.astype(kind), transposed, cut)
            if self.hardware.output_noise:
                variance = self._sensed(mean, variance, float(self.cells.w_max.max()), np.ones(_KNOWN_VECTORS))
            stack, own = np.uint64(bits(key, number)), block_of(self.columns[transposed], number)
            self.sense(mean, variance, _KNOWN_VECTORS, 0, stack, 0.0, out, False, own)
            sums.append(np.add.reduceat(np.abs(out).sum(axis=0, dtype=np.float64), np.arange(0, out.shape[1], steps[1])))
        return np.array(sums).T if transposed else np.array(sums)

    def _look(self, changed: list[np.ndarray | None] | None = None) -> None:
        # What follows from the conductances, for all cells or for those at the flat indices `changed`, one a bank.
        for number, bank in enumerate(self.banks):
            at = None if changed is None else changed[number]
            ways = {bool(way): self.views[way] for way in (0, 1) if self.banks[min(way, len(self.banks) - 1)] is bank}
            if self.hardware.wired:
                bank.look_along_wires(ways, at)
            elif at is None:
                bank.look(self.views[number])
            else:
                bank.look_again(self.views[number], at)
        self._weigh_lines()

    def _weigh_lines(self) -> None:
        if self.hardware.wired:
            self._admittance = self._of_lines(False), self._of_lines(True)
            own = [[y.diagonal() if y.ndim == 2 else y for y in each] for each in self._admittance]
            self._line_conductance = np.concatenate(own[0]), np.concatenate(own[1])
            return
        lines = [[cells.line_conductance() for cells in bank.slices] for bank in self.banks]
        self._line_conductance = sum(c[0] for c in lines[0]), sum(c[1] for c in lines[-1])

    def _of_lines(self, transposed: bool) -> list[np.ndarray]:
        # Admittance of every block of driven lines: that of all tiles they run through.
        tiles, axis = self.views[transposed].admittance, 1 if transposed else 0
        count = tile_count(self.shape, self.hardware.tile)[axis]
        return [sum((y for place, y in tiles.items() if place[axis] == k), np.zeros(())) for k in range(count)]

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that reads and writes depend on and change, as arrays."""
        state = self.banks[0].state() | {"reads": np.array(self.reads, np.int64)} | saved_corrections(self.columns)
        state |= self.ranges.state()
        if len(self.banks) == 2:
            state |= {f"replica.{key}": value for key, value in self.banks[1].state().items()}
        return {key: value.copy() for key, value in state.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError
            If the arrays are not those of this matrix on this hardware.
        """
        for bank, prefix in zip(self.banks, ("", "replica."), strict=False):
            bank.load_state({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})
        self.reads = [int(n) for n in state["reads"]]
        self.ranges = Ranges.of(state)
        kind = self.views[0].weights.dtype
        self.columns = load_corrections(columns_of(self.hardware, self.shape, kind, self.name, self.seed), state)
        self._look()
