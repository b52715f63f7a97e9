"""Work in threads: in order, no more than is wanted, and nobody waits for it who does not want to."""

import threading
import time

import pytest

from shards.store.threads import Changes, WorkCancelledError, in_threads


def test_results_come_in_order_from_several_threads() -> None:
    both = threading.Barrier(2)

    def squared(number: int) -> int:
        both.wait(timeout=10)  # for another thread
        time.sleep(0.01 * (number % 2))
        return number**2

    assert list(in_threads(squared, range(6), threads=2)) == [0, 1, 4, 9, 16, 25]
    assert list(in_threads(squared, [], threads=2)) == []


def test_after_an_error_nothing_more_is_begun() -> None:
    begun = []

    def failing(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError(f"not {number}")
        return number

    results = in_threads(failing, range(1000), threads=1)
    assert next(results) == 0
    with pytest.raises(ValueError, match="not 1"):
        list(results)
    time.sleep(0.1)
    count = len(begun)
    time.sleep(0.1)
    assert len(begun) == count


def test_after_an_error_nothing_more_is_begun_while_an_earlier_item_is_waited_for() -> None:
    begun, failed = [], threading.Event()

    def failing(number: int) -> int:
        begun.append(number)
        if number == 1:
            failed.set()
            raise ValueError(f"not {number}")
        failed.wait(60)
        time.sleep(0.1)
        return number

    with pytest.raises(ValueError, match="not 1"):
        list(in_threads(failing, range(1000), threads=2))
    assert sorted(begun) == [0, 1]


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_what_is_at_work_is_not_waited_for(how: str) -> None:
    cancelled, release, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(number: int) -> int:
        if number:
            release.wait(60)
            ended.set()
        return number

    results = in_threads(slow, range(3), threads=2, cancelled=cancelled)
    assert next(results) == 0
    if how == "cancelled":
        cancelled.set()
        with pytest.raises(WorkCancelledError):
            next(results)
    else:
        results.close()
    assert not ended.is_set()
    release.set()


def test_the_end_waits_for_a_change_and_refuses_later_ones() -> None:
    changes, begun, done = Changes(), threading.Event(), []

    def slow() -> None:
        with changes.change():
            begun.set()
            time.sleep(0.1)
            done.append(True)

    threading.Thread(target=slow).start()
    assert begun.wait(60)
    changes.end()
    assert done == [True]
    with pytest.raises(WorkCancelledError), changes.change():
        done.append(False)
    assert done == [True]
