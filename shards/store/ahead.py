"""Fetches files in the background, in the order in which a reader will need them, so that it need not wait for them."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from shards.atomic import LockedError
from shards.store.threads import WorkCancelledError

FILES_AT_ONCE = 4
THREAD = "fetching ahead"
MAX_FAILURES = 8  # in a row, until nothing more is fetched ahead
PAUSE_S = 5.0  # after a failure
MAX_STEPS = 256  # of the reader, that files are fetched ahead

LOG = logging.getLogger(__name__)


class Ahead:
    """What a reader of a local set holds: there is nothing to fetch. Leaving the context ends the fetching."""

    def reached(self, step: int) -> None:
        """Tell that the reader has done all steps before this one."""

    def close(self) -> None:
        """End the fetching. Waits until its threads have ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class FetchingAhead(Ahead):
    """Fetches what the next steps of a reader need, as far as max_bytes allow, in some threads.

    Begin it after processes were forked, and end it before more are: threads do not survive a fork.

    A file that cannot be fetched is left to the reader, with a warning; several in a row end the fetching ahead.
    """

    def __init__(
        self,
        wanted: Iterable[Iterable[str]],
        fetch: Callable[[str, threading.Event], None],
        *,
        bytes_of: Callable[[str], int],
        max_bytes: int,
    ) -> None:
        """wanted: the files that each step of the reader needs, by any name.

        fetch: makes a file ready, until the event is set; LockedError if another process does that.
        max_bytes: of the files that the reader has yet to reach. A larger file is left to the reader.
        """
        self._fetch, self._bytes_of, self._max_bytes = fetch, bytes_of, max_bytes
        self._wanted = ((step, name) for step, names in enumerate(wanted) for name in names)
        self._next: tuple[int, str] | None = None  # that there was no room for yet
        self._reached = 0
        self._ready: dict[str, int] = {}  # the last step that needs each file; in the order of these steps
        self._ready_bytes = 0
        self._failures = 0  # in a row
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=THREAD, daemon=True) for _ in range(FILES_AT_ONCE)]
        for thread in self._threads:
            thread.start()

    def reached(self, step: int) -> None:
        with self._changed:
            self._reached = step
            for name, last in list(self._passed(step)):
                assert last < step
                del self._ready[name]
                self._ready_bytes -= self._bytes_of(name)
            self._changed.notify_all()

    def _passed(self, step: int) -> Iterator[tuple[str, int]]:
        for name, last in self._ready.items():
            if last >= step:
                return
            yield name, last

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (name := self._take()) is not None:
            try:
                self._fetch(name, self._closed)
                self._failures = 0
            except LockedError:  # another process, or the reader, fetches it
                continue
            except WorkCancelledError:
                return
            except Exception as error:  # the reader meets it again, if it lasts
                if not self._closed.is_set():
                    self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Leave a file that cannot be fetched to the reader. After several in a row, fetch nothing more."""
        self._failures += 1
        if self._failures < MAX_FAILURES:
            LOG.warning("fetching ahead: %s", error)
            self._closed.wait(PAUSE_S)
            return
        LOG.warning("fetching ahead has ended after %d failures: %s", self._failures, error)
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def _take(self) -> str | None:
        """The next file to fetch, once there is room for it; None at the end."""
        with self._changed:
            while not self._closed.is_set():
                self._next = self._next or next(self._wanted, None)
                if self._next is None:
                    return None
                step, name = self._next
                size_bytes = 0 if name in self._ready else self._bytes_of(name)
                if step < self._reached or size_bytes > self._max_bytes:
                    self._next = None
                elif step < self._reached + MAX_STEPS and self._ready_bytes + size_bytes <= self._max_bytes:
                    self._next = None
                    known = self._ready.pop(name, None) is not None
                    self._ready[name] = step
                    self._ready_bytes += size_bytes
                    if not known:
                        return name
                else:
                    self._changed.wait()
            return None
