"""Writes files that are either complete or absent: synced and published by rename. Locks files between processes."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, BinaryIO

from shards.errors import ShardError

try:
    import fcntl
except ImportError:  # Windows: nothing can be locked, but sets can be read and pulled
    fcntl = None  # type: ignore[assignment]

POLL_S = 0.02  # between two attempts to lock


class LockedError(Exception):
    """Another process holds the lock."""


def can_lock() -> bool:
    """Tell whether this system has Unix file locks. Without them, as on Windows, sets can be read and pulled only."""
    return fcntl is not None


@contextmanager
def locked(file: BinaryIO | int, *, wait_s: float = math.inf, path: Path | None = None) -> Iterator[None]:
    """Hold the exclusive lock of an open file, or of the descriptor of a directory, which has the `path`.

    The lock ends with this block. If the process dies inside it, the lock ends with the last child that it had forked.
    It keeps out only those who ask for it too.

    Raises: LockedError if another process or thread still holds the lock after wait_s seconds; ShardError if this
        system has no such locks; OSError if this file system has none.
    """
    if not can_lock():
        cure = "building and training need Linux or macOS; reading, verifying and pulling sets work here"
        raise ShardError(f"this system cannot lock files (Python has no module fcntl); {cure}")
    try:
        if wait_s == math.inf:
            fcntl.flock(file, fcntl.LOCK_EX)  # the kernel serves those who wait in turn; polling would not
        else:
            _attempt_until(file, time.monotonic() + wait_s)
    except OSError as error:
        text = f"{error.strerror}; use a file system that has file locks, or mount this one with them"
        name = str(path) if path is not None else getattr(file, "name", None)
        raise OSError(error.errno, text, name) from None
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile would keep the lock


@contextmanager
def directory_locked(path: Path, *, wait_s: float = math.inf) -> Iterator[None]:
    """Hold the lock of a directory: one at a time changes the set in it. Holds nothing where there are no locks.

    Raises: LockedError, OSError as `locked`.
    """
    if not can_lock():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with locked(descriptor, wait_s=wait_s, path=path):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def held(file: IO[bytes]) -> Iterator[None]:
    """Hold the shared lock of an open file: `locked` waits for it, or fails. Holds nothing where there are no locks."""
    if can_lock():
        with suppress(OSError):  # this file system has no locks
            fcntl.flock(file, fcntl.LOCK_SH)
    try:
        yield
    finally:
        if can_lock() and not file.closed:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # a process forked meanwhile would keep the lock


def is_locked(path: Path) -> bool:
    """Tell whether another process or thread holds the exclusive lock of a file. Does not wait, and writes nothing.

    It asks for the shared lock and gives it back at once, so `locked` without any wait may fail meanwhile.

    Raises: OSError if there is no such file, or this file system has no locks.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile would keep the lock
        return False


def lies_at(path: Path, file: IO[bytes]) -> bool:
    """Tell whether an open file still has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _attempt_until(file: BinaryIO | int, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise LockedError from None
        else:
            return
        time.sleep(POLL_S)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the path to an OSError that names no file, as that of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a directory, and journals renames by itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Give a synced, complete file its final name in one step. Both must lie on the same file system."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    sync_directory(final.parent)


def publish_new(temporary: Path, final: Path) -> None:
    """Give a synced, complete file its final name, unless the name is taken: of several processes, the first wins.

    Where the file system has no hard links, two that come at once may both succeed; then the last one stays.

    Raises: FileExistsError if the name is taken; the temporary file stays.
    """
    try:
        final.hardlink_to(temporary)  # unlike a rename, this fails if the name is taken
    except OSError:
        if final.exists():
            raise FileExistsError(f"{final} exists already") from None
        temporary.replace(final)  # this file system has no hard links
    else:
        temporary.unlink()
    sync_directory(final.parent)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of some bytes to an unbuffered file, which may take a part of them at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with named(path), path.open("r+b") as file:
        os.fsync(file.fileno())


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until its bytes are on the disk."""
    with named(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_published(path: Path, data: bytes, *, temporary_dir: Path) -> None:
    """Write a file below `temporary_dir`, then rename it to `path`, which never holds a partial file.

    What fails leaves nothing in `temporary_dir`, unless the process is killed.
    """
    temporary_dir.mkdir(parents=True, exist_ok=True)
    temporary = temporary_dir / f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        write_synced(temporary, data)
        publish(temporary, path)
    except BaseException:
        with suppress(OSError):  # the first error counts
            temporary.unlink(missing_ok=True)
        raise
