"""Decoded sets on disk: one memory-mapped file a set, named after its form and its source's digest.

The file is a safetensors file (8 bytes of header length, little-endian; a JSON header; the arrays one after
the other), readable by any tool that knows the format; labels come first so that both dtypes lie aligned.
The header's ``__metadata__`` keeps the source's digest, the classes, what the source was, mean and standard
deviation of the training split and the SHA-256 of all of this and the arrays, which is verified each time
(0.1 s for CIFAR-10): a file that does not hold what was written is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbpsim.files import atomic
from dbpsim.training.datasets.dataset import DatasetError, moments, read_only
from dbpsim.training.datasets.decoded import SPLITS, Decoded, checked
from dbpsim.training.datasets.sources import Source, source_digest

_VERSION = "1"  # of the contents: raised where the same source would decode to something else
_HEADER_CAP_BYTES = 1 << 22
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "I64": np.dtype("<i8")}


@dataclass(frozen=True, eq=False)
class Kept:
    """A decoded set with its provenance."""

    decoded: Decoded
    source_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def folder() -> Path:
    """Return where this machine keeps what can be made again: $DBPSIM_CACHE, or ~/.cache/dbpsim."""
    chosen = os.environ.get("DBPSIM_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "dbpsim"


def kept(source: Source) -> Kept:
    """Return the decoded contents of `source`: from the cache if sound there, else decoded and stored.

    Raises
    ------
    DatasetError
        Where the source is unsound or the cache cannot be written.
    """
    sha256 = source_digest(source)
    file = folder() / "datasets" / f"{source.form}-{sha256[:32]}-v{_VERSION}.safetensors"
    found = opened(file, sha256)
    if found is None:
        store(file, checked(source.decode(), source.path), sha256)
        found = opened(file, sha256)
    if found is None:
        raise DatasetError(
            f"{file}: does not hold what was just written; check the disk, or set DBPSIM_CACHE."
        )
    return found


def store(file: Path, decoded: Decoded, source_sha256: str) -> None:
    """Write `decoded` to `file`, atomically."""
    arrays = [(f"{split}.labels", decoded.labels[split].astype("<i8")) for split in SPLITS]
    arrays += [(f"{split}.images", np.ascontiguousarray(decoded.images[split])) for split in SPLITS]
    mean, std = moments(decoded.images["train"])
    header: dict[str, Any] = {}
    place = 0
    for name, array in arrays:
        dtype = "U8" if array.dtype == np.uint8 else "I64"
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [place, place + array.nbytes]}
        place += array.nbytes
    # the format's metadata are strings
    content = json.dumps({"classes": decoded.classes, "kind": decoded.kind, "mean": mean, "std": std})
    sha256 = _contents_sha256(source_sha256, content, header, [array for _, array in arrays])
    header["__metadata__"] = {
        "source_sha256": source_sha256,
        "contents_sha256": sha256,
        "content": content,
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    try:
        with atomic(file) as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for _, array in arrays:
                out.write(array.data.cast("B"))
    except OSError as error:
        raise DatasetError(
            f"{file}: {error.strerror}; set DBPSIM_CACHE to a folder that can be written."
        ) from error


def opened(file: Path, source_sha256: str) -> Kept | None:
    """Return what `file` keeps, memory-mapped; None where it is missing, damaged or of another source."""
    try:
        data = np.memmap(file, np.uint8, mode="r")
        length = int.from_bytes(data[:8].tobytes(), "little")
        if length > _HEADER_CAP_BYTES:
            return None
        header = json.loads(data[8 : 8 + length].tobytes())
        metadata = header.pop("__metadata__")
        body = data[8 + length :]
        stored = _contents_sha256(source_sha256, metadata["content"], header, [body])
        if metadata["contents_sha256"] != stored:
            return None
        arrays = {name: _array(body, entry) for name, entry in header.items()}
        content = json.loads(metadata["content"])
        decoded = Decoded(
            {split: arrays[f"{split}.images"] for split in SPLITS},
            {split: arrays[f"{split}.labels"] for split in SPLITS},
            tuple(content["classes"]),
            content["kind"],
        )
        return Kept(checked(decoded, file), source_sha256, tuple(content["mean"]), tuple(content["std"]))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # one answer to any damage: make it anew
        return None


def _contents_sha256(
    source_sha256: str, content: str, header: dict[str, Any], arrays: list[np.ndarray]
) -> str:
    """Return the digest of everything that a reader takes from the file."""
    total = hashlib.sha256(json.dumps([source_sha256, content, header], sort_keys=True).encode())
    for array in arrays:
        total.update(array.data.cast("B"))
    return total.hexdigest()


def _array(body: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    start, stop = entry["data_offsets"]
    return read_only(body[start:stop].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"]))
