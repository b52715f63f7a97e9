"""No partial file ever has a final name, and only one process at a time holds a lock."""

import errno
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from shards import ShardError, atomic
from shards.atomic import LockedError, locked


def test_publishing_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    final = tmp_path / "set" / "mv" / "a.txt"
    for content in (b"one", b"two"):
        atomic.write_published(final, content, temporary_dir=tmp_path / "temporary")
        assert final.read_bytes() == content
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("hard_links", [True, False])
def test_the_first_keeps_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", refused)
    final = tmp_path / "final"
    for content in (b"one", b"two"):
        (tmp_path / "temporary").write_bytes(content)
        with nullcontext() if content == b"one" else pytest.raises(FileExistsError):
            atomic.publish_new(tmp_path / "temporary", final)
        assert final.read_bytes() == b"one" and (tmp_path / "temporary").exists() == (content == b"two")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "a.txt"
    final.write_bytes(b"old")

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:1])
        raise OSError("no space left")

    monkeypatch.setattr(atomic, "write_synced", full)
    with pytest.raises(OSError, match="no space left"):
        atomic.write_published(final, b"new", temporary_dir=tmp_path / "temporary")
    assert final.read_bytes() == b"old" and list((tmp_path / "temporary").iterdir()) == []


def test_a_file_that_cannot_be_published_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken" / "by a directory").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        atomic.write_published(tmp_path / "taken", b"new", temporary_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: a write ends halfway, as there."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from shards.atomic import write_published\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_published(Path(sys.argv[1]) / 'page', bytes(10_000), temporary_dir=Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 1 and b"File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


HOLD = """
import os, sys
from shards.atomic import locked
descriptor = os.open(sys.argv[1], os.O_RDONLY)
with locked(descriptor):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lock of a file or directory until its stdin ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process


@pytest.fixture(params=["file", "directory"])
def descriptor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    path = tmp_path / "lock"
    path.touch() if request.param == "file" else path.mkdir()
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_a_lock_that_is_held_elsewhere_is_refused_after_the_wait(tmp_path: Path, descriptor: int) -> None:
    with held_elsewhere(tmp_path / "lock"):
        begun_s = time.monotonic()
        with pytest.raises(LockedError), locked(descriptor, wait_s=0.3):
            pytest.fail("two hold one lock")
        assert time.monotonic() - begun_s >= 0.3
        with pytest.raises(LockedError), locked(descriptor, wait_s=0):
            pytest.fail("two hold one lock")


@pytest.mark.parametrize("wait_s", [60, float("inf")])
def test_a_lock_is_had_as_soon_as_the_other_process_ends(tmp_path: Path, descriptor: int, wait_s: float) -> None:
    with held_elsewhere(tmp_path / "lock") as process:
        process.kill()
        with locked(descriptor, wait_s=wait_s):
            assert process.wait() < 0


def test_a_lock_ends_with_its_block_though_a_process_was_forked_inside(tmp_path: Path, descriptor: int) -> None:
    """A forked process shares the open file, so closing the file here would not release its lock."""
    fork = multiprocessing.get_context("fork")
    with locked(descriptor, wait_s=0):
        child = fork.Process(target=time.sleep, args=(60,), daemon=True)
        child.start()
    other = os.open(tmp_path / "lock", os.O_RDONLY)
    with locked(other, wait_s=0):
        assert child.is_alive()
    os.close(other)
    child.kill()
    child.join()


def test_a_block_that_fails_gives_its_lock_back(tmp_path: Path, descriptor: int) -> None:
    with pytest.raises(ZeroDivisionError), locked(descriptor, wait_s=0):
        raise ZeroDivisionError
    other = os.open(tmp_path / "lock", os.O_RDONLY)
    with locked(other, wait_s=0):
        pass
    os.close(other)


def test_a_system_without_locks_says_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    with pytest.raises(ShardError, match=r"no module fcntl.*pulling sets work here"), locked(0):
        pytest.fail("there is no lock to hold")


def test_publishing_opens_no_directory_where_the_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def on_windows(path: Path, *arguments: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", on_windows)
    with pytest.raises(PermissionError):
        atomic.write_published(tmp_path / "a.txt", b"one", temporary_dir=tmp_path)
    monkeypatch.delattr(os, "O_DIRECTORY")
    atomic.write_published(tmp_path / "a.txt", b"two", temporary_dir=tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"two"
