"""Reads the headers of RAR archives, formats 4 and 5: what is in an archive, without unpacking any of it.

The tools that unpack list archives in forms of their own, and not all of them compare checksums. So names, sizes and
checksums are read here, and what a tool writes is held against them. Layout: https://www.rarlab.com/technote.htm.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ipdata.archives.members import ArchiveError, Kind, Member
from shards.atomic import named

MAGIC_4, MAGIC_5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
UNIX_4, UNIX_5 = 3, 1  # the system on which a member was packed
MAX_HEADER_BYTES = 2 * 2**20  # of format 5, by its definition
MAX_NUMBER_BYTES = 10  # of a number of format 5, by its definition
NUMBER_BITS, MODE_BITS = 63, 32  # larger sizes and modes exist on no system
MAIN_4, FILE_4, END_4 = 0x73, 0x74, 0x7B  # types of blocks
VOLUME_4, ENCRYPTED_HEADERS_4 = 0x01, 0x80  # flags of the main block
SPLIT_4, ENCRYPTED_4, LARGE_4, FOLDER_4 = 0x03, 0x04, 0x100, 0xE0  # flags of a file
HAS_DATA_4 = 0x8000
MAIN_5, FILE_5, ENCRYPTION_5, END_5 = 1, 2, 4, 5
HAS_EXTRA_5, HAS_DATA_5, SPLIT_5 = 1, 2, 0x18
FOLDER_5, HAS_TIME_5, HAS_CRC_5, UNKNOWN_SIZE_5 = 1, 2, 4, 8
ENCRYPTION_RECORD_5, REDIRECTION_RECORD_5 = 1, 5
LOCKED = "needs a password"
VOLUME = "is one of several volumes; join them with the program that made them"


def rar_members(path: Path) -> list[Member]:
    """The members of a RAR archive, in its order.

    Raises: ArchiveError if it is damaged, cut, encrypted or of a kind that is not read here; OSError.
    """
    size_bytes = path.stat().st_size
    with named(path), path.open("rb") as file:
        is_5 = file.read(len(MAGIC_5)) == MAGIC_5
        file.seek(len(MAGIC_5 if is_5 else MAGIC_4))
        try:
            return list((_members_5 if is_5 else _members_4)(file, size_bytes))
        except (struct.error, IndexError):
            raise ArchiveError(f"has a broken header before byte {file.tell()}") from None


def _skip(file: BinaryIO, data_bytes: int, size_bytes: int) -> None:
    """Go to the next header. Raises: ArchiveError if the file ends before."""
    end = file.tell() + data_bytes
    if end > size_bytes:
        raise ArchiveError(f"is cut: it has {size_bytes} bytes and needs at least {end}")
    file.seek(end)


def _members_4(file: BinaryIO, size_bytes: int) -> Iterator[Member]:
    while fixed := file.read(7):
        crc, kind, flags, header_bytes = struct.unpack("<HBHH", fixed)
        fields = file.read(max(header_bytes - 7, 0))
        if header_bytes < 7 or zlib.crc32(fixed[2:] + fields) & 0xFFFF != crc:
            raise ArchiveError(f"has a damaged header before byte {file.tell()}")
        if kind == END_4:
            return
        if kind == MAIN_4:
            _refuse((flags & ENCRYPTED_HEADERS_4, LOCKED), (flags & VOLUME_4, VOLUME))
        elif kind == FILE_4:
            yield _member_4(flags, fields)
        data_bytes = struct.unpack_from("<I", fields)[0] if flags & HAS_DATA_4 or kind == FILE_4 else 0
        if kind == FILE_4 and flags & LARGE_4:
            data_bytes += struct.unpack_from("<I", fields, 25)[0] << 32
        _skip(file, data_bytes, size_bytes)


def _member_4(flags: int, fields: bytes) -> Member:
    _refuse((flags & ENCRYPTED_4, LOCKED), (flags & SPLIT_4, VOLUME))
    size, system, crc32 = struct.unpack_from("<IBI", fields, 4)
    name_bytes, mode = struct.unpack_from("<HI", fields, 19)
    start = 25
    if flags & LARGE_4:
        size += struct.unpack_from("<I", fields, 29)[0] << 32
        start = 33
    # A name that is not ASCII has a second form after a NUL; official names are all ASCII.
    name = fields[start : start + name_bytes].partition(b"\0")[0].decode("utf-8", "replace").replace("\\", "/")
    is_folder = flags & FOLDER_4 == FOLDER_4
    return Member(
        name=name,
        kind=_kind(is_folder, mode if system == UNIX_4 else 0),
        size_bytes=0 if is_folder else size,
        crc32=crc32,
    )


def _members_5(file: BinaryIO, size_bytes: int) -> Iterator[Member]:
    while fixed := file.read(4):
        header_bytes, as_read = _number(file)
        if header_bytes > MAX_HEADER_BYTES:
            raise ArchiveError(f"has a damaged header before byte {file.tell()}")
        fields = file.read(header_bytes)
        if zlib.crc32(as_read + fields) != struct.unpack("<I", fixed)[0]:
            raise ArchiveError(f"has a damaged header before byte {file.tell()}")
        header = _Numbers(fields)
        kind, flags = header.next(), header.next()
        extra_bytes = header.next() if flags & HAS_EXTRA_5 else 0
        data_bytes = header.next() if flags & HAS_DATA_5 else 0
        if kind == END_5:
            return
        _refuse((kind == ENCRYPTION_5, LOCKED), (kind == MAIN_5 and header.next() & 1, VOLUME))
        if kind == FILE_5:
            _refuse((flags & SPLIT_5, VOLUME))
            yield _member_5(header, fields[len(fields) - extra_bytes :])
        _skip(file, data_bytes, size_bytes)


def _member_5(header: "_Numbers", extra: bytes) -> Member:
    flags, size, mode = header.next(), header.next(), header.next(MODE_BITS)
    header.place += 4 * bool(flags & HAS_TIME_5)
    crc32 = struct.unpack_from("<I", header.data, header.place)[0] if flags & HAS_CRC_5 else None
    header.place += 4 * bool(flags & HAS_CRC_5)
    header.next()  # how it is compressed
    system, name_bytes = header.next(), header.next()
    name = header.data[header.place : header.place + name_bytes].decode("utf-8", "replace")
    records = set(_records_5(extra))
    _refuse(
        (ENCRYPTION_RECORD_5 in records, LOCKED),
        (flags & UNKNOWN_SIZE_5, "does not say how large a member is"),
        (crc32 is None and not flags & FOLDER_5, "has no CRC32 of a member; unpack it by hand"),
    )
    is_folder = bool(flags & FOLDER_5)
    kind: Kind = _kind(is_folder, mode if system == UNIX_5 else 0)
    if REDIRECTION_RECORD_5 in records:  # a link of any kind
        kind = "link"
    return Member(name=name, kind=kind, size_bytes=0 if is_folder else size, crc32=crc32 or 0)


def _records_5(extra: bytes) -> Iterator[int]:
    """The types of the records in a header's extra area."""
    area = _Numbers(extra)
    while area.place < len(extra):
        record_bytes = area.next()
        end = area.place + record_bytes
        yield area.next()
        area.place = end


@dataclass
class _Numbers:
    """Reads numbers of format 5: 7 bits a byte, the lowest first; the top bit says that more follow."""

    data: bytes
    place: int = 0

    def next(self, max_bits: int = NUMBER_BITS) -> int:
        """Raises: ArchiveError if the number has more bytes than the format allows, or more bits; IndexError."""
        value = 0
        for index in range(MAX_NUMBER_BYTES):
            byte = self.data[self.place]
            self.place += 1
            value |= (byte & 0x7F) << 7 * index
            if not byte & 0x80:
                break
        else:
            raise ArchiveError(f"has a broken header: a number has more than {MAX_NUMBER_BYTES} bytes")
        if value.bit_length() > max_bits:
            raise ArchiveError(f"has a broken header: a number has more than {max_bits} bits")
        return value


def _number(file: BinaryIO) -> tuple[int, bytes]:
    """The number that comes next, and its bytes."""
    digits = bytearray()
    while not digits or (digits[-1] & 0x80 and len(digits) < MAX_NUMBER_BYTES):
        digits += file.read(1) or b"\0"
    return _Numbers(bytes(digits)).next(), bytes(digits)


def _kind(is_folder: bool, mode: int) -> Kind:
    """mode: as stat gives it; 0 where the member was not packed on Unix."""
    if is_folder:
        return "folder"
    kinds: dict[int, Kind] = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _refuse(*problems: tuple[object, str]) -> None:
    for is_there, problem in problems:
        if is_there:
            raise ArchiveError(problem)
