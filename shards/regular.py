"""Opens regular files only. A FIFO, a socket or a device in a set from elsewhere would keep its reader waiting."""

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path

KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered. It never waits for a FIFO and never opens a device.

    Raises: OSError that names the path, also if it is not a regular file.
    """
    check_regular(path)
    file = FileIO(path, opener=_without_waiting)
    try:
        _check(path, os.fstat(file.fileno()))  # it may have been replaced since it was looked at
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises: OSError that names the path, also if it is no such file, or is larger."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise OSError(errno.EFBIG, f"is larger than {max_bytes} bytes, so it is damaged", str(path))
        return file.readall()


def check_regular(path: Path) -> None:
    """Raises: OSError that names the path, unless it is a regular file."""
    _check(path, path.stat())


def check_regular_or_new(path: Path) -> None:
    """Raises: OSError that names the path, unless it is a regular file or there is nothing yet."""
    with suppress(FileNotFoundError):
        check_regular(path)


def _check(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(state.st_mode):
        kind = KINDS.get(stat.S_IFMT(state.st_mode), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, not a regular file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such flag, and no FIFOs
