"""Writes one shard: its tars of payloads with their indexes, and its records."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from shards.atomic import write_synced
from shards.columns import AnyPayload, Column
from shards.columns import column_of as known_column
from shards.errors import ShardError
from shards.index import IndexEntry, write_index
from shards.layout import index_path, samples_path, tar_path
from shards.manifest import FileInfo
from shards.schema import Sample
from shards.tar import Content, write_tar


def members_of(sample: Sample, suffix: str, payload: bytes) -> list[tuple[str, bytes]]:
    """The three members of a sample in a tar, as (name, content), in order; `suffix` is the column's `payload`."""
    return [
        (f"{sample.key}.json", sample.to_json()),
        (f"{sample.key}.cls", str(sample.class_id).encode("ascii")),
        (f"{sample.key}.{suffix}", payload),
    ]


def write_shard(
    directory: Path,
    shard: str,
    samples: Sequence[Sample],
    columns: Mapping[str, Sequence[AnyPayload]],
    *,
    column_of: Callable[[str], Column] = known_column,
) -> dict[str, FileInfo]:
    """Write and sync a shard's files below `directory`; return them by path. The caller publishes them by renaming.

    Records with a `video_sha256` make a shard of format 2, others one of format 1.

    column_of: the column of a name. That of a manifest also gives columns that are not installed.

    Raises: ShardError for an unknown column, for records of several formats or with values of wrong types, or for a
        payload without a frame for each entry that its record asks for.
    """
    if len({sample.format for sample in samples}) > 1:
        raise ShardError(f"shard {shard}: all records of a shard must have a video_sha256, or none")
    lines = [sample.to_json() for sample in samples]
    for sample, line in zip(samples, lines, strict=True):
        Sample.from_json(line, where=sample.key)
    files = []
    for name, payloads in columns.items():
        files += _write_column(directory, shard, column_of(name), samples, payloads)
    records = directory / samples_path(shard)
    records.parent.mkdir(parents=True, exist_ok=True)
    write_synced(records, b"".join(lines))
    return {path: FileInfo.of(directory / path) for path in [samples_path(shard), *files]}


def _write_column(
    directory: Path, shard: str, column: Column, samples: Sequence[Sample], payloads: Sequence[AnyPayload]
) -> list[str]:
    for sample, payload in zip(samples, payloads, strict=True):
        expected = len(column.frame_numbers(sample.picture_types))
        if len(payload) != expected:
            raise ShardError(f"{sample.key}: {column.name} must have {expected} frames, got {len(payload)}")
    path = directory / tar_path(column.name, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    hashed = [_Hashed(payload) for payload in payloads]
    positions = iter(write_tar(path, _members(column, samples, hashed)))
    entries = [_entry(sample, content, positions) for sample, content in zip(samples, hashed, strict=True)]
    write_synced(directory / index_path(column.name, shard), write_index(column.name, entries))
    return [tar_path(column.name, shard), index_path(column.name, shard)]


class _Hashed:
    """A payload that is hashed while it is copied."""

    def __init__(self, payload: AnyPayload) -> None:
        self.payload, self._hash = payload, hashlib.sha256()

    @property
    def size_bytes(self) -> int:
        return self.payload.size_bytes

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        for chunk in self.payload.chunks():
            self._hash.update(chunk)
            yield chunk


def _members(
    column: Column, samples: Sequence[Sample], payloads: Sequence[_Hashed]
) -> Iterator[tuple[str, bytes | Content]]:
    for sample, payload in zip(samples, payloads, strict=True):
        *described, (name, _) = members_of(sample, column.payload, b"")
        yield from described
        yield name, payload


def _entry(sample: Sample, content: _Hashed, positions: Iterator[tuple[int, int]]) -> IndexEntry:
    json, cls, payload = (list(next(positions)) for _ in range(3))
    return IndexEntry(
        key=sample.key,
        json=json,
        cls=cls,
        payload=payload,
        header=content.payload.header,
        frames=content.payload.frames,
        sha256=content.sha256 if sample.format > 1 else "",
    )
