"""Archives made by an enemy, or by a bad disk, end in one DatasetError; nothing runs and nothing stays."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_sets import (
    PER_FILE,
    batches,
    binary_members,
    encoded,
    idx_members,
    image_members,
    python_members,
    tar,
    written,
    zipped,
)

from dbpsim.training import datasets
from dbpsim.training.datasets import DatasetError, cifar, folders
from dbpsim.training.datasets.pickles import batch_arrays

BINARY, PYTHON = "cifar-10-batches-bin/data_batch_2.bin", "cifar-10-batches-py/data_batch_2"


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DBPSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar, "IMAGES_PER_FILE", PER_FILE)


def refused(name, path, words):
    """Check that loading ends in a DatasetError of one line that says `words` and leaves no cache behind."""
    with pytest.raises(DatasetError, match=words) as caught:
        datasets.load(name, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    cached = Path(os.environ["DBPSIM_CACHE"])
    assert not list(cached.rglob("*.*"))


def refused_archive(tmp_path, data, words, name="cifar10"):
    path = tmp_path / "archive"
    path.write_bytes(data)
    refused(name, path, words)


def test_cifar_archives_that_are_not_whole(tmp_path):
    members = binary_members()
    records, rest = members[BINARY], {k: v for k, v in members.items() if k != BINARY}
    for data, words in (
        (tar(rest), "found 5 CIFAR-10 batches"),
        (tar(members)[:-2000], "unreadable or damaged .EOFError"),
        (tar(rest | {BINARY: records[:-1]}), "61459 bytes; 20 records of 3073 bytes are accepted"),
        (tar(rest | {BINARY: records[:-3073]}), "20 records"),
        (tar(rest | {BINARY: b"\x0a" + records[1:]}), "data_batch_2.bin: record 0 has label 10; 0 to 9"),
        (b"", "found 0"),
        (b"hello", "found 0"),
        (os.urandom(2000), "not a tar archive"),
        (b"\x1f\x8b" + os.urandom(2000), "unreadable or damaged"),
        (b"PK" + os.urandom(2000), "unreadable or damaged .BadZipFile"),
    ):
        refused_archive(tmp_path, data, words)


def test_a_flipped_bit_anywhere_in_a_compressed_archive_is_found(tmp_path):
    whole = bytearray(tar(binary_members()))
    for place in np.linspace(20, len(whole) - 9, 12).astype(int):
        whole[place] ^= 4
        refused_archive(tmp_path, bytes(whole), "unreadable|not a tar|record|found")
        whole[place] ^= 4


def test_tar_members_are_read_by_exact_name_and_never_unpacked(tmp_path):
    members = binary_members()
    sentinel = tmp_path / "sentinel"
    link, device = tarfile.TarInfo(BINARY), tarfile.TarInfo("cifar-10-batches-bin/x")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    escapes = {"../../sentinel": b"x", str(sentinel): b"x", "a/../../sentinel": b"x"}
    (tmp_path / "ok.tar.gz").write_bytes(tar(escapes | members, [device]))
    assert len(datasets.load("cifar10", tmp_path / "ok.tar.gz")[1]) == PER_FILE
    assert not sentinel.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "ok.tar.gz"]
    (tmp_path / "cache/datasets").joinpath(os.listdir(tmp_path / "cache/datasets")[0]).unlink()
    refused_archive(tmp_path, tar(members, [link]), "a link or device; one plain file")
    refused_archive(tmp_path, tar({f"./{name}": data for name, data in members.items()}), "found 0")


def test_archives_that_unpack_without_end_stop_at_the_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_TOTAL_CAP_BYTES", 10 << 20)
    huge = {"zeros": bytes(12 << 20)}
    refused_archive(tmp_path, tar(huge | binary_members()), "unpacks to more than the 10485760 bytes")
    monkeypatch.setattr(cifar, "_MEMBER_CAP_BYTES", 1000)
    refused_archive(tmp_path, tar(binary_members()), "one plain file of at most 1000 bytes")
    folder = written(tmp_path / "folder", binary_members())
    refused("cifar10", folder, "more than the 1000 bytes")


class Gadget:
    """What an attack looks like: unpickling calls the function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_runs_nothing(tmp_path, protocol):
    sentinel = tmp_path / "sentinel"
    rows, labels = batches()["test_batch"]
    sound = {"data": rows, "labels": labels.tolist()}
    for gadget in (
        Gadget(os.system, f"touch {sentinel}"),
        Gadget(eval, f"open({str(sentinel)!r}, 'w')"),
        Gadget(exec, f"open({str(sentinel)!r}, 'w')"),
        Gadget(open, str(sentinel), "w"),
        Gadget(getattr, os, "system"),
        Gadget(np.save, str(sentinel), rows),
        Gadget(np.load, str(sentinel)),
    ):
        for content in (gadget, [gadget], sound | {"x": gadget}, {gadget: 1}, sound | {"labels": gadget}):
            try:
                data = pickle.dumps(content, protocol)
            except (pickle.PicklingError, TypeError):  # a module has no pickle
                continue
            members = python_members() | {PYTHON: data}
            refused_archive(tmp_path, tar(members), "data_batch_2: the pickle asks for .*; only numpy arrays")
    assert not list(tmp_path.glob("sentinel*"))


def test_pickles_that_would_make_the_unpickler_allocate_or_hang():
    nested = b"(tp0\n" + b"".join(b"(g%d\ng%d\ntp%d\n" % (k, k, k + 1) for k in range(60))
    started = time.monotonic()
    for bomb, words in (
        (b"\x80\x02}r\xff\xff\xff\xff.", "no entry"),  # memo number 2^32 - 1: a table of 64 GB
        (b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b".", "unreadable"),  # 1 TB of bytes to come
        (b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".", "unreadable"),
        (b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b".", "unreadable"),
        (b"I" + b"9" * 5_000_000 + b"\n.", "unreadable"),
        (b"}" + nested + b"I1\ns.", "a tuple out of place"),  # 2^60 hashes
        (b"](" + b"I1\n" * 1_100_000 + b"e.", "more than the 1000000 pickle instructions"),
        (b"cnumpy\nndarray\n(N}S'__setstate__'\nI1\nstb.", "a pickled _Noted"),
        (b"(dp0\ng0\n" * 3 + b".", "no entry"),
        (nested + b"Vname\n\x93.", "a tuple out of place"),  # a module name of 2^60 parts
        (b"c" + b"a" * 5_000_000 + b"\nb\n.", "asks for 'aaa"),
        (b"S" + b"a" * 5_000_000 + b"\n.", "unreadable"),
        (b"cnumpy\nndarray\n" * 300_000 + b"b" * 299_999 + b".", "a pickled _Noted"),  # as deep as it gets
        (b"t" * 100, "unreadable"),
        (b"0.", "pickle instruction POP; only those of plain data"),
    ):
        with pytest.raises(DatasetError, match=words) as caught:
            batch_arrays(bomb, "bomb", row_bytes=3072)
        assert len(str(caught.value)) < 300
    assert (
        time.monotonic() - started < 10
    )  # seconds for the longest, a million instructions, on a slow machine


def test_pickles_that_hold_something_else(tmp_path):
    rows, labels = batches()["test_batch"]
    labels = labels.tolist()
    for content, words in (
        ([rows, labels], "a pickled list; a dictionary"),
        ({"labels": labels}, "no entry 'data'"),
        ({"data": rows}, "no entry 'labels'"),
        ({"data": rows[:, :-1].copy(), "labels": labels}, "shape .N, 3072. is accepted"),
        ({"data": rows.astype(np.int16), "labels": labels}, "uint8"),
        ({"data": np.asfortranarray(rows), "labels": labels}, "C-ordered"),
        ({"data": rows.tolist(), "labels": labels}, "C-ordered"),
        ({"data": rows, "labels": labels[:-1]}, "20 images, 19 labels"),
        ({"data": rows, "labels": [*labels[:-1], 10]}, "whole numbers 0 to 9"),
        ({"data": rows, "labels": [*labels[:-1], True]}, "whole numbers 0 to 9"),
        ({"data": rows, "labels": [*labels[:-1], "3"]}, "whole numbers 0 to 9"),
        ({"data": rows[:5], "labels": labels[:5]}, "5 images; 20 are accepted"),
    ):
        members = python_members() | {PYTHON: pickle.dumps(content, 2)}
        refused_archive(tmp_path, tar(members), f"data_batch_2: .*{words}")


def test_image_sets_that_are_not_laid_out_as_sets(tmp_path):
    sound, _ = image_members()
    image = encoded(np.zeros((6, 5, 3), np.uint8))
    for extra, words in (
        ({"../evil.png": image}, "member name '../evil.png'"),
        ({"/etc/evil.png": image}, "member name '/etc/evil.png'"),
        ({"train\\cat\\x.png": image}, "member name"),
        ({"C:/x.png": image}, "member name"),
        ({"train/cat/\x1b[2J.png": image}, r"member name 'train/cat/\\x1b"),
        ({"train/x.png": image}, "train/x.png: train/<class>/<image>"),
        ({"val/cat/x.png": image}, "val/cat/x.png: train/<class>"),
        ({"train/cat/x.gif": image}, "train/cat/x.gif: .*.jpg|.jpeg|.png"),
        ({"train/cat/deep/er/x.png": image}, "train/<class>/<image>"),
        ({"other/train/cat/x.png": image}, "several outer folders"),
        ({"train/cow/x.png": image}, "class 'cow' is in one split only"),
        ({"train/cat/x.png": b""}, "x.png: unreadable or damaged"),
        ({"train/cat/x.png": image[:-30]}, "x.png: unreadable or damaged"),
        ({"train/cat/x.png": b"GIF89a" + image}, "unreadable or damaged"),
        (
            {"train/cat/x.png": encoded(np.zeros((7, 5, 3), np.uint8))},
            "7x5 pixels; images of one size, here 6x5",
        ),
        ({"train/cat/x.png": encoded(np.zeros((6, 5), np.uint16))}, "pixel mode I;16"),
    ):
        refused_archive(tmp_path, zipped(sound | extra), words, "images")
    only_train = {name: data for name, data in sound.items() if name.startswith("train")}
    one_class = {name: data for name, data in sound.items() if "cat" in name}
    refused_archive(tmp_path, zipped(only_train), "no images in test/", "images")
    refused_archive(tmp_path, zipped(one_class), "one class, 'cat'; two or more", "images")
    refused_archive(tmp_path, zipped({}), "no images in train/", "images")
    refused(
        "images", written(tmp_path / "f", sound | {"train/cat/a/b.png": image}), "cat/a: not a plain file"
    )


def _png_header(width, height):
    """A PNG that claims its size and has next to nothing in it."""
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_images_that_decode_without_end_are_refused_by_their_header(tmp_path, monkeypatch):
    sound, _ = image_members()
    started = time.monotonic()
    for side, words in (
        (600, "600x600 pixels; sides up to 512"),
        (9_000, "sides up to"),
        (30_000, "unreadable"),
    ):
        bombs = {name: _png_header(side, side) for name in sound}
        refused_archive(tmp_path, zipped(bombs), words, "images")
    refused_archive(
        tmp_path, zipped(sound | {"train/cat/x.png": bytes(17 << 20)}), "at most 16777216", "images"
    )
    monkeypatch.setattr(folders, "_DECODED_CAP_BYTES", 100)
    refused_archive(tmp_path, zipped(sound), "decodes to 900 bytes; at most 100", "images")
    assert time.monotonic() - started < 10  # nothing of it was decoded


def test_zips_that_lie(tmp_path):
    sound, _ = image_members()
    encrypted = bytearray(zipped(sound))
    place = encrypted.index(b"PK\x01\x02")
    encrypted[place + 8] |= 1  # the flag of encryption in the first entry of the directory
    refused_archive(tmp_path, bytes(encrypted), "unreadable or damaged", "images")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sound.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("train/cat/0000.png", sound["train/cat/0000.png"])
    refused_archive(tmp_path, out.getvalue(), "the same name twice", "images")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_that_inflate_all_at_once_are_refused_unread(tmp_path, method):
    sound, _ = image_members()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sound.items():
            archive.writestr(name, data)
        archive.writestr("train/cat/x.png", bytes(50 << 20), method)
    bomb = bytearray(out.getvalue())
    entry = bomb.rindex(b"PK\x01\x02")
    bomb[entry + 24 : entry + 28] = struct.pack("<I", 1000)  # the size it claims
    tracemalloc.start()
    try:
        refused_archive(tmp_path, bytes(bomb), "x.png: zip method .*stored .0. and deflated .8.", "images")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20  # a fifth of what it inflates to
    finally:
        tracemalloc.stop()


def test_idx_files_that_disagree_with_their_header(tmp_path):
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    sound = idx_members(compressed=False)
    for k, (name, data, words) in enumerate(
        (
            (images, sound[images][:-1], "207 bytes; its header says 208"),
            (images, sound[images] + b"\0", "209 bytes; its header says 208"),
            (images, sound[images][:9], "idx header of 16 bytes"),
            (images, sound[labels], "magic number 0x00000801; 0x00000803"),
            (images, struct.pack(">4I", 0x803, 2**31, 2**16, 2**16), "sides of 1 to 512"),
            (images, struct.pack(">4I", 0x803, 2**32 - 1, 512, 512), "its header says"),
            (images, struct.pack(">4I", 0x803, 0, 4, 4), "train has images"),
            (labels, sound["t10k-labels-idx1-ubyte"], "labels .8,"),
            (labels, sound[labels][:-1] + b"\x0b", "train image 11: label 11; 0 to 9"),
        )
    ):
        refused("mnist", written(tmp_path / str(k), sound | {name: data}), words)
    cut = gzip.compress(sound[images])[:-9]
    zipped_folder = {f"{n}.gz": gzip.compress(d) for n, d in sound.items()} | {f"{images}.gz": cut}
    refused("mnist", written(tmp_path / "gz", zipped_folder), "unreadable or damaged .EOFError")


FORMS = {
    "cifar10": (tar(binary_members()), tar(python_members()), gzip.decompress(tar(python_members()))),
    "images": (zipped(image_members()[0]), zipped(image_members(suffix=".jpg")[0])),
}
damage = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "cut", "insert", "repeat"]),
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data, edits):
    data = bytearray(data)
    for place, edit, new in edits:
        at = int(place * len(data))
        if edit == "flip" and data:
            data[at] ^= (new[0] if new else 0) or 255
        elif edit == "cut":
            del data[at:]
        elif edit == "insert":
            data[at:at] = new
        else:
            data[at:at] = data[at : at + 64 * len(new)]
    return bytes(data)


@pytest.mark.parametrize(("name", "form"), [(n, k) for n, forms in FORMS.items() for k in range(len(forms))])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=damage)
def test_damaged_archives_end_in_a_dataset_error_or_none(tmp_path, name, form, edits):
    path = tmp_path / "archive"
    path.write_bytes(damaged(FORMS[name][form], edits))
    refusal = None
    try:
        train, _ = datasets.load(name, path)
    except DatasetError as error:
        refusal = str(error)
    if refusal is None:
        assert train.labels.max() < len(train.classes)  # what passes is a sound set
    else:
        assert str(path) in refusal


@settings(max_examples=150, deadline=None)
@given(edits=damage)
def test_damaged_pickles_end_in_a_dataset_error_or_none(edits):
    for data in (python_members(protocol=p)["cifar-10-batches-py/test_batch"] for p in (0, 2, 4)):
        head, tail = data[:300], data[-1500:]  # where the structure is; the pixels between are only bytes
        middle = data[300:-1500]
        try:
            rows, labels = batch_arrays(damaged(head, edits) + middle + tail, "x", row_bytes=3072)
        except DatasetError:
            continue
        assert rows.shape == (len(labels), 3072)
        assert rows.dtype == np.uint8


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=damage, which=st.integers(0, 3))
def test_damaged_idx_files_end_in_a_dataset_error_or_none(tmp_path, edits, which):
    members = idx_members(compressed=False)
    name = sorted(members)[which]
    written(tmp_path / "set", members | {name: damaged(members[name], edits)})
    refusal = str(tmp_path)
    try:
        datasets.load("mnist", tmp_path / "set")
    except DatasetError as error:
        refusal = str(error)
    assert str(tmp_path) in refusal
