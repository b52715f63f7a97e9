"""AVI: how many of the frames that its header announces were dropped when it was recorded.

A recorder that misses a frame leaves a chunk of 0 bytes in its place, an entry of 0 bytes in the index, or both. The
header counts it, and no decoder shows anything for it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 8  # of a chunk: four characters, and the size of its content
INDEX_ENTRY = struct.Struct("<4sIII")  # chunk, flags, offset and size in bytes
READ_ENTRIES = 1 << 12  # at a time
PICTURES = (b"dc", b"db")  # the last two characters of a chunk with a picture; the first two are its stream's number


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int  # of its content in the file, in bytes
    end: int


class _CutError(Exception):
    """The file ends within a chunk, or has something else where a chunk must begin."""


def dropped_frames(path: Path, stream: int) -> int:
    """Number of dropped frames of a stream; 0 if the file is cut, because then pictures may be lost as well.

    It is 0, too, if the file cannot be read, or changes. Callers find that out.
    """
    number = f"{stream:02d}".encode()
    names = {number + kind for kind in PICTURES}
    try:
        with path.open("rb") as file:
            parts = [chunk for chunk in _chunks(file, 0, path.stat().st_size) if chunk.name == b"RIFF"]
            return sum(_dropped_in_part(file, part, names) for part in parts)
    except (_CutError, OSError, struct.error):
        return 0


def _dropped_in_part(file: BinaryIO, part: _Chunk, names: set[bytes]) -> int:
    """A file of up to 1 GB has one part, with an index; further parts have none of this kind."""
    in_chunks = in_index = 0
    for chunk in _chunks(file, part.start + 4, part.end):
        if chunk.name == b"LIST":
            in_chunks += sum(each.name in names and each.start == each.end for each in _inside(file, chunk))
        elif chunk.name == b"idx1":
            in_index += sum(name in names and not size for name, _, _, size in _entries(file, chunk))
    return max(in_chunks, in_index)


def _inside(file: BinaryIO, parent: _Chunk) -> Iterator[_Chunk]:
    """The chunks in a list, and in the lists in it. Lists begin with their kind, in four characters."""
    for chunk in _chunks(file, parent.start + 4, parent.end):
        if chunk.name == b"LIST":
            yield from _chunks(file, chunk.start + 4, chunk.end)
        else:
            yield chunk


def _entries(file: BinaryIO, index: _Chunk) -> Iterator[tuple[bytes, int, int, int]]:
    """The entries of an index, which may be as large as the file."""
    for start in range(index.start, index.end, READ_ENTRIES * INDEX_ENTRY.size):
        file.seek(start)
        size = min(READ_ENTRIES * INDEX_ENTRY.size, index.end - start)
        yield from INDEX_ENTRY.iter_unpack(file.read(size - size % INDEX_ENTRY.size))


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[_Chunk]:
    """The chunks between two places of a file. Raises: _CutError."""
    while start + HEADER_BYTES <= end:
        file.seek(start)
        name, size = struct.unpack("<4sI", file.read(HEADER_BYTES))
        chunk = _Chunk(name, start + HEADER_BYTES, start + HEADER_BYTES + size)
        if chunk.end > end or not (name.isascii() and name.decode("ascii").isprintable()):
            raise _CutError
        yield chunk
        start = chunk.end + size % 2
