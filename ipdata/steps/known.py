"""`.build/sources.jsonl`: the hashes of sources at URLs by their versions, so that no second build fetches them."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ipdata.errors import BuildError, VideoError
from ipdata.steps.output import Output
from ipdata.steps.source import Source, UnreadableError, source_sha256
from shards.atomic import named, write_all
from shards.errors import ShardError
from shards.records import Record
from shards.regular import check_regular_or_new, open_regular
from shards.store.listed import ListedFile

FILE = "sources.jsonl"
HASHING_THREADS = 4


class _Line(Record, frozen=True, kw_only=True):
    """That a file at a URL has a hash as long as it has this version."""

    location: str
    bytes: int
    version: str
    sha256: str


class KnownSources:
    """The hashes that this and earlier builds have found. Used by several threads at once."""

    def __init__(self, output: Output) -> None:
        """Raises: OSError if they cannot be read."""
        self._path = output.build_dir / FILE
        self._lock = threading.Lock()
        self._known = {_identity(line): line.sha256 for line in _lines(self._path)}

    def sha256(self, source: Source) -> str:
        """As `source_sha256`, but a file at a URL is fetched only if its version is new."""
        if not isinstance(source, ListedFile):
            return source_sha256(source)
        known = self._known.get((source.location, source.size_bytes, source.version)) if source.version else None
        sha256 = known or source_sha256(source)
        self.note(source, sha256)
        return sha256

    def hashes(self, sources: Mapping[str, Source]) -> dict[str, str | UnreadableError]:
        """Key -> sha256 of the source, or why it cannot be read. Raises: BuildError, also if one changes meanwhile."""

        def attempt(source: Source) -> str | UnreadableError:
            try:
                return self.sha256(source)
            except UnreadableError as error:
                return error
            except VideoError as error:
                raise BuildError(f"{error.detail}; run the same command again, which lists it again") from None

        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            hashes = pool.map(attempt, sources.values())
        return dict(zip(sources, hashes, strict=True))

    def note(self, source: Source, sha256: str) -> None:
        """Remember what a source has. Does nothing for one whose versions are not known."""
        if not isinstance(source, ListedFile) or not source.version or not sha256:
            return
        line = _Line(location=source.location, bytes=source.size_bytes, version=source.version, sha256=sha256)
        with self._lock:
            if self._known.get(_identity(line)) == sha256:
                return
            check_regular_or_new(self._path)
            with named(self._path), self._path.open("ab", buffering=0) as file:
                write_all(file, line.to_json())
            self._known[_identity(line)] = sha256


def _identity(line: _Line) -> tuple[str, int, str]:
    return line.location, line.bytes, line.version


def _lines(path: Path) -> list[_Line]:
    """The lines that can be read. One that a kill has cut costs no more than to fetch that source again."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        return []
    found = []
    for line in data.splitlines():
        try:
            found.append(_Line.from_json(line, where=str(path)))
        except ShardError:
            continue
    return found
