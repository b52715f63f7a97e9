"""What runs, told apart from where it runs: tasks go in, events come out, in this process or on a Dask cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ipdata.steps.extract import Failed, Outcome, attempt
from ipdata.steps.pack import Packed, ShardTask, pack


@dataclass(frozen=True, kw_only=True)
class VideoDone:
    """One video's outcome without its payloads."""

    key: str
    frames: int
    failed: Failed | None
    seconds: dict[str, float]  # by stage


Event = VideoDone | Packed


def summary(outcome: Outcome) -> VideoDone:
    if isinstance(outcome, Failed):
        return VideoDone(key=outcome.failure.key, frames=0, failed=outcome, seconds={})
    return VideoDone(key=outcome.sample.key, frames=outcome.sample.frames, failed=None, seconds=outcome.seconds)


def run_here(tasks: Sequence[ShardTask]) -> Iterator[Event]:
    """Extract and pack in this process, one after another: for debugging, and where no cluster may be started."""
    for task in tasks:
        outcomes: list[Outcome] = []
        for job in task.jobs:
            outcomes.append(attempt(job))
            yield summary(outcomes[-1])
        yield pack(task, outcomes)
