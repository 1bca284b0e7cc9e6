"""The cells of one matrix: what they hold, and what is done to them.

A weight is a pair of cells (`dbpsim.crossbar.mapping`).  They are programmed as a whole, or pulsed where the
controller believes they have to change; what reads make of them is a matter of `dbpsim.crossbar.tiles`.

The controller knows its own pulses, not the cells: `believed` is what G+ - G- would be had each pulse moved its
cell by exactly a step, and the next write starts from there.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import differential, pair, weight_limit
from dbpsim.devices.programming import program
from dbpsim.devices.schema import Device
from dbpsim.devices.update import pulsed, whole_pulses
from dbpsim.devices.update_laws import Update
from dbpsim.kernels.random import stream


def without_switched_off(hardware: Hardware) -> Device:
    """Return the device of `hardware` without the effects that its [effects] switch off."""
    off: dict[str, object] = {}
    device, effects = hardware.device, hardware.effects
    if not effects.programming_error:
        off["programming"] = None
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
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name, self.seed = hardware, name, seed
        self.device = without_switched_off(hardware)
        self.writes = 0
        self.written = Counts()
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
        """Bring the cells as close to `matrix` as the device's update allows.

        Returns
        -------
        array of flat indices, or None
            The cells that changed; None for all of them.
        """
        self.writes += 1
        if self.device.update is None:
            self._program(matrix)
            return None
        return self._pulse(matrix, self.device.update)

    def _program(self, matrix: np.ndarray) -> None:
        random = stream(self.seed, self.name, "program", self.writes)
        window = self.device.conductance
        self.w_max = weight_limit(matrix, self.hardware)
        wanted = differential(matrix, self.w_max, window)
        self.g_plus, self.g_minus = (
            program(np.asarray(g, matrix.dtype), self.device, random) for g in pair(wanted, window)
        )
        each = self.hardware.device.programming.pulses_per_cell if self.hardware.device.programming else 1
        rows = min(self.hardware.tile.rows, len(matrix))
        self.written += Counts(cells=2 * matrix.size, pulses=round(2 * matrix.size * each), slots=round(rows * each))
        self.believed = wanted if self.device.update is not None else None

    def _pulse(self, matrix: np.ndarray, update: Update) -> np.ndarray:
        assert self.believed is not None
        window = self.device.conductance
        wanted = differential(matrix, self.w_max, window)
        wanted -= self.believed
        pulses = whole_pulses(wanted, update)
        at = np.flatnonzero(pulses)
        if not at.size:
            return at
        n, old = pulses.ravel()[at], self.believed.ravel()[at]
        new = np.clip(old + n * update.step_S, -window.span_S, window.span_S).astype(old.dtype)
        up, down = (np.maximum(n, 0), np.maximum(-n, 0))
        if update.polarity == "both":  # keep one cell of the pair at rest: a change across zero is shared by both
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
        return at

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

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that writes depend on and change, as arrays (not copies)."""
        state = {
            "g_plus": self.g_plus,
            "g_minus": self.g_minus,
            "w_max": np.array(self.w_max),
            "writes": np.array(self.writes, np.int64),
            "written": self.written.as_array(),
        }
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
            setattr(self, key, np.array(state[key], self.g_plus.dtype))
        self.w_max = float(state["w_max"])
        self.writes = int(state["writes"])
        self.written = Counts.from_array(state["written"])
