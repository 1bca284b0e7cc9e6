"""What reads see of the cells of a matrix: weights, and the variance of a read.

    W = sum over slices and sides of +- G unit,    S = sum of (sigma_G unit)^2,    unit: weight per siemens

times the digital scale of each tile where drift is compensated.  G is what a cell shows: with
``[read] slow_noise = "frozen"`` its conductance plus the part of the read noise that is slower than a clock, drawn once
an epoch (a programming or a wait), and with its telegraph trap where that trap found it; sigma_G is then the rest.  With
"fresh" all of it is in sigma_G, traps as Gaussian noise of their variance, one number for all cells with or without
a trap (amplitude^2 g^2 p (1 - p) times the share of cells that have one).

With wires the G of the sum is what a cell counts between the ends of its lines, tile by tile and direction by direction, and
sigma_G shrinks with it (`dbpsim.crossbar.tile_wires`): `Bank.look_along_wires`.

A view is worked out when cells change, row of tiles after row of tiles, not when they are read; with wires, the tiles that
hold a cell that changed.  Both directions share one unless something makes them differ: a replica, or wires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dbpsim.crossbar.cells import Cells
from dbpsim.crossbar.hardware import Hardware
from dbpsim.crossbar.mapping import blocks, limits_at, limits_of_rows, tile_count, weight_per_siemens
from dbpsim.crossbar.tile_wires import between_ends, noise_share
from dbpsim.devices.random_telegraph import telegraph_sigma, trap_states, with_traps
from dbpsim.devices.read_noise import read_sigma, read_sigmas


@dataclass(frozen=True)
class View:
    """What reads in one direction see of the cells.

    Attributes
    ----------
    weights : array, shape (rows, columns)
        The weights that the conductances stand for.
    variance : array, shape (rows, columns), or None
        Variance of one read, in units of the weight squared; None without noise that differs from read to read.
    admittance : dict
        With wires, by (tile down, tile across): currents that driven lines take (S), square, all slices together.
    """

    weights: np.ndarray
    variance: np.ndarray | None
    admittance: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


class Bank:
    """The arrays that one direction, or both, reads: the slices of a matrix, and a digital scale for each tile.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
    hardware : Hardware
    name, seed
        Of the random streams.

    Attributes
    ----------
    slices : tuple of Cells
        One without bit slicing.
    scale : array, shape (tiles down, tiles across), or (1, 1)
        Factors that compensate drift.
    reference : array, shape of `scale`, or None
        What known inputs gave before the cells aged.
    """

    def __init__(self, matrix: np.ndarray, hardware: Hardware, name: str, seed: int) -> None:
        self.hardware, self.name = hardware, name
        count = hardware.mapping.slices if hardware.mapping.scheme == "bit_sliced" else 1
        names = [name if k == 0 else f"{name}, slice {k}" for k in range(count)]
        self.slices = tuple(Cells(matrix, hardware, names[k], seed, k) for k in range(count))
        self.scale = np.ones((1, 1))
        self.reference: np.ndarray | None = None

    def write(self, matrix: np.ndarray) -> np.ndarray | None:
        """Write the slices; return the flat indices of the cells that changed, None for all."""
        changed = [cells.write(matrix) for cells in self.slices]
        if all(c.age_s == 0 for c in self.slices):
            self.scale, self.reference = np.ones((1, 1)), None
        return changed[0] if len(changed) == 1 else None

    def blank(self) -> View:
        """Return a view that nothing has looked into yet."""
        like = self.slices[0].g_plus
        return View(np.empty_like(like), np.empty_like(like) if self.hardware.noisy else None)

    def look(self, before: View | None = None) -> View:
        """Return what reads see of all cells without wires, in the arrays of the view `before` where there is one."""
        first = self.slices[0]
        before = self.blank() if before is None else before
        weights, variance = before.weights, before.variance
        columns, tile = first.shape[1], self.hardware.tile
        if self._plain:  # one subtraction: what training on silent cells asks for at every step
            unit = weight_per_siemens(first.w_max * self.scale, first.device.conductance, self.hardware.mapping.scheme)
            np.subtract(first.g_plus, first.g_minus, out=weights)
            weights *= weights.dtype.type(unit.item())
            return before
        for cut in blocks(len(weights), tile.rows):
            at = np.arange(cut.start * columns, cut.stop * columns)
            units = [limits_of_rows(c.w_max, cut.start, columns, tile) for c in self.slices]
            scale = limits_of_rows(self.scale, cut.start, columns, tile)
            self._seen(slice(at[0], at[-1] + 1), at, [u * scale for u in units], weights, variance)
        return before

    @property
    def _plain(self) -> bool:
        # Pairs under one scale that show what they hold.
        first = self.slices[0]
        silent = first.device.read_noise is None and first.device.random_telegraph is None
        return silent and len(self.slices) == 1 and len(first.sides) == 2 and first.w_max.size == self.scale.size == 1

    def look_again(self, view: View, at: np.ndarray) -> None:
        """Bring `view` up to date, in place, for the cells at the flat indices `at`, without wires."""
        columns, tile = self.slices[0].shape[1], self.hardware.tile
        scale = limits_at(self.scale, at, columns, tile)
        units = [limits_at(c.w_max, at, columns, tile) * scale for c in self.slices]
        self._seen(at, at, units, view.weights, view.variance)

    def _seen(
        self, where: slice | np.ndarray, at: np.ndarray, w_max: list[np.ndarray], weights: np.ndarray, variance: np.ndarray | None
    ) -> None:
        # Weights and variance of the cells `at`, which are flat indices, put at `where`; w_max a column or a cell.
        total: np.ndarray | float = 0.0
        spread: np.ndarray | float = 0.0
        for cells, limit in zip(self.slices, w_max, strict=True):
            kind, window = cells.g_plus.dtype, cells.device.conductance
            unit = weight_per_siemens(limit, window, self.hardware.mapping.scheme).astype(kind)
            unit = unit if unit.size in (1, at.size) else np.tile(unit, at.size // unit.size)
            shown = [show(cells, side, g.ravel()[where], at, variance is not None) for side, g in cells.sides]
            second = shown[1][0] if len(shown) == 2 else cells.g_minus.flat[0]
            total = total + (shown[0][0] - second) * unit
            for _, sigma in shown:
                if sigma is not None:  # scaled before squaring: S^2 is near float32's smallest numbers
                    spread = spread + (sigma * unit) ** 2
        weights.ravel()[where] = total
        if variance is not None:
            variance.ravel()[where] = spread

    def look_along_wires(self, views: Mapping[bool, View], at: np.ndarray | None = None) -> None:
        """Bring `views`, by direction, up to date, in place, for all cells or the tiles of those at the flat indices `at`."""
        tile, (rows, columns) = self.hardware.tile, self.slices[0].shape
        down, across = blocks(rows, tile.rows), blocks(columns, tile.columns)
        touched = np.arange(len(down) * len(across))
        if at is not None:
            touched = np.unique(at // columns // tile.rows * len(across) + at % columns // tile.columns)
        for i, j in (divmod(int(number), len(across)) for number in touched):
            self._see_tile((i, j), down[i], across[j], views)

    def _see_tile(self, place: tuple[int, int], rows: slice, columns: slice, views: Mapping[bool, View]) -> None:
        # Weights, variance and admittance of one tile behind its wires.
        assert self.hardware.wires is not None
        wires, (_, width), tile = self.hardware.wires, self.slices[0].shape, self.hardware.tile
        at = np.add.outer(np.arange(rows.start, rows.stop) * width, np.arange(columns.start, columns.stop))
        scale = limits_of_rows(self.scale, rows.start, width, tile)
        sums = {way: [np.zeros(at.shape), np.zeros(at.shape), np.zeros(())] for way in views}
        for cells in self.slices:
            limit = limits_of_rows(cells.w_max, rows.start, width, tile) * scale
            limit = limit if limit.size == 1 else limit[columns]
            unit = weight_per_siemens(limit, cells.device.conductance, self.hardware.mapping.scheme)
            shown = [
                show(cells, side, g[rows, columns].ravel(), at.ravel(), self.hardware.noisy) for side, g in cells.sides
            ]
            held = [g.reshape(at.shape).astype(np.float64) for g, _ in shown]
            held += [cells.g_minus[rows, :1].astype(np.float64)] * (2 - len(held))
            for way, ends in between_ends(held[0], held[1], wires.resistances, views, wires.method).items():
                total = sums[way]
                total[0] += (ends.plus - ends.minus) * unit
                total[2] = total[2] + ends.admittance
                for (_, sigma), seen, cell in zip(shown, (ends.plus, ends.minus), held, strict=False):
                    if sigma is not None:
                        total[1] += (sigma.reshape(at.shape) * noise_share(seen, cell) * unit) ** 2
        for way, view in views.items():
            view.weights[rows, columns] = sums[way][0]
            if view.variance is not None:
                view.variance[rows, columns] = sums[way][1]
            view.admittance[place] = sums[way][2].astype(view.weights.dtype)

    def state(self) -> dict[str, np.ndarray]:
        """Return what reads and writes of these arrays depend on and change (not copies)."""
        state = {f"{_prefix(k)}{key}": value for k, cells in enumerate(self.slices) for key, value in cells.state().items()}
        state["scale"] = self.scale
        return state if self.reference is None else state | {"reference": self.reference}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for k, cells in enumerate(self.slices):
            prefix = _prefix(k)
            cells.load_state({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})
        self.scale = np.array(state.get("scale", np.ones((1, 1))))
        self.reference = np.array(state["reference"]) if "reference" in state else None

    @property
    def tiles(self) -> tuple[int, int]:
        """How many tiles there are, down and across."""
        return tile_count(self.slices[0].shape, self.hardware.tile)


def _prefix(number: int) -> str:
    return f"slice{number}." if number else ""


def show(cells: Cells, side: str, g: np.ndarray, at: np.ndarray, noisy: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (conductances that reads share, standard deviation of the rest or None), in S, of the cells `at` that hold `g`."""
    device, trap = cells.device, cells.device.random_telegraph
    if cells.hardware.read.slow_noise == "fresh":
        if not noisy:
            return g, None
        sigma = read_sigma(g, device)
        if trap is not None:
            sigma = np.hypot(sigma, telegraph_sigma(g, device) * g.dtype.type(trap.share_of_cells**0.5))
        return g, sigma
    frozen, fresh = read_sigmas(g, device, cells.hardware.clock.period_s)
    if device.read_noise is not None:
        g = g + frozen.astype(g.dtype) * cells.random("slow noise", side, at, cells.epoch).standard_normal(g.shape)
    if trap is not None:
        g = with_traps(g, trap_states(g.shape, trap, cells.random("traps", side, at, cells.epoch)), trap)
    return g, fresh.astype(g.dtype) if noisy else None
