"""A cache of files, named by their sha256. A file is fetched once, verified as it arrives, and serves all processes.

How processes share it, with the locks of `flock`:

- Who fills a file holds the exclusive lock of `<sha256>.part`, and renames it when it is complete. Others wait, and
  then find the file. If a process dies, the system unlocks its part, and the next process begins it anew.
- Who reads a file opens it, and holds its shared lock until it is closed. If the file has gone by the time that it is
  opened, it is fetched again. Who has filled a file opens it before its lock ends, so everybody who asks gets a file
  that is open, however small the cache is.
- Who prunes (`shards.store.pruning`) removes a file, or a part, only while holding its exclusive lock, which is never
  waited for. So files that are read and parts that are filled stay. A process that opens a file just before it is
  removed can read it to its end.

A file counts as used when it is opened: its time of access is set then.

A file whose bytes were verified has a seal: the microseconds of its time of change follow from its hash. Whatever
writes to the file sets that time, and so breaks the seal; then the file is hashed before it is used again. `ipshards
cache info --verify` hashes all files.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from shards import canonical
from shards.atomic import can_lock, held, lies_at, locked, publish
from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.regular import open_regular
from shards.store import pruning

VARIABLE, LIMIT_VARIABLE = "IPTSN_CACHE", "IPTSN_CACHE_MAX"
SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([kmgt]?)(i?)b?", re.IGNORECASE)

LOG = logging.getLogger(__name__)

Fill = Callable[[Path], None]
State = tuple[str, int, int, int]  # a file's path, inode, bytes and time of change in ns

SECOND_NS, MICROSECOND_NS = 10**9, 10**3
_used_s: dict[State, float] = {}  # files that this process knows to be right, and when it marked them as used


def cache_dir() -> Path:
    """$IPTSN_CACHE, or ip-tsn in the user's directory of caches. Raises: ShardError if there is no home directory."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = Path(os.environ.get(VARIABLE) or f"{caches}/ip-tsn")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ShardError(f"the cache {path}: no such home directory; name another directory in ${VARIABLE}") from None


def parse_size(text: str) -> int:
    """Bytes from a text such as "50GB", "1.5 TB", "200MiB" or "0". Raises: ShardError for any other text."""
    found = SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise ShardError(f"{text!r:.40} is no size; write it as 50GB, 1.5TB or 200MiB")
    return round(float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " "))


def cache_limit() -> int | None:
    """The bytes that $IPTSN_CACHE_MAX allows; None without it. Raises: ShardError if it is no size."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        return parse_size(text) if text else None
    except ShardError as error:
        raise ShardError(f"${LIMIT_VARIABLE}: {error}") from None


def place_of(expected: FileInfo) -> Path:
    """Where the cache has the file with this hash."""
    return cache_dir() / expected.sha256[:2] / expected.sha256


@contextmanager
def opened(
    expected: FileInfo,
    fill: Fill,
    *,
    name: str = "",
    wait_s: float = float("inf"),
    waited: Callable[[float], None] = lambda _: None,
) -> Iterator[FileIO]:
    """The cache's file with this hash, open for reading. If it is not there yet, one process fills it; others wait.

    fill: writes and syncs the bytes with this hash at the path that it is given, or raises. Where a system has no file
    locks, as Windows, several processes may fill it at once, each its own file; the first one stays.

    name: what warnings call the file. wait_s: how long to wait for another process that fills it. waited: is told the
    seconds that filling or waiting took, if the file was not there.

    Raises: ShardError if the cache cannot be written, and what `fill` raises: either leaves no file. LockedError if
    another process still fills the file after wait_s.
    """
    file, filled, began = None, False, time.monotonic()
    try:
        file = _open(place_of(expected), expected, name=name)
        if file is None:
            file, filled = _filled(expected, fill, name=name, wait_s=wait_s)
            waited(time.monotonic() - began)
    except OSError as error:
        cure = f"make room, or name another directory in ${VARIABLE}"
        raise ShardError(f"{place_of(expected)}: cannot be written to the cache ({error.strerror}); {cure}") from None
    with file, held(file):
        if filled:
            pruning.added(cache_dir(), expected.bytes, limit_bytes=cache_limit())
        yield file


def cached(expected: FileInfo, fill: Fill) -> Path:
    """The path of the cache's file with this hash, as `opened`. It may be pruned at any time from then on."""
    with opened(expected, fill):
        return place_of(expected)


def _open(path: Path, expected: FileInfo, *, name: str) -> FileIO | None:
    """The file, marked as used; None if it is not there, or is damaged. Raises: OSError if it cannot be read."""
    try:
        file = open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if os.fstat(file.fileno()).st_size != expected.bytes:
        file.close()
        return None
    if not _is_right(file, path, sha256=expected.sha256):
        there = lies_at(path, file)
        file.close()
        if there:
            with suppress(OSError):
                path.unlink()
            LOG.warning("%s: its copy in the cache is damaged (%s); fetching it again", name or path, path)
        return None
    return file


def _is_right(file: FileIO, path: Path, *, sha256: str) -> bool:
    """Tell whether an open file has its hash, and mark it as used. Only a file without its seal is read for that.

    A process that opens the same file for each frame looks at its state alone, and marks it once a minute.
    """
    state, now_s = _state_of(file, path), time.time()
    marked_s = _used_s.get(state)
    if marked_s is None or now_s - marked_s > pruning.TOUCH_S:
        if marked_s is None and state[-1] != _sealed_ns(state[-1], sha256):
            if canonical.sha256_of(file) != sha256:
                return False
            file.seek(0)
        _seal(file, path, sha256=sha256)
        _used_s[_state_of(file, path)] = now_s
    return True


def _state_of(file: FileIO, path: Path) -> State:
    found = os.fstat(file.fileno())
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


def _seal(file: FileIO, path: Path, *, sha256: str) -> None:
    """Seal a file whose bytes are right, and mark it as used, unless both was done less than a minute ago."""
    state = os.fstat(file.fileno())
    sealed_ns = _sealed_ns(state.st_mtime_ns, sha256)
    if state.st_mtime_ns != sealed_ns or time.time() - pruning.last_used_s(state) > pruning.TOUCH_S:
        with suppress(OSError):  # another user's file
            os.utime(file.fileno() if os.utime in os.supports_fd else path, ns=(time.time_ns(), sealed_ns))


def _sealed_ns(changed_ns: int, sha256: str) -> int:
    """A time of change, in the same second, that has the seal of a hash. Some file systems have no finer times."""
    return changed_ns // SECOND_NS * SECOND_NS + int(sha256[:8], 16) % 10**6 * MICROSECOND_NS


def _filled(expected: FileInfo, fill: Fill, *, name: str, wait_s: float) -> tuple[FileIO, bool]:
    """The file, open, after this or another process has filled it; and whether this one did."""
    path, limit_bytes, filled = place_of(expected), cache_limit(), False
    if limit_bytes is not None and expected.bytes > limit_bytes:
        larger = f"has {expected.bytes} bytes, more than ${LIMIT_VARIABLE} ({limit_bytes}) allows for the whole cache"
        LOG.warning("%s: %s; it is fetched, and may have to be fetched again for each use", name or path, larger)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with _alone(path, wait_s=wait_s) as part:
            file = _open(path, expected, name=name)
            if file is None:
                fill(part)
                with FileIO(part) as written:
                    _seal(written, part, sha256=expected.sha256)
                publish(part, path)
                filled = True
                file = _open(path, expected, name=name)
                assert file is not None or not can_lock(), f"{path}: not filled with {expected}"
        if file is not None:
            return file, filled


@contextmanager
def _alone(path: Path, *, wait_s: float) -> Iterator[Path]:
    """Give one process and thread at a time the path of a temporary file, empty. Afterwards it is renamed or removed.

    The file is its own lock. If a process dies, the system unlocks the file, and the next process empties it.

    Raises: LockedError if another process has it still after wait_s.
    """
    part = path.with_name(f"{path.name}.part")
    while can_lock():
        with part.open("ab") as file, locked(file, wait_s=wait_s):
            try:
                if lies_at(part, file):  # otherwise the last process with the lock has renamed or removed it
                    file.truncate(0)
                    yield part
                    return
            finally:
                if lies_at(part, file):
                    part.with_name(f"{part.name}.chunks").unlink(missing_ok=True)  # the journal of a fetch that failed
                    part.unlink()
    own = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield own
    finally:
        own.with_name(f"{own.name}.chunks").unlink(missing_ok=True)
        own.unlink(missing_ok=True)
