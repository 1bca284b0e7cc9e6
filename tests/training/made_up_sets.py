"""Small made-up image sets in every format that `datasets.load` reads, for the tests of this folder."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

PER_FILE = 20  # images in each of the six batches; tests set cifar.IMAGES_PER_FILE to it
BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")


def batches(seed=0):
    """Return {batch: (rows uint8 (20, 3072), labels)}; every label occurs twice."""
    rng = np.random.default_rng(seed)
    labels = np.arange(PER_FILE) % 10
    return {
        b: (rng.integers(0, 256, (PER_FILE, 3072), dtype=np.uint8), rng.permutation(labels)) for b in BATCHES
    }


def binary_members(content=None):
    content = content or batches()
    return {
        f"cifar-10-batches-bin/{b}.bin": np.column_stack([labels.astype(np.uint8), rows]).tobytes()
        for b, (rows, labels) in content.items()
    }


def python_members(content=None, protocol=2):
    content = content or batches()
    return {
        f"cifar-10-batches-py/{b}": pickle.dumps(
            {"data": rows, "labels": labels.tolist(), "batch_label": b, "filenames": ["x.png"] * len(rows)},
            protocol,
        )
        for b, (rows, labels) in content.items()
    }


def python2_batch(rows, labels):
    """Return a batch as Python 2's cPickle, protocol 2, wrote the official ones: byte strings, numpy.core."""
    numbers = b"".join(b"K" + bytes([v]) for v in labels)
    names = b"".join(b"U\x05x.png" for _ in labels)
    shape = b"".join(b"M" + struct.pack("<H", n) for n in rows.shape) + b"\x86"
    dtype = b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * (b"J" + struct.pack("<i", -1))
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x09cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    pixels = b"T" + struct.pack("<i", rows.nbytes) + rows.tobytes()
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x04testU\x06labels]q\x04(" + numbers + b"eU\x04data"
        + array + b"(K\x01" + shape + dtype + b"K\x00tb\x89" + pixels + b"tbU\x09filenames](" + names + b"eu."
    )  # fmt: skip


def tar(members, extra=()):
    """Return a .tar.gz of {name: bytes}, then of ready TarInfo objects."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info in extra:
            archive.addfile(info)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def encoded(pixels, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def image_members(classes=("cat", "dog"), train=3, test=2, size=(6, 5), suffix=".png", seed=0):
    """Return {name: bytes} of an image set, and {name: pixels}."""
    rng = np.random.default_rng(seed)
    pixels = {
        f"{split}/{kind}/{k:04d}{suffix}": rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for split, count in (("train", train), ("test", test))
        for kind in classes
        for k in range(count)
    }
    form = "PNG" if suffix == ".png" else "JPEG"
    return {name: encoded(p, form) for name, p in pixels.items()}, pixels


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def written(folder, members):
    """Write {name: bytes} below `folder`; return it."""
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def idx_members(train=12, test=8, side=4, compressed=True, seed=0):
    rng = np.random.default_rng(seed)
    members = {}
    for stem, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        members[f"{stem}-images-idx3-ubyte"] = struct.pack(">4I", 0x803, count, side, side) + images.tobytes()
        members[f"{stem}-labels-idx1-ubyte"] = struct.pack(">2I", 0x801, count) + labels.tobytes()
    if compressed:
        return {f"{name}.gz": gzip.compress(data) for name, data in members.items()}
    return members
