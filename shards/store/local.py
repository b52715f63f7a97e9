"""The files of a set in a directory: compared with the manifest once, and again when they have changed."""

import os
from contextlib import suppress
from pathlib import Path

from shards import canonical
from shards.errors import ShardError
from shards.manifest import FileInfo, Manifest
from shards.store.cache import cache_dir


class LocalFiles:
    """The files of a set in a directory."""

    def __init__(self, directory: str | Path) -> None:
        """Raises: ShardError if the directory has no sound manifest."""
        self._directory = Path(directory)
        self.location = str(self._directory)
        self.manifest = Manifest.read(self._directory)

    def path(self, relative: str) -> Path:
        return self._directory / relative

    def check(self, relative: str, expected: FileInfo) -> None:
        """Compare a file's hash with the manifest's. A file that was compared since it last changed is not read again.

        A file counts as changed when its path, inode, size or time of change is another.

        Raises: ShardError if the file is not there or has other bytes.
        """
        path = self.path(relative)
        try:
            seen = _seen(path, expected)
            if seen is not None and os.path.exists(seen):  # noqa: PTH110 - no error if the cache is unreadable
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
        return cache_dir() / "checked" / canonical.sha256_value(now)
    except ShardError:
        return None
