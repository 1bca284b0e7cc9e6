"""The cells of one matrix: what they hold, and what is done to them.

Cells stand for weights as `dbpsim.crossbar.mapping` says.  They are programmed as a whole, row of tiles after row of
tiles, or pulsed where the controller believes they have to change, or in place (`dbpsim.crossbar.writes`), as the update
scheme says; they age; some are faulty.  What reads make of them is a matter of `dbpsim.crossbar.views`.

The controller knows its own pulses, not the cells: `believed` is what G+ - G- would be had each pulse moved its
cell by exactly a step, and the next write starts from there.

Ageing starts from the conductances as written, `fresh`, whatever number of waits there were: two waits are one long one.
A pulse moves a cell and lets it age on; only programming all cells sets the clock back (a choice).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.faulty import faulty_pairs
from dbpsim.crossbar.hardware import Hardware, as_used
from dbpsim.crossbar.mapping import (
    blocks,
    differential,
    limits_of_rows,
    pair,
    reference_S,
    slice_factor,
    sliced,
    weight_limits,
)
from dbpsim.crossbar.writes import InPlace, PulsedPairs, pairs, zero_of
from dbpsim.devices.ageing import aged, ages
from dbpsim.devices.faults import pin
from dbpsim.devices.programming import written
from dbpsim.devices.update import middle_step, pulse, whole_pulses
from dbpsim.devices.update_laws import Update
from dbpsim.devices.window import moves, swings, window_left, windows
from dbpsim.kernels.cell_random import CellRandom
from dbpsim.kernels.line_sums import line_sums
from dbpsim.kernels.random import stream, stream_key


class Cells:
    """The cells that hold a matrix, or one slice of it, inputs along rows.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
        Weights to program; its dtype is that of the conductances.
    hardware : Hardware
    name : str
        Names the random streams, with `seed`.
    seed : int
    part : int
        Which slice of the weights these cells hold ("bit_sliced").

    Attributes
    ----------
    g_plus, g_minus : arrays, shape (rows, columns)
        Conductances (S); `g_minus` of an offset column is a view of one number.
    w_max : array
        The weight that fills the window, as `mapping.weight_limits` gives it.
    believed : array, shape (rows, columns), or None
        G+ - G- (S) as the controller believes it; None where every write programs all cells.
    writes : int
        How many writes there were; numbers their random streams.
    written : Counts
    clipped : int
        Weights of the last write that the window could not hold.
    age_s : float
        Time since all cells were programmed.
    epoch : int
        Times that all cells were programmed or aged: numbers the draws of slow noise.
    in_place : InPlace or None
        How pulses meet in these cells, where the update scheme works in place.
    transferred : Counts
        Reads of its second array.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int, part: int = 0) -> None:
        self.hardware, self.name, self.seed, self.part = hardware, name, seed, part
        self.device = as_used(hardware)
        self.writes = self.clipped = self.epoch = 0
        self.age_s = 0.0
        self.fresh: list[np.ndarray] | None = None
        self.written = self.transferred = Counts()
        self.in_place: InPlace | None = None
        self.g_plus = np.empty(matrix.shape, matrix.dtype)
        if hardware.mapping.scheme == "offset_column":
            self.g_minus = np.broadcast_to(matrix.dtype.type(reference_S(self.device.conductance)), matrix.shape)
        else:
            self.g_minus = np.empty_like(self.g_plus)
        faults = stream(seed, name, "faults")
        self._faulty = faulty_pairs(matrix.shape, len(self.sides), hardware.tile, self.device, faults)
        self._program(matrix)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.g_plus.shape[0], self.g_plus.shape[1]

    @property
    def sides(self) -> list[tuple[str, np.ndarray]]:
        """The arrays of cells, with their names: two of a pair, one of an offset column."""
        one = self.hardware.mapping.scheme == "offset_column"
        return [("plus", self.g_plus)] if one else [("plus", self.g_plus), ("minus", self.g_minus)]

    def random(self, purpose: str, side: str, at: np.ndarray, number: int = 0) -> Any:
        """Return the random numbers for `purpose` of the cells at the flat indices `at` (in place of a NumPy generator)."""
        return CellRandom(stream_key(self.seed, self.name, purpose, number, side), at)

    @property
    def cycles(self) -> float:
        """Full swings that a cell has seen: the mean over all, since no cell counts its own (a choice)."""
        pulses = self.written.pulses / sum(g.size for _, g in self.sides)
        return swings(pulses, self.device, anew=self.hardware.update.mode in ("ideal", "write_verify"))

    def line_conductance(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the summed conductance (S) of each row's and of each column's cells, float64; a reference counts for its row."""
        rows, columns = line_sums(self.g_plus)
        for _, g in self.sides[1:]:
            rows, columns = (total + more for total, more in zip((rows, columns), line_sums(g), strict=True))
        if len(self.sides) == 1:
            rows += reference_S(self.device.conductance) * len(blocks(self.shape[1], self.hardware.tile.columns))
        return rows, columns

    def write(self, matrix: np.ndarray) -> np.ndarray | None:
        """Bring the cells as close to `matrix` as the update scheme allows; cells trained in place are programmed anew.

        Returns
        -------
        array of flat indices, or None
            The cells that changed; None for all of them.
        """
        self.writes += 1
        if not moves(self.cycles, self.device):
            return np.empty(0, np.intp)
        mode, update = self.hardware.update.mode, self.device.update
        if self.in_place is not None or update is None or mode == "ideal":
            self._program(matrix)
            return None
        before = self._before()
        changed = self._verify(matrix) if mode == "write_verify" else self._pulse(matrix, update)
        self._settle(before, changed)
        self._count_clipped(matrix)
        return changed

    def wait(self, seconds: float) -> None:
        """Age the cells: retention and drift, from the conductances as written; slow noise is drawn anew."""
        self.age_s += seconds
        self.epoch += 1
        if not ages(self.device):
            return
        if self.fresh is None:
            self.fresh = [g.copy() for _, g in self.sides]
        for (side, held), fresh in zip(self.sides, self.fresh, strict=True):
            for cut in blocks(len(held), self.hardware.tile.rows):
                held[cut] = aged(fresh[cut], self.age_s, self.device, self.random("ageing", side, self._numbers(cut)))
        self._pin()

    def _numbers(self, cut: slice) -> np.ndarray:
        return np.arange(cut.start * self.shape[1], cut.stop * self.shape[1])

    def descend(self, a: np.ndarray, d: np.ndarray, rate: float) -> None:
        """Make the step W <- W - rate sum_s a_s d_s^T in place, by pulses that meet in the array.

        Parameters
        ----------
        a, d : arrays, shape (vectors, rows) and (vectors, columns)
        rate : float
        """
        assert self.in_place is not None
        if not moves(self.cycles, self.device):
            return
        before = self._before()
        took = self.in_place.descend(a, d, rate)
        written = Counts(cells=took.cells, pulses=took.pulses, slots=took.slots)
        self.written += written
        self.transferred += took - written
        self._settle(before, None)

    def _before(self) -> list[np.ndarray] | None:
        return None if self.fresh is None else [g.copy() for _, g in self.sides]

    def _settle(self, before: list[np.ndarray] | None, at: np.ndarray | None) -> None:
        # What no pulse changes: cells stay in windows of their own, faulty ones stay as they are, all age on.
        if self.device.spread is not None:
            at = np.arange(self.g_plus.size) if at is None else at
            for side, g in self.sides:
                low, high = windows(at.shape, self.device, self.random("window", side, at))
                g.ravel()[at] = np.clip(g.ravel()[at], low, high)
        if (left := window_left(self.cycles, self.device)) < 1:
            for _, g in self.sides:
                np.minimum(g, self.device.conductance.g_min_S + left * self.device.conductance.span_S, out=g)
        self._pin()
        if before is not None and self.fresh is not None:
            for fresh, old, (_, now) in zip(self.fresh, before, self.sides, strict=True):
                fresh += now - old

    def _pin(self) -> None:
        for (_, g), (at, shown) in zip(self.sides, self._faulty, strict=False):
            pin(g, at, shown)

    def targets(self, matrix: np.ndarray, cut: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the conductances (S) of both sides that hold the rows in `cut` of `matrix`, with w_max as it is."""
        wanted = self._wanted(matrix, cut)
        if self.hardware.update.in_place:
            return pairs(wanted, self.device, zero_of(self.device))
        return pair(wanted, self.device.conductance, self.hardware.mapping.scheme)

    def _wanted(self, matrix: np.ndarray, cut: slice) -> np.ndarray:
        # G+ - G- (S), of this slice.
        mapping = self.hardware.mapping
        limits = limits_of_rows(self.w_max, cut.start, self.shape[1], self.hardware.tile)
        part = sliced(matrix[cut], limits / slice_factor(mapping) ** self.part, self.part, mapping)
        return differential(part, limits, self.device.conductance)

    def _count_clipped(self, matrix: np.ndarray) -> None:
        self.clipped = 0
        for cut in blocks(len(matrix), self.hardware.tile.rows) if self.part == 0 else []:
            limits = limits_of_rows(self.w_max, cut.start, self.shape[1], self.hardware.tile)
            self.clipped += int(np.count_nonzero(np.abs(matrix[cut]) > limits * (1 + 1e-6)))

    def _all_wanted(self, matrix: np.ndarray) -> np.ndarray:
        out = np.empty_like(self.g_plus)
        for cut in blocks(len(matrix), self.hardware.tile.rows):
            out[cut] = self._wanted(matrix, cut)
        return out

    def _bring(
        self, at: np.ndarray | slice, targets: tuple[np.ndarray, np.ndarray], purpose: str, *, erased: bool = True
    ) -> list[np.ndarray | float]:
        """Program the cells `at` (flat indices, or rows) to `targets` (S); return the pulses of each side."""
        given: list[np.ndarray | float] = []
        row = at.start if isinstance(at, slice) else 0
        for (side, held), target in zip(self.sides, targets, strict=False):
            goal, view = np.asarray(target, held.dtype), held if isinstance(at, slice) else held.ravel()
            if self.device.spread is not None:
                cells = self._numbers(at) if isinstance(at, slice) else at
                low, high = windows(goal.shape, self.device, self.random("window", side, cells))
                goal = np.clip(goal, low, high).astype(goal.dtype, copy=False)
            random = stream(self.seed, self.name, purpose, self.writes, side, row)
            view[at], pulses = written(goal, self.device, random, None if erased else view[at])
            given.append(pulses)
        return given

    def _program(self, matrix: np.ndarray) -> None:
        window, scheme, mapping = self.device.conductance, self.hardware.update, self.hardware.mapping
        self.w_max = weight_limits(matrix, self.hardware) * slice_factor(mapping) ** self.part
        if scheme.in_place:
            self.w_max = self.w_max * (window.span_S / zero_of(self.device).reach_S)
        pulsed = self.device.update is not None and scheme.mode in ("mixed_precision", "write_verify")
        self.believed = np.empty_like(self.g_plus) if pulsed else None
        pulses, slots = 0.0, 0
        for cut in blocks(len(matrix), self.hardware.tile.rows):
            given = self._bring(cut, self.targets(matrix, cut), "program")
            pulses += sum(float(np.mean(each)) for each in given) * matrix[cut].size
            slots = max(slots, self._programming_slots(cut, given))
            if self.believed is not None:
                self.believed[cut] = self._wanted(matrix, cut)
        self.age_s, self.fresh, self.epoch = 0.0, None, self.epoch + 1
        self._pin()
        self._count_clipped(matrix)
        self.written += Counts(cells=len(self.sides) * matrix.size, pulses=round(pulses), slots=slots)
        if scheme.in_place:
            held_pairs = PulsedPairs(self.g_plus, self.g_minus, self.device, self.seed, self.name)
            self.in_place = InPlace(scheme, held_pairs, self.w_max.item() / window.span_S, self.in_place)

    def _programming_slots(self, at: np.ndarray | slice, given: list[np.ndarray | float]) -> int:
        each = np.max(np.broadcast_arrays(*given), axis=0)  # both cells of a pair at once
        if isinstance(at, slice) and not each.ndim:
            return round((at.stop - at.start) * float(each))
        cells = self._numbers(at) if isinstance(at, slice) else at
        return self._slots(cells, np.broadcast_to(each.ravel(), cells.shape))

    def _verify(self, matrix: np.ndarray) -> np.ndarray:
        # Cells whose target has changed are programmed anew.
        assert self.believed is not None
        wanted = self._all_wanted(matrix)
        at = np.flatnonzero(wanted != self.believed)
        if at.size:
            targets = pair(wanted.ravel()[at], self.device.conductance, self.hardware.mapping.scheme)
            given = self._bring(at, targets, "program", erased=False)
            self.believed = wanted
            pulses = round(sum(float(np.mean(each)) for each in given) * at.size)
            slots = self._programming_slots(at, given)
            self.written += Counts(cells=len(given) * at.size, pulses=pulses, slots=slots)
        return at

    def _pulse(self, matrix: np.ndarray, update: Update) -> np.ndarray:
        rows = [self._pulse_rows(matrix, cut, update) for cut in blocks(len(matrix), self.hardware.tile.rows)]
        at, given = (np.concatenate([found[k] for found in rows]) for k in (0, 1))
        if at.size:
            if update.polarity == "up":
                given += self._refresh(at)
            cells = sum(found[2] for found in rows)
            self.written += Counts(cells=cells, pulses=int(given.sum()), slots=self._slots(at, given))
        return at

    def _pulse_rows(self, matrix: np.ndarray, cut: slice, update: Update) -> tuple[np.ndarray, np.ndarray, int]:
        # Returns the pairs pulsed (flat indices), the pulses each got and how many cells that were.
        assert self.believed is not None
        old, window = self.believed[cut], self.device.conductance
        one = len(self.sides) == 1  # a step of an offset column's only cell counts twice: see `mapping`
        step = old.dtype.type(middle_step(update) * (2 if one else 1))
        wanted = self._wanted(matrix, cut)
        n = whole_pulses((wanted - old) / old.dtype.type(2 if one else 1), update)
        at = np.flatnonzero(n)
        if not at.size:
            return at, np.empty(0), 0
        new = (old + n * step).astype(old.dtype)
        plus, minus = (n, np.zeros_like(n)) if one else (np.maximum(n, 0), np.maximum(-n, 0))
        if update.polarity == "both" and not one:  # one cell of a pair rests: where the sign changes the other goes to rest first
            crosses = (n != 0) & (old * wanted < 0)
            new = np.where(crosses, whole_pulses(wanted, update) * step, new)
            begin, end = (np.where(crosses, np.sign(x) * np.ceil(np.abs(x) / step * (1 - 1e-6)), x / step) for x in (old, new))
            plus = np.rint(np.maximum(end, 0) - np.maximum(begin, 0))
            minus = np.rint(np.maximum(-end, 0) - np.maximum(-begin, 0))
        self.believed[cut] = new
        for (side, held), pulses in zip(self.sides, (plus, minus), strict=False):
            key = stream_key(self.seed, self.name, "pulse", self.writes, side)
            devices = stream_key(self.seed, self.name, f"devices, {side}")
            pulse(held[cut], np.maximum(pulses, 0), np.maximum(-pulses, 0), update, window, key, devices, cut.start)
        given = (np.abs(plus) + np.abs(minus)).ravel()[at]
        return at + cut.start * self.shape[1], given, int(np.count_nonzero(plus) + np.count_nonzero(minus))

    def _refresh(self, at: np.ndarray) -> np.ndarray:
        # One-sided cells fill up; a pulsed pair with a full cell is erased and programmed anew, in place.
        assert self.believed is not None
        window, plus, minus = self.device.conductance, self.g_plus.ravel(), self.g_minus.ravel()
        full = np.maximum(plus[at], minus[at]) >= window.g_max_S * (1 - 1e-6)  # float32 may miss the bound by rounding
        anew = at[full]
        pulses = np.zeros(at.size)
        for each in self._bring(anew, pair(self.believed.ravel()[anew], window), "refresh"):
            pulses[full] += each
        return pulses

    def _slots(self, at: np.ndarray, given: np.ndarray) -> int:
        # Rows of a tile one after another, the cells of a row and all tiles together; `at` rises.
        tile, across = self.hardware.tile, -(-self.shape[1] // self.hardware.tile.columns)
        rows, columns = np.divmod(at, self.shape[1])
        line = rows * across + columns // tile.columns
        starts = np.flatnonzero(np.diff(line, prepend=-1))
        longest = np.zeros(self.shape[0] * across)
        longest[line[starts]] = np.maximum.reduceat(given, starts)
        return int(np.add.reduceat(longest.reshape(-1, across), range(0, self.shape[0], tile.rows), axis=0).max())

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that writes depend on and change, as arrays (not copies)."""
        state = {
            **{f"g_{side}": g for side, g in self.sides},
            "w_max": self.w_max,
            "age": np.array([self.age_s, self.epoch, self.clipped], np.float64),
            "writes": np.array(self.writes, np.int64),
            "written": self.written.as_array(),
            "transferred": self.transferred.as_array(),
        }
        if self.in_place is not None:
            state |= self.in_place.state()
        if self.believed is not None:
            state["believed"] = self.believed
        for number, fresh in enumerate(self.fresh or []):
            state[f"fresh_{number}"] = fresh
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError
            If the arrays are not those of this matrix on this hardware.
        """
        wanted = {key for key in self.state() if not key.startswith("fresh_")}
        if not wanted <= set(state):
            raise ValueError(f"{self.name}: chip state lacks {', '.join(sorted(wanted - set(state)))}")
        for key in (*(f"g_{side}" for side, _ in self.sides), *(["believed"] if self.believed is not None else [])):
            if state[key].shape != self.shape:
                raise ValueError(f"{self.name}: chip state {key}: found shape {state[key].shape}; accepted: {self.shape}")
            if key != "believed" and not (np.isfinite(state[key]).all() and (state[key] >= 0).all()):
                raise ValueError(f"{self.name}: chip state {key}: found negative or infinite ones or NaN; accepted: >= 0 S")
            getattr(self, key)[...] = state[key]
        self.w_max = np.array(state["w_max"], np.float64)
        self.age_s, self.epoch, self.clipped = float(state["age"][0]), int(state["age"][1]), int(state["age"][2])
        kept = [np.array(state[key], self.g_plus.dtype) for key in ("fresh_0", "fresh_1") if key in state]
        self.fresh = kept or None
        self.writes = int(state["writes"])
        self.written, self.transferred = (Counts.from_array(state[key]) for key in ("written", "transferred"))
        if self.in_place is not None:
            self.in_place.scale = self.w_max.item() / self.device.conductance.span_S
            self.in_place.load_state(state)
