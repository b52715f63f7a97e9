"""What a build has in flight on a Dask cluster: shards, and what each future stands for."""

from dataclasses import dataclass, field

from distributed import Future

from ipdata.steps.extract import VideoTask
from ipdata.steps.pack import ShardTask


@dataclass
class Shard:
    """The work on one shard in flight."""

    task: ShardTask
    outcomes: dict[str, Future] = field(default_factory=dict)  # by key: of each video's last step
    unfinished: set[str] = field(default_factory=set)  # keys
    reported: set[str] = field(default_factory=set)  # keys whose event was given

    @property
    def load(self) -> int:
        """How many videos it counts for in flight. A shard whose samples are all copied counts for one."""
        return max(1, len(self.task.videos))


@dataclass(frozen=True)
class Attempt:
    """What a future stands for: the work on a video, or the packing of its shard."""

    shard: Shard
    video: VideoTask | None = None  # None: the packing
