"""Large arrays out of pages that are already mapped.

A step of training frees and asks for the same few hundred megabytes again and again.  The system's
allocator returns such blocks to the kernel and every new one is paid for page by page: up to three
times the arithmetic on a 2-core machine.  `empty` is ``numpy.empty`` with a memory: a block goes back to the pool
when the last array that looks at it dies, and the next request of the same size takes it.
There is nothing to release by hand and no way to see another array's data change.
"""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict

import numpy as np

_POOLED_FROM_BYTES = 1 << 18  # smaller blocks are quick to get, and there are many sizes of them
_LIMIT_BYTES = 4 << 30
_ALIGNMENT = 64  # a cache line, and the widest vector

_free: defaultdict[int, list[np.ndarray]] = defaultdict(list)  # by size; list.append and pop are atomic


class _Lease(np.ndarray):
    """A view on a pooled block; every array made from it keeps it alive, and its end frees the block."""

    def __del__(self) -> None:
        block = self.base
        if type(block) is np.ndarray and idle_bytes() + block.nbytes <= _LIMIT_BYTES:
            _free[block.nbytes].append(block)


def empty(shape: int | tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Return an uninitialised array, like ``numpy.empty``, from reused memory where there is some.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : data type

    Examples
    --------
    >>> a = empty((1024, 1024), "float32")
    >>> where = a.ctypes.data
    >>> del a
    >>> empty((1024, 1024), "float32").ctypes.data == where
    True
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _POOLED_FROM_BYTES:
        return np.empty(shape, dtype)
    try:
        block = _free[size].pop()
    except IndexError:
        raw = np.empty(size + _ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % _ALIGNMENT
        block = np.frombuffer(raw.data[start : start + size], np.uint8)
    # numpy shortens chains of arrays that look at each other's memory and would skip the lease; ctypes' buffer stops it.
    held = (ctypes.c_char * size).from_buffer(block.view(_Lease))  # type: ignore[arg-type]
    return np.frombuffer(held, dtype).reshape(shape)  # type: ignore[call-overload]


def idle_bytes() -> int:
    """Return how much memory the pool holds for the next requests."""
    return sum(size * len(blocks) for size, blocks in list(_free.items()))


def release() -> int:
    """Give the pool's idle blocks back to the system; return how many bytes that were."""
    freed = idle_bytes()
    _free.clear()
    return freed
