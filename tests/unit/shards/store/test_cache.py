"""The cache holds complete files under their hash, or nothing."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shards import atomic
from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.store.cache import cache_dir, cache_limit, cached, opened, parse_size

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


def test_a_file_is_filled_once(cache: Path) -> None:
    path = cached(INFO, filling(DATA))
    assert path == cache / INFO.sha256[:2] / INFO.sha256 and path.read_bytes() == DATA
    assert cached(INFO, lambda _: pytest.fail("filled again")) == path
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ShardError("cut"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_is_not_filled_leaves_nothing(cache: Path, error: BaseException) -> None:
    def fail(part: Path) -> None:
        part.write_bytes(DATA[:4])
        part.with_name(f"{part.name}.chunks").write_text("0")
        raise error

    with pytest.raises(type(error)):
        cached(INFO, fail)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert cached(INFO, filling(DATA)).read_bytes() == DATA


def test_a_part_that_a_killed_process_left_is_begun_anew(cache: Path) -> None:
    path = cache / INFO.sha256[:2] / INFO.sha256
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(DATA[:4])
    assert cached(INFO, filling(DATA)).read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]


def test_it_works_without_file_locks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    path = cached(INFO, filling(DATA))
    assert path.read_bytes() == DATA and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("50GB", 50 * 10**9),
        ("1.5 TB", 1500 * 10**9),
        ("200MiB", 200 << 20),
        ("7kb", 7000),
        ("12 B", 12),
        ("3g", 3 * 10**9),
    ],
)
def test_sizes_are_written_as_people_do(text: str, size_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_size(text) == size_bytes
    monkeypatch.setenv("IPTSN_CACHE_MAX", text)
    assert cache_limit() == size_bytes


@pytest.mark.parametrize("text", ["much", "-1GB", "1e9", "GB", "5 PB", "12iB", "1,5GB", "٣GB"])
def test_other_sizes_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE_MAX", text)
    with pytest.raises(ShardError, match=r"\$IPTSN_CACHE_MAX: .* is no size; write it as 50GB"):
        cached(INFO, filling(DATA))


def test_a_file_that_is_served_counts_as_used(cache: Path) -> None:
    path = cached(INFO, filling(DATA))
    os.utime(path, (1, 1))
    with opened(INFO, lambda _: pytest.fail("filled again")) as file:
        assert file.readall() == DATA
    assert path.stat().st_atime > 1


def test_a_file_that_goes_while_it_is_open_is_read_to_its_end(cache: Path) -> None:
    with opened(INFO, filling(DATA)) as file:
        (cache / INFO.sha256[:2] / INFO.sha256).unlink()
        assert file.readall() == DATA
    assert cached(INFO, filling(DATA)).read_bytes() == DATA


def test_who_does_not_want_to_wait_does_not(cache: Path) -> None:
    def fill(part: Path) -> None:
        with pytest.raises(atomic.LockedError), opened(INFO, lambda _: pytest.fail("filled twice"), wait_s=0):
            pass
        part.write_bytes(DATA)

    waits: list[float] = []
    for _ in range(2):
        with opened(INFO, fill, waited=waits.append) as file:
            assert file.readall() == DATA
    assert len(waits) == 1 and waits[0] > 0


def filling(data: bytes) -> Callable[[Path], None]:
    def fill(part: Path) -> None:
        assert not part.exists() or part.stat().st_size == 0
        part.write_bytes(data)

    return fill
