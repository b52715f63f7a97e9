"""Sets at a URL, over HTTP, S3 and other protocols. Files are fetched whole into the cache when first needed."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path

from shards.errors import ShardError
from shards.layout import MANIFEST
from shards.manifest import MAX_MANIFEST_BYTES, FileInfo, Manifest
from shards.regular import open_regular
from shards.store.ahead import FILES_AT_ONCE, Ahead, FetchingAhead
from shards.store.cache import cache_limit, opened
from shards.store.fetch import CONNECTIONS, fetch
from shards.store.parts import CHUNK_BYTES, Wanted
from shards.store.small import fetch_whole
from shards.store.sources import source_of
from shards.store.transport import Source

AHEAD_BYTES = 16 << 30  # that are fetched ahead at most
AHEAD_SHARE = 0.5  # of the cache's limit; the rest is for what readers hold and fetch by themselves


def read_manifest(source: Source) -> Manifest:
    """The manifest of the set at a URL. Raises: ShardError if it does not arrive or is not sound."""
    data = fetch_whole(source, MANIFEST, limit_bytes=MAX_MANIFEST_BYTES)
    return Manifest.from_json(data, where=f"{source.location}/{MANIFEST}")


@contextmanager
def cached_file(source: Source, relative: str, expected: FileInfo) -> Iterator[FileIO]:
    """A file below a URL: its copy in the cache, open for reading. It is fetched if it is not there yet.

    Raises: ShardError if it cannot be fetched, has another hash than the expected one, or the cache cannot be written.
    """
    fill = partial(_fill, source, relative, expected)
    with opened(expected, fill, name=f"{source.location}/{relative}") as file:
        yield file


def _fill(
    source: Source,
    relative: str,
    expected: FileInfo,
    part: Path,
    *,
    connections: int = CONNECTIONS,
    cancelled: threading.Event | None = None,
) -> None:
    connections = min(connections, -(-expected.bytes // CHUNK_BYTES) or 1)
    fetch(source, [Wanted(relative, expected, part, lambda _: None)], connections=connections, cancelled=cancelled)


class RemoteFiles:
    """Local copies of the files of a set at a URL. Can be pickled, because it holds no connection."""

    def __init__(self, url: str) -> None:
        """Fetch the manifest, which says what the other files must be.

        Raises: ShardError if packages are missing, the server does not answer, or its answer is no manifest.
        """
        self._source = source_of(url)
        self.location, self.address = self._source.location, self._source.address
        self.manifest = read_manifest(self._source)
        self._infos = self.manifest.all_files()
        self.waited_s = 0.0  # by this process, for files that were not in the cache

    @contextmanager
    def opened(self, relative: str) -> Iterator[FileIO]:
        """A file's copy in the cache, open for reading. Fetches the file if it is not there yet.

        Raises: ShardError if it cannot be fetched, is not what the manifest says, or the cache cannot be written.
        """
        expected, name = self._info(relative), f"{self.location}/{relative}"
        fill = partial(_fill, self._source, relative, expected)
        with opened(expected, fill, name=name, waited=self._count) as file:
            yield file

    def opened_whole(self, relative: str, place: Path | None, *, cancelled: threading.Event | None = None) -> FileIO:
        """A file, open for reading, fetched past the cache into a directory, where nothing of it stays.

        Raises: ShardError if it cannot be fetched, or is not what the manifest says; WorkCancelledError.
        """
        assert place is not None
        part = place / relative.replace("/", "-")
        try:
            _fill(self._source, relative, self._info(relative), part, cancelled=cancelled)
            return open_regular(part)
        finally:
            with suppress(OSError):  # Windows does not remove what is open
                part.unlink(missing_ok=True)

    def bytes_of(self, relative: str) -> int:
        """The size of a file, as the manifest states it. Raises: ShardError if it names no such file."""
        return self._info(relative).bytes

    def _info(self, relative: str) -> FileInfo:
        if relative not in self._infos:
            raise ShardError(f"{self.location}/{relative}: the manifest names no such file; verify the set")
        return self._infos[relative]

    def _count(self, waited_s: float) -> None:
        self.waited_s += waited_s

    def ahead(self, wanted: Iterable[Iterable[str]], *, share: float = 1.0) -> Ahead:
        """Fetch files in the background, in the order of the reader's steps, until what this returns is closed.

        wanted: the files that each step needs. share: of what may be fetched ahead, where several processes do.

        Raises: ShardError if the cache's limit is no size.
        """
        limit_bytes = cache_limit()
        max_bytes = AHEAD_BYTES if limit_bytes is None else min(AHEAD_BYTES, AHEAD_SHARE * limit_bytes)
        return FetchingAhead(wanted, self._fetch_ahead, bytes_of=self.bytes_of, max_bytes=int(share * max_bytes))

    def _fetch_ahead(self, relative: str, cancelled: threading.Event) -> None:
        """Raises: LockedError if another process or thread fetches the file; WorkCancelledError; ShardError."""
        expected, connections = self._info(relative), CONNECTIONS // FILES_AT_ONCE
        fill = partial(_fill, self._source, relative, expected, connections=connections, cancelled=cancelled)
        with opened(expected, fill, name=f"{self.location}/{relative}", wait_s=0):
            pass

    def check(self, relative: str, expected: FileInfo) -> None:
        """Does nothing: a file in the cache was checked when it arrived."""
