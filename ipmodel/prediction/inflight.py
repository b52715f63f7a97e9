"""Work on several videos at a time, whose results come in the order of the videos, a bounded number ahead."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

Job = TypeVar("Job")
Part = TypeVar("Part")

PARTS_AHEAD = 3  # of a video, that wait for the reader
LOOK_S = 0.2  # between two looks at whether the reader has gone
_END = object()


def in_flight(
    jobs: Sequence[Job],
    parts_of: Callable[[Job], Iterable[Part]],
    *,
    threads: int,
    at_end: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, Part], None, None]:
    """Yield (number of the job, part) for all parts of all jobs, in order, computed in several threads.

    Each thread works on one job at a time. It stops when its job has PARTS_AHEAD parts that nobody has taken, and when
    twice as many jobs as there are threads have been begun beyond the one that is read. at_end: is called by each
    thread before it ends. Threads are not waited for if the caller stops early. With threads=0, the calling thread
    computes all parts, as they are asked for, and at_end is not called.

    Raises: what parts_of raises, when its job's turn comes.
    """
    if threads == 0:
        yield from ((number, part) for number, job in enumerate(jobs) for part in parts_of(job))
        return
    queues: list[queue.Queue[Any]] = [queue.Queue(PARTS_AHEAD) for _ in jobs]
    left, taking, stop = iter(range(len(jobs))), threading.Lock(), threading.Event()
    room = threading.Semaphore(2 * threads)

    def give(number: int, part: object) -> bool:
        while not stop.is_set():
            try:
                queues[number].put(part, timeout=LOOK_S)
                return True
            except queue.Full:
                continue
        return False

    def next_job() -> int | None:
        while not stop.is_set():
            if room.acquire(timeout=LOOK_S):
                with taking:
                    return next(left, None)
        return None

    def work() -> None:
        try:
            while (number := next_job()) is not None:
                try:
                    all_given = all(give(number, (part,)) for part in parts_of(jobs[number]))
                except BaseException as error:
                    give(number, error)
                    return
                if not all_given or not give(number, _END):
                    return
        finally:
            at_end()

    try:
        for _ in range(min(threads, len(jobs))):
            threading.Thread(target=work, daemon=True).start()
        for number, own in enumerate(queues):
            while (found := own.get()) is not _END:
                if isinstance(found, BaseException):
                    raise found
                yield number, found[0]
            room.release()
    finally:
        stop.set()
