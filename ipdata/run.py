"""Run the tasks of a build or a derivation with an executor; report each video to the progress and to the log."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing

from ipdata.errors import BuildError
from ipdata.executors.base import Executor
from ipdata.progress import Unwatched
from ipdata.report import failure_line, log_line
from ipdata.steps.extract import Failed
from ipdata.steps.output import Output
from ipdata.steps.pack import Packed, ShardTask
from shards.atomic import named, write_all


def run_tasks(
    executor: Executor,
    output: Output,
    tasks: Sequence[ShardTask],
    progress: Unwatched,
    *,
    on_failure: Callable[[Failed], None] | None = None,
) -> list[Failed]:
    """Run all tasks; return the failures in order of their keys. `on_failure` may raise, which stops the work.

    Raises: what `on_failure` raises; BuildError if a published sample would be lost.
    """
    progress.begin(sum(len(task.videos) for task in tasks))
    failures: list[Failed] = []
    would_lose: list[Failed] = []
    if not tasks:
        return failures
    log = output.build_dir / "log.jsonl"
    # Not buffered, so what a full disk refused is not written once more when the file is closed.
    with log.open("ab", buffering=0) as lines, closing(executor.run(tasks)) as events:
        for event in events:
            if isinstance(event, Packed):
                would_lose += event.would_lose
                continue
            progress.update(event)
            with named(log):
                write_all(lines, (json.dumps(log_line(event)) + "\n").encode())
            if event.failed is not None:
                failures.append(event.failed)
                if on_failure is not None:
                    on_failure(event.failed)
    _refuse_loss(output, would_lose)
    return sorted(failures, key=lambda failed: failed.failure.key)


def _refuse_loss(output: Output, would_lose: Sequence[Failed]) -> None:
    if would_lose:
        listed = "\n  ".join(map(failure_line, would_lose))
        raise BuildError(
            f"{output.directory}: has samples whose videos can no longer be extracted:\n  {listed}\n"
            "Their shards were left as they were. Restore the videos, or leave these samples out with --drop-failed"
        )
