"""`.build/log.jsonl`: a line for each video that a build has made, or that failed. It is no part of a set."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import msgspec

from ipdata.bounds import Count, Seconds, Time
from ipdata.executors.base import VideoDone
from shards import canonical
from shards.errors import ShardError
from shards.failures import CODES, STAGES
from shards.regular import open_regular

LOG = "log.jsonl"  # in .build
MAX_LINE_BYTES = 1 << 20  # the error texts of a video are far shorter
CHUNK_BYTES = 1 << 18


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one video. It has times and error texts, which must not get into the set.

    Lines of other versions may have further fields, or lack those with a default. A line with numbers out of bounds
    cannot be read. Raises: ShardError for an unknown stage or code.
    """

    at: Time  # by the driver's clock
    key: str
    frames: Count  # 0 if it failed
    seconds: dict[str, Seconds]  # by stage; empty if it failed
    workers: list[str] = []  # HOST:PROCESS, one for each step
    memory_bytes: Count = 0  # the most that its processes took together; 0 if that is not known
    name: str = ""  # this and what follows are those of a failure
    stage: str = ""
    code: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        if self.code and (self.code not in CODES or self.stage not in STAGES):
            raise ShardError(f"unknown stage {self.stage!r} or code {self.code!r}")

    @property
    def failed(self) -> bool:
        return self.code != ""

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    @classmethod
    def of(cls, event: VideoDone, *, at: float) -> "LogLine":
        line: dict[str, Any] = {
            "frames": event.frames,
            "seconds": event.seconds,
            "workers": list(event.workers),
            "memory_bytes": event.memory_bytes,
        }
        if event.failed is None:
            return cls(at=at, key=event.key, **line)
        detail = event.failed.detail.encode("utf-8", "backslashreplace").decode()  # JSON has no lone surrogates
        return cls(at=at, **line, **event.failed.failure.to_value(), detail=detail)

    def to_json(self) -> bytes:
        """One line of JSON."""
        return canonical.dumps(msgspec.to_builtins(self))


@dataclass(frozen=True)
class Damaged:
    """A line of the log that is no LogLine, such as one that a kill has cut."""

    at_byte: int  # where it begins


_DECODER = msgspec.json.Decoder(LogLine)


def read_log(path: Path, *, from_byte: int = 0) -> Iterator[LogLine | Damaged]:
    """Yield the lines of a log as a stream; none if there is no log. from_byte: where a line begins, or past the end.

    A last line without an end is left out: it is being written, or its writer was killed.

    Raises: OSError if the log cannot be read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    with BufferedReader(file, CHUNK_BYTES) as lines:
        if from_byte >= os.fstat(file.fileno()).st_size:
            return  # also where it is more than the file system can seek to
        lines.seek(from_byte)
        place = from_byte
        while line := lines.readline(MAX_LINE_BYTES):
            if line.endswith(b"\n"):
                yield from _parsed(line, place)
            elif len(line) == MAX_LINE_BYTES:
                yield Damaged(place)
                place += _skip_line(lines)
            place += len(line)


def _parsed(line: bytes, place: int) -> Iterator[LogLine | Damaged]:
    if not line.strip():
        return
    try:
        yield _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield Damaged(place)


def _skip_line(lines: "BufferedReader[FileIO]") -> int:
    """Read to the end of the line; return the number of bytes."""
    skipped = 0
    while rest := lines.readline(MAX_LINE_BYTES):
        skipped += len(rest)
        if rest.endswith(b"\n"):
            break
    return skipped


def end_torn_line(log: FileIO) -> None:
    """Begin a new line, if a build that was killed has left the last one without an end. log: open to append."""
    if log.tell() and not _ends_a_line(Path(log.name)):
        log.write(b"\n")


def _ends_a_line(path: Path) -> bool:
    with open_regular(path) as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
