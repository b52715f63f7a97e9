"""What the receipts of an output say: the shards that are published, and which of them are as the last build wants."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ipdata.steps.output import Output
from ipdata.steps.receipt import Receipt
from ipdata.steps.started import STARTED, Started
from shards.manifest import ShardInfo
from shards.records import Record


class Published(Record, frozen=True, kw_only=True):
    """Sums over the shards that are published."""

    videos: int
    frames: int
    shards: int
    size_bytes: int


@dataclass
class Receipts:
    """Sums over all receipts of an output."""

    videos: int = 0
    frames: int = 0
    shards: int = 0
    size_bytes: int = 0
    failed: int = 0
    settled_failed_keys: set[str] = field(default_factory=set)  # of shards that the last build has no more work in
    left: int = 0  # videos of shards that the last build has not packed
    unread: list[str] = field(default_factory=list)  # shards whose receipts are damaged

    @property
    def published(self) -> Published:
        return Published(videos=self.videos, frames=self.frames, shards=self.shards, size_bytes=self.size_bytes)


def read_receipts(output: Output, started: Started | None) -> Receipts:
    """Add up the receipts. Raises: OSError."""
    sums, todo = Receipts(), {} if started is None else dict(started.todo)
    begun_ns = _changed_ns(output, STARTED) if todo else 0
    read = set[str]()
    for shard, receipt in output.receipts_by_shard():
        read.add(shard)
        sums.failed += len(receipt.failed)
        if shard not in todo or _changed_ns(output, f"receipts/{shard}.json") >= begun_ns:
            todo.pop(shard, None)
            sums.settled_failed_keys.update(failure.key for failure in receipt.failed)
        if receipt.info is not None:
            _add(sums, receipt.info)
    sums.left = sum(todo.values())
    sums.unread = output.damaged_receipts(but=read)
    return sums


def _add(sums: Receipts, info: ShardInfo) -> None:
    sums.videos += info.samples
    sums.frames += info.frames
    sums.shards += 1
    sums.size_bytes += sum(file.bytes for file in info.files.values())


def _changed_ns(output: Output, relative: str) -> int:
    """Both times that are compared are of one file system, so the clocks of the machines do not matter."""
    try:
        return (output.build_dir / relative).stat().st_mtime_ns
    except FileNotFoundError:  # a build removes the receipts of shards that it does not plan
        return 0


def published_shards(output: Output) -> Iterator[tuple[ShardInfo, Receipt]]:
    """Yield what is published, in order of the shards."""
    for _, receipt in output.receipts_by_shard():
        if receipt.info is not None:
            yield receipt.info, receipt
