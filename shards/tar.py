"""Deterministic USTAR archives, written and walked member by member."""

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from shards.errors import ShardError

BLOCK_BYTES = 512


def _header(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)  # mtime 0, owner 0:0 without names
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padding(size_bytes: int) -> bytes:
    return b"\0" * (-size_bytes % BLOCK_BYTES)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """Write members in the given order and sync the file; returns (offset, bytes) of each member's content.

    Equal members give equal bytes: no times, owners or record padding. The archive ends with two zero blocks.
    """
    positions = []
    with path.open("xb") as file:
        for name, content in members:
            file.write(_header(name, len(content)))
            positions.append((file.tell(), len(content)))
            file.write(content)
            file.write(_padding(len(content)))
        file.write(b"\0" * (2 * BLOCK_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return positions


def walk_tar(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield (name, content offset, content) of each member, checking that every byte is where write_tar puts it.

    Raises: ShardError where the archive is cut, has trailing bytes, or a header that write_tar would not write.
    """
    total_bytes = path.stat().st_size
    with path.open("rb") as file:
        while (header := file.read(BLOCK_BYTES)).strip(b"\0"):
            name, size_bytes = _parse_header(header, where=f"{path}, byte {file.tell() - BLOCK_BYTES}")
            offset = file.tell()
            content = file.read(size_bytes)
            if len(content) < size_bytes or file.read(len(_padding(size_bytes))) != _padding(size_bytes):
                raise ShardError(f"{path}: cut or damaged inside member {name}")
            yield name, offset, content
        if len(header) != BLOCK_BYTES or file.read(BLOCK_BYTES) != b"\0" * BLOCK_BYTES or file.tell() != total_bytes:
            raise ShardError(f"{path}: does not end with exactly two zero blocks; cut or appended to")


def _parse_header(header: bytes, *, where: str) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        expected = _header(info.name, info.size)
    except (tarfile.HeaderError, ValueError) as error:
        raise ShardError(f"{where}: not a tar header ({error})") from None
    if header != expected:
        raise ShardError(f"{where}: header of member {info.name!r} is not as format 1 writes it (time, owner or mode)")
    return info.name, info.size
