"""Where parts of a set are taken from: a directory, or a URL. What is given on has been compared with its hash."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from shards.atomic import publish, sync_file
from shards.canonical import sha256_bytes
from shards.errors import ShardError
from shards.index import IndexEntry, read_index
from shards.layout import index_path, tar_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.regular import check_regular
from shards.store.fetch import CONNECTIONS, NoRangesError, fetch, fetch_ranges
from shards.store.local import read_ranges
from shards.store.parts import Span, Wanted, begin_with
from shards.store.small import fetch_whole
from shards.store.transport import Limited, Source

GAP_BYTES = 64 << 10  # ranges that lie closer are fetched as one

LOG = logging.getLogger(__name__)

Moved = Callable[[int], None]  # is told of bytes as they are moved
PutInPlace = Callable[[str, Path], None]  # gives a verified file, (path below the set, temporary file), its final place


class Origin(Protocol):
    """The files of the set that is taken from."""

    def move(self, files: Mapping[str, FileInfo], place: PutInPlace) -> None:
        """Copy whole files, verified, and place each one. Raises: ShardError that names what is missing or damaged."""

    def paths(self, files: Mapping[str, FileInfo]) -> dict[str, Path]:
        """Where verified copies of these files lie until `drop` is called. Raises: as move."""

    def drop(self, files: Mapping[str, FileInfo]) -> None:
        """Remove the copies that `paths` made."""

    def payloads(self, column: str, shard: ShardInfo, entries: Sequence[IndexEntry]) -> list[bytes]:
        """The payloads of some samples of a shard, verified. Raises: as move."""

    def cancel(self) -> None:
        """End soon what other threads wait for here; it raises WorkCancelledError there."""


def check_payloads(name: str, entries: Sequence[IndexEntry], payloads: Sequence[bytes]) -> None:
    """Compare payloads with their entries in a verified index. In format 1 entries state no hash.

    Raises: ShardError that names the sample.
    """
    for entry, payload in zip(entries, payloads, strict=True):
        if entry.sha256 and sha256_bytes(payload) != entry.sha256:
            raise ShardError(
                f"{name}: the payload of {entry.key} does not have the sha256 of its index; verify the set"
            )


class LocalOrigin:
    """A set in a directory."""

    def __init__(self, directory: Path, scratch: Path, moved: Moved) -> None:
        self._directory, self._scratch, self._moved = directory, scratch, moved

    def move(self, files: Mapping[str, FileInfo], place: PutInPlace) -> None:
        for relative, expected in files.items():
            path, copy = self._directory / relative, self._scratch / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                check_regular(path)
            except OSError as error:
                raise ShardError(f"{path}: {error.strerror}; verify the set") from None
            shutil.copyfile(path, copy)
            if FileInfo.of(copy) != expected:
                raise ShardError(f"{path}: damaged; verify the set")
            sync_file(copy)
            place(relative, copy)
            self._moved(expected.bytes)

    def paths(self, files: Mapping[str, FileInfo]) -> dict[str, Path]:
        for relative, expected in files.items():
            path = self._directory / relative
            if not path.is_file() or path.stat().st_size != expected.bytes or FileInfo.of(path) != expected:
                raise ShardError(f"{path}: missing or damaged; verify the set")
        return {relative: self._directory / relative for relative in files}

    def drop(self, files: Mapping[str, FileInfo]) -> None:
        """Do nothing: the files are the set's own."""

    def payloads(self, column: str, shard: ShardInfo, entries: Sequence[IndexEntry]) -> list[bytes]:
        relative = tar_path(column, shard.shard)
        path = self._directory / relative
        if any(not entry.sha256 for entry in entries):  # format 1: only the whole file can be verified
            self.paths({relative: shard.files[relative]})
        payloads = read_ranges(path, [(entry.payload[0], entry.payload[1]) for entry in entries], name=str(path))
        check_payloads(str(path), entries, payloads)
        self._moved(sum(map(len, payloads)))
        return payloads

    def cancel(self) -> None:
        """Do nothing: a disk does not keep anyone waiting."""


class RemoteOrigin:
    """A set at a URL. Files and ranges are fetched over several connections at once."""

    def __init__(
        self, source: Source, manifest: Manifest, scratch: Path, moved: Moved, *, connections: int = CONNECTIONS
    ) -> None:
        self._source, self._scratch, self._moved = Limited(source, connections), scratch, moved
        self._manifest, self._connections = manifest, connections
        self._cancelled = threading.Event()
        self._has_ranges = True  # until the server shows that it has none

    def move(self, files: Mapping[str, FileInfo], place: PutInPlace) -> None:
        wanted = (self._wanted(relative, expected, partial(place, relative)) for relative, expected in files.items())
        fetch(
            self._source,
            wanted,
            connections=self._connections,
            received=self._moved,
            cancelled=self._cancelled,
        )

    def cancel(self) -> None:
        self._cancelled.set()

    def begin_with(self, relative: str, expected: FileInfo, damaged: Path) -> None:
        """Let `move` begin with a damaged copy of a file. It keeps the samples that are right in it."""
        begin_with(self._wanted(relative, expected, lambda _: None), damaged)

    def _wanted(self, relative: str, expected: FileInfo, publish: Callable[[Path], None]) -> Wanted:
        spans = partial(self._payload_spans, PurePosixPath(relative))
        return Wanted(relative, expected, self._scratch / relative, publish, spans)

    def _payload_spans(self, path: PurePosixPath) -> list[Span]:
        """Where each payload of a tar lies, and its hash; [] for other files, and in format 1.

        Raises: ShardError if the tar's index does not arrive as the manifest says.
        """
        if path.suffix != ".tar" or self._manifest.format == 1:
            return []
        index, column = index_path(path.parent.name, path.stem), path.parent.name
        expected, name = self._manifest.all_files()[index], f"{self._source.location}/{index}"
        data = fetch_whole(self._source, index, limit_bytes=expected.bytes)
        if FileInfo.of_bytes(data) != expected:
            raise ShardError(f"{name}: its bytes do not have the sha256 of the manifest; upload the file again")
        entries = read_index(data, column=column, where=name)
        return [Span(entry.payload[0], sum(entry.payload), entry.sha256) for entry in entries]

    def paths(self, files: Mapping[str, FileInfo]) -> dict[str, Path]:
        held = {relative: self._held(relative) for relative in files}
        lacking = {r: files[r] for r, path in held.items() if not path.is_file() or FileInfo.of(path) != files[r]}
        self.move(lacking, lambda relative, part: publish(part, self._held(relative)))
        return held

    def drop(self, files: Mapping[str, FileInfo]) -> None:
        for relative in files:
            self._held(relative).unlink(missing_ok=True)

    def _held(self, relative: str) -> Path:
        return self._scratch / "held" / relative

    def payloads(self, column: str, shard: ShardInfo, entries: Sequence[IndexEntry]) -> list[bytes]:
        """Ranges of single samples if that moves fewer bytes than the whole tar, and if they can be verified.

        From a server without ranges, the whole tar.
        """
        relative = tar_path(column, shard.shard)
        name = f"{self._source.location}/{relative}"
        ranges = joined_ranges([(entry.payload[0], sum(entry.payload)) for entry in entries])
        whole = shard.files[relative]
        has_hashes, needed_bytes = all(entry.sha256 for entry in entries), sum(stop - start for start, stop in ranges)
        payloads = None
        if self._has_ranges and has_hashes and needed_bytes < whole.bytes:
            try:
                payloads = self._single(relative, entries)
            except NoRangesError:
                self._has_ranges = False
        if payloads is None:
            payloads = self._of_whole(relative, whole, entries)
        check_payloads(name, entries, payloads)
        return payloads

    def _of_whole(self, relative: str, whole: FileInfo, entries: Sequence[IndexEntry]) -> list[bytes]:
        """The payloads of some samples of a tar, which is fetched whole and verified."""
        path, name = self.paths({relative: whole})[relative], f"{self._source.location}/{relative}"
        payloads = read_ranges(path, [(entry.payload[0], entry.payload[1]) for entry in entries], name=name)
        self.drop({relative: whole})
        return payloads

    def _single(self, relative: str, entries: Sequence[IndexEntry]) -> list[bytes]:
        """The payloads of some samples of a tar as ranges. Those that arrive damaged are fetched once more."""
        payloads = self._ranges(relative, entries)
        damaged = [place for place, entry in enumerate(entries) if sha256_bytes(payloads[place]) != entry.sha256]
        if damaged:
            name = f"{self._source.location}/{relative}"
            LOG.warning("%s: %d damaged samples; fetching them again", name, len(damaged))
            again = self._ranges(relative, [entries[place] for place in damaged])
            for place, payload in zip(damaged, again, strict=True):
                payloads[place] = payload
        return payloads

    def _ranges(self, relative: str, entries: Sequence[IndexEntry]) -> list[bytes]:
        """The payloads of some samples of a tar, not verified."""
        ranges = joined_ranges([(entry.payload[0], sum(entry.payload)) for entry in entries])
        parts = fetch_ranges(self._source, relative, ranges, connections=self._connections, cancelled=self._cancelled)
        self._moved(sum(map(len, parts)))
        return [_slice(entry, ranges, parts) for entry in entries]


def joined_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges (start, stop) with small gaps between them; each costs a request. In order of their starts."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= GAP_BYTES:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _slice(entry: IndexEntry, ranges: Sequence[tuple[int, int]], parts: Sequence[bytes]) -> bytes:
    """A payload out of the joined ranges that were fetched."""
    start, stop = entry.payload[0], sum(entry.payload)
    for (first, last), part in zip(ranges, parts, strict=True):
        if first <= start and stop <= last:
            return part[start - first : stop - first]
    raise AssertionError("every payload lies in a range")
