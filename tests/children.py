"""Child processes of tests: forked ones, which start in no time, and all that they leave running."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2

MARK = "IPTSN_TEST_MARK"  # in the environment of a process that a test starts, and so in that of its children
OWN = f"of-{os.getpid()}"  # a mark for what this process starts


def fork() -> int:
    """As os.fork. OpenCV's threads end before: they do not survive a fork, and a child that ends them would hang."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    child = os.fork()
    if child != 0:
        cv2.setNumThreads(threads)
    return child


def forked(work: Callable[[], object]) -> int:
    """Begin the work in a child process; return its number. It ends with 0, with 1 if the work raises."""
    child = fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """Wait for a child; return its exit status, or minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def marked(mark: str) -> dict[int, str]:
    """The processes that were started with this mark in their environment: number -> command line."""
    wanted, found = f"{MARK}={mark}".encode(), {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                found[int(path.name)] = repr((path / "cmdline").read_bytes())
    return found


def wait_for_none(mark: str, *, within_s: float = 60.0) -> None:
    """Wait until no process with this mark is left, however far it is detached."""
    deadline_s = time.monotonic() + within_s
    while left := marked(mark):
        assert time.monotonic() < deadline_s, left
        time.sleep(0.02)
