"""Temporary directories of this package. What a killed process left is removed by the next build.

The owner of a directory holds the lock of a file in it, which the kernel releases when the owner dies.
"""

import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shards.atomic import LockedError, lies_at, locked

# With the machine's name, because locks of some shared file systems hold on one machine only.
PREFIX = f"ipdata-scratch-{platform.node()}-"
LOCK = ".lock"


@contextmanager
def scratch_dir() -> Iterator[Path]:
    """A temporary directory that is gone after this block. Raises: OSError if none can be made."""
    with ExitStack() as stack:
        directory = _locked_directory(stack)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _locked_directory(stack: ExitStack) -> Path:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            file = stack.enter_context((directory / LOCK).open("wb"))
        except FileNotFoundError:  # remove_abandoned was quicker
            continue
        except OSError:
            with suppress(OSError):
                directory.rmdir()
            raise
        with suppress(OSError):  # this file system has no locks, so remove_abandoned removes nothing there
            stack.enter_context(locked(file))
        if lies_at(directory / LOCK, file):
            return directory


def remove_abandoned() -> None:
    """Remove the directories whose owners were killed, if they were this user's and ran on this machine."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with suppress(OSError, LockedError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(directory: Path) -> None:
    """Raises: LockedError if its owner lives; OSError if it is not empty, though it has no lock."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    lock = directory / LOCK
    if not lock.exists():
        directory.rmdir()
        return
    with lock.open("r+b") as file, locked(file, wait_s=0):
        if lies_at(lock, file):
            shutil.rmtree(directory)
