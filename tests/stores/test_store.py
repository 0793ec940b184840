"""Files by URL: whole or not at all, tried again, listed lazily.

Run: pytest tests/stores/test_store.py
"""

import gc
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ginr.errors import PictureError
from ginr.stores import store
from ginr.stores.urls import as_path, is_url, joined, name_of, parent_of, shown, suffix_of

DATA = bytes(range(256)) * 40_000  # 10 MB: in parts to S3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(DATA)
    return path


def test_urls_are_told_from_paths() -> None:
    assert is_url("s3://bucket/a.png") and is_url("memory://a")
    assert not any(map(is_url, ("a.png", "C://a.png", "a/b://c", "file:///tmp/a.png", "://a")))
    assert as_path("file:///tmp/a%20b.png") == "/tmp/a b.png" and as_path("a%20b") == "a%20b"
    assert shown("sftp://me:secret@host/a.png") == "sftp://host/a.png"
    assert parent_of("s3://b/x/a.png") == "s3://b/x/" and parent_of("s3://b") == "s3://"
    assert name_of("s3://b/x/") == "x" and suffix_of("s3://b/A.PNG") == ".png"
    assert joined("s3://b/x/", "y", "a.png") == "s3://b/x/y/a.png"


def test_s3_keeps_what_was_written(bucket: str, file: Path, tmp_path: Path) -> None:
    store.put(file, f"{bucket}/x/file.bin")
    store.fetch(f"{bucket}/x/file.bin", tmp_path / "back.bin")
    store.fetch(f"{bucket}/x/file.bin", tmp_path / "head.bin", n_bytes=1000)
    assert (tmp_path / "back.bin").read_bytes() == DATA
    assert (tmp_path / "head.bin").read_bytes() == DATA[:1000]
    assert store.size_of(f"{bucket}/x/file.bin") == len(DATA)
    assert store.size_of(f"{bucket}/none") is None and store.size_of(f"{bucket}/x") is None
    assert store.is_folder(f"{bucket}/x") and not store.is_folder(f"{bucket}/y")


def test_no_bucket_is_made(s3_server: str, file: Path) -> None:
    import s3fs

    for place in ("file.bin", "x/file.bin"):
        with pytest.raises(PictureError, match=f"s3://misspelt/{place} does not exist"):
            store.put(file, f"s3://misspelt/{place}")
    assert "misspelt" not in s3fs.S3FileSystem().ls("")


def test_a_write_that_fails_leaves_what_was_there(
    bucket: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    def fail(source: Any, target: Any, piece: int) -> None:
        target.write(source.read(6 << 20))  # more than a part
        raise OSError("connection lost")

    before = tmp_path / "before.bin"
    before.write_bytes(b"before")
    store.put(before, f"{bucket}/old.bin")
    monkeypatch.setattr(store, "copyfileobj", fail)
    monkeypatch.setattr(store, "_WAIT_S", 0)
    for name in ("new.bin", "old.bin"):
        with pytest.raises(PictureError, match=r"cannot be written \(connection lost\): try again"):
            store.put(file, f"{bucket}/{name}")
    assert store.size_of(f"{bucket}/new.bin") is None and store.size_of(f"{bucket}/old.bin") == 6
    fs = s3fs.S3FileSystem()
    assert not fs.call_s3("list_multipart_uploads", Bucket=bucket[5:]).get("Uploads")


def test_a_read_that_fails_leaves_no_file(flaky: Any, file: Path, tmp_path: Path) -> None:
    store.put(file, "flaky://a/file.bin")
    flaky.failures["open"] = 99
    with pytest.raises(PictureError, match=r"^flaky://a/file.bin cannot be read"):
        store.fetch("flaky://a/file.bin", tmp_path / "back.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin"]


@pytest.mark.parametrize("what", ["open", "write", "ls", "info"])
def test_failures_that_pass_are_tried_again(
    flaky: Any, file: Path, tmp_path: Path, what: str
) -> None:
    flaky.failures[what] = store.TRIES - 1
    store.put(file, "flaky://a/b/file.bin")
    store.fetch("flaky://a/b/file.bin", tmp_path / "back.bin")
    assert [entry.url for entry in store.files_below("flaky://a")] == ["flaky://a/b/file.bin"]
    assert store.size_of("flaky://a/b/file.bin") == len(DATA)
    assert (tmp_path / "back.bin").read_bytes() == DATA and not flaky.failures[what]


def test_what_does_not_pass_is_not_tried_again(flaky: Any, file: Path, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"^flaky://a/none does not exist: check the name$"):
        store.fetch("flaky://a/none", tmp_path / "back.bin")
    assert flaky.asked.count("open") == 1
    store.put(file, "flaky://a/file.bin")
    flaky.asked.clear()
    with pytest.raises(PictureError, match=r"File name too long.*: check the URL$"):
        store.fetch("flaky://a/file.bin", tmp_path / ("long" * 100))
    assert flaky.asked.count("open") == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nowhere://a/b.png", "Protocol not known"),
        ("zip://a.png::s3://bucket/b.zip", "is a chain of stores: name a plain URL"),
    ],
)
def test_other_urls_are_refused(url: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(PictureError, match=words):
        store.fetch(url, tmp_path / "a")


@pytest.mark.parametrize(
    ("status", "words", "n_request"),
    [
        (404, "does not exist: check the name", 1),
        (403, "cannot be read (403, message='Forbidden'", 1),
        (503, "cannot be read (503, message='Service Unavailable'", store.TRIES),
    ],
)
def test_a_web_server_s_failures_are_told_apart(
    status: int, words: str, n_request: int, flaky: Any, tmp_path: Path
) -> None:
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(status)

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        url = f"http://127.0.0.1:{server.server_port}/a.png"
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(PictureError) as error:
            store.fetch(url, tmp_path / "a.png")
        server.shutdown()
    assert words in str(error.value) and len(asked) == n_request
    with pytest.raises(PictureError, match=r"cannot be read \(Cannot connect to host 127.0.0.1"):
        store.fetch(url, tmp_path / "a.png")


def test_folders_are_listed_by_name_without_hidden_files(flaky: Any, file: Path) -> None:
    for name in ("b.png", "a/c.png", ".hidden.png", "a/.git/d.png", "a.png"):
        store.put(file, f"flaky://album/{name}")
    found = [
        entry.url.removeprefix("flaky://album/") for entry in store.files_below("flaky://album")
    ]
    assert found == ["a/c.png", "a.png", "b.png"]


def test_s3_is_listed_by_pages(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    pages = s3fs.S3FileSystem._list_pages

    def of_ten(self: Any, method: str, **options: Any) -> Any:
        return pages(self, method, MaxKeys=10, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_list_pages", of_ten)
    fs = s3fs.S3FileSystem()
    names = [f"album/{number:02}.png" for number in range(25)]
    fs.pipe({f"{bucket[5:]}/{name}": b"1" for name in [*names, "other/a.png", "album/.b.png"]})
    entries = list(store.files_below(f"{bucket}/album/"))
    assert [entry.url for entry in entries] == [f"{bucket}/{name}" for name in names]
    assert {entry.n_bytes for entry in entries} == {1}


def test_a_million_names_are_not_held(flaky: Any) -> None:
    listing, held = store.files_below("endless://album"), list[int]()
    tracemalloc.start()
    try:
        for n in (2_000, 30_000):
            assert sum(1 for _ in islice(listing, n)) == n
            gc.collect()
            places = ("*/ginr/*", "*/fsspec/*", "*/tests/stores/*")  # others may allocate meanwhile
            traces = [tracemalloc.Filter(True, place) for place in places]
            found = tracemalloc.take_snapshot().filter_traces(traces)
            held.append(sum(one.size for one in found.statistics("filename")))
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 500_000


def test_names_with_empty_parts_stay_as_they_are(bucket: str, file: Path) -> None:
    names = [f"{bucket}/x/{name}" for name in ("/a.bin", "b.bin", "c//d.bin")]
    for name in names:
        store.put(file, name)
    assert [entry.url for entry in store.files_below(f"{bucket}/x")] == names
    assert all(store.size_of(name) == len(DATA) for name in names)
