"""The arrays in CIFAR-10's Python batches, read without running the pickle.

A pickle is a program for a stack machine that may call whatever it can name, and Python's own machine may
also be told to allocate at will: a restricted ``pickle.Unpickler`` fed with mutated batches took 17 GB and
a minute.  So ``pickletools`` cuts the bytes into instructions, which runs nothing, and the machine here
knows only those that plain lists, dictionaries, numbers and strings need.  The five names a batch may use
(numpy's ``_reconstruct``, ``ndarray``, ``dtype``, and ``_codecs.encode``) are notes, not functions; the
array is built from its noted bytes after its noted shape and type were checked.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.sources import parsing

_INSTRUCTIONS_CAP = 1_000_000  # an official batch has about 40,000
_MARK = object()
_AS_IS = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE")
    + ("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
)
_PYTHON2_STRINGS = frozenset(("STRING", "BINSTRING", "SHORT_BINSTRING"))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_CONTAINERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS, _GETS = frozenset(("PUT", "BINPUT", "LONG_BINPUT")), frozenset(("GET", "BINGET", "LONG_BINGET"))
_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "kind",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}


@dataclass
class _Noted:
    """Something the pickle would have built: by which of `_NAMES`, from which arguments, with which state."""

    what: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None


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
    # pickletools spells out Python 2's escaped strings and warns of odd escapes in them
    with parsing(origin), warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        content = _plain(data, origin)
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
    for spelling in (key.encode(), key):  # Python 2's strings are bytes
        if spelling in content:
            return content[spelling]
    raise DatasetError(f"{origin}: no entry {key!r}.")


def _matrix(array: Any, origin: str, row_bytes: int) -> np.ndarray:
    """Build the matrix from an array's noted state: (version, shape, dtype, Fortran order, bytes)."""
    match array:
        case _Noted(
            "array", _, (int(), (int(rows), int(columns)), _Noted("dtype", (name, *_)), False, bytes(raw))
        ):
            if name in ("u1", b"u1") and columns == row_bytes and len(raw) == rows * columns:
                return np.frombuffer(raw, np.uint8).reshape(rows, columns)
    raise DatasetError(f"{origin}: data: a C-ordered uint8 array of shape (N, {row_bytes}) is accepted.")


def _plain(data: bytes, origin: str) -> Any:
    """Return what the pickle describes, with a note in place of everything that is not plain data."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    instructions: Iterable[tuple[pickletools.OpcodeInfo, Any, Any]] = pickletools.genops(data)
    for count, (opcode, argument, _) in enumerate(instructions):
        name = opcode.name
        if count >= _INSTRUCTIONS_CAP:
            raise DatasetError(f"{origin}: more than the {_INSTRUCTIONS_CAP} pickle instructions accepted.")
        if name == "STOP":
            break
        if name in _AS_IS:
            stack.append(argument)
        elif name in _PYTHON2_STRINGS:
            stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in _PUTS or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name not in ("PROTO", "FRAME"):
            _combine(name, argument, stack, origin)
    return stack[-1]


def _combine(name: str, argument: Any, stack: list[Any], origin: str) -> None:
    """Carry out one instruction that makes something of what is on the stack."""
    if name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
    elif name in ("TUPLE", "LIST", "DICT"):
        items = _since_mark(stack)
        stack.append(tuple(items) if name == "TUPLE" else items if name == "LIST" else _pairs(items, origin))
    elif name in ("APPEND", "APPENDS"):
        items = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        _expect(stack[-1], list, origin).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _since_mark(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
        _expect(stack[-1], dict, origin).update(_pairs(items, origin))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        stack.append(_named(argument if name == "GLOBAL" else _two_names(stack, origin), origin))
    elif name == "REDUCE":
        arguments = _expect(stack.pop(), tuple, origin)
        stack.append(_called(_expect(stack.pop(), _Noted, origin), arguments, origin))
    elif name == "BUILD":
        state = stack.pop()
        _expect(stack[-1], _Noted, origin).state = state
    else:
        raise DatasetError(f"{origin}: pickle instruction {name}; only those of plain data are accepted.")


def _two_names(stack: list[Any], origin: str) -> str:
    """Take module and name off the stack; tuples in their place could take forever to print."""
    name, module = (_expect(stack.pop(), str, origin) for _ in range(2))
    return f"{module} {name}"


def _named(asked: str, origin: str) -> _Noted:
    if asked not in _NAMES:
        raise DatasetError(f"{origin}: the pickle asks for {asked[:80]!r}; only numpy arrays are accepted.")
    return _Noted(_NAMES[asked])


def _called(function: _Noted, arguments: tuple[Any, ...], origin: str) -> Any:
    if function.arguments is not None or function.what == "kind":
        raise DatasetError(f"{origin}: the pickle calls a {function.what}; only numpy arrays are accepted.")
    if function.what != "encode":
        return _Noted(function.what, arguments)
    match arguments:
        case (str(text), "latin1"):  # how Python 3 spells bytes in protocols 0 to 2
            return text.encode("latin-1")
    raise DatasetError(f"{origin}: only encode(text, 'latin1') is accepted.")


def _since_mark(stack: list[Any]) -> list[Any]:
    place = len(stack) - 1
    while stack[place] is not _MARK:  # each entry is looked at once; without a mark it ends in IndexError
        place -= 1
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _pairs(items: list[Any], origin: str) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    for key in keys:
        _expect(key, (str, bytes), origin)  # a tuple as key can take forever to hash
    return dict(zip(keys, values, strict=True))


def _expect(value: Any, kind: Any, origin: str) -> Any:
    if not isinstance(value, kind):
        raise DatasetError(f"{origin}: damaged pickle: found a {type(value).__name__} out of place.")
    return value
