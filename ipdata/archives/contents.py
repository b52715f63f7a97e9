"""Opens an archive of any kind: lists its members, and yields their bytes, each compared with its checksum."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ipdata.archives.members import ArchiveError, Kind, Member
from ipdata.archives.rar import MAGIC_4, MAGIC_5, rar_members
from ipdata.archives.tools import CHUNK_BYTES, INSTALL, TOOLS, Tool
from ipdata.errors import BuildError
from shards.regular import open_regular
from shards.text import printable, printable_bytes

try:
    from lzma import LZMAError
except ImportError:  # this Python was built without it; then zipfile raises RuntimeError at a member that needs it
    LZMAError = RuntimeError  # type: ignore[assignment, misc]

AGAIN = "download it again"
# What zipfile raises at damaged archives and at those that it cannot read. NotImplementedError is a RuntimeError;
# UnicodeDecodeError is a ValueError.
ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError),
    *(ValueError, IndexError, OverflowError, struct.error),
)
Pieces = Generator[
    tuple[Member, Iterator[bytes]], None, None
]  # every file of an archive, in order; its bytes must be read whole


def members_of(label: str, path: Path) -> list[Member]:
    """The members of a RAR or ZIP archive, whatever its name is. Raises: BuildError, OSError."""
    try:
        return _zip_members(path) if _is_zip(label, path) else rar_members(path)
    except ArchiveError as error:
        raise BuildError(f"{label}: {error}; {AGAIN} if it should not be so") from None


def _is_zip(label: str, path: Path) -> bool:
    """Raises: BuildError if the file is neither a RAR nor a ZIP archive."""
    with open_regular(path) as file:
        first = file.read(16)
    if first.startswith((MAGIC_4, MAGIC_5)):
        return False
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return True
    begins = f'it begins with "{printable_bytes(first)}"' if first else "it is empty"
    raise BuildError(f"{label}: is no RAR or ZIP archive, {begins}; {AGAIN}")


@contextmanager
def _zip_problems(where: str = "") -> Iterator[None]:
    """Turn what zipfile raises at a bad archive into an ArchiveError of one line, which begins with `where`."""
    try:
        yield
    except ZIP_ERRORS as error:
        raise ArchiveError(f"{where}{printable(str(error)) or type(error).__name__}") from None
    except OSError as error:
        if error.filename is not None:  # the file cannot be opened
            raise
        raise ArchiveError(f"{where}cannot be read: {error.strerror or printable(str(error))}") from None


def _zip_members(path: Path) -> list[Member]:
    with _zip_problems(), zipfile.ZipFile(path) as archive:
        members = []
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise ArchiveError("needs a password")
            if not info.filename:
                raise ArchiveError("has a member without a name")
            kind = _zip_kind(info)
            members.append(Member(name=info.filename, kind=kind, size_bytes=info.file_size, crc32=info.CRC))
    return members


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    kinds: dict[int, Kind] = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return "folder" if info.is_dir() else kinds.get(stat.S_IFMT(info.external_attr >> 16), "device")


def readings(label: str, path: Path, members: list[Member], work: Path) -> Iterator[tuple[str, Pieces]]:
    """Every way to read this archive: its name, and the files. Where one raises ArchiveError, take the next.

    Raises: BuildError where there is none.
    """
    files = [member for member in members if member.kind == "file"]
    if _is_zip(label, path):
        yield "zipfile", _zip_pieces(path, members)
        return
    installed = [tool for tool in TOOLS if tool.path]
    if not installed:
        raise BuildError(f"{label}: unpacking RAR needs bsdtar, unar or 7z, and none is installed; {INSTALL}")
    for tool in installed:
        yield tool.name, _rar_pieces(tool, path, files, work)


def _zip_pieces(path: Path, members: list[Member]) -> Pieces:
    with _zip_problems(), zipfile.ZipFile(path) as archive:
        for member, info in zip(members, archive.infolist(), strict=True):
            if member.kind == "file":
                yield member, _zip_chunks(archive, info)


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with _zip_problems(f"{printable(info.filename)}: "), archive.open(info) as file:  # compares size and checksum
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _rar_pieces(tool: Tool, path: Path, files: list[Member], work: Path) -> Pieces:
    """What a tool writes, cut into the members' sizes."""
    with closing(tool.contents(path, work)) as chunks:
        source = _Source(chunks)
        for member in files:
            yield member, source.take(member)
        source.end()


class _Source:
    """What a tool writes, taken in parts. A part whose checksum is wrong is an ArchiveError."""

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks, self._left = chunks, b""

    def take(self, member: Member) -> Iterator[bytes]:
        left_bytes, crc32 = member.size_bytes, 0
        while left_bytes:
            chunk = self._left or next(self._chunks, b"")
            if not chunk:
                raise ArchiveError(f"{printable(member.name)}: {left_bytes} of {member.size_bytes} bytes did not come")
            chunk, self._left = chunk[:left_bytes], chunk[left_bytes:]
            left_bytes -= len(chunk)
            crc32 = zlib.crc32(chunk, crc32)
            yield chunk
        if crc32 != member.crc32:
            raise ArchiveError(f"{printable(member.name)}: wrong checksum")

    def end(self) -> None:
        """Every file had its size and its checksum. A tool's status says no more: bsdtar fails at folders of RAR 5."""
        if self._left:
            raise ArchiveError("the tool wrote more than the archive has")
