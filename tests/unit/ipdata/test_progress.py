"""The progress of a build, as a person reads it."""

import io
import time

import pytest

from ipdata import progress as shown
from ipdata.executors.base import VideoDone
from ipdata.progress import BuildProgress
from ipdata.steps.extract import Failed
from shards import terminal
from shards.failures import Failure


def done(key: str, *, failed: bool = False) -> VideoDone:
    failure = Failure(key=key, name=f"{key}.avi", stage="source", code="empty")
    return VideoDone(
        key=key,
        frames=0 if failed else 90,
        failed=Failed(failure=failure, detail="0 bytes") if failed else None,
        seconds={},
    )


def test_videos_frames_and_failures_are_counted() -> None:
    stream = io.StringIO()
    progress = BuildProgress(stream=stream)
    with progress.watching(3):
        for event in (done("a"), done("b", failed=True), done("c")):
            progress.update(event)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("1/3 videos, ") and first.endswith(" left")
    assert last.startswith("3/3 videos, ") and last.endswith(" frames/s, 0 min 00 s left, 1 failed")
    assert (progress.frames, progress.failures) == (180, 1)


def test_it_is_shown_again_while_no_video_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "AGAIN_S", 0.01)
    monkeypatch.setattr(terminal, "PLAIN_INTERVAL_S", 0.05)
    stream = io.StringIO()
    progress = BuildProgress(stream=stream)
    with progress.watching(3):
        _wait_for_lines(stream, 2)  # before the first video
        progress.update(done("a"))
        before = len(stream.getvalue().splitlines())
        _wait_for_lines(stream, before + 3)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "0/3 videos, 0.0 frames/s, ? left" and lines[-1].startswith("1/3 videos, ")
    time.sleep(0.2)
    assert stream.getvalue().splitlines() == lines  # nothing is shown after the work


def _wait_for_lines(stream: io.StringIO, count: int) -> None:
    deadline_s = time.monotonic() + 20
    while len(stream.getvalue().splitlines()) < count:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
