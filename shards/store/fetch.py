"""Fetches files: several at a time, large ones in chunks at once, each compared with its hash before it gets its name.

A fetch that was cut goes on: complete chunks are kept, and the hash of the whole file decides at the end.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO

from shards.atomic import named, sync_file, write_all
from shards.errors import ShardError
from shards.store.parts import CHUNK_BYTES, Chunk, Part, Span, Wanted
from shards.store.threads import Changes, in_threads
from shards.store.transport import WAITS_S, NotReceivedError, Reply, Source, attempts

CONNECTIONS, MAX_CONNECTIONS = 16, 256
NAMED = 5  # damaged files that an error names

LOG = logging.getLogger(__name__)


class NoRangesError(Exception):
    """The server answers a request for a range with the whole file."""


def fetch(
    source: Source,
    wanted: Iterable[Wanted],
    *,
    connections: int = CONNECTIONS,
    received: Callable[[int], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> None:
    """Fetch files over several connections. received: is told of bytes as they arrive, by several threads in turn.

    cancelled: ends the fetch soon after it is set. Threads that wait for the server then are not waited for; none of
    them changes a file any more.

    Raises: ShardError that names the first file which cannot be fetched; or, after all others were fetched, the files
        whose bytes are not the expected ones. Of those, only what is known to be right is kept. WorkCancelledError.
    """
    run = _Fetch(source, wanted, received)
    try:
        list(in_threads(lambda _: run.work(), range(connections), threads=connections, cancelled=cancelled))
    finally:
        run.changes.end()  # does not wait for the server
    if run.error is not None:
        raise run.error
    if run.damaged:
        more = f"\nand {len(run.damaged) - NAMED} more" if len(run.damaged) > NAMED else ""
        raise ShardError("\n".join(run.damaged[:NAMED]) + more)


def fetch_range(
    source: Source, relative: str, start: int, stop: int, *, cancelled: threading.Event | None = None
) -> bytes:
    """The bytes from start to stop of a file, in memory. They are not compared with a hash: the caller does that.

    cancelled: ends the new attempts.

    Raises: ShardError that names the file if they do not arrive; NoRangesError.
    """
    data = bytearray()

    def ask() -> None:
        with source.get(relative, start=start + len(data), stop=stop) as reply:
            if not reply.is_range:
                raise NoRangesError
            for chunk in _from(reply, start + len(data)):
                data.extend(chunk[: stop - start - len(data)])
                if len(data) == stop - start:
                    return
        raise NotReceivedError(f"only {len(data)} of {stop - start} bytes arrived", retries=len(WAITS_S))

    if stop > start:
        name = f"{source.location}/{relative}"
        attempts(ask, name=name, say=LOG.warning, stop=cancelled, moved=lambda: len(data))
    return bytes(data)


def fetch_ranges(
    source: Source,
    relative: str,
    ranges: Sequence[tuple[int, int]],
    *,
    connections: int = CONNECTIONS,
    cancelled: threading.Event | None = None,
) -> list[bytes]:
    """The bytes of several ranges (start, stop) of a file, as `fetch_range`, over several connections.

    cancelled: ends it soon after it is set. Raises: ShardError; NoRangesError; WorkCancelledError.
    """

    def fetched(span: tuple[int, int]) -> bytes:
        return fetch_range(source, relative, *span, cancelled=cancelled)

    return list(in_threads(fetched, ranges, threads=connections, cancelled=cancelled))


def _from(reply: Reply, position: int) -> Iterator[bytes]:
    """The chunks of a reply from a position of the file on; what comes before is dropped."""
    surplus = position - reply.start
    for chunk in reply.chunks:
        if surplus < len(chunk):
            yield chunk[surplus:] if surplus else chunk
        surplus = max(surplus - len(chunk), 0)


class _Fetch:
    """What the threads of one fetch share."""

    def __init__(self, source: Source, wanted: Iterable[Wanted], received: Callable[[int], None]) -> None:
        self.source, self.changes = source, Changes()
        self.stop = self.changes.ended
        self.error: BaseException | None = None
        self.damaged: list[str] = []
        self._received, self._jobs = received, self._all_jobs(wanted)
        self._lock = threading.Lock()
        self._has_ranges = True  # until a server shows that it has none

    def _all_jobs(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Part, int]]:
        """Each file's missing chunks, by where they start; -1 if only its hash is still to be computed."""
        for one in wanted:
            with self.changes.change():
                part = Part(one)
            for start in sorted(part.missing) or [-1]:
                if part.whole:
                    break
                yield part, start

    def work(self) -> None:
        """Take one job after another until all are done or one has failed."""
        try:
            while not self.stop.is_set():
                with self._lock:
                    job = next(self._jobs, None)
                if job is None:
                    return
                part, start = job
                if start < 0 or self._receive(part, part.chunk(start)):
                    self._finish(part)
        except BaseException as error:
            with self._lock:
                self.error = self.error or error
            self.stop.set()

    def _receive(self, part: Part, chunk: Chunk) -> bool:
        """Receive a chunk, or the whole file where the server gives only that. True if the file is now complete."""
        start = chunk.position

        def ask() -> bool:
            ranged = self._has_ranges and (not chunk.whole or chunk.position > 0)
            first, stop = (chunk.position, chunk.stop) if ranged else (0, None)
            with self.source.get(part.wanted.relative, start=first, stop=stop, version=part.version) as reply:
                self._check(part, reply)
                if not chunk.whole and not self._take_over(part, chunk, reply):
                    return False
                if chunk.whole:
                    chunk.position = reply.start
                with part.path.open("r+b", buffering=0) as file:
                    if not self._write(part, file, reply, chunk):
                        return False
            if chunk.position < chunk.stop:
                arrived = f"only {chunk.position - start} of {chunk.stop - start} bytes arrived"
                raise NotReceivedError(f"{arrived}; if it happens again, upload the file again", retries=len(WAITS_S))
            with self.changes.change():
                return part.completed(part.chunks if chunk.whole else [start])

        return attempts(ask, name=self._name(part), say=LOG.warning, stop=self.stop, moved=lambda: chunk.position)

    def _take_over(self, part: Part, chunk: Chunk, reply: Reply) -> bool:
        """Turn a chunk into the whole file if that is what the server gives. False if another thread receives it."""
        if not reply.is_range:
            self._has_ranges = False
        with part.lock:
            if part.whole:
                return False
            part.whole = chunk.whole = not reply.is_range
        if chunk.whole:
            chunk.stop = part.size_bytes
        return True

    def _check(self, part: Part, reply: Reply) -> None:
        if reply.total_bytes not in (None, part.size_bytes):
            sizes = f"has {reply.total_bytes} bytes at the server, and {part.size_bytes} are stated"
            raise NotReceivedError(f"{sizes}; if it happens again, upload the file again", retries=1)
        part.version = part.version or reply.version

    def _write(self, part: Part, file: FileIO, reply: Reply, chunk: Chunk) -> bool:
        """Write what arrives. False if another thread receives the whole file meanwhile: then its bytes must stay."""
        file.seek(chunk.position)
        for data in reply.chunks:
            if chunk.position + len(data) > chunk.stop:
                raise NotReceivedError("more bytes arrived than were asked for; upload the file again", retries=1)
            with self.changes.change(), part.lock, named(part.path):
                if part.whole and not chunk.whole:
                    return False
                write_all(file, data)
            chunk.position += len(data)
            with self._lock:
                self._received(len(data))
        return True

    def _finish(self, part: Part) -> None:
        """Compare the hash and publish. What has other bytes is fetched once more: some spans, or the whole file."""
        if not part.is_right():
            with part.lock:
                part.whole = True  # no other thread receives anything of it now
            damaged = self._spans_fetched_again(part)
            if not damaged and not part.is_right():
                LOG.warning("%s: its bytes do not have the sha256 that is stated; fetching it again", self._name(part))
                with self.changes.change():
                    part.reset()
                self._receive(part, Chunk(0, part.size_bytes, whole=True))
            if not part.is_right():  # an index that contradicts its tar does not matter here
                self._give_up(part, damaged)
                return
        sync_file(part.path)
        with self.changes.change():
            part.journal.unlink(missing_ok=True)
            part.wanted.publish(part.path)

    def _spans_fetched_again(self, part: Part) -> list[Span]:
        """Fetch the damaged spans of a file once more; return those that are damaged still.

        [] also if the server has no ranges.
        """
        damaged = part.damaged_spans() if self._has_ranges else []
        if not damaged:
            return []
        LOG.warning("%s: %d damaged samples; fetching them again", self._name(part), len(damaged))
        with self.changes.change():
            part.keep()  # if this is cut, the next run fetches only these too
        try:
            with part.path.open("r+b", buffering=0) as file:
                for span in damaged:
                    for start in range(span.start, span.stop, CHUNK_BYTES):
                        self._fetch_again(part, file, start, min(start + CHUNK_BYTES, span.stop))
        except NoRangesError:
            self._has_ranges = False
            return []
        return part.damaged_spans()

    def _fetch_again(self, part: Part, file: FileIO, start: int, stop: int) -> None:
        data = fetch_range(self.source, part.wanted.relative, start, stop, cancelled=self.stop)
        file.seek(start)
        with self.changes.change(), named(part.path):
            write_all(file, data)
        with self._lock:
            self._received(stop - start)

    def _give_up(self, part: Part, damaged: Sequence[Span]) -> None:
        """Note that a file arrived damaged. If only some spans are, the next run finds the others."""
        where = f" in {len(damaged)} of its samples, the others are kept" if damaged else ""
        with self.changes.change():
            if damaged:
                part.keep()
            else:
                part.remove()
        problem = f"the bytes that arrived do not have the manifest's sha256{where}"
        with self._lock:
            self.damaged.append(f"{self._name(part)}: {problem}; if it happens again, upload the file again")

    def _name(self, part: Part) -> str:
        return f"{self.source.location}/{part.wanted.relative}"
