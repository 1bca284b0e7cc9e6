"""Reading other people's files: digests, capped decompression, archive members by exact name.

Nothing is ever unpacked: a member's name selects bytes and is never a path, so links, ``..`` and absolute
names in an archive have nothing to act on.  Every read has a cap, stated before the read; decompression
stops at the cap whatever the headers say.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dbpsim.files import digest
from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.decoded import Decoded

_BLOCK_BYTES = 1 << 20
_TAR_BLOCK_BYTES = 512
_REASON_CAP = 200


@dataclass(frozen=True)
class Source:
    """A recognised set on disk: what it is read as, the files its digest covers and how to decode them."""

    form: str
    path: Path
    files: Sequence[Path]
    decode: Callable[[], Decoded]


@contextmanager
def parsing(origin: object) -> Iterator[None]:
    """Turn whatever a parser raises on bad bytes into a DatasetError that names `origin`.

    The parsers of zlib, zipfile, pickle and Pillow document no closed list of exceptions for damaged input
    (pickle's manual says so outright), hence the wide net; keep the block to the parser's own call.
    """
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:_REASON_CAP]  # some quote all they were given
        raise DatasetError(f"{origin}: unreadable or damaged ({reason}).") from error


def source_digest(source: Source) -> str:
    """Return the SHA-256 of a set: of the one file, or of (name, digest) of every file in order."""
    with parsing(source.path):
        if source.path.is_file():
            return digest(source.path)
        total = hashlib.sha256()
        for file in source.files:
            total.update(f"{file.relative_to(source.path).as_posix()}\0{digest(file)}\n".encode())
        return total.hexdigest()


def read_capped(path: Path, cap_bytes: int) -> bytes:
    """Return a file's contents, decompressed if it is gzip, or refuse it where they exceed `cap_bytes`."""
    with parsing(path), _opened(path) as file:
        data = file.read(cap_bytes + 1)
    if len(data) > cap_bytes:
        raise DatasetError(f"{path}: holds more than the {cap_bytes} bytes that are accepted.")
    return data


def tar_members(
    path: Path, wanted: Collection[str], *, member_cap_bytes: int, total_cap_bytes: int
) -> dict[str, bytes]:
    """Return the members of a .tar or .tar.gz named in `wanted`, from one pass over the stream.

    Only plain members in the POSIX.1-1988 layout are looked at (name at byte 0, octal size at 124, checksum
    at 148, type at 156); extended headers are passed over unread.  ``tarfile`` interprets them, in quadratic
    time where a header is made for it (CVE-2024-6232), and six plain members need none of that.
    The stream is read to its end, so that gzip's own checksum is verified.

    Raises
    ------
    DatasetError
    """
    found: dict[str, bytes] = {}
    with parsing(path), _opened(path) as file:
        left = total_cap_bytes
        while len(header := file.read(_TAR_BLOCK_BYTES)) == _TAR_BLOCK_BYTES and any(header):
            name, size, plain = _tar_header(header, path)
            padded = -(-size // _TAR_BLOCK_BYTES) * _TAR_BLOCK_BYTES
            left -= _TAR_BLOCK_BYTES + padded
            if left < 0:
                raise DatasetError(
                    f"{path}: unpacks to more than the {total_cap_bytes} bytes that are accepted."
                )
            if name not in wanted:
                _skip(file, padded)
                continue
            if not plain or name in found or size > member_cap_bytes:
                what = "a second one" if name in found else f"{size} bytes" if plain else "a link or device"
                raise DatasetError(
                    f"{path}: member {name}: found {what}; "
                    f"one plain file of at most {member_cap_bytes} bytes is accepted."
                )
            found[name] = file.read(padded)[:size]
            if len(found[name]) != size:
                raise DatasetError(f"{path}: truncated in member {name}: {len(found[name])} of {size} bytes.")
        while left > 0 and (rest := len(file.read(_BLOCK_BYTES))):
            left -= rest
    return found


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def _tar_header(header: bytes, path: Path) -> tuple[str, int, bool]:
    stated, size = (_octal(header[start:stop]) for start, stop in ((148, 156), (124, 136)))
    if stated != sum(header) - sum(header[148:156]) + 8 * ord(" ") or size is None:
        raise DatasetError(f"{path}: not a tar archive, or a damaged one (member header).")
    return header[:100].split(b"\0")[0].decode("latin-1"), size, header[156:157] in (b"0", b"\0")


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if all(c in b"01234567" for c in digits) else None


def _skip(file: BinaryIO | gzip.GzipFile, count: int) -> None:
    while count > 0:
        step = len(file.read(min(count, _BLOCK_BYTES)))
        if not step:
            raise EOFError("ends inside a member")
        count -= step
