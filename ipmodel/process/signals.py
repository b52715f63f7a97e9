"""SIGTERM, as schedulers send it before they kill: training notes it, saves, and ends with a status of its own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StoppedError(Exception):
    """SIGTERM came: the state is saved, the same command goes on."""


@contextmanager
def sigterm_noted() -> Iterator[list[int]]:
    """A list that SIGTERM adds to, instead of ending the process; once it came, further ones change nothing."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if received else before)
