"""The cells of one matrix: what they hold, and what is done to them.

A weight is a pair of cells (`dbpsim.crossbar.mapping`).  They are programmed as a whole, or pulsed where the
controller believes they have to change, or in place (`dbpsim.crossbar.writes`), as the update scheme says; what
reads make of them is a matter of `dbpsim.crossbar.tiles`.

The controller knows its own pulses, not the cells: `believed` is what G+ - G- would be had each pulse moved its
cell by exactly a step, and the next write starts from there.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import differential, pair, weight_limit
from dbpsim.crossbar.writes import InPlace, PulsedPairs, pairs, zero_of
from dbpsim.devices.programming import written
from dbpsim.devices.schema import Device
from dbpsim.devices.update import pulse, whole_pulses
from dbpsim.devices.update_laws import Update
from dbpsim.kernels.random import stream, stream_key


def without_switched_off(hardware: Hardware) -> Device:
    """Return the device of `hardware` without the effects that its [effects] switch off."""
    off: dict[str, object] = {}
    device, effects = hardware.device, hardware.effects
    if not effects.programming_error or hardware.update.mode == "ideal":
        exact = {"coefficients_S": (0.0,), "plateau_S": None, "knee_S": None}  # as many pulses, and no error
        off["programming"] = None if device.programming is None else device.programming.model_copy(update=exact)
        off["write_verify"] = None
    if not effects.read_noise:
        off["read_noise"] = None
    if not effects.update_noise and device.update is not None:
        off["update"] = device.update.model_copy(update={"step_sigma": 0.0})
    return device.model_copy(update=off)


class Cells:
    """The pairs of cells that hold a matrix, inputs along rows.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
        Weights to program; its dtype is that of the conductances.
    hardware : Hardware
    name : str
        Names the random streams, with `seed`.
    seed : int

    Attributes
    ----------
    g_plus, g_minus : arrays, shape (rows, columns)
        Conductances (S).
    w_max : float
        The weight that fills the window.
    believed : array, shape (rows, columns), or None
        G+ - G- (S) as the controller believes it; None where every write programs all cells.
    writes : int
        How many writes there were; numbers their random streams.
    written : Counts
    in_place : InPlace or None
        How pulses meet in these cells, where the update scheme works in place.
    transferred : Counts
        Reads of its second array.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name, self.seed = hardware, name, seed
        self.device = without_switched_off(hardware)
        self.writes = 0
        self.written = self.transferred = Counts()
        self.in_place: InPlace | None = None
        self._program(matrix)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.g_plus.shape[0], self.g_plus.shape[1]

    def line_conductance(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the summed conductance (S) of each row's and of each column's cells, float64."""
        rows, columns = (
            self.g_plus.sum(axis, dtype=np.float64) + self.g_minus.sum(axis, dtype=np.float64) for axis in (1, 0)
        )
        return rows, columns

    def write(self, matrix: np.ndarray) -> np.ndarray | None:
        """Bring the cells as close to `matrix` as the update scheme allows; cells trained in place are programmed anew.

        Returns
        -------
        array of flat indices, or None
            The cells that changed; None for all of them.
        """
        self.writes += 1
        mode, update = self.hardware.update.mode, self.device.update
        if self.in_place is not None or update is None or mode == "ideal":
            self._program(matrix)
            return None
        return self._verify(matrix) if mode == "write_verify" else self._pulse(matrix, update)

    def descend(self, a: np.ndarray, d: np.ndarray, rate: float) -> None:
        """Make the step W <- W - rate sum_s a_s d_s^T in place, by pulses that meet in the array.

        Parameters
        ----------
        a, d : arrays, shape (vectors, rows) and (vectors, columns)
        rate : float
        """
        assert self.in_place is not None
        took = self.in_place.descend(a, d, rate)
        written = Counts(cells=took.cells, pulses=took.pulses, slots=took.slots)
        self.written += written
        self.transferred += took - written

    def _program(self, matrix: np.ndarray) -> None:
        random = stream(self.seed, self.name, "program", self.writes)
        window, scheme = self.device.conductance, self.hardware.update
        self.w_max = weight_limit(matrix, self.hardware)
        if scheme.in_place:
            zero = zero_of(self.device)
            self.w_max *= window.span_S / zero.reach_S
            wanted = differential(matrix, self.w_max, window)
            targets = pairs(wanted, self.device, zero)
        else:
            wanted = differential(matrix, self.w_max, window)
            targets = pair(wanted, window)
        (plus, up), (minus, down) = (written(np.asarray(g, matrix.dtype), self.device, random) for g in targets)
        self.g_plus, self.g_minus = plus, minus
        self._count_programming(None, up, down)
        self.believed = None if self.device.update is None or scheme.in_place else wanted
        if scheme.in_place:
            held = PulsedPairs(plus, minus, self.device, self.seed, self.name)
            self.in_place = InPlace(scheme, held, self.w_max / window.span_S, self.in_place)

    def _count_programming(self, at: np.ndarray | None, up: np.ndarray | float, down: np.ndarray | float) -> None:
        # Pulses for both cells of the pairs at flat index `at`, or of all; one number where every cell takes as many.
        pairs_written = self.g_plus.size if at is None else at.size
        each = np.maximum(up, down)  # both cells of a pair at once
        if np.ndim(each) or at is not None:
            at = np.arange(pairs_written) if at is None else at
            slots = self._slots(at, np.broadcast_to(np.ravel(each), at.shape))
        else:
            slots = round(min(self.hardware.tile.rows, len(self.g_plus)) * float(each))
        pulses = round(float(np.mean(up) + np.mean(down)) * pairs_written)
        self.written += Counts(cells=2 * pairs_written, pulses=pulses, slots=slots)

    def _verify(self, matrix: np.ndarray) -> np.ndarray:
        # Cells whose target has changed are programmed anew.
        assert self.believed is not None
        window = self.device.conductance
        wanted = differential(matrix, self.w_max, window)
        at = np.flatnonzero(wanted != self.believed)
        if at.size:
            random = stream(self.seed, self.name, "program", self.writes)
            given = []
            for held, target in zip((self.g_plus, self.g_minus), pair(wanted.ravel()[at], window), strict=True):
                flat = held.ravel()
                flat[at], pulses = written(np.asarray(target, held.dtype), self.device, random, start=flat[at])
                given.append(pulses)
            self.believed = wanted
            self._count_programming(at, *given)
        return at

    def _pulse(self, matrix: np.ndarray, update: Update) -> np.ndarray:
        assert self.believed is not None
        old, window = self.believed, self.device.conductance
        step = old.dtype.type(update.step_S)
        wanted = differential(matrix, self.w_max, window)
        n = whole_pulses(wanted - old, update)
        at = np.flatnonzero(n)
        if not at.size:
            return at
        new = (old + n * step).astype(old.dtype)
        plus, minus = np.maximum(n, 0), np.maximum(-n, 0)
        if update.polarity == "both":  # one cell of a pair rests: where the sign changes the other goes to rest first
            crosses = (n != 0) & (old * wanted < 0)
            new = np.where(crosses, whole_pulses(wanted, update) * step, new)
            begin, end = (np.where(crosses, np.sign(x) * np.ceil(np.abs(x) / step * (1 - 1e-6)), x / step) for x in (old, new))
            plus = np.rint(np.maximum(end, 0) - np.maximum(begin, 0))
            minus = np.rint(np.maximum(-end, 0) - np.maximum(-begin, 0))
        self.believed = new
        for side, held, pulses in (("plus", self.g_plus, plus), ("minus", self.g_minus, minus)):
            key = stream_key(self.seed, self.name, "pulse", self.writes, side)
            devices = stream_key(self.seed, self.name, f"devices, {side}")
            pulse(held, np.maximum(pulses, 0), np.maximum(-pulses, 0), update, window, key, devices)
        given = (np.abs(plus) + np.abs(minus)).ravel()[at]
        cells = int(np.count_nonzero(plus) + np.count_nonzero(minus))
        if update.polarity == "up":
            given += self._refresh(at)
        self.written += Counts(cells=cells, pulses=int(given.sum()), slots=self._slots(at, given))
        return at

    def _refresh(self, at: np.ndarray) -> np.ndarray:
        # One-sided cells fill up; a pulsed pair with a full cell is erased and programmed anew, in place.
        assert self.believed is not None
        window, random = self.device.conductance, stream(self.seed, self.name, "refresh", self.writes)
        plus, minus = self.g_plus.ravel(), self.g_minus.ravel()
        full = np.maximum(plus[at], minus[at]) >= window.g_max_S * (1 - 1e-6)  # float32 may miss the bound by rounding
        given = np.zeros(at.size)
        for held, target in zip((plus, minus), pair(self.believed.ravel()[at[full]], window), strict=True):
            held[at[full]], pulses = written(np.asarray(target, held.dtype), self.device, random)
            given[full] += pulses
        return given

    def _slots(self, at: np.ndarray, given: np.ndarray) -> int:
        # Rows of a tile one after another, the cells of a row and all tiles together.
        tile = self.hardware.tile
        rows, columns = np.divmod(at, self.shape[1])
        longest = np.zeros((self.shape[0], -(-self.shape[1] // tile.columns)))
        np.maximum.at(longest, (rows, columns // tile.columns), given)
        return int(np.add.reduceat(longest, range(0, self.shape[0], tile.rows), axis=0).max())

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that writes depend on and change, as arrays (not copies)."""
        state = {
            "g_plus": self.g_plus,
            "g_minus": self.g_minus,
            "w_max": np.array(self.w_max),
            "writes": np.array(self.writes, np.int64),
            "written": self.written.as_array(),
            "transferred": self.transferred.as_array(),
        }
        if self.in_place is not None:
            state |= self.in_place.state()
        if self.believed is not None:
            state["believed"] = self.believed
        return state

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
                raise ValueError(f"{self.name}: chip state {key}: found shape {state[key].shape}; accepted: {self.shape}")
            getattr(self, key)[...] = state[key]
        self.w_max = float(state["w_max"])
        self.writes = int(state["writes"])
        self.written, self.transferred = (Counts.from_array(state[key]) for key in ("written", "transferred"))
        if self.in_place is not None:
            self.in_place.scale = self.w_max / self.device.conductance.span_S
            self.in_place.load_state(state)
