"""Files while they are fetched: where their bytes collect, and a journal of the chunks that are complete."""

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from shards import canonical
from shards.atomic import named
from shards.manifest import FileInfo

CHUNK_BYTES = 16 << 20
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Span:
    """The bytes from `start` to `stop` of a file, if they have a hash of their own, as the payloads of a tar have."""

    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """A file to fetch. `publish` is called with the path of its bytes once they are complete, right and synced."""

    relative: str  # below the source
    expected: FileInfo
    part: Path  # where its bytes collect
    publish: Callable[[Path], None]
    spans: Callable[[], Sequence[Span]] = tuple  # is called if the file arrived damaged, to tell where


@dataclass
class Chunk:
    """What one thread receives: the bytes from `position` to `stop` of a file."""

    position: int
    stop: int
    whole: bool  # the whole file, in one reply


class Part:
    """A file while its chunks arrive. A journal beside it says which ones are complete."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted, self.path = wanted, wanted.part
        self.version = ""  # of the file at the server
        self.lock = threading.Lock()
        self.whole = False  # True: one reply brings the whole file
        self.journal = self.path.with_name(f"{self.path.name}.chunks")
        self.size_bytes = wanted.expected.bytes
        self.chunks = range(0, max(self.size_bytes, 1), CHUNK_BYTES)  # where they start
        self.missing = set(self.chunks) - self._completed()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if len(self.missing) == len(self.chunks):
            self.reset()

    def _completed(self) -> set[int]:
        try:
            if self.path.stat().st_size != self.size_bytes:
                return set()
            head, *lines = self.journal.read_text().splitlines()
            return {int(line) for line in lines} if head == self._head() else set()
        except (OSError, ValueError):
            return set()

    def _head(self) -> str:
        return f"{self.wanted.expected.sha256} {CHUNK_BYTES}"

    def chunk(self, start: int) -> Chunk:
        return Chunk(start, min(start + CHUNK_BYTES, self.size_bytes), whole=len(self.chunks) == 1)

    def reset(self) -> None:
        """Forget all that arrived."""
        self.version = ""
        self.missing = set(self.chunks)
        with named(self.path), self.path.open("wb") as file:
            file.truncate(self.size_bytes)
        if len(self.chunks) > 1:
            with named(self.journal):
                self.journal.write_text(f"{self._head()}\n")

    def completed(self, starts: Iterable[int]) -> bool:
        """Note chunks as complete. True if that makes the file complete, which is told to one caller only."""
        with self.lock:
            before = len(self.missing)
            self.missing -= set(starts)
            if len(self.chunks) > 1:
                with named(self.journal), self.journal.open("a") as journal:
                    journal.writelines(f"{start}\n" for start in starts)
            return before > 0 and not self.missing

    def is_right(self) -> bool:
        return self.path.stat().st_size == self.size_bytes and (
            canonical.sha256_file(self.path) == self.wanted.expected.sha256
        )

    def damaged_spans(self) -> list[Span]:
        """The spans whose bytes are wrong; [] if that is most of the file, or if there are none that can tell."""
        spans = self.wanted.spans()
        edges = [0, *(edge for span in spans for edge in (span.start, span.stop)), self.size_bytes]
        if edges != sorted(edges):  # they overlap: a mistake of the writer
            return []
        with self.path.open("rb") as file:
            damaged = [span for span in spans if _sha256_of(file, span) != span.sha256]
        return damaged if 2 * sum(span.stop - span.start for span in damaged) <= self.size_bytes else []

    def keep(self) -> None:
        """Leave a damaged file to the next run, which fetches only what is wrong in it."""
        with named(self.journal):
            self.journal.write_text("".join(f"{line}\n" for line in (self._head(), *self.chunks)))

    def remove(self) -> None:
        self.journal.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def begin_with(wanted: Wanted, damaged: Path) -> None:
    """Let the next fetch of a file begin with a damaged copy, and keep the spans that are right in it."""
    part = Part(wanted)
    shutil.copyfile(damaged, part.path)
    part.keep()


def _sha256_of(file: BufferedReader, span: Span) -> str:
    digest = hashlib.sha256()
    file.seek(span.start)
    for start in range(span.start, span.stop, READ_BYTES):
        digest.update(file.read(min(READ_BYTES, span.stop - start)))
    return digest.hexdigest()
