"""Writes genuine RAR archives of stored members, in the formats 4 and 5, for tests of what reads them.

Layout: https://www.rarlab.com/technote.htm (format 5), and the technical note of RAR 4. Nothing is compressed (method
m0). Names and sizes are written as they are given, so hostile archives can be written too.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

STORED, UNIX = 0x30, 3  # of RAR 4: the method m0, and the system on which an archive was made
FILE_MODE, FOLDER_MODE, LINK_MODE = 0o100644, 0o040755, 0o120777
DOS_TIME = (30 << 25) | (1 << 21) | (1 << 16)  # 2010-01-01 00:00:00
VERSION_NEEDED = 20
HEADER4, FILE4, END4 = 0x73, 0x74, 0x7B  # types of blocks
LONG_BLOCK = 0x8000  # its data follow
IS_FOLDER = 0xE0
MAIN5, FILE5, END5 = 1, 2, 5
HAS_EXTRA, HAS_DATA = 1, 2
FOLDER5, HAS_TIME5, HAS_CRC5 = 1, 2, 4
REDIRECTION = 5  # type of an extra record
SYMBOLIC, HARD = 1, 4  # kinds of redirections


@dataclass(frozen=True)
class Entry:
    """A member. `mode` as stat gives it; `link` is the target of a link; `bytes` is a size that is lied about."""

    name: str
    data: bytes = b""
    mode: int = FILE_MODE
    link: str = ""
    is_hard_link: bool = False  # RAR 5 only
    bytes: int | None = None
    crc: int | None = None


def folder(name: str) -> Entry:
    return Entry(name, mode=FOLDER_MODE)


def symbolic_link(name: str, target: str) -> Entry:
    return Entry(name, data=target.encode(), mode=LINK_MODE, link=target)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, link=target, is_hard_link=True)


def rar4(entries: Sequence[Entry], *, main_flags: int = 0) -> bytes:
    """An archive as RAR wrote them before 2013, which is what HMDB51 and UCF101 have."""
    blocks = [b"Rar!\x1a\x07\x00", _block4(HEADER4, main_flags, bytes(6))]
    blocks += [_file4(entry) + entry.data for entry in entries]
    return b"".join([*blocks, _block4(END4, 0x4000, b"")])


def _file4(entry: Entry) -> bytes:
    name = entry.name.replace("/", "\\").encode("latin-1")
    size = len(entry.data) if entry.bytes is None else entry.bytes
    crc = crc32(entry.data) if entry.crc is None else entry.crc
    flags = LONG_BLOCK | (IS_FOLDER if entry.mode == FOLDER_MODE else 0)
    fields = struct.pack(
        "<IIBIIBBHI",
        *(len(entry.data), size, UNIX, crc, DOS_TIME, VERSION_NEEDED, STORED, len(name), entry.mode),
    )
    return _block4(FILE4, flags, fields + name)


def _block4(kind: int, flags: int, fields: bytes) -> bytes:
    header = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
    return struct.pack("<H", crc32(header) & 0xFFFF) + header


def rar5(entries: Sequence[Entry]) -> bytes:
    """An archive as RAR writes them since 2013. A size or mode may be larger than the format allows."""
    blocks = [b"Rar!\x1a\x07\x01\x00", _block5(_numbers(MAIN5, 0, 0))]
    blocks += [_file5(entry) for entry in entries]
    return b"".join([*blocks, _block5(_numbers(END5, 0, 0))])


def _file5(entry: Entry) -> bytes:
    data = b"" if entry.link else entry.data
    name, extra = entry.name.encode(), b""
    size = len(data) if entry.bytes is None else entry.bytes
    crc = crc32(data) if entry.crc is None else entry.crc
    if entry.link:
        target = entry.link.encode()
        record = _numbers(REDIRECTION, HARD if entry.is_hard_link else SYMBOLIC, 0, len(target)) + target
        extra = _numbers(len(record)) + record
    is_folder = entry.mode == FOLDER_MODE
    flags = HAS_DATA | (HAS_EXTRA if extra else 0)  # bsdtar asks for the size of data where there are none, too
    sizes = [len(extra)] * bool(extra) + [len(data)]
    fields = _numbers(FILE5, flags, *sizes, FOLDER5 if is_folder else HAS_CRC5, size, entry.mode)
    fields += b"" if is_folder else struct.pack("<I", crc)
    fields += _numbers(0, 1, len(name)) + name + extra  # no compression, made on Unix
    return _block5(fields) + data


def _block5(fields: bytes) -> bytes:
    header = _numbers(len(fields)) + fields
    return struct.pack("<I", crc32(header)) + header


def _numbers(*values: int) -> bytes:
    """Numbers as RAR 5 writes them: 7 bits a byte, the lowest first, with the top bit set in all but the last."""
    written = bytearray()
    for value in values:
        while value > 0x7F:
            written.append(value & 0x7F | 0x80)
            value >>= 7
        written.append(value)
    return bytes(written)


def write_rar(path: Path, entries: Sequence[Entry], *, version: int = 4, main_flags: int = 0) -> Path:
    """Write an archive, and the folders above it. main_flags: of RAR 4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rar5(entries) if version == 5 else rar4(entries, main_flags=main_flags))
    return path
