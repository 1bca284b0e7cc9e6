"""The arrays in CIFAR-10's Python batches, without letting the pickle run anything.

A pickle is a program that may call what it can name.  Here it can name five things, and none of them is the
real one: ``numpy``'s ``_reconstruct``, ``ndarray`` and ``dtype`` and ``_codecs.encode`` are stand-ins that
note their arguments.  The array is then built from the noted bytes by our own checks, so not even numpy's
unpickling code sees the file.  Any other name ends the reading.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.sources import parsing


def batch_arrays(data: bytes, origin: str, *, row_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8, shape (N, row_bytes), and labels, int64, shape (N,), of one pickled batch.

    Parameters
    ----------
    data : bytes
        The pickle: a dictionary with ``data`` and ``labels`` (written by Python 2 or 3, protocol 0 to 4).
    origin : str
        Names the batch in errors.
    row_bytes : int

    Raises
    ------
    DatasetError
        Where the pickle names anything else, is damaged, or holds something else.
    """
    with parsing(origin):
        content = _Restricted(data, origin).load()
    if not isinstance(content, dict):
        raise DatasetError(f"{origin}: a pickled {type(content).__name__}; a dictionary is accepted.")
    images = _matrix(_entry(content, "data", origin), origin, row_bytes)
    labels = _entry(content, "labels", origin)
    if not isinstance(labels, list) or not all(type(v) is int and 0 <= v <= 9 for v in labels):
        raise DatasetError(f"{origin}: labels: a list of whole numbers 0 to 9 is accepted.")
    if len(labels) != len(images):
        raise DatasetError(f"{origin}: {len(images)} images, {len(labels)} labels; a label each is accepted.")
    return images, np.array(labels, np.int64)


def _entry(content: dict[Any, Any], key: str, origin: str) -> Any:
    for spelling in (key.encode(), key):  # Python 2's strings arrive as bytes
        if spelling in content:
            return content[spelling]
    raise DatasetError(f"{origin}: no entry {key!r}.")


def _matrix(array: Any, origin: str, row_bytes: int) -> np.ndarray:
    """Build the matrix from what `_reconstruct`'s stand-in noted: (version, shape, dtype, order, bytes)."""
    state = getattr(array, "state", None)
    match state:
        case (int(), (int(rows), int(columns)), dtype, False, bytes(raw)):
            arguments = getattr(dtype, "arguments", ())
            if arguments[:1] in (("u1",), (b"u1",)) and columns == row_bytes and len(raw) == rows * columns:
                return np.frombuffer(raw, np.uint8).reshape(rows, columns)
    raise DatasetError(f"{origin}: data: a C-ordered uint8 array of shape (N, {row_bytes}) is accepted.")


def _stand_ins() -> dict[tuple[str, str], Callable[..., Any]]:
    """Return fresh stand-ins: a pickle may set attributes on what it is given, and they end with it."""

    class Array:
        def __setstate__(self, state: object) -> None:
            self.state = state

    class Kind:
        pass

    class Dtype:
        def __init__(self, *arguments: object) -> None:
            self.arguments = arguments

        def __setstate__(self, state: object) -> None:
            pass

    def encode(text: str, encoding: str) -> bytes:
        if type(text) is not str or encoding != "latin1":  # how Python 3 spells bytes in protocols 0 to 2
            raise pickle.UnpicklingError("only encode(text, 'latin1') is accepted")
        return text.encode("latin-1")

    def reconstruct(*_: object) -> Array:
        return Array()

    return {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy", "ndarray"): Kind,
        ("numpy", "dtype"): Dtype,
        ("_codecs", "encode"): encode,
    }


class _Restricted(pickle.Unpickler):
    def __init__(self, data: bytes, origin: str) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._origin = origin
        self._allowed = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise DatasetError(
                f"{self._origin}: the pickle asks for {f'{module}.{name}'!r}; only numpy arrays are accepted."
            )
        return self._allowed[module, name]
