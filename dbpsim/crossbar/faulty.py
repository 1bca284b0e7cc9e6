"""Which cells of a matrix are faulty: drawn tile by tile, as arrays are made.

The cells of one tile share its word lines, so a dead row takes both sides of its pairs with it; each side has bit lines of
its own.
"""

from __future__ import annotations

import numpy as np

from dbpsim.crossbar.hardware import Tile
from dbpsim.crossbar.mapping import blocks
from dbpsim.devices.faults import faulty_cells
from dbpsim.devices.schema import Device


def faulty_pairs(
    shape: tuple[int, ...], sides: int, tile: Tile, device: Device, random: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each side of the pairs, (flat indices, conductances in S) of the faulty cells; nothing without faults.

    Parameters
    ----------
    shape : (rows, columns)
        Of the matrix.
    sides : int
        Cells of a weight: 2 of a pair, 1 of an offset column.
    """
    if device.faults is None:
        return []
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(sides)]
    for down in blocks(shape[0], tile.rows):
        for across in blocks(shape[1], tile.columns):
            width = across.stop - across.start
            at, shown = faulty_cells((down.stop - down.start, width * sides), device, random)
            row, line = np.divmod(at, width * sides)
            for side, cells in enumerate(found):
                mine = line // width == side
                cells.append(((row[mine] + down.start) * shape[1] + line[mine] % width + across.start, shown[mine]))
    return [(np.concatenate([at for at, _ in cells]), np.concatenate([shown for _, shown in cells])) for cells in found]
