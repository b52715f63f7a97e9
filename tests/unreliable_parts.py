"""Generators that a child runs for tests: they give parts, and misbehave on the way."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ipdata.errors import BuildError


def counted(count: int, made: Path) -> Iterator[int]:
    """The numbers below `count`; how many were made is in the file."""
    for number in range(count):
        made.write_text(str(number + 1))
        yield number


def ending_at(number: int, count: int, died: Path, *, always: bool, with_signal: int = signal.SIGSEGV) -> Iterator[int]:
    """The numbers below `count`, but the process ends before one of them: once, or always."""
    for own in range(count):
        if own == number and (always or not died.exists()):
            died.touch()
            os.kill(os.getpid(), with_signal)
        yield own


def hanging_at(number: int, count: int) -> Iterator[int]:
    for own in range(count):
        if own == number:
            time.sleep(3600)
        yield own


def refusing_at(number: int, count: int) -> Iterator[int]:
    for own in range(count):
        if own == number:
            raise BuildError("this machine lacks something")
        yield own
