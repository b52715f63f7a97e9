"""The progress of a build, as a person reads it."""

import io

from ipdata.executors.base import VideoDone
from ipdata.progress import BuildProgress
from ipdata.steps.extract import Failed
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
    progress.begin(3)
    for event in (done("a"), done("b", failed=True), done("c")):
        progress.update(event)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("1/3 videos, ") and first.endswith(" left")
    assert last.startswith("3/3 videos, ") and last.endswith(" frames/s, 0 min 00 s left, 1 failed")
    assert (progress.frames, progress.failures) == (180, 1)
