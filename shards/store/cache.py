"""A cache of files, named by their sha256. A file is fetched once, verified as it arrives, and serves all processes."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shards.atomic import can_lock, locked, publish
from shards.errors import ShardError
from shards.manifest import FileInfo

VARIABLE = "IPTSN_CACHE"


class NotReceivedError(Exception):
    """A file did not arrive. `retries` says how often it is worth asking again."""

    def __init__(self, reason: str, *, retries: int) -> None:
        super().__init__(reason)
        self.retries = retries


def cache_dir() -> Path:
    """$IPTSN_CACHE, or ip-tsn in the user's directory of caches. Raises: ShardError if there is no home directory."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = Path(os.environ.get(VARIABLE) or f"{caches}/ip-tsn")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ShardError(f"the cache {path}: no such home directory; name another directory in ${VARIABLE}") from None


def check_locks(url: str) -> None:
    """Raises: ShardError if this system has no file locks, which the cache needs, as on Windows."""
    if not can_lock():
        cure = "copy the set to a local disk and name its directory, or use a system such as Linux, macOS or WSL"
        raise ShardError(f"{url}: sets at a URL need a cache with file locks, which this system lacks; {cure}")


def cached(expected: FileInfo, receive: Callable[[], Iterable[bytes]]) -> Path:
    """The cache's file with this hash. If it is not there yet, one process receives it while others wait for it.

    Raises: NotReceivedError if other bytes arrive; ShardError if the cache cannot be written. Either leaves no file.
    """
    path = cache_dir() / expected.sha256[:2] / expected.sha256
    if _is_there(path, expected):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with _alone(part) as file:
            if not _is_there(path, expected):
                _fill(file, receive(), expected)
                publish(part, path)
    except OSError as error:
        cure = f"make room, or name another directory in ${VARIABLE}"
        raise ShardError(f"{path}: cannot be written to the cache ({error.strerror}); {cure}") from None
    return path


def _is_there(path: Path, expected: FileInfo) -> bool:
    try:
        return path.stat().st_size == expected.bytes
    except OSError:
        return False


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """Give one process and thread at a time the temporary file, empty. Afterwards it is renamed or removed.

    The file is its own lock. If a process dies, the system unlocks the file, and the next process empties it.
    """
    while True:
        with part.open("ab") as file, locked(file):
            try:
                if _lies_at(part, file):  # otherwise the last process with the lock has renamed or removed it
                    file.truncate(0)
                    yield file
                    return
            finally:
                if _lies_at(part, file):
                    part.unlink()


def _lies_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _fill(file: BinaryIO, chunks: Iterable[bytes], expected: FileInfo) -> None:
    """Write and sync what arrives. Raises: NotReceivedError if size or sha256 are not as expected."""
    cure = "if it happens again, upload the file again"
    digest, received_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        received_bytes += len(chunk)
        if received_bytes > expected.bytes:
            raise NotReceivedError(f"more than the manifest's {expected.bytes} bytes arrived; {cure}", retries=1)
        digest.update(chunk)
        file.write(chunk)
    if received_bytes != expected.bytes:
        raise NotReceivedError(f"only {received_bytes} of {expected.bytes} bytes arrived; {cure}", retries=1)
    if digest.hexdigest() != expected.sha256:
        raise NotReceivedError(f"the bytes that arrived do not have the manifest's sha256; {cure}", retries=1)
    file.flush()
    os.fsync(file.fileno())
