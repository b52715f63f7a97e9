"""The progress of a build: shown to nobody, or to a person at a terminal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ipdata.executors.base import VideoDone
from shards.terminal import Progress

AGAIN_S = 1.0  # from one look whether to show the progress again to the next


class Unwatched:
    """Shows nothing. The base of what shows progress."""

    @contextmanager
    def watching(self, videos: int) -> Iterator[None]:
        """Surrounds the work, once; videos: how many are left to extract."""
        yield

    def update(self, event: VideoDone) -> None:
        """Called when a video is done or has failed."""


class BuildProgress(Unwatched):
    """Shows how many videos are done, frames/s, the time left, and how many failed.

    It is shown again and again while no video is done, so that nobody takes a long video for a build that hangs.
    """

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._stream = stream
        self.videos = self.done = self.frames = self.failures = 0

    @contextmanager
    def watching(self, videos: int) -> Iterator[None]:
        self.videos = videos
        self._shown = Progress(videos, stream=self._stream)
        if not videos:
            yield
            return
        self._show()
        ended = threading.Event()
        thread = threading.Thread(target=self._show_again, args=[ended], daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def update(self, event: VideoDone) -> None:
        self.done += 1
        self.frames += event.frames
        self.failures += event.failed is not None
        self._show()

    def _show_again(self, ended: threading.Event) -> None:
        while not ended.wait(AGAIN_S):
            if self._shown.is_silent and self.done < self.videos:
                self._show()

    def _show(self) -> None:
        said = f"{self.done}/{self.videos} videos, {self.frames / self._shown.elapsed_s:.1f} frames/s"
        self._shown.advance_to(self.done, said, more=f", {self.failures} failed" if self.failures else "")
