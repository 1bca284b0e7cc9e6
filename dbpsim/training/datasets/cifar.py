"""CIFAR-10 (Krizhevsky 2009) as its author distributes it: binary or Python version, archive or folder.

Binary: six files of 10,000 records of 3,073 bytes: a label 0 .. 9, then 1,024 red, 1,024 green and 1,024
blue values, row by row (https://www.cs.toronto.edu/~kriz/cifar.html).  Python: six pickled dictionaries
with the same rows.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.decoded import Decoded
from dbpsim.training.datasets.pickles import batch_arrays
from dbpsim.training.datasets.sources import Source, read_capped, tar_members

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES_PER_FILE = 10_000
BINARY_FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"

_ROW_BYTES = 3 * 32 * 32
_RECORD_BYTES = 1 + _ROW_BYTES
_MEMBER_CAP_BYTES = 40 << 20  # the largest official one has 31,035,999
_TOTAL_CAP_BYTES = 256 << 20  # the official ones unpack to 186 MB
_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_SUFFIX = {BINARY_FOLDER: ".bin", PYTHON_FOLDER: ""}


def source(path: Path) -> Source | None:
    """Return how to read `path`: a tar archive, a folder of batches or the folder around it; else None."""
    if path.is_file():
        return Source("cifar10", path, (path,), partial(_decode_archive, path))
    for version, suffix in _SUFFIX.items():
        for folder in (path, path / version):
            if (folder / f"{_BATCHES[0]}{suffix}").is_file():
                files = [folder / f"{batch}{suffix}" for batch in _BATCHES]
                missing = [file.name for file in files if not file.is_file()]
                if missing:
                    raise DatasetError(
                        f"{folder}: {', '.join(missing)} missing; the six batches are accepted."
                    )
                return Source("cifar10", folder, files, partial(_decode_folder, files, version))
    return None


def _decode_archive(path: Path) -> Decoded:
    names = {version: [f"{version}/{b}{suffix}" for b in _BATCHES] for version, suffix in _SUFFIX.items()}
    members = tar_members(
        path,
        {name for version in names.values() for name in version},
        member_cap_bytes=_MEMBER_CAP_BYTES,
        total_cap_bytes=_TOTAL_CAP_BYTES,
    )
    for version, wanted in names.items():
        if all(name in members for name in wanted):
            return _decoded({f"{path}: {name}": members[name] for name in wanted}, version, "archive")
    raise DatasetError(
        f"{path}: found {len(members)} CIFAR-10 batches; "
        f"the six of {BINARY_FOLDER}/ or {PYTHON_FOLDER}/ are accepted."
    )


def _decode_folder(files: list[Path], version: str) -> Decoded:
    return _decoded({str(file): read_capped(file, _MEMBER_CAP_BYTES) for file in files}, version, "files")


def _decoded(batches: dict[str, bytes], version: str, form: str) -> Decoded:
    binary = version == BINARY_FOLDER
    parts = [_binary_batch(data, at) if binary else _python_batch(data, at) for at, data in batches.items()]
    images = [rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for rows, _ in parts]
    labels = [labels for _, labels in parts]
    return Decoded(
        {"train": np.concatenate(images[:-1]), "test": np.ascontiguousarray(images[-1])},
        {"train": np.concatenate(labels[:-1]), "test": labels[-1]},
        CLASSES,
        f"{'binary' if binary else 'python'} {form}",
    )


def _binary_batch(data: bytes, origin: str) -> tuple[np.ndarray, np.ndarray]:
    if len(data) != IMAGES_PER_FILE * _RECORD_BYTES:
        raise DatasetError(
            f"{origin}: {len(data)} bytes; {IMAGES_PER_FILE} records of {_RECORD_BYTES} bytes are accepted."
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if (labels > 9).any():
        where = int(np.argmax(labels > 9))
        raise DatasetError(f"{origin}: record {where} has label {labels[where]}; 0 to 9 are accepted.")
    return records[:, 1:], labels


def _python_batch(data: bytes, origin: str) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = batch_arrays(data, origin, row_bytes=_ROW_BYTES)
    if len(rows) != IMAGES_PER_FILE:
        raise DatasetError(f"{origin}: {len(rows)} images; {IMAGES_PER_FILE} are accepted.")
    return rows, labels
