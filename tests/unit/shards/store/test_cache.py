"""The cache holds complete files under their hash, or nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.store.cache import NotReceivedError, cache_dir, cached

DATA = b"some bytes"
INFO = FileInfo(bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path))
    return tmp_path


def test_it_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    monkeypatch.setenv("IPTSN_CACHE", "~/sets")
    assert cache_dir() == Path("/home/somebody/sets")
    monkeypatch.setenv("IPTSN_CACHE", "")
    assert cache_dir() == Path("/scratch/ip-tsn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/home/somebody/.cache/ip-tsn")


@pytest.mark.usefixtures("without_home")
def test_without_a_home_directory_it_must_be_named() -> None:
    with pytest.raises(ShardError, match=r"~/.cache/ip-tsn: no such home directory; .* \$IPTSN_CACHE"):
        cache_dir()


def test_a_file_is_received_once(cache: Path) -> None:
    path = cached(INFO, lambda: [DATA[:4], b"", DATA[4:]])
    assert path == cache / INFO.sha256[:2] / INFO.sha256 and path.read_bytes() == DATA
    assert cached(INFO, lambda: pytest.fail("received again")) == path
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("chunks", [[], [DATA[:-1]], [DATA[:-1], b"!"], [DATA, b"!"]])
def test_other_bytes_leave_nothing(cache: Path, chunks: list[bytes]) -> None:
    with pytest.raises(NotReceivedError):
        cached(INFO, lambda: chunks)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert cached(INFO, lambda: [DATA]).read_bytes() == DATA


def test_an_interruption_leaves_nothing(cache: Path) -> None:
    def interrupted() -> Iterator[bytes]:
        yield DATA[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(INFO, interrupted)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_part_that_a_killed_process_left_is_begun_anew(cache: Path) -> None:
    path = cache / INFO.sha256[:2] / INFO.sha256
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(DATA[:4])
    assert cached(INFO, lambda: [DATA]).read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
