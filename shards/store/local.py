"""The files of a set in a directory: compared with the manifest once, and again when they have changed."""

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from io import FileIO
from pathlib import Path

from shards import canonical
from shards.errors import ShardError
from shards.manifest import FileInfo, Manifest
from shards.regular import open_regular
from shards.store.ahead import Ahead
from shards.store.cache import cache_dir
from shards.store.pruning import CHECKED, mark_used


class LocalFiles:
    """The files of a set in a directory."""

    def __init__(self, directory: str | Path) -> None:
        """Raises: ShardError if the directory has no sound manifest."""
        self._directory = Path(directory)
        self.location = self.address = str(self._directory)
        self.manifest = Manifest.read(self._directory)

    waited_s = 0.0  # for files to arrive

    @cached_property
    def _infos(self) -> dict[str, FileInfo]:
        return self.manifest.all_files()

    def path(self, relative: str) -> Path:
        return self._directory / relative

    def bytes_of(self, relative: str) -> int:
        """The size of a file. Raises: OSError if there is none."""
        return self.path(relative).stat().st_size

    def opened(self, relative: str) -> FileIO:
        """A file, open for reading. Raises: OSError if there is none, or if it is not a regular file."""
        return open_regular(self.path(relative))

    def opened_whole(self, relative: str, place: Path | None, *, cancelled: threading.Event | None = None) -> FileIO:
        """A file, open for reading, once it was compared with the manifest. Raises: ShardError, as `check`."""
        expected = self._infos.get(relative)
        if expected is None:
            raise ShardError(f"{self.path(relative)}: the manifest names no such file; verify the set")
        self.check(relative, expected)
        return self.opened(relative)

    def ahead(self, wanted: Iterable[Iterable[str]], *, share: float = 1.0) -> Ahead:
        """Fetches nothing: all files are here."""
        return Ahead()

    def check(self, relative: str, expected: FileInfo) -> None:
        """Compare a file's hash with the manifest's. A file that was compared since it last changed is not read again.

        A file counts as changed when its path, inode, size or time of change is another.

        Raises: ShardError if the file is not there or has other bytes.
        """
        path = self.path(relative)
        try:
            seen = _seen(path, expected)
            if seen is not None and mark_used(seen):
                return
            found = FileInfo.of(path)
        except OSError as error:
            raise ShardError(f"{path}: {error.strerror}; the set is incomplete, verify it") from None
        if found != expected:
            cure = "`ipshards verify` names all such files; fetch them or build them again"
            raise ShardError(f"{path}: its bytes are not those that the manifest names; {cure}")
        if seen is not None:  # without a cache, the file is read again next time
            with suppress(OSError):
                seen.parent.mkdir(parents=True, exist_ok=True)
                seen.touch()


def _seen(path: Path, expected: FileInfo) -> Path | None:
    """The path of an empty file in the cache, which says that this file, in its present state, is as expected.

    None if there is no cache.
    """
    state = path.stat()
    now = [str(path.resolve()), state.st_ino, state.st_size, state.st_mtime_ns, expected.sha256]
    try:
        return cache_dir() / CHECKED / canonical.sha256_value(now)
    except ShardError:
        return None


def read_ranges(path: Path, ranges: Sequence[tuple[int, int]], *, name: str) -> list[bytes]:
    """The bytes at each (offset, bytes) of a file. name: what errors call it.

    Raises: ShardError if the file is shorter; OSError if it cannot be read.
    """
    with open_regular(path) as file:
        return ranges_of(file, ranges, name=name)


def ranges_of(file: FileIO, ranges: Sequence[tuple[int, int]], *, name: str) -> list[bytes]:
    """As read_ranges, of an open file. It is not buffered, so no more than these bytes are read."""
    total_bytes = os.fstat(file.fileno()).st_size
    if any(offset + size > total_bytes for offset, size in ranges):
        raise ShardError(f"{name}: shorter than its index says; the tar is cut, verify the set")
    return [_read_at(file, offset, size) for offset, size in ranges]


def _read_at(file: FileIO, offset: int, size: int) -> bytes:
    """The bytes at an offset; fewer only where the file ends."""
    file.seek(offset)  # os.pread would do both in one call, but Windows lacks it
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):  # an unbuffered read may return less than asked
        data += more
    return data
