"""What a build has set out to do: written into its output when its work begins. It is no part of a set."""

from collections import Counter
from collections.abc import Sequence

from ipdata.bounds import MAX_FILE_BYTES, Count, Time
from ipdata.steps.output import Output
from ipdata.steps.pack import ShardTask
from ipdata.steps.plan import Plan
from shards.errors import ShardError
from shards.records import Record
from shards.regular import read_regular

STARTED = "started.json"  # in .build
KEPT_NAMES = 20  # of the missing videos; .build/report.json has all of them


class Started(Record, frozen=True, kw_only=True):
    """The work of the last build. Raises: ShardError if its lists have different lengths."""

    at: Time
    dataset: str
    columns: list[str]
    classes: list[str]  # by class id
    videos: list[Count]  # that are to be in the set when it is whole, by class id
    missing: list[Count]  # listed by the dataset and not on disk, by class id
    missing_names: list[str]  # the first ones
    unlisted: Count
    todo: dict[str, Count]  # shard -> videos that this build extracts
    log_bytes: Count  # size of the log when this build began

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.videos) == len(self.missing):
            raise ShardError("needs as many numbers of videos and of missing ones as classes")

    @classmethod
    def of(
        cls, plan: Plan, columns: Sequence[str], tasks: Sequence[ShardTask], *, at: float, log_bytes: int
    ) -> "Started":
        listing = plan.listing
        videos = Counter(video.class_name for video in plan.videos.values())
        missing = Counter(listing.missing_classes)
        return cls(
            at=at,
            dataset=listing.dataset,
            columns=list(columns),
            classes=list(listing.classes),
            videos=[videos[name] for name in listing.classes],
            missing=[missing[name] for name in listing.classes],
            missing_names=list(listing.missing[:KEPT_NAMES]),
            unlisted=len(listing.unlisted),
            todo={task.plan.shard: len(task.videos) for task in tasks},
            log_bytes=log_bytes,
        )

    @classmethod
    def read(cls, output: Output) -> "Started | None":
        """That of an output; None if its builds have left none. Raises: ShardError if it is damaged; OSError."""
        path = output.build_dir / STARTED
        try:
            data = read_regular(path, max_bytes=MAX_FILE_BYTES)
        except FileNotFoundError:
            return None
        return cls.from_json(data, where=str(path))

    def write(self, output: Output) -> None:
        output.publish(f".build/{STARTED}", self.to_json())
