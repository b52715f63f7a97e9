"""Synthetic sources that really misbehave: they crash, hang or disturb the process that extracts them."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ipdata.video.synthesis import Synthesis


@dataclass(frozen=True, kw_only=True)
class Crashing(Synthesis):
    """Ends its process by a segmentation fault, as faulty native code does."""

    def write(self, path: Path) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


@dataclass(frozen=True, kw_only=True)
class Exiting(Synthesis):
    """Ends its process with a status, as Python does where a package cannot be imported."""

    def write(self, path: Path) -> None:
        os._exit(1)


@dataclass(frozen=True, kw_only=True)
class Killed(Synthesis):
    """Its process is killed, as Linux does when memory runs out: always, or only while a file is not there."""

    unless: str = ""

    def write(self, path: Path) -> None:
        if not self.unless or not Path(self.unless).exists():
            if self.unless:
                Path(self.unless).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(path)


@dataclass(frozen=True, kw_only=True)
class Detaching(Synthesis):
    """Starts a process in a session of its own, whose parent ends, and crashes."""

    def write(self, path: Path) -> None:
        detach = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(3600)"
        subprocess.run([sys.executable, "-c", detach], check=True)
        os.kill(os.getpid(), signal.SIGSEGV)


@dataclass(frozen=True, kw_only=True)
class Unwritable(Synthesis):
    """Lies on a disk that gives I/O errors."""

    def write(self, path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


@dataclass(frozen=True, kw_only=True)
class Hungry(Synthesis):
    """Wants more memory than there is."""

    def write(self, path: Path) -> None:
        raise MemoryError


@dataclass(frozen=True, kw_only=True)
class Filling(Synthesis):
    """Takes 400 MB for a while."""

    def write(self, path: Path) -> None:
        held = b"x" * 400_000_000
        time.sleep(2)
        del held
        super().write(path)


@dataclass(frozen=True, kw_only=True)
class Hanging(Synthesis):
    """Never returns."""

    def write(self, path: Path) -> None:
        time.sleep(3600)


@dataclass(frozen=True, kw_only=True)
class Printing(Synthesis):
    """Writes to file descriptor 1, as chatty libraries do, and then works."""

    def write(self, path: Path) -> None:
        os.write(1, b"noise on stdout\n" * 100)
        super().write(path)


@dataclass(frozen=True, kw_only=True)
class Changing(Synthesis):
    """Has another hash each time, as a file that is still being written."""

    def sha256(self) -> str:
        return hashlib.sha256(os.urandom(8)).hexdigest()
