"""The progress of a build: shown to nobody, or to a person at a terminal."""

from typing import TextIO

from ipdata.executors.base import VideoDone
from shards.terminal import Progress


class Unwatched:
    """Shows nothing. The base of what shows progress."""

    def begin(self, videos: int) -> None:
        """Called once, with the number of videos that are left to extract."""

    def update(self, event: VideoDone) -> None:
        """Called when a video is done or has failed."""


class BuildProgress(Unwatched):
    """Shows how many videos are done, frames/s, the time left, and how many failed."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._stream = stream
        self.videos = self.done = self.frames = self.failures = 0

    def begin(self, videos: int) -> None:
        self.videos = videos
        self._shown = Progress(videos, stream=self._stream)
        if videos:
            self._show()

    def update(self, event: VideoDone) -> None:
        self.done += 1
        self.frames += event.frames
        self.failures += event.failed is not None
        self._show()

    def _show(self) -> None:
        said = f"{self.done}/{self.videos} videos, {self.frames / self._shown.elapsed_s:.1f} frames/s"
        self._shown.advance_to(self.done, said, more=f", {self.failures} failed" if self.failures else "")
