"""Separable maps of small tiles, Y = M X M^T, as straight-line vector code over neighbouring channels.

LLVM does not turn a loop of the form "read 36 numbers a channel, write 36" into vector code: it would have
to prove for every pair of addresses that they differ.  Here a tile's element is a vector of `LANES`
channels from the start, so there is nothing to prove.  The map is an ordinary Python function of
numbers, ``f(x_0, ..., x_m) -> (y_0, ..., y_n)``; it is run once, on symbolic vectors, when a kernel that uses it is
compiled, and it may be run on NumPy arrays as its own reference.

Numba's cache on disk does not see edits of this file: after one, touch the files that use it.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16  # one AVX-512 register of float32; channels are padded to a multiple of this


class _Vector:
    """A vector of `LANES` numbers in the making: arithmetic on it emits instructions."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fsub(self.value, other.value))

    def __rmul__(self, factor: float) -> _Vector:
        constant = ir.Constant(self.value.type, [float(factor)] * LANES)
        return _Vector(self.builder, self.builder.fmul(constant, self.value))


def _transpose(rows: list) -> list:
    return [list(column) for column in zip(*rows, strict=True)]


def tile_map(transform: Callable, size: int) -> Callable:
    """Return a Numba-callable that maps a size x size tile by `transform` along both axes, `LANES` channels at once.

    Parameters
    ----------
    transform : callable
        Linear function of `size` numbers, built of +, - and multiplication by constants from the left.
    size : int

    Returns
    -------
    callable
        ``apply(source, first, row_step, column_step, target, first, row_step, column_step)``: element
        (i, j) of the tile starts at ``first + i * row_step + j * column_step`` of a one-dimensional array.
    """

    @intrinsic
    def apply(typing, source, s_first, s_row, s_column, target, t_first, t_row, t_column):
        n = types.intp
        return types.void(source, n, n, n, target, n, n, n), generate

    def generate(context, builder, signature, args):
        def address(array_type, array, first, row, column, i, j):
            data = context.make_array(array_type)(context, builder, array).data
            steps = builder.add(
                builder.mul(row, ir.Constant(row.type, i)), builder.mul(column, ir.Constant(column.type, j))
            )
            element = builder.gep(data, [builder.add(first, steps)])
            number = context.get_value_type(array_type.dtype)
            return builder.bitcast(element, ir.VectorType(number, LANES).as_pointer())

        types_, (source, *start, target, t_first, t_row, t_column) = signature.args, args
        width = types_[0].dtype.bitwidth // 8
        columns = []
        for j in range(size):
            column = [
                _Vector(builder, builder.load(address(types_[0], source, *start, i, j), align=width))
                for i in range(size)
            ]
            columns.append(transform(*column))
        for i, row in enumerate(_transpose(columns)):
            for j, y in enumerate(transform(*row)):
                builder.store(y.value, address(types_[4], target, t_first, t_row, t_column, i, j), align=width)
        return context.get_dummy_value()

    return apply
