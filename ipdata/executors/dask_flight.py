"""What a build has in flight on a Dask cluster: shards, and what each future stands for."""

from dataclasses import dataclass, field

from ipdata.steps.extract import Outcome, VideoTask
from ipdata.steps.pack import ShardTask


@dataclass
class Shard:
    """The work on one shard in flight."""

    task: ShardTask
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by key: of the videos that are done
    unfinished: set[str] = field(default_factory=set)  # keys


@dataclass(frozen=True)
class Attempt:
    """What a future stands for: the work on a video, or the packing of its shard."""

    shard: Shard
    video: VideoTask | None = None  # None: the packing
