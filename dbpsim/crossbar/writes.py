"""Training in place: pulses that meet in the array move its cells, and no digital weight says where they should be.

Two-sided cells: a weight is one cell against a reference that rests at the symmetry point, where a step up and a step
down cancel (zero shifting: Kim et al., arXiv:1907.10228); only the first is pulsed, its reach on the shorter side is
w_max.  One-sided cells: pulses up go to one cell of the pair, pulses down to the other, and a pair with
a full cell is erased and programmed anew.

    stochastic_pulses   W: one update by trains of pulses, with rate
    tiki_taka           A: the same with fast_rate x rate; then, line after line, W_k <- W_k + transfer_rate A_k by trains
    tiki_taka_2         A: as before; H_k <- H_k + transfer_rate A_k, and whole steps of H move W_k

The weights are W alone (gamma = 0 in the papers).  A starts at zero, which is each cell's own symmetry point, measured
and programmed into its reference before training (a point common to all would leak into W), and returns there when
gradients of both signs alternate: what the asymmetric step does to any cell, here does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dbpsim.crossbar.activity import Counts
from dbpsim.crossbar.update_scheme import UpdateScheme
from dbpsim.devices.programming import written
from dbpsim.devices.pulse_trains import coincidences
from dbpsim.devices.read_noise import read_sigma
from dbpsim.devices.schema import Device
from dbpsim.devices.update import mean_steps, pulse, symmetry_point, symmetry_points
from dbpsim.kernels.memory import empty
from dbpsim.kernels.random import bits, stream, stream_key


@dataclass(frozen=True)
class Zero:
    """Where a weight of zero sits, for a device that is pulsed in place.

    Attributes
    ----------
    reference_S : float
        Conductance of both cells of a pair that holds zero.
    reach_S : float
        How far the difference of a pair may go to either side.
    """

    reference_S: float
    reach_S: float


def zero_of(device: Device) -> Zero:
    """Return where zero is on `device`, which has an update section.

    Examples
    --------
    >>> from dbpsim.devices import load_device
    >>> zero_of(load_device("pcm")).reach_S == load_device("pcm").conductance.span_S
    True
    """
    window, update = device.conductance, device.update
    assert update is not None
    if update.polarity == "up":
        return Zero(window.g_min_S, window.span_S)
    rest = symmetry_point(update, window)
    return Zero(rest, min(rest - window.g_min_S, window.g_max_S - rest))


def pairs(difference: np.ndarray, device: Device, zero: Zero) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets (G+, G-), in S, that hold the wanted differences in place."""
    window = device.conductance
    assert device.update is not None
    if device.update.polarity == "up":
        return window.g_min_S + np.maximum(difference, 0), window.g_min_S + np.maximum(-difference, 0)
    plus = np.clip(zero.reference_S + difference, window.g_min_S, window.g_max_S)
    return plus.astype(difference.dtype), np.full_like(difference, zero.reference_S)


class PulsedPairs:
    """Pairs of cells that trains of pulses move.

    Parameters
    ----------
    plus, minus : arrays, shape (rows, columns)
        Conductances (S), changed in place.
    device : Device
        With an update section.
    seed, name
        Of the random streams: of the devices, and of every write.
    """

    def __init__(self, plus: np.ndarray, minus: np.ndarray, device: Device, seed: int, name: str) -> None:
        self.plus, self.minus, self.device = plus, minus, device
        self.seed, self.name = seed, name
        self.devices = stream_key(seed, name, "devices, plus"), stream_key(seed, name, "devices, minus")
        self.key = stream_key(seed, name, "pulses")

    def pulse(self, ups: np.ndarray, downs: np.ndarray, write: int, first_row: int = 0) -> tuple[int, int]:
        """Move the pairs of rows from `first_row` on; return (cells pulsed, pulses given).

        Parameters
        ----------
        ups, downs : int32 arrays, shape (rows, columns)
            Pulses that raise and lower the weight.
        write : int
            Number of this write, which names its random numbers.
        """
        update, window = self.device.update, self.device.conductance
        assert update is not None
        keys = [np.uint64(bits(self.key, 2 * write + side)) for side in (0, 1)]
        rows = slice(first_row, first_row + len(ups))
        plus, minus = self.plus[rows], self.minus[rows]
        if update.polarity == "both":
            done = pulse(plus, ups, downs, update, window, keys[0], self.devices[0], first_row).sum(axis=0)
            return int(done[0]), int(done[1])
        none = np.zeros_like(ups)
        done = pulse(plus, ups, none, update, window, keys[0], self.devices[0], first_row).sum(axis=0)
        done += pulse(minus, downs, none, update, window, keys[1], self.devices[1], first_row).sum(axis=0)
        return int(done[0]), int(done[1]) + self._refresh(plus, minus, write)

    def rest(self) -> None:
        """Bring every pair to zero, at the symmetry point of its own pulsed cell."""
        update = self.device.update
        assert update is not None
        self.plus[...] = symmetry_points(self.plus.shape, update, self.device.conductance, self.devices[0])
        self.minus[...] = self.plus

    def _refresh(self, plus: np.ndarray, minus: np.ndarray, write: int) -> int:
        # What the pair holds is read and programmed anew; (1 - 1e-6) because a full cell in float32 may fall short by rounding.
        window, plus, minus = self.device.conductance, plus.reshape(-1), minus.reshape(-1)  # whole rows: views
        full = np.flatnonzero(np.maximum(plus, minus, out=empty(plus.shape, plus.dtype)) >= window.g_max_S * (1 - 1e-6))
        if not full.size:
            return 0
        random = stream(self.seed, self.name, "refresh", write)
        held = (plus[full] - minus[full]).astype(plus.dtype)
        given = 0.0
        for cells, target in zip((plus, minus), pairs(held, self.device, zero_of(self.device)), strict=True):
            cells[full], pulses = written(target.astype(plus.dtype), self.device, random)
            given += float(np.mean(pulses)) * full.size
        return round(given)


def _step_at_zero(device: Device) -> float:
    # Mean of both directions, or of the only one.  (aihwkit calls it the granularity of a weight.)
    assert device.update is not None
    up, down = mean_steps(device.update, np.array(zero_of(device).reference_S), device.conductance)
    return float(up if device.update.polarity == "up" else (up + down) / 2)


class InPlace:
    """How the weights of one matrix descend on the array itself.

    Parameters
    ----------
    scheme : UpdateScheme
        With a mode that works in place.
    pairs : PulsedPairs
        That hold the weights.
    scale : float
        Weight that a difference of 1 S in a pair stands for.
    before : InPlace, optional
        What served until the pairs were programmed anew; its random streams go on.

    Attributes
    ----------
    fast : PulsedPairs or None
        The array A of Tiki-Taka.
    buffer : array or None
        H, in weights.
    line, step : int
        Next line of A to read; updates so far.
    """

    def __init__(self, scheme: UpdateScheme, pairs: PulsedPairs, scale: float, before: InPlace | None = None) -> None:
        self.scheme, self.pairs, self.scale = scheme, pairs, scale
        self.key = stream_key(pairs.seed, pairs.name, "trains")
        self._step_S = _step_at_zero(pairs.device)
        self.line: int = 0
        self.step: int = 0 if before is None else before.step
        self.fast: PulsedPairs | None = None
        self.buffer: np.ndarray | None = None
        if scheme.mode != "stochastic_pulses":
            cells = np.empty_like(pairs.plus), np.empty_like(pairs.plus)
            self.fast = PulsedPairs(*cells, pairs.device, pairs.seed, f"{pairs.name}, A")
            self.fast.rest()
        if scheme.mode == "tiki_taka_2":
            self.buffer = np.zeros(pairs.plus.shape, pairs.plus.dtype)

    @property
    def step_weight(self) -> float:
        """Weight that one pulse at a weight of zero is worth, in the mean of both directions or in the only one."""
        return self._step_S * self.scale

    def descend(self, a: np.ndarray, d: np.ndarray, rate: float) -> Counts:
        """Make the step W <- W - rate sum_s a_s d_s^T as the scheme does; return what it took.

        Parameters
        ----------
        a, d : arrays, shape (samples, rows) and (samples, columns)
        rate : float
            Learning rate.

        Returns
        -------
        Counts
            Cells, pulses and slots; of Tiki-Taka also the reads of A.
        """
        target = self.pairs if self.fast is None else self.fast
        fast = 1.0 if self.fast is None else self.scheme.fast_rate
        counts = self._trains(target, a, d, rate * fast, 2 * self.step, 0)
        if self.fast is not None and (self.step + 1) % self.scheme.transfer_every == 0:
            rows = len(self.fast.plus)
            last = min(self.line + self.scheme.transfer_lines, rows)  # those that are left before the first comes again
            counts += self._transfer(self.fast, slice(self.line, last))
            self.line = last % rows
        self.step += 1
        return counts

    def _trains(self, target: PulsedPairs, a: np.ndarray, d: np.ndarray, rate: float, write: int, row: int) -> Counts:
        scheme, key = self.scheme, np.uint64(bits(self.key, write))
        ups, downs, slots = coincidences(a, d, rate / self.step_weight, scheme.bit_length, key, scheme.managed)
        cells, pulses = target.pulse(ups, downs, write, row)
        # Lines of one sign at a time: a phase of trains for the pulses up and one for those down.
        return Counts(cells=cells, pulses=pulses, slots=2 * slots)

    def _transfer(self, fast: PulsedPairs, lines: slice) -> Counts:
        read = self._read(fast, lines) * self.scheme.transfer_rate
        number, columns = read.shape
        reading = Counts(vectors=number, outputs=number * columns, sensed=number * columns)
        if self.buffer is None:  # each line is driven by itself, one after another
            alone = np.eye(number, dtype=read.dtype)
            return reading + self._trains(self.pairs, alone, -read, 1.0, 2 * self.step + 1, lines.start)
        buffer, step = self.buffer[lines], self.buffer.dtype.type(self.step_weight)
        buffer += read
        whole = np.clip(np.trunc(buffer / step), -self.scheme.bit_length, self.scheme.bit_length)
        buffer -= whole * step
        ups, downs = (np.maximum(sign * whole, 0).astype(np.int32) for sign in (1, -1))
        cells, pulses = self.pairs.pulse(ups, downs, 2 * self.step + 1, lines.start)
        slots = int((ups.max(axis=1) + downs.max(axis=1)).sum())
        return reading + Counts(cells=cells, pulses=pulses, slots=slots)

    def _read(self, fast: PulsedPairs, lines: slice) -> np.ndarray:
        # Lines driven at full scale, one after another: their weights, with the noise of a read.
        plus, minus = fast.plus[lines], fast.minus[lines]
        current = plus - minus
        if fast.device.read_noise is not None:
            sigma = np.hypot(read_sigma(plus, fast.device), read_sigma(minus, fast.device))
            random = stream(fast.seed, fast.name, "read", self.step)
            current = current + sigma * random.standard_normal(current.shape, np.float32)
        return (current * self.scale).astype(plus.dtype)

    def state(self) -> dict[str, np.ndarray]:
        """Return what descending depends on and changes, but for the weights themselves."""
        found = {"in_place": np.array([self.step, self.line], np.int64)}
        if self.fast is not None:
            found |= {"fast_plus": self.fast.plus.copy(), "fast_minus": self.fast.minus.copy()}
        return found if self.buffer is None else found | {"buffer": self.buffer.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self.step, self.line = (int(n) for n in state["in_place"])
        if self.fast is not None:
            self.fast.plus[...], self.fast.minus[...] = state["fast_plus"], state["fast_minus"]
        if self.buffer is not None:
            self.buffer[...] = state["buffer"]
