"""The bitstream of one sample that a set has: what columns are added from, instead of the source video."""

from dataclasses import dataclass
from pathlib import Path

from ipdata.errors import BuildError, VideoError
from shards.canonical import sha256_bytes
from shards.schema import Sample

VIDEO = "video"  # the column that all others can be made from


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Where a bitstream lies in a file, what hash it must have, and the verified record of its sample."""

    path: Path
    offset: int
    size_bytes: int
    sha256: str
    sample: Sample

    def read(self) -> bytes:
        """The bitstream.

        Raises: VideoError if it has no bytes. OSError if it cannot be read, BuildError if it is not what its hash says:
            it was verified before, so neither is a fault of the video.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            m4v = file.read(self.size_bytes)
        if sha256_bytes(m4v) != self.sha256:
            problem = "the bitstream does not have the sha256 of the set's index any more"
            raise BuildError(f"{self.path}: {problem}; verify the set, and check the disk")
        if not m4v:
            raise VideoError("source", "empty", f"{self.path}: the bitstream has 0 bytes")
        return m4v
