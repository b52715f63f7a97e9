"""Open a source for ffmpeg and PyAV, and record by its hash which bytes were extracted."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ipdata.errors import VideoError
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis
from shards.canonical import sha256_file

Source = Path | Synthesis | Stored
RECENT_S = 3.0  # file systems may round times by this much, so a change to a file this young can go unseen


def source_sha256(source: Source) -> str:
    """sha256 of a file, or of what describes a synthetic video. Raises: VideoError if the file cannot be read."""
    if isinstance(source, Synthesis):
        return source.sha256()
    if isinstance(source, Stored):
        return source.sample.source_sha256
    try:
        return sha256_file(source)
    except OSError as error:
        raise VideoError("source", "unreadable", str(error)) from None


@dataclass(frozen=True)
class Opened:
    """A source while it is extracted.

    A file is read three times: by the decode that counts its frames, by ffmpeg, and by `sha256` afterwards. If its
    state, which has the time of the last change, is still the same then, all three have read the same bytes. If the
    file is so young that its times prove nothing, it is also hashed before.
    """

    source: Path | Synthesis
    path: Path  # a file that ffmpeg and PyAV can open
    state: tuple[int, ...]  # before the first read; empty for a synthetic video
    early_sha256: str  # before the first read; empty if the state is proof enough

    @classmethod
    def of(cls, source: Path | Synthesis, scratch: Path) -> "Opened":
        """Open a source. scratch: a directory for temporary files. Raises: VideoError if it is empty or unreadable."""
        if isinstance(source, Synthesis):
            path = scratch / "source.y4m"
            early = source.sha256()
            source.write(path)
            return cls(source, path, (), early)
        state = _state(source)
        if state[0] == 0:
            raise VideoError("source", "empty", f"{source} has 0 bytes")
        proven = time.time() - max(state[2:]) / 1e9 > RECENT_S
        return cls(source, _openable(source, scratch), state, "" if proven else source_sha256(source))

    def check(self) -> None:
        """Raises: VideoError if the source has vanished, or if its state shows that it has changed."""
        if isinstance(self.source, Path) and _state(self.source) != self.state:
            raise VideoError("source", "changed", "its bytes are not those that were read first")

    def sha256(self) -> str:
        """The hash of the bytes that were read. Raises: VideoError if the source has changed since."""
        sha256 = source_sha256(self.source)
        self.check()
        if self.early_sha256 not in ("", sha256):
            raise VideoError("source", "changed", "its bytes are not those that were read first")
        return sha256


def _state(path: Path) -> tuple[int, ...]:
    """Size in bytes, inode, and the times of the last change of content (mtime) and of inode (ctime), in ns.

    Raises: VideoError if the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        raise VideoError("source", "unreadable", str(error)) from None
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _openable(source: Path, scratch: Path) -> Path:
    """The path itself; or a link to it if the path is not UTF-8, because PyAV cannot open such a path."""
    try:
        str(source).encode()
        return source
    except UnicodeEncodeError:
        link = scratch / "source"
        link.symlink_to(source.absolute())
        return link
