"""Open a source for ffmpeg and PyAV, and record by its hash which bytes were extracted."""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ipdata.errors import BuildError, VideoError
from ipdata.faults import THIS_MACHINE
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis
from shards.atomic import named, write_all
from shards.canonical import sha256_file
from shards.errors import ShardError
from shards.regular import open_regular
from shards.store.listed import ChangedError, GoneError, ListedFile

Source = Path | ListedFile | Synthesis | Stored
# With these errors, the path of a source leads to no file that this user may read. Others may pass, as of a disk.
LASTING = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EACCES,
    errno.EPERM,
}
RECENT_S = 3.0  # file systems may round times by this much, so a change to a file this young can go unseen


class UnreadableError(VideoError):
    """A source cannot be read. lasting: it is gone or forbidden; otherwise a disk or a network may be at fault."""

    def __init__(self, error: OSError) -> None:
        super().__init__("source", "unreadable", str(error))
        self.lasting = error.errno in LASTING


def _unreadable(error: OSError) -> UnreadableError | BuildError:
    """The error to raise where a source cannot be read."""
    if error.errno in THIS_MACHINE:
        return BuildError(f"a source cannot be read here: {error}; fix that and run again")
    return UnreadableError(error)


def source_sha256(source: Source) -> str:
    """sha256 of a file, or of what describes a synthetic video. A file at a URL is fetched for it.

    Raises: UnreadableError if the file cannot be read; BuildError if that is this machine's fault. As `fetched`.
    """
    if isinstance(source, Synthesis):
        return source.sha256()
    if isinstance(source, Stored):
        return source.sample.source_sha256
    if isinstance(source, ListedFile):
        sha256 = hashlib.sha256()
        for chunk in fetched(source):
            sha256.update(chunk)
        return sha256.hexdigest()
    try:
        return sha256_file(source)
    except OSError as error:
        raise _unreadable(error) from None


def fetched(source: ListedFile) -> Iterator[bytes]:
    """The bytes of a file at a URL as they arrive.

    Raises: UnreadableError if it is gone, VideoError if it is not the one that was listed. BuildError if it does not
        arrive: the network, the server or the credentials are at fault, and not the video.
    """
    try:
        yield from source.chunks()
    except GoneError:
        raise UnreadableError(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source.location)) from None
    except ChangedError as error:
        raise VideoError("source", "changed", str(error)) from None
    except ShardError as error:
        raise BuildError(f"{error}. Mend that, and run the same command again: what is done is kept") from None


def staged(source: Path | ListedFile | Synthesis, scratch: Path) -> Path | Synthesis:
    """The source itself; or, of a file at a URL, a copy in the directory for temporary files.

    Raises: VideoError if it is empty. OSError if the copy cannot be written. As `fetched`.
    """
    if not isinstance(source, ListedFile):
        return source
    if source.size_bytes == 0:
        raise VideoError("source", "empty", f"{source.location} has 0 bytes")
    path = scratch / f"staged{PurePosixPath(source.relative).suffix[:16]}"  # ffmpeg looks at the suffix, too
    with named(path), path.open("xb", buffering=0) as file:
        for chunk in fetched(source):
            write_all(file, chunk)
    return path


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
        """Open a source. scratch: a directory for temporary files.

        Raises: VideoError if the source is empty or unreadable; OSError if scratch cannot be written.
        """
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

    def check_readable(self) -> None:
        """Find out whether something else than its content is the reason that a source could not be extracted.

        Raises: VideoError if it cannot be read, or has changed since; OSError if a file in scratch cannot be read.
        """
        if isinstance(self.source, Synthesis):
            sha256_file(self.path)
        elif self.path != self.source:
            self.path.readlink()
        self.sha256()


def _state(path: Path) -> tuple[int, ...]:
    """Size in bytes, inode, and the times of the last change of content (mtime) and of inode (ctime), in ns.

    Raises: UnreadableError if the file cannot be opened, or is a FIFO or a device; BuildError if that is this
        machine's fault.
    """
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        raise _unreadable(error) from None
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
