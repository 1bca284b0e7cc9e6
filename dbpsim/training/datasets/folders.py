"""Image folders, and zip files of them: ``train/<class>/*`` and ``test/<class>/*``, JPEG or PNG of one size.

Classes are the folders' names in alphabetical order.  Images are taken in turn from every class (the first
of each, the second of each, ...), so that any stretch of the stored order is balanced.  60,000 images of
32x32 pixels take about 10 s, once.  Two threads gain a fifth (decoding so small an image is mostly Python),
and processes would ask every user's script for a ``__main__`` guard, so it is one loop.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dbpsim.training.datasets.dataset import DatasetError
from dbpsim.training.datasets.decoded import SPLITS, Decoded
from dbpsim.training.datasets.sources import Source, parsing

if TYPE_CHECKING:  # Pillow is imported where it is used
    from PIL import Image

LARGEST_SIDE = 512
_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")  # become 8-bit RGB, no scale to choose
_FILE_CAP_BYTES = 16 << 20
_DECODED_CAP_BYTES = 8 << 30
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates no others piece by piece
_LAYOUT = "train/<class>/<image>.jpg|.jpeg|.png and test/<class>/... (in at most one outer folder)"


@dataclass(frozen=True)
class _Tree:
    """Names and sizes of the files of a folder or zip, and how to read one."""

    origin: Path
    sizes: dict[str, int]
    read: Callable[[str], bytes]


def source(path: Path) -> Source | None:
    """Return how to read `path`, a zip or a folder with ``train`` in it; None if it is neither."""
    if path.is_file():
        with parsing(path), open(path, "rb") as file:
            zipped = file.read(2) == b"PK"
        return Source("images", path, (path,), partial(_decode, path)) if zipped else None
    if (path / "train").is_dir():
        files = [path / name for name in _folder_sizes(path)]
        return Source("images", path, files, partial(_decode, path))
    return None


@contextmanager
def _tree(path: Path) -> Iterator[_Tree]:
    if path.is_dir():
        yield _Tree(path, _folder_sizes(path), lambda name: (path / name).read_bytes())
        return
    with parsing(path):
        archive = zipfile.ZipFile(path)
    with archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        if len(members) != sum(not info.is_dir() for info in archive.infolist()):
            raise DatasetError(f"{path}: the same name twice; distinct names are accepted.")
        yield _Tree(
            path, {name: info.file_size for name, info in members.items()}, partial(_zip_bytes, archive)
        )


def _zip_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    method = archive.getinfo(name).compress_type
    if method not in _ZIP_METHODS:
        raise DatasetError(
            f"{archive.filename}: {name}: zip method {method}; stored (0) and deflated (8) are accepted."
        )
    with archive.open(name) as member:
        return member.read(_FILE_CAP_BYTES)  # as `sizes` promised, checksum included, or no further than this


def _folder_sizes(path: Path) -> dict[str, int]:
    files = []
    with parsing(path):
        for split in SPLITS:
            for kind in sorted(path.glob(f"{split}/[!.]*")):
                files += sorted(kind.glob("[!.]*")) if kind.is_dir() else [kind]
    for file in files:
        if not file.is_file():  # a pipe would be waited for
            raise DatasetError(f"{file}: not a plain file; {_LAYOUT} is accepted.")
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in files}


def _decode(path: Path) -> Decoded:
    with _tree(path) as tree:
        found = _by_split_and_class(tree)
        classes = _classes(found, path)
        order = {split: _in_turn(found[split], classes) for split in SPLITS}
        height, width = _first_size(tree, order["train"][0][0])
        total = sum(map(len, order.values())) * height * width * 3
        if total > _DECODED_CAP_BYTES:
            raise DatasetError(
                f"{path}: decodes to {total} bytes; at most {_DECODED_CAP_BYTES} are accepted."
            )
        images = {}
        for split in SPLITS:
            images[split] = np.empty((len(order[split]), height, width, 3), np.uint8)
            for (name, _), out in zip(order[split], images[split], strict=True):
                out[...] = _pixels(tree, name, (height, width))
    labels = {split: np.array([label for _, label in order[split]], np.int64) for split in SPLITS}
    formats = {_SUFFIXES[os.path.splitext(name)[1].lower()] for split in SPLITS for name, _ in order[split]}
    return Decoded(images, labels, classes, f"{' and '.join(sorted(formats))} copy")


def _by_split_and_class(tree: _Tree) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    roots = set()
    for name, size in tree.sizes.items():
        parts = name.split("/")
        if ".." in parts or name.startswith("/") or "\\" in name or ":" in parts[0] or not name.isprintable():
            raise DatasetError(f"{tree.origin}: member name {name!r}; {_LAYOUT} is accepted.")
        if any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX" or parts[-1] == "Thumbs.db":
            continue
        image = os.path.splitext(name)[1].lower() in _SUFFIXES
        placed = len(parts) in (3, 4) and parts[-3] in SPLITS
        if not image and not placed:
            continue  # a readme beside the folders
        if not (image and placed):
            raise DatasetError(f"{tree.origin}: {name}: {_LAYOUT} is accepted.")
        if size > _FILE_CAP_BYTES:
            raise DatasetError(
                f"{tree.origin}: {name}: {size} bytes; at most {_FILE_CAP_BYTES} are accepted."
            )
        roots.add("/".join(parts[:-3]))
        found[parts[-3]].setdefault(parts[-2], []).append(name)
    if len(roots) > 1:
        outer = ", ".join(repr(root) for root in sorted(roots)[:3])
        raise DatasetError(
            f"{tree.origin}: images in several outer folders ({outer}); {_LAYOUT} is accepted."
        )
    return found


def _classes(found: dict[str, dict[str, list[str]]], origin: Path) -> tuple[str, ...]:
    train, test = (set(found[split]) for split in SPLITS)
    if not train or not test:
        raise DatasetError(f"{origin}: no images in {'test' if train else 'train'}/; {_LAYOUT} is accepted.")
    if train != test:
        odd = min(train ^ test)
        raise DatasetError(
            f"{origin}: class {odd!r} is in one split only; the same classes in both are accepted."
        )
    if len(train) < 2:
        raise DatasetError(f"{origin}: one class, {min(train)!r}; two or more are accepted.")
    return tuple(sorted(train))


def _in_turn(by_class: dict[str, list[str]], classes: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return (name, label) in the order first of each class, second of each class, ..."""
    ranked = [
        (rank, label, name)
        for label, kind in enumerate(classes)
        for rank, name in enumerate(sorted(by_class[kind]))
    ]
    return [(name, label) for _, label, name in sorted(ranked)]


def _first_size(tree: _Tree, name: str) -> tuple[int, int]:
    with _image(tree, name) as image:
        width, height = image.size
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise DatasetError(
            f"{tree.origin}: {name}: {height}x{width} pixels; sides up to {LARGEST_SIDE} are accepted."
        )
    return height, width


def _pixels(tree: _Tree, name: str, size: tuple[int, int]) -> np.ndarray:
    """Return the RGB bytes of an image, decoded only once its stated size and mode have been checked."""
    with _image(tree, name) as image:
        if image.size != size[::-1]:
            raise DatasetError(
                f"{tree.origin}: {name}: {image.size[1]}x{image.size[0]} pixels; "
                f"images of one size, here {size[0]}x{size[1]}, are accepted."
            )
        if image.mode not in _MODES:
            raise DatasetError(
                f"{tree.origin}: {name}: pixel mode {image.mode}; 8-bit grey or colour is accepted."
            )
        with parsing(f"{tree.origin}: {name}"):
            return np.asarray(image.convert("RGB"))


@contextmanager
def _image(tree: _Tree, name: str) -> Iterator[Image.Image]:
    from PIL import Image

    with parsing(f"{tree.origin}: {name}"):
        image = Image.open(io.BytesIO(tree.read(name)), formats=("JPEG", "PNG"))
    with image:
        yield image
