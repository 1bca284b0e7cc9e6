"""Where each weight sits: one line a cell, for people who build the hardware.

    stage, bank      the weight matrix; "forward", or "replica" where the transposed read has arrays of its own
    slice            0, or the number of the slice
    tile_row, tile_column, row, column, side    the tile, the word line and the output within it, and which cell of the pair
    matrix_row, matrix_column                   the weight (`dbpsim.crossbar.mapping` says how a layer's become a matrix)
    weight           what the network wants it to be
    target_S, conductance_S                     what the cell should hold and what it holds
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dbpsim.crossbar.mapping import blocks
from dbpsim.crossbar.tiles import TiledMatrix

BANKS = ("forward", "replica")
NAMES = (
    "bank", "slice", "tile_row", "tile_column", "row", "column", "side",
    "matrix_row", "matrix_column", "weight", "target_S", "conductance_S",
)  # fmt: skip


def cell_tables(tiles: TiledMatrix, matrix: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of the table, for one row of tiles, slice, bank and side of the pairs at a time.

    Parameters
    ----------
    tiles : TiledMatrix
    matrix : array, shape (rows, columns)
        What it was last told to hold.
    """
    tile = tiles.hardware.tile
    for bank, name in zip(tiles.banks, BANKS, strict=False):
        for number, cells in enumerate(bank.slices):
            for cut in blocks(len(matrix), tile.rows):
                row, column = (i.ravel() for i in np.mgrid[cut, 0 : matrix.shape[1]])
                for (side, held), target in zip(cells.sides, cells.targets(matrix, cut), strict=False):
                    yield {
                        "bank": np.full(row.size, name),
                        "slice": np.full(row.size, number),
                        "tile_row": row // tile.rows,
                        "tile_column": column // tile.columns,
                        "row": row % tile.rows,
                        "column": column % tile.columns,
                        "side": np.full(row.size, side),
                        "matrix_row": row,
                        "matrix_column": column,
                        "weight": matrix[cut].ravel(),
                        "target_S": np.asarray(target).ravel(),
                        "conductance_S": held[cut].ravel(),
                    }


def csv_lines(stage: str, table: dict[str, np.ndarray]) -> bytes:
    """Return the lines of one stage's `table`."""
    columns = [[f"{x:.9g}" for x in v.tolist()] if v.dtype.kind == "f" else [str(x) for x in v.tolist()] for v in table.values()]
    return "".join(f"{stage},{','.join(line)}\n" for line in zip(*columns, strict=True)).encode()
