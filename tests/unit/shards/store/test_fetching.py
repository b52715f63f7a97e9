"""Fetching from servers that contradict themselves: right bytes in their place, or an error; never a traceback."""

import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import fsspec
import pytest
import serving
from serving import Fault, Served

from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.store import objects, parts, transport
from shards.store.fetch import fetch
from shards.store.parts import Span, Wanted
from shards.store.small import fetch_whole
from shards.store.sources import source_of
from shards.store.threads import WorkCancelledError

DATA = bytes(range(256)) * 100
INFO = FileInfo.of_bytes(DATA)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(parts, "CHUNK_BYTES", 8000)
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(DATA)
    with serving.serving(tmp_path / "served", ranges=True) as server:
        yield server


def fetched(served: Served, path: Path, *, connections: int = 4) -> bytes:
    """The file as it lies in its place, after all threads have ended."""
    wanted = Wanted("file", INFO, path.with_name("part"), lambda part: part.rename(path) and None)
    fetch(source_of(served.url), [wanted], connections=connections)
    return path.read_bytes()


def of_two_minds(handler: serving._Handler, data: bytes) -> None:
    """The begin of the file brings all of it. A later range comes slowly, and has other bytes."""
    if handler.headers.get("Range", "").startswith("bytes=0-"):
        time.sleep(0.2)
        handler.status, handler.content_headers = HTTPStatus.OK, {}
        handler.answer(DATA, announced=len(DATA))
        return
    handler.answer(data[:100], announced=len(data))
    time.sleep(0.6)
    handler.wfile.write(b"X" * (len(data) - 100))


def test_late_bytes_of_another_reply_do_not_get_into_a_file_in_its_place(served: Served, tmp_path: Path) -> None:
    served.faults["file"] = [of_two_minds] * 9
    assert fetched(served, tmp_path / "out") == DATA


def drip(handler: serving._Handler, data: bytes) -> None:
    handler.answer(data[:1], announced=len(data))
    handler.close_connection = True


def test_a_server_that_gives_a_byte_at_a_time_is_given_up(served: Served, tmp_path: Path) -> None:
    served.faults["file"] = [drip] * 999
    with pytest.raises(ShardError, match=r"file: .*(cannot be fetched|bytes arrived)"):
        fetched(served, tmp_path / "out", connections=1)
    assert len(served.asked) == 1 + len(transport.WAITS_S)


def with_header(status: HTTPStatus, name: str, value: str) -> Fault:
    def answer(handler: serving._Handler, data: bytes) -> None:
        handler.send_response(status)
        if name != "Content-Length":
            handler.send_header("Content-Length", str(len(data)))
        handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        (HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After", "-5"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After", "9" * 400),
        (HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After", "Mon, 01 Jan 99999 00:00:00 GMT"),
        (HTTPStatus.OK, "Content-Length", "9" * 5000),
        (HTTPStatus.PARTIAL_CONTENT, "Content-Range", f"bytes 0-7999/{'9' * 5000}"),
        (HTTPStatus.FOUND, "Location", "http://[::1"),
        (HTTPStatus.FOUND, "Location", "http://127.0.0.1:99999/file"),
        (HTTPStatus.FOUND, "Location", "http://127.0.0.1:1/file"),
    ],
    ids=["negative", "long", "no-date", "length", "range", "no-url", "no-port", "other-port"],
)
def test_headers_of_any_kind_are_survived(
    served: Served, tmp_path: Path, status: HTTPStatus, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LONGEST_WAIT_S", 0.01)
    served.faults["file"] = [with_header(status, name, value)] * 999
    try:
        assert fetched(served, tmp_path / "out") == DATA
    except ShardError as error:
        assert str(error).startswith(f"{served.url}/file: ") and not (tmp_path / "out").exists()


def test_a_password_in_a_url_is_sent_and_not_shown(served: Served, tmp_path: Path) -> None:
    source = source_of(served.url.replace("//", "//somebody:secret@"))
    assert source.location == served.url
    served.faults["nothing"] = []
    with pytest.raises(ShardError) as raised:
        fetch_whole(source, "nothing", limit_bytes=10)
    assert "secret" not in str(raised.value)


def test_an_object_of_any_size_takes_no_more_memory_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "CHUNK_BYTES", 1000)
    files = fsspec.filesystem("memory")
    files.pipe_file("/large/file", bytes(10**6))
    asked: list[int] = []
    cat_file = type(files).cat_file

    def counted(self: object, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        data: bytes = cat_file(self, path, start=start, end=end, **options)
        asked.append(len(data))
        return data

    monkeypatch.setattr(type(files), "cat_file", counted)
    with pytest.raises(ShardError, match="larger than 5000 bytes"):
        fetch_whole(source_of("memory://large"), "file", limit_bytes=5000)
    assert sum(asked) <= 6000


def test_after_the_end_no_thread_changes_a_file(served: Served, tmp_path: Path) -> None:
    cancelled, go_on, late = threading.Event(), threading.Event(), []

    def spans() -> list[Span]:  # is called by the thread that has received the file, and found it damaged
        late.append(threading.current_thread())
        cancelled.set()
        go_on.wait(60)
        return []

    served.faults["file"] = [serving.corrupted] * 9
    part, published = tmp_path / "part", []
    with pytest.raises(WorkCancelledError):
        fetch(
            source_of(served.url),
            [Wanted("file", INFO, part, published.append, spans)],
            connections=1,
            cancelled=cancelled,
        )
    part.write_bytes(b"of the next run")
    served.asked.clear()
    go_on.set()
    late[0].join(60)
    assert part.read_bytes() == b"of the next run" and served.asked == [] and published == []
