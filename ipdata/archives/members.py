"""What an archive says of its members, and what of that is refused before anything is unpacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ipdata.errors import BuildError
from shards.text import printable

Kind = Literal["file", "folder", "link", "device"]


class ArchiveError(Exception):
    """An archive cannot be read; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of an archive, as the archive's headers describe it."""

    name: str  # with "/", as it stands there
    kind: Kind
    size_bytes: int  # once unpacked
    crc32: int  # of these bytes

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.name)


@dataclass(frozen=True)
class Limits:
    """How much may be unpacked in one run, archives inside of archives included."""

    max_bytes: int
    max_files: int


def check_members(label: str, members: Sequence[Member]) -> None:
    """Raises: BuildError for a member that is no plain file or folder, or whose name leads out of a directory."""
    for member in members:
        if member.kind not in ("file", "folder"):
            raise _hostile(label, member, f"is a {member.kind}")
        if leads_out(member.name):
            raise _hostile(label, member, "has a name that leads out of the directory")


def leads_out(name: str) -> bool:
    """Tell whether a name is absolute, on a drive, has "..", or is not one that a file can have on every system."""
    drive = name[1:2] == ":"
    return (
        not name.strip("/") or name.startswith("/") or drive or ".." in name.split("/") or "\\" in name or "\0" in name
    )


def _hostile(label: str, member: Member, problem: str) -> BuildError:
    cure = "nothing was unpacked; fetch the archive from the dataset's own site"
    return BuildError(f"{label}: the member {printable(member.name)} {problem}; {cure}")


def check_limits(label: str, members: Sequence[Member], limits: Limits) -> None:
    """Raises: BuildError if the members are more, or larger, than the limits allow."""
    files = [member for member in members if member.kind == "file"]
    total = sum(member.size_bytes for member in files)
    if len(files) > limits.max_files:
        cure = f"if you trust it, run this again with --max-files {len(files)}"
        raise BuildError(f"{label}: has {len(files)} files, and the limit is {limits.max_files}; {cure}")
    if total > limits.max_bytes:
        gb = -(-total // 10**9)
        cure = f"if you trust it, run this again with --max-gb {gb}"
        raise BuildError(f"{label}: unpacks to {total} bytes, and the limit is {limits.max_bytes}; {cure}")
