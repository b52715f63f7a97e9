"""What an executor is: shards and their videos go in, events come out. Steps do not know which executor runs them."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ipdata.steps.extract import Failed, Outcome
from ipdata.steps.pack import Packed, ShardTask


@dataclass(frozen=True, kw_only=True)
class VideoDone:
    """One video's outcome without its payloads."""

    key: str
    frames: int
    failed: Failed | None
    seconds: dict[str, float]  # by stage


Event = VideoDone | Packed


class Executor(ABC):
    """Where a build runs."""

    @abstractmethod
    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Extract the videos of every shard, pack the shards, and yield what happens as it happens.

        Closing the iterator stops the work and waits until nothing of it runs any more.

        Raises: BuildError where the work cannot go on; whatever a pack raises; KeyboardInterrupt.
        """


def summary(outcome: Outcome) -> VideoDone:
    if isinstance(outcome, Failed):
        return VideoDone(key=outcome.failure.key, frames=0, failed=outcome, seconds={})
    return VideoDone(key=outcome.sample.key, frames=outcome.sample.frames, failed=None, seconds=outcome.seconds)
