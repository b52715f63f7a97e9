"""Writes deterministic USTAR archives, and reads them member by member."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from shards.atomic import named
from shards.errors import ShardError

BLOCK_BYTES = 512
MAX_MEMBER_BYTES = 8**11 - 1  # the header has 11 octal digits for it
MEMBER_NAME = re.compile(r"[!-~]{1,100}")


def _header(name: str, size_bytes: int) -> bytes:
    """A USTAR header of a plain file: mode 644, time 0, owner 0:0 without names.

    It is written by hand because equal sets must have equal bytes, and Python's own tarfile fills the device fields in
    one version and leaves them empty in another.
    """
    if not MEMBER_NAME.fullmatch(name) or not 0 <= size_bytes <= MAX_MEMBER_BYTES:
        needs = "an ASCII name of 1 to 100 characters without spaces, and at most 8 GiB"
        raise ShardError(f"a tar member needs {needs}, got {name!r} of {size_bytes} bytes")
    numbers = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size_bytes + b"00000000000\0"
    before, after = name.encode("ascii").ljust(100, b"\0") + numbers, b"0" + b"\0" * 100 + b"ustar\x0000"
    checksum = sum(before) + sum(b" " * 8) + sum(after)
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK_BYTES, b"\0")


def _padding(size_bytes: int) -> bytes:
    return b"\0" * (-size_bytes % BLOCK_BYTES)


def member_bytes(size_bytes: int) -> int:
    """How many bytes of a tar a member of this size takes, with its header."""
    return BLOCK_BYTES + size_bytes + -size_bytes % BLOCK_BYTES


class Content(Protocol):
    """The content of a member, which need not be in memory as a whole."""

    @property
    def size_bytes(self) -> int: ...

    def chunks(self) -> Iterator[bytes]:
        """Its bytes in order: size_bytes in all."""


def write_tar(path: Path, members: Iterable[tuple[str, bytes | Content]]) -> list[tuple[int, int]]:
    """Write members in the given order and sync the file; returns (offset, bytes) of each member's content.

    Equal members give equal bytes: no times, owners or record padding. The archive ends with two zero blocks.

    Raises: ShardError for a name or a size that a header cannot hold; FileExistsError if the file exists.
    """
    positions = []
    with named(path), path.open("xb") as file:
        for name, content in members:
            size_bytes = len(content) if isinstance(content, bytes) else content.size_bytes
            file.write(_header(name, size_bytes))
            positions.append((file.tell(), size_bytes))
            file.writelines([content] if isinstance(content, bytes) else content.chunks())
            file.write(_padding(size_bytes))
        file.write(b"\0" * (2 * BLOCK_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return positions


def walk_tar(path: Path, *, where: str = "") -> Iterator[tuple[str, int, bytes]]:
    """Yield (name, content offset, content) of each member; check that every byte is where write_tar puts it.

    where: what errors call the file, if not by its path.

    Raises: ShardError if the archive is cut, has bytes after its end, or has a header that write_tar would not write.
    """
    where, total_bytes = where or str(path), path.stat().st_size
    with path.open("rb") as file:
        while (header := file.read(BLOCK_BYTES)).strip(b"\0"):
            name, size_bytes = _parse_header(header, where=f"{where}, byte {file.tell() - BLOCK_BYTES}")
            offset = file.tell()
            content = file.read(min(size_bytes, total_bytes))  # a header may claim terabytes
            if len(content) < size_bytes or file.read(len(_padding(size_bytes))) != _padding(size_bytes):
                raise ShardError(f"{where}: cut or damaged inside member {name}")
            yield name, offset, content
        if len(header) != BLOCK_BYTES or file.read(BLOCK_BYTES) != b"\0" * BLOCK_BYTES or file.tell() != total_bytes:
            raise ShardError(f"{where}: does not end with exactly two zero blocks; bytes are missing or were appended")


def check_headers(file: BinaryIO, *, where: str) -> None:
    """Check, without reading contents, that an archive has the members that write_tar writes: plain files, no other.

    The file is at its beginning before and afterwards. where: what errors call it.

    Raises: ShardError for another header, or contents that the file does not hold.
    """
    total_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    while (header := file.read(BLOCK_BYTES)).strip(b"\0"):
        offset = file.tell()
        name, size_bytes = _parse_header(header, where=f"{where}, byte {offset - BLOCK_BYTES}")
        if offset + size_bytes > total_bytes:
            raise ShardError(f"{where}: cut or damaged inside member {name}")
        file.seek(offset + size_bytes + len(_padding(size_bytes)))
    file.seek(0)


def _parse_header(header: bytes, *, where: str) -> tuple[str, int]:
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size_bytes = int(header[124:135], 8)
        expected = _header(name, size_bytes)
    except ValueError as error:
        raise ShardError(f"{where}: not a tar header ({error})") from None
    if header != expected:
        raise ShardError(f"{where}: header of member {name!r} is damaged, or not as format 1 writes it")
    return name, size_bytes
