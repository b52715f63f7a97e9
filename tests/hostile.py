"""Synthetic sources that really misbehave: they crash, hang or disturb the process that extracts them."""

import hashlib
import os
import signal
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
