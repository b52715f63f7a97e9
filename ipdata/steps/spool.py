"""Payloads while they are made: frames go to a file as they come, so that a video may have any length."""

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from shards.atomic import named, write_all
from shards.columns import Column, PayloadFile
from shards.errors import ShardError


def payload_path(directory: Path, key: str, column: str) -> Path:
    """A new file for a payload. Each attempt has its own: a worker that was given up may still be at work."""
    return directory / f"{key}.{column}.{os.urandom(4).hex()}"


class Spool:
    """The file of one payload that must have so many frames."""

    def __init__(self, path: Path, column: Column, *, frames: int, width: int, height: int) -> None:
        """Raises: OSError if the file cannot be written."""
        self._path, self._column, self._expected = path, column, frames
        self._size = {"width": width, "height": height}
        header = column.header(frames, **self._size)
        self._header_bytes, self._offsets = len(header), [0]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb", buffering=0)
        self._write(header)

    def add(self, frames: Iterable[bytes]) -> None:
        """Write the next frames. Raises: ShardError if one cannot be the column's; OSError."""
        for frame in frames:
            self._column.check_frame(frame, **self._size)
            self._write(frame)
            self._offsets.append(self._offsets[-1] + len(frame))

    def _write(self, data: bytes) -> None:
        with named(self._path):
            write_all(self._file, data)

    def payload(self) -> PayloadFile:
        """The payload, once all frames are there. Raises: ShardError if it has another number of frames; OSError."""
        with named(self._path):
            self._file.close()
        found = len(self._offsets) - 1
        if found != self._expected:
            raise ShardError(f"{self._column.name}: its maker gave {found} frames, {self._expected} are needed")
        return PayloadFile(path=self._path, frames=self._offsets, header=self._header_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
