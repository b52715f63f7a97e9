"""Breaks calls that change files: the n-th one fails as on a bad or full disk, or the process is killed before it.

The calls are those of Python's `os` and `io`, so what runs is the real code, up to the call of the kernel.
"""

import builtins
import errno
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Call(NamedTuple):
    """A call that is about to change something below the watched directory."""

    kind: str  # open, write, sync, rename, link, mkdir or remove
    path: str


Before = Callable[[int, Call], None]  # is given the number of a call, from 0, and the call; may raise OSError or kill


def failing(number: int, error: int, *, onwards: bool) -> Before:
    """Let the call of this number fail with an errno; with `onwards`, all later ones too, as on a disk that is full.

    Removing is never refused for want of room.
    """

    def before(at: int, call: Call) -> None:
        no_room = error in (errno.ENOSPC, errno.EDQUOT)
        if (at == number or (onwards and at > number)) and not (no_room and call.kind == "remove"):
            where = () if call.kind in ("write", "sync") else (call.path,)  # as Python's own errors
            raise OSError(error, os.strerror(error), *where)

    return before


def killing(number: int) -> Before:
    """Kill this process before the call of this number."""

    def before(at: int, _: Call) -> None:
        if at == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


class _Watched(io.FileIO):
    """A file whose writes are noted. Buffers above it call `write` when they are full, flushed or closed."""

    def __init__(self, path: Any, mode: str, note: Callable[[str, Any], None]) -> None:
        super().__init__(path, mode)
        self._note, self._path = note, path

    def write(self, data: Any) -> int:
        self._note("write", self._path)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self._note("write", self._path)
        return super().truncate(size)


class _Calls:
    def __init__(self, root: Path, before: Before) -> None:
        self.root, self.before = root.resolve(), before
        self.seen: list[Call] = []
        self.lock = threading.Lock()

    def note(self, kind: str, path: Any) -> None:
        """Count a call, and let `before` break it, if it changes something below the root."""
        absolute = Path(path).parent.resolve() / Path(path).name
        if not absolute.is_relative_to(self.root):
            return
        call = Call(kind, str(absolute))
        with self.lock:
            self.seen.append(call)
            number = len(self.seen) - 1
        self.before(number, call)

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **more: Any) -> Any:
        """As io.open."""
        if not isinstance(file, str | os.PathLike) or not set(mode) & set("wxa+"):
            return REAL_OPEN(file, mode, buffering, *text, **more)
        self.note("open", file)
        raw = _Watched(file, mode.replace("b", "").replace("t", ""), self.note)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **more)

    def sync(self, descriptor: int) -> None:
        self.note("sync", Path(f"/proc/self/fd/{descriptor}").readlink())
        REAL_FSYNC(descriptor)


REAL_OPEN, REAL_FSYNC = io.open, os.fsync
CHANGING = {"replace": "rename", "rename": "rename", "link": "link"}  # of os; the second argument is what is made
MAKING = {"mkdir": "mkdir", "unlink": "remove", "remove": "remove"}  # the first argument is


@contextmanager
def watched(root: Path, before: Before = lambda number, call: None) -> Iterator[list[Call]]:
    """Within this block, each call of this process that changes something below `root` is noted, and may be broken.

    Counted are: opening a file to write, writing, syncing, renaming, linking, making a directory, removing a file.
    Removing a whole tree is not counted.
    """
    calls = _Calls(root, before)

    def wrapped(name: str, kind: str, place: int) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if options.get("dir_fd") is None:
                calls.note(kind, arguments[place])
            return real(*arguments, **options)

        return call

    def no_sendfile(*_: Any) -> int:
        raise OSError(errno.EINVAL, "copies go by write here, which is counted")

    with pytest.MonkeyPatch.context() as patched:
        for place, names in enumerate((MAKING, CHANGING)):
            for name, kind in names.items():
                patched.setattr(os, name, wrapped(name, kind, place))
        patched.setattr(os, "fsync", calls.sync)
        patched.setattr(os, "sendfile", no_sendfile)
        patched.setattr(io, "open", calls.open)
        patched.setattr(builtins, "open", calls.open)
        yield calls.seen
