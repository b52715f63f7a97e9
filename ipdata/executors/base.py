"""The interface of executors: tasks go in, events come out. Steps do not know which executor runs them."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ipdata.steps.extract import Failed, Outcome
from ipdata.steps.pack import Packed, ShardTask


@dataclass(frozen=True, kw_only=True)
class VideoDone:
    """A video is done or has failed: its outcome without the payloads."""

    key: str
    frames: int
    failed: Failed | None
    seconds: dict[str, float]  # by stage
    workers: tuple[str, ...] = ()  # that had it, HOST:PROCESS
    memory_bytes: int = 0  # the most that its processes took together; 0 if that is not known
    source_sha256: str = ""  # "" if it failed


Event = VideoDone | Packed


class Executor(ABC):
    """Runs the tasks of a build in some place: here or on a cluster."""

    @abstractmethod
    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Extract the videos of every shard and pack the shards; yield an event for each video and each shard.

        Closing the iterator stops the work: what has not begun is never run. Workers of a running cluster may still
        finish the task that they have begun.

        Raises: BuildError if the work cannot go on; whatever a pack raises; KeyboardInterrupt.
        """


def summary(outcome: Outcome) -> VideoDone:
    """The event for an outcome. It leaves the payloads out, so it is small to send."""
    if isinstance(outcome, Failed):
        return VideoDone(
            key=outcome.failure.key,
            frames=0,
            failed=outcome,
            seconds={},
            workers=outcome.workers,
            memory_bytes=outcome.memory_bytes,
        )
    sample, seconds = outcome.sample, outcome.seconds
    return VideoDone(
        key=sample.key,
        frames=sample.frames,
        failed=None,
        seconds=seconds,
        workers=outcome.workers,
        memory_bytes=outcome.memory_bytes,
        source_sha256=sample.source_sha256,
    )
