"""Receipts: what was published of a shard, and so what is left to do."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ipdata.steps.plan import ShardPlan
from shards import canonical
from shards.columns.registry import check_column_name
from shards.errors import ShardError
from shards.failures import Failure
from shards.layout import files_of
from shards.manifest import FileInfo, ShardInfo
from shards.schema import check_types, record_from


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was published of one shard, written after its files. Done means that all of it still holds."""

    plan_sha256: str
    columns: list[str]
    sources: dict[str, str]  # key -> sha256 of the source of each sample that is in the shard
    info: ShardInfo | None  # None where every video of the shard failed
    failed: list[Failure]

    def __post_init__(self) -> None:
        check_types(self, where="receipt")
        for column in self.columns:
            check_column_name(column, where="receipt")
        if self.info and set(self.info.files) != set(files_of(self.info.shard, self.columns)):
            raise ShardError("receipt: its files are not those of its columns")

    def to_json(self) -> bytes:
        return canonical.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> "Receipt":
        value = dict(canonical.loads(data, where=where))
        info = value.get("info")
        value["info"] = None if info is None else ShardInfo.from_value(info, where=where)
        value["failed"] = [record_from(Failure, failure, where=where) for failure in value.get("failed", [])]
        receipt: Receipt = record_from(cls, value, where=where)
        return receipt


def intact(directory: Path, receipt: Receipt) -> bool:
    """Tell whether the files published in a directory are, byte by byte, what the receipt says."""
    files = receipt.info.files if receipt.info else {}
    paths = ((directory / relative, expected) for relative, expected in files.items())
    return all(path.is_file() and FileInfo.of(path) == expected for path, expected in paths)


def work_left(
    shard: ShardPlan, receipt: Receipt | None, columns: tuple[str, ...], sources: dict[str, str]
) -> dict[str, tuple[str, ...]]:
    """Key -> columns that are still to be extracted. `receipt` is None where nothing published can be kept.

    A video that failed is tried again in all columns; so is one whose source has other bytes than when it was built.
    """
    if receipt is None or receipt.plan_sha256 != shard.sha256:
        return dict.fromkeys(shard.videos, columns)
    new = tuple(column for column in columns if column not in receipt.columns)
    work = {
        key: new if receipt.sources.get(key) == sources.get(key) and key in receipt.sources else columns
        for key in shard.videos
    }
    return {key: missing for key, missing in work.items() if missing}
