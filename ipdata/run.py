"""Run the tasks of a build or a derivation with an executor; report each video to the progress and to the log."""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from ipdata.errors import BuildError
from ipdata.executors.base import Event, Executor
from ipdata.log import LOG, LogLine, end_torn_line
from ipdata.progress import Unwatched
from ipdata.report import failure_line
from ipdata.steps.extract import Failed
from ipdata.steps.known import KnownSources
from ipdata.steps.output import Output
from ipdata.steps.pack import Packed, ShardTask
from ipdata.steps.source import UnreadableError, source_sha256
from shards.atomic import named, write_all
from shards.regular import check_regular_or_new
from shards.store.listed import ChangedError, GoneError, ListedFile

# What to do about published samples whose videos failed; key: whether it is certainly the video's fault.
CURES = {
    True: "Restore the videos, or leave these samples out with --drop-failed.",
    False: "No sample is dropped for a failure of stage worker, nor for a source that could not be read or changed: "
    "mend the cause (--video-timeout-s gives more time), and run the same command again. To leave out a video that "
    "always crashes or hangs, put an empty file in its place and use --drop-failed.",
}


def run_tasks(
    executor: Executor,
    output: Output,
    tasks: Sequence[ShardTask],
    progress: Unwatched,
    *,
    on_failure: Callable[[Failed], None] | None = None,
    noted: Callable[[Event], None] = lambda _: None,
) -> list[Failed]:
    """Run all tasks; return the failures in order of their keys. `on_failure` may raise, which stops the work.

    noted: is given every event, in their order. It may raise as well.

    Raises: what `on_failure` and `noted` raise; BuildError if a published sample would be lost, or a worker cannot read
        a source that can be read here.
    """
    failures: list[Failed] = []
    would_lose: list[Failed] = []
    if not tasks:
        return failures
    log = output.build_dir / LOG
    check_regular_or_new(log)  # to open a FIFO would wait for its reader
    videos = sum(len(task.videos) for task in tasks)
    # Not buffered, so what a full disk refused is not written once more when the file is closed.
    with log.open("ab", buffering=0) as lines, progress.watching(videos), closing(executor.run(tasks)) as events:
        with named(log):
            end_torn_line(lines)
        for event in events:
            noted(event)
            if isinstance(event, Packed):
                would_lose += event.would_lose
                shutil.rmtree(output.payload_dir(event.shard), ignore_errors=True)
                continue
            progress.update(event)
            with named(log):
                write_all(lines, LogLine.of(event, at=time.time()).to_json())
            if event.failed is not None:
                _check_unreadable(event.failed, tasks)
                failures.append(event.failed)
                if on_failure is not None:
                    on_failure(event.failed)
    _refuse_loss(output, would_lose)
    return sorted(failures, key=lambda failed: failed.failure.key)


def noting(
    tasks: Sequence[ShardTask], known: KnownSources, shard_done: Callable[[str], None]
) -> Callable[[Event], None]:
    """What a build does at each event: it remembers the hashes of sources at URLs, and tells of each shard."""
    fetched = {
        video.key: video.video.source
        for task in tasks
        for video in task.videos
        if isinstance(video.video.source, ListedFile)
    }

    def noted(event: Event) -> None:
        if isinstance(event, Packed):
            shard_done(event.shard)
        elif event.key in fetched:
            known.note(fetched[event.key], event.source_sha256)

    return noted


def _check_unreadable(failed: Failed, tasks: Sequence[ShardTask]) -> None:
    """Raises: BuildError if a worker could not read a source that can be read here, or is there by its URL."""
    if failed.failure.code != "unreadable":
        return
    video = next(video.video for task in tasks for video in task.videos if video.key == failed.failure.key)
    cure = "workers need the same files at the same paths; mend that, and run the same command again"
    with suppress(UnreadableError, GoneError, ChangedError):
        if isinstance(video.source, ListedFile):
            video.source.check()
            cure = "workers need the same credentials and network; mend that, and run the same command again"
        elif isinstance(video.source, Path):
            source_sha256(video.source)
        else:
            return
        raise BuildError(f"{video.name}: could not be read where it was extracted: {failed.detail}; {cure}")


def _refuse_loss(output: Output, would_lose: Sequence[Failed]) -> None:
    if would_lose:
        listed = "\n  ".join(map(failure_line, would_lose))
        sure = {failed.failure.is_of_the_video for failed in would_lose}
        cures = [cure for of_the_video, cure in CURES.items() if of_the_video in sure]
        raise BuildError(
            f"{output.directory}: has samples whose videos can no longer be extracted:\n  {listed}\n"
            f"Their shards were left as they were. {' '.join(cures)}"
        )
