"""Receipts: each records what was published of one shard, and so tells what work is left."""

from pathlib import Path

from ipdata.steps.plan import ShardPlan
from ipdata.video.stored import VIDEO, Stored
from shards.canonical import sha256_bytes
from shards.columns import AnyPayload, PayloadFile
from shards.columns.registry import check_column_name
from shards.errors import ShardError
from shards.failures import Failure
from shards.index import read_index
from shards.layout import files_of, index_path, samples_path, tar_path
from shards.manifest import FileInfo, ShardInfo
from shards.records import Record
from shards.schema import Sample

Content = dict[str, tuple[Sample, dict[str, AnyPayload]]]  # key -> record, and payloads by column


class Receipt(Record, frozen=True, kw_only=True):
    """What was published of one shard, written after its files. The shard is done if all of it still holds."""

    plan_sha256: str
    columns: list[str]
    sources: dict[str, str]  # key -> sha256 of the source, for each sample in the shard
    info: ShardInfo | None  # None if every video of the shard failed
    failed: list[Failure]

    def __post_init__(self) -> None:
        for column in self.columns:
            check_column_name(column, where="receipt")
        if self.info and set(self.info.files) != set(files_of(self.info.shard, self.columns)):
            raise ShardError("receipt: its files are not those of its columns")


def intact(directory: Path, receipt: Receipt, *, tars: bool = True) -> bool:
    """True if the files in the directory have, byte for byte, the content that the receipt states.

    tars: False leaves the tars out. The payloads in them have hashes in the indexes.
    """
    files = receipt.info.files if receipt.info else {}
    compared = {path: info for path, info in files.items() if tars or not path.endswith(".tar")}
    paths = ((directory / relative, expected) for relative, expected in compared.items())
    return all(path.is_file() and FileInfo.of(path) == expected for path, expected in paths)


def work_left(
    shard: ShardPlan, receipt: Receipt | None, columns: tuple[str, ...], sources: dict[str, str]
) -> dict[str, tuple[str, ...]]:
    """Key -> columns that are still to be made.

    receipt: None if nothing published can be kept. sources: key -> sha256 that the source has now.

    A video is extracted again in all columns if it failed, or if its source has changed since it was built.
    """
    if receipt is None or receipt.plan_sha256 != shard.sha256:
        return dict.fromkeys(shard.videos, columns)
    new = tuple(column for column in columns if column not in receipt.columns)
    work = {
        key: new if receipt.sources.get(key) == sources.get(key) and key in receipt.sources else columns
        for key in shard.videos
    }
    return {key: missing for key, missing in work.items() if missing}


def published_content(directory: Path, receipt: Receipt) -> Content:
    """Records and payloads of a published shard. Its records and indexes must be intact."""
    if receipt.info is None:
        return {}
    shard = receipt.info.shard
    lines = (directory / samples_path(shard)).read_bytes().splitlines()
    samples = [Sample.from_json(line, where=samples_path(shard)) for line in lines]
    payloads: dict[str, dict[str, AnyPayload]] = {sample.key: {} for sample in samples}
    for column in receipt.columns:
        index, tar = directory / index_path(column, shard), directory / tar_path(column, shard)
        for entry in read_index(index.read_bytes(), column=column, where=str(index)):
            payloads[entry.key][column] = PayloadFile(
                path=tar, offset=entry.payload[0], frames=entry.frames, header=entry.header, sha256=entry.sha256
            )
    return {sample.key: (sample, payloads[sample.key]) for sample in samples}


def stored_videos(directory: Path, receipt: Receipt) -> dict[str, Stored]:
    """Key -> the bitstream that the shard has, from which columns are added; empty if it has no column video.

    The files must be intact. In format 1, whose records have no video_sha256, each bitstream is hashed.
    """
    if receipt.info is None or VIDEO not in receipt.columns:
        return {}
    shard = receipt.info.shard
    lines, index = directory / samples_path(shard), directory / index_path(VIDEO, shard)
    records = [Sample.from_json(line, where=str(lines)) for line in lines.read_bytes().splitlines()]
    samples = {sample.key: sample for sample in records}
    path, stored = directory / tar_path(VIDEO, shard), {}
    with path.open("rb") as tar:
        for entry in read_index(index.read_bytes(), column=VIDEO, where=str(index)):
            sample, (offset, size_bytes) = samples[entry.key], entry.payload
            tar.seek(offset)
            sha256 = sample.video_sha256 or sha256_bytes(tar.read(size_bytes))
            stored[entry.key] = Stored(path=path, offset=offset, size_bytes=size_bytes, sha256=sha256, sample=sample)
    return stored
