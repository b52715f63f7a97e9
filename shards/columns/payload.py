"""One sample's bytes in one column: in memory, or in a file.

A frame series is one payload: an optional header, then the encoded frames one after another. `frames` holds n + 1
offsets from the end of the header, so frame i is data[header + frames[i] : header + frames[i + 1]].
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.index import rising_from_0

CHUNK_BYTES = 1 << 20  # of a payload in a file, that are in memory at a time


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One sample's bytes in one column, and where its frames lie in them."""

    data: bytes
    frames: list[int]  # n + 1 offsets from 0
    header: int = 0  # bytes before the first frame

    def __post_init__(self) -> None:
        if not rising_from_0(self.frames) or self.header < 0:
            raise ShardError(f"frame offsets must rise from 0, got {self.frames[:4]}... after {self.header} bytes")
        if self.header + self.frames[-1] != len(self.data):
            raise ShardError(f"frames end at byte {self.header + self.frames[-1]} of {len(self.data)}")

    def __len__(self) -> int:
        return len(self.frames) - 1

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, for those who copy them."""
        yield self.data

    def frame(self, position: int) -> bytes:
        return self.data[self.header + self.frames[position] : self.header + self.frames[position + 1]]


@dataclass(frozen=True, kw_only=True)
class PayloadFile:
    """As Payload, but its bytes lie in a file, and only those that are asked for are in memory."""

    path: Path
    offset: int = 0  # of its first byte in the file
    frames: list[int]
    header: int = 0
    sha256: str = ""  # that the bytes must have where all of them are read; "" if it is not known

    def __len__(self) -> int:
        return len(self.frames) - 1

    @property
    def size_bytes(self) -> int:
        return self.header + self.frames[-1]

    @property
    def data(self) -> bytes:
        """Raises: OSError; ShardError if the file is shorter, or the bytes do not have the sha256."""
        return b"".join(self.chunks())

    def frame(self, position: int) -> bytes:
        """Raises: OSError; ShardError if the file is shorter."""
        start, stop = (self.header + self.frames[edge] for edge in (position, position + 1))
        return b"".join(self._read(start, stop))

    def chunks(self) -> Iterator[bytes]:
        """The bytes, some at a time. Raises: as `data`, at the end."""
        chunks = self._read(0, self.size_bytes)
        return self._checked(chunks) if self.sha256 else chunks

    def _checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        found = hashlib.sha256()
        for chunk in chunks:
            found.update(chunk)
            yield chunk
        if found.hexdigest() != self.sha256:
            what = f"the payload at byte {self.offset} does not have the sha256 of its index"
            raise ShardError(f"{self.path}: {what}; check the disk, and run the same command again")

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset + start)
            left = stop - start
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise ShardError(f"{self.path}: ends {left} bytes too early")
                left -= len(chunk)
                yield chunk


AnyPayload = Payload | PayloadFile
