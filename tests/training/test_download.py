"""Downloads: the file that was meant, whole, under its name in one step; else a word on how to get it."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest
from made_up_sets import PER_FILE, binary_members, idx_members, python_members, tar, written

from dbpsim.training import datasets
from dbpsim.training.datasets import DatasetError, cifar, download
from dbpsim.training.datasets.download import Remote

ARCHIVE = tar(python_members())
NAME = "cifar-10-python.tar.gz"


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves `files`; `cut` bytes of a reply at most; honours Range if `ranges`; keeps what was asked."""

    files: dict[str, bytes] = {}
    cut: int | None = None
    ranges = True
    asked: list[tuple[str, str | None]] = []

    def do_GET(self):
        where = self.headers.get("Range")
        self.asked.append((self.path, where))
        if self.path not in self.files:
            self.send_error(404)
            return
        data = self.files[self.path]
        start = int(where.removeprefix("bytes=").removesuffix("-")) if where and self.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:][: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Yield (handler class, address) of a server on this machine, with CIFAR-10 pointing at it."""
    handler = type("OneMirror", (Mirror,), {"files": {f"/{NAME}": ARCHIVE}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DBPSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DBPSIM_DATA", raising=False)
    monkeypatch.setattr(cifar, "IMAGES_PER_FILE", PER_FILE)
    monkeypatch.setitem(download.REMOTES, "cifar10", (remote(f"{address}/{NAME}"),))
    yield handler, address
    server.shutdown()
    server.server_close()


def remote(*urls, content=ARCHIVE):
    return Remote(NAME, hashlib.md5(content).hexdigest(), len(content), urls)


def test_a_set_is_downloaded_once(tmp_path, mirror):
    handler, _ = mirror
    for _ in range(2):
        train, _ = datasets.load("cifar10")
        assert len(train) == 5 * PER_FILE
    assert handler.asked == [(f"/{NAME}", None)]
    assert [p.name for p in (tmp_path / "cache/downloads").iterdir()] == [NAME]


def test_data_dir_goes_before_the_environment_before_the_cache(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("DBPSIM_DATA", str(tmp_path / "environment"))
    assert download.located("cifar10") == tmp_path / "environment" / NAME
    assert download.located("cifar10", tmp_path / "given") == tmp_path / "environment" / NAME  # it is there
    written(tmp_path / "given", binary_members())
    assert download.located("cifar10", tmp_path / "given") == tmp_path / "given/cifar-10-batches-bin"
    written(tmp_path / "environment/FashionMNIST/raw", idx_members())  # as torchvision leaves it
    assert download.located("fashion-mnist") == tmp_path / "environment/FashionMNIST/raw"


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_continues(tmp_path, mirror, ranges):
    handler, _ = mirror
    handler.cut = 100_000
    with pytest.raises(DatasetError, match="no download"):
        datasets.load("cifar10")
    folder = tmp_path / "cache/downloads"
    (part,) = folder.iterdir()
    have = part.stat().st_size
    assert part.name == f"{NAME}.part"
    assert 0 < have <= 100_000
    handler.cut, handler.ranges = None, ranges
    datasets.load("cifar10")
    assert handler.asked[-1] == (f"/{NAME}", f"bytes={have}-")
    assert (folder / NAME).read_bytes() == ARCHIVE
    assert len(list(folder.iterdir())) == 1


def test_the_next_mirror_continues_what_one_began(tmp_path, mirror, monkeypatch):
    handler, address = mirror
    handler.files[f"/first/{NAME}"] = ARCHIVE[:70_000]  # ends early, and says so
    urls = (f"{address}/nothing/{NAME}", f"{address}/first/{NAME}", f"{address}/{NAME}")
    monkeypatch.setitem(download.REMOTES, "cifar10", (remote(*urls),))
    datasets.load("cifar10")
    assert [where for _, where in handler.asked] == [None, None, "bytes=70000-"]


def test_a_wrong_file_leaves_nothing(tmp_path, mirror):
    handler, _ = mirror
    for wrong in (ARCHIVE[:-1] + b"\1", ARCHIVE + bytes(1 << 20), bytes(len(ARCHIVE))):
        handler.files[f"/{NAME}"] = wrong
        with pytest.raises(DatasetError, match="wrong checksum"):
            datasets.load("cifar10")
        assert not list((tmp_path / "cache").rglob("*.*"))


def test_offline_names_the_file_its_checksum_and_what_to_do(tmp_path, mirror, monkeypatch):
    closed = "http://127.0.0.1:9/cifar-10-python.tar.gz"
    monkeypatch.setitem(download.REMOTES, "cifar10", (remote(closed),))
    with pytest.raises(DatasetError) as caught:
        datasets.load("cifar10", data_dir=tmp_path / "my data")
    message = str(caught.value)
    for words in (
        f"Expected: {tmp_path}/my data/{NAME}, {len(ARCHIVE)} bytes, md5 {hashlib.md5(ARCHIVE).hexdigest()}",
        f"`curl -fLO {closed}`",
        "cifar-10-binary.tar.gz, md5 c32a1d4ab5d03f1284b67883e8d87530",
        f"`mkdir -p '{tmp_path}/my data' && mv {NAME} '{tmp_path}/my data'/`",
    ):
        assert words in message
    assert "\n" not in message
    written(tmp_path / "my data", {NAME: ARCHIVE})  # as told
    assert len(datasets.load("cifar10", data_dir=tmp_path / "my data")[1]) == PER_FILE


def test_the_published_checksums_are_well_formed():
    for remotes in download.REMOTES.values():
        for entry in remotes:
            assert len(entry.md5) == 32
            assert int(entry.md5, 16)
            assert entry.size_bytes > 4000
            assert all(url.endswith(entry.file) for url in entry.urls)
