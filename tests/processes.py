"""Finds the processes that a test has started, however far they are detached: by a variable in their environment."""

import os
import time
from contextlib import suppress
from pathlib import Path

MARK = ("IPTSN_TEST_MARK", f"of-{os.getpid()}")


def marked() -> list[str]:
    """Each living process that has inherited the mark: its number and its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is another user's
            if "=".join(MARK).encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(f"{path.name} {(path / 'cmdline').read_bytes()!r}")
    return found


def wait_until_none(limit_s: float = 20) -> None:
    """Wait until all have ended. Raises: AssertionError that names those that live on."""
    deadline_s = time.monotonic() + limit_s
    while left := marked():
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)
