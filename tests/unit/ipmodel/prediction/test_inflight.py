"""Several jobs at a time: results in order, a bounded number ahead, errors in their turn."""

import threading
import time
from collections.abc import Iterator

import pytest

from ipmodel.prediction.inflight import PARTS_AHEAD, in_flight


def test_parts_come_in_the_order_of_the_jobs() -> None:
    def parts(job: int) -> Iterator[str]:
        time.sleep(0.02 if job % 2 == 0 else 0)
        for part in range(job % 3):
            yield f"{job}.{part}"

    found = list(in_flight(list(range(20)), parts, threads=4))
    assert found == [(job, f"{job}.{part}") for job in range(20) for part in range(job % 3)]


def test_nothing_runs_far_ahead_of_the_reader() -> None:
    begun, made = [], []

    def parts(job: int) -> Iterator[int]:
        begun.append(job)
        for part in range(100):
            made.append((job, part))
            yield part

    reader = in_flight(list(range(50)), parts, threads=2)
    assert next(reader) == (0, 0)
    time.sleep(0.3)
    assert set(begun) == {0, 1}  # the two threads wait until their parts are taken
    assert len(made) <= 2 * (PARTS_AHEAD + 2)
    reader.close()


def test_an_error_comes_in_its_turn() -> None:
    def parts(job: int) -> Iterator[int]:
        if job == 2:
            raise ValueError("job 2")
        yield job

    found = []
    with pytest.raises(ValueError, match="job 2"):
        for _, part in in_flight(list(range(9)), parts, threads=3):
            found.append(part)
    assert found == [0, 1]


def test_threads_end_when_the_reader_stops() -> None:
    ended = threading.Semaphore(0)

    def parts(job: int) -> Iterator[int]:
        yield from range(1000)

    reader = in_flight(list(range(9)), parts, threads=3, at_end=ended.release)
    next(reader)
    reader.close()
    for _ in range(3):
        assert ended.acquire(timeout=5)


def test_each_thread_ends_once_after_all_jobs() -> None:
    ended: list[int] = []
    assert list(in_flight([7, 8], lambda job: [job], threads=5, at_end=lambda: ended.append(1))) == [(0, 7), (1, 8)]
    deadline = time.monotonic() + 5
    while len(ended) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(ended) == 2
    assert list(in_flight([], lambda job: [job], threads=2)) == []


def test_without_threads_the_caller_computes() -> None:
    where: list[threading.Thread] = []

    def parts(job: int) -> Iterator[int]:
        where.append(threading.current_thread())
        yield job

    assert list(in_flight([1, 2], parts, threads=0)) == [(0, 1), (1, 2)]
    assert set(where) == {threading.current_thread()}
