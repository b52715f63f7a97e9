"""Progress that a person can watch: one line that changes on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

from ipdata.executors.base import VideoDone

PLAIN_INTERVAL_S = 10.0


class Progress:
    """Counts videos, frames and failures, and says how long it will take."""

    def __init__(self, videos: int, *, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.videos = videos
        self.done = self.frames = self.failures = 0
        self._start = time.monotonic()
        self._last_line_s = -PLAIN_INTERVAL_S
        self._terminal = self.stream.isatty()

    def update(self, event: VideoDone) -> None:
        self.done += 1
        self.frames += event.frames
        self.failures += event.failed is not None
        elapsed_s = time.monotonic() - self._start
        if self._terminal:
            self.stream.write(f"\r\x1b[K{self.line()}")
            self.stream.flush()
        elif elapsed_s - self._last_line_s >= PLAIN_INTERVAL_S or self.done == self.videos:
            self._last_line_s = elapsed_s
            print(self.line(), file=self.stream, flush=True)

    def line(self) -> str:
        elapsed_s = max(time.monotonic() - self._start, 1e-9)
        left_s = elapsed_s / self.done * (self.videos - self.done) if self.done else float("inf")
        rate = self.frames / elapsed_s
        failed = f", {self.failures} failed" if self.failures else ""
        return f"{self.done}/{self.videos} videos, {rate:.1f} frames/s, {duration(left_s)} left{failed}"

    def close(self) -> None:
        if self._terminal:
            self.stream.write("\n")


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds, or "?"."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
