"""The bitstream of one sample that a set has: what columns are added from, instead of the source video."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ipdata.errors import BuildError, VideoError
from shards.atomic import named, write_all
from shards.canonical import sha256_file
from shards.columns import PayloadFile
from shards.errors import ShardError
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

    @property
    def payload(self) -> PayloadFile:
        """The bitstream, not cut into pictures."""
        return PayloadFile(path=self.path, offset=self.offset, frames=[0, self.size_bytes])

    def copy_to(self, path: Path) -> None:
        """Copy the bitstream to a new file, and verify the copy.

        Raises: VideoError if it has no bytes. OSError if it cannot be copied, BuildError if it is not what its hash
            says: it was verified before, so neither is a fault of the video.
        """
        with named(path), path.open("xb", buffering=0) as file, suppress(ShardError):  # it is shorter; the hash tells
            for chunk in self.payload.chunks():
                write_all(file, chunk)
        if sha256_file(path) != self.sha256:
            problem = "the bitstream does not have the sha256 of the set's index any more"
            raise BuildError(f"{self.path}: {problem}; verify the set, and check the disk")
        if not self.size_bytes:
            raise VideoError("source", "empty", f"{self.path}: the bitstream has 0 bytes")
