"""Threads that nobody has to wait for: a process that is interrupted ends though one of them waits for a server."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

LOOK_S = 0.2  # between two looks at whether the work is cancelled

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkCancelledError(Exception):
    """The caller has cancelled the work."""


class Changes:
    """What threads that nobody waits for may change, as long as it is theirs to change."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._changed, self._at_work = threading.Condition(), 0

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change something. Raises: WorkCancelledError after the end."""
        with self._changed:
            if self.ended.is_set():
                raise WorkCancelledError
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def end(self, *, wait: bool = True) -> None:
        """Allow no more changes. wait: until those that are at work have ended."""
        with self._changed:
            self.ended.set()
            if wait:
                self._changed.wait_for(lambda: self._at_work == 0)


def in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    cancelled: threading.Event | None = None,
) -> Generator[Result, None, None]:
    """Yield what the function returns for each item, in the order of the items, computed in several threads.

    If the caller stops, or an item fails, no other item is begun, and what is at work is not waited for: it must not
    change what others use then.

    cancelled: ends the work soon after it is set.

    Raises: what the function raises; WorkCancelledError.
    """
    jobs: list[tuple[Item, Future[Result]]] = [(item, Future()) for item in items]
    left, taking, stop = iter(jobs), threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with taking:
                job = next(left, None)
            if job is None:
                return
            item, future = job
            try:
                future.set_result(function(item))
            except BaseException as error:
                stop.set()  # now, because the caller may still wait for an earlier item
                future.set_exception(error)

    try:
        for number in range(min(threads, len(jobs))):
            try:
                threading.Thread(target=work, daemon=True).start()
            except RuntimeError:  # the system gives this process no more
                if not number:
                    raise
                break
        for _, future in jobs:
            while not wait([future], timeout=LOOK_S).done:
                if cancelled is not None and cancelled.is_set():
                    raise WorkCancelledError
            yield future.result()
    finally:
        stop.set()
