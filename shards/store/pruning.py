"""What lies in the cache, and how it becomes smaller: the least recently used files go, never one that is in use.

Only files with the cache's own names count: `ab/<sha256>`, `ab/<sha256>.part` while one is being filled, and the empty
markers `checked/<sha256>`. Whatever else lies in the directory is left alone.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from shards.atomic import LockedError, can_lock, lies_at, locked

CHECKED = "checked"  # the folder of markers
USAGE = "usage"  # the file that counts the bytes in the cache, so that adding a file needs no look at all others
MARKER_BYTES = 4096  # what an empty file counts as: its inode and its place in the folder
TOUCH_S = 60.0  # a file that was used less than this ago is not marked as used again
FULL_SHARE = 0.9  # pruning that begins by itself goes down to this share of the limit, so that it is rare
PAUSE_S = 30.0  # after pruning that could not remove enough, because files were in use

FOLDER = re.compile("[0-9a-f]{2}")
FILE = re.compile("[0-9a-f]{64}")
PART = re.compile(r"[0-9a-f]{64}(\.[0-9]+\.[0-9]+)?\.part(\.chunks)?")

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Entry:
    """A file of the cache. Entries sort by when they were last used."""

    used_s: float  # since 1970
    path: Path
    size_bytes: int


@dataclass(frozen=True)
class Contents:
    """What lies in the cache."""

    files: list[Entry] = field(default_factory=list)
    markers: list[Entry] = field(default_factory=list)
    parts: list[Entry] = field(default_factory=list)  # that are being filled, or that a killed process left

    @property
    def size_bytes(self) -> int:
        """What a limit is compared with. Parts do not count."""
        return sum(entry.size_bytes for entry in (*self.files, *self.markers))


@dataclass
class Pruned:
    """What pruning did."""

    removed_files: int = 0
    removed_bytes: int = 0
    left_bytes: int = 0
    in_use: int = 0  # files that it would have removed


def mark_used(path: Path) -> bool:
    """Note in its time of change that a marker is used now. False if it is not there."""
    try:
        recent = time.time() - path.stat().st_mtime < TOUCH_S
    except OSError:
        return False
    if not recent:
        with suppress(OSError):  # another user's file
            os.utime(path)
    return True


def last_used_s(state: os.stat_result) -> float:
    """When a file of the cache was used last, since 1970. Its time of change is older, or it was never used."""
    return max(state.st_atime, state.st_mtime)


def contents(directory: Path) -> Contents:
    """Look at every file of the cache. One that vanishes meanwhile does not count."""
    found = Contents()
    for folder in _entries(directory):
        if folder.name == CHECKED:
            found.markers.extend(_files(folder, FILE, count_as=MARKER_BYTES))
        elif FOLDER.fullmatch(folder.name):
            found.files.extend(_files(folder, FILE))
            found.parts.extend(_files(folder, PART))
    return found


def _files(folder: os.DirEntry[str], pattern: re.Pattern[str], *, count_as: int | None = None) -> Iterator[Entry]:
    for entry in _entries(folder.path):
        with suppress(FileNotFoundError):
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                yield Entry(last_used_s(state), Path(entry.path), state.st_size if count_as is None else count_as)


def _entries(directory: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def prune(directory: Path, max_bytes: float) -> Pruned:
    """Remove the least recently used files until the rest has at most max_bytes, and parts that nobody fills any more.

    Raises: OSError if the directory cannot be read.
    """
    found, pruned = contents(directory), Pruned()
    for part in found.parts if can_lock() else ():  # without locks, nobody can tell whether a part is being filled
        if not part.path.name.endswith(".chunks"):  # which goes with its part
            _remove(part, pruned)
    pruned.left_bytes = found.size_bytes
    for entry in sorted([*found.files, *found.markers]):
        if pruned.left_bytes <= max_bytes:
            break
        if _remove(entry, pruned):
            pruned.left_bytes -= entry.size_bytes
    return pruned


def _remove(entry: Entry, pruned: Pruned) -> bool:
    """Remove a file unless it is in use. Counts what became of it. True if it is gone."""
    try:
        _unlink_unused(entry)
    except FileNotFoundError:
        return True
    except (LockedError, PermissionError):  # Windows permits nobody to remove an open file
        pruned.in_use += 1
        return False
    pruned.removed_files += 1
    pruned.removed_bytes += entry.size_bytes
    return True


def _unlink_unused(entry: Entry) -> None:
    """Raises: LockedError if somebody holds the file or has used it since it was looked at; OSError."""
    if not can_lock():
        entry.path.unlink()
        return
    with entry.path.open("r+b") as file, locked(file, wait_s=0):
        if not lies_at(entry.path, file):
            raise FileNotFoundError
        if last_used_s(os.fstat(file.fileno())) > entry.used_s:
            raise LockedError
        entry.path.with_name(f"{entry.path.name}.chunks").unlink(missing_ok=True)
        entry.path.unlink()


def added(directory: Path, size_bytes: int, *, limit_bytes: int | None) -> None:
    """Count a file that was added to the cache, and prune the cache if it is larger than its limit.

    The caller holds the new file, so it stays. The count is kept in a file, and all others are looked at only where
    that is missing or says that the limit is passed. Nothing is counted before somebody has set a limit.
    """
    path = directory / USAGE
    if limit_bytes is None and not path.exists():
        return
    with suppress(OSError), path.open("a+b") as file, locked(file) if can_lock() else nullcontext():
        counted = _read_usage(file)
        total, pause_until_s = counted or (contents(directory).size_bytes, 0.0)
        total += size_bytes if counted else 0
        if limit_bytes is not None and total > limit_bytes and time.time() >= pause_until_s:
            pruned = prune(directory, FULL_SHARE * limit_bytes)
            total = pruned.left_bytes
            pause_until_s = time.time() + PAUSE_S if total > limit_bytes else 0.0
            LOG.debug("cache %s: %d files removed, %d in use", directory, pruned.removed_files, pruned.in_use)
        file.seek(0)
        file.truncate()
        file.write(f"{total} {int(pause_until_s)}\n".encode())


def _read_usage(file: BinaryIO) -> tuple[int, float] | None:
    """(bytes in the cache, when to prune again at the earliest); None if the file does not say."""
    file.seek(0)
    try:
        total, pause_until_s = file.read(100).split()
        return int(total), float(pause_until_s)
    except ValueError:
        return None
