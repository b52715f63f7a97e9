"""How bytes come from a URL: `source_of` gives what reads files below it, over HTTP or through fsspec."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shards.errors import ShardError

WAITS_S = (1.0, 4.0, 16.0)  # before each new attempt, unless the server says how long to wait
LONGEST_WAIT_S = 120.0  # that a server can ask for
PROGRESS_BYTES = 64 << 10  # an attempt that brings as much does not count as one in vain
STALL_S = 60.0  # a transfer fails after this time without an answer, or with hardly a byte

T = TypeVar("T")


class NotReceivedError(Exception):
    """Bytes did not arrive.

    retries: how often it is worth asking again. wait_s: how long the server asks to wait before. absent: the server
    answers, but has no such file, or none for us.
    """

    def __init__(self, reason: str, *, retries: int, wait_s: float = 0.0, absent: bool = False) -> None:
        super().__init__(reason)
        self.retries, self.wait_s, self.absent = retries, min(wait_s, LONGEST_WAIT_S), absent


@dataclass(frozen=True)
class Reply:
    """What a server answers: the bytes of a file from `start` on, as they arrive."""

    start: int
    is_range: bool  # False: the whole file, because no range was asked for, the server has none, or the file changed
    total_bytes: int | None  # of the whole file; None if the server does not say
    version: str  # of the file, such as its ETag; "" if the server does not say
    chunks: Iterator[bytes]


class Source(Protocol):
    """Reads files below a URL. It holds no connection that a fork would break, and can be used by many threads."""

    location: str  # what errors call the URL: without login and query
    address: str  # the URL to open, never to be shown or stored

    def get(
        self, relative: str, *, start: int = 0, stop: int | None = None, version: str = ""
    ) -> AbstractContextManager[Reply]:
        """Ask for the bytes from start to stop of a file; None is its end.

        version: that of bytes which came earlier. If the file has another one now, the reply is the whole file.

        Raises: NotReceivedError, also while the chunks arrive; ShardError if packages are missing.
        """


class Limited:
    """A source that is asked over so many connections at once, whoever asks."""

    def __init__(self, source: Source, connections: int) -> None:
        self.location, self.address = source.location, source.address
        self._source, self._free = source, threading.BoundedSemaphore(connections)

    @contextmanager
    def get(self, relative: str, *, start: int = 0, stop: int | None = None, version: str = "") -> Iterator[Reply]:
        with self._free, self._source.get(relative, start=start, stop=stop, version=version) as reply:
            yield reply


def attempts(
    ask: Callable[[], T],
    *,
    name: str,
    say: Callable[[str], None],
    stop: threading.Event | None = None,
    moved: Callable[[], int] = lambda: 0,
) -> T:
    """What `ask` returns; it is called again after errors that may go away.

    name: what errors call the file. say: is told of every new attempt. stop: ends the waiting. moved: how far `ask` has
    come, in bytes; after an attempt that came well further, attempts are counted from 0 again.

    Raises: ShardError that names the file if the error does not go away.
    """
    asked, reached = 0, moved()
    while True:
        try:
            return ask()
        except NotReceivedError as error:
            if moved() - reached >= PROGRESS_BYTES and error.retries > 1:
                asked, reached = 0, moved()
            if asked >= error.retries or (stop is not None and stop.is_set()):
                raise ShardError(f"{name}: {error}") from None
            wait_s = error.wait_s or WAITS_S[asked]
            say(f"{name}: {error}; next attempt in {wait_s:g} s")
        if stop is None:
            time.sleep(wait_s)
        else:
            stop.wait(wait_s)
        asked += 1


def per_process(make: Callable[[], T]) -> Callable[[], T]:
    """Make one value for each thread of each process: connections survive neither a fork nor another thread."""
    local = threading.local()

    def get() -> T:
        if getattr(local, "pid", None) != os.getpid():
            local.pid, local.value = os.getpid(), make()
        value: T = local.value
        return value

    return get
