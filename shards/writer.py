"""Writing one shard: payload tars with their indexes, and the records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from shards import canonical
from shards.atomic import write_synced
from shards.encodings import Payload, rising_from_0
from shards.errors import ShardError
from shards.manifest import FileInfo, index_path, samples_path, tar_path
from shards.schema import Column, Sample, column_of, record_from
from shards.tar import write_tar


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """Where one sample lies in a tar: [offset, bytes] of its members' contents, and its frames in the payload."""

    key: str
    json: list[int]
    cls: list[int]
    payload: list[int]
    header: int
    frames: list[int]

    def __post_init__(self) -> None:
        places = (self.json, self.cls, self.payload)
        if type(self.key) is not str or not all(_whole(place) and len(place) == 2 for place in places):
            raise ShardError(f"index of {self.key!r}: needs [offset, bytes] of three members, got {places}")
        if not _whole([self.header]) or not _whole(self.frames) or not rising_from_0(self.frames):
            raise ShardError(f"index of {self.key}: frame offsets must rise from 0, got {str(self.frames)[:40]}")
        if self.header + self.frames[-1] != self.payload[1]:
            raise ShardError(f"index of {self.key}: its frames do not fill its payload of {self.payload[1]} bytes")

    def frame(self, position: int) -> tuple[int, int]:
        """(offset in the tar, bytes) of the frame at a position of the column."""
        start = self.payload[0] + self.header
        return start + self.frames[position], self.frames[position + 1] - self.frames[position]


def _whole(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def members_of(sample: Sample, column: Column, payload: bytes) -> list[tuple[str, bytes]]:
    """The three members of a sample, in their order."""
    return [
        (f"{sample.key}.json", sample.to_json()),
        (f"{sample.key}.cls", str(sample.class_id).encode("ascii")),
        (f"{sample.key}.{column.payload}", payload),
    ]


def write_index(column: Column, entries: Sequence[IndexEntry]) -> bytes:
    return canonical.dumps({"column": column.name, "samples": [asdict(entry) for entry in entries]})


def read_index(data: bytes, *, column: str, where: str) -> list[IndexEntry]:
    value = canonical.loads(data, where=where)
    if not isinstance(value, dict) or set(value) != {"column", "samples"} or value["column"] != column:
        raise ShardError(f"{where}: not an index of column {column}")
    if not isinstance(value["samples"], list):
        raise ShardError(f"{where}: samples must be a list")
    return [record_from(IndexEntry, entry, where=where) for entry in value["samples"]]


def write_shard(
    directory: Path, shard: str, samples: Sequence[Sample], columns: Mapping[str, Sequence[Payload]]
) -> dict[str, FileInfo]:
    """Write a shard's files below `directory`, synced; returns them by path. The caller publishes them by renaming."""
    files = []
    for name, payloads in columns.items():
        files += _write_column(directory, shard, column_of(name), samples, payloads)
    records = directory / samples_path(shard)
    records.parent.mkdir(parents=True, exist_ok=True)
    write_synced(records, b"".join(sample.to_json() for sample in samples))
    return {path: FileInfo.of(directory / path) for path in [samples_path(shard), *files]}


def _write_column(
    directory: Path, shard: str, column: Column, samples: Sequence[Sample], payloads: Sequence[Payload]
) -> list[str]:
    for sample, payload in zip(samples, payloads, strict=True):
        expected = len(sample.frame_numbers(column.name))
        if len(payload) != expected:
            raise ShardError(f"{sample.key}: {column.name} must have {expected} frames, got {len(payload)}")
    path = directory / tar_path(column.name, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    positions = iter(write_tar(path, _members(column, samples, payloads)))
    entries = [_entry(sample, payload, positions) for sample, payload in zip(samples, payloads, strict=True)]
    write_synced(directory / index_path(column.name, shard), write_index(column, entries))
    return [tar_path(column.name, shard), index_path(column.name, shard)]


def _members(column: Column, samples: Sequence[Sample], payloads: Sequence[Payload]) -> Iterator[tuple[str, bytes]]:
    for sample, payload in zip(samples, payloads, strict=True):
        yield from members_of(sample, column, payload.data)


def _entry(sample: Sample, payload: Payload, positions: Iterator[tuple[int, int]]) -> IndexEntry:
    json, cls, content = (list(next(positions)) for _ in range(3))
    return IndexEntry(key=sample.key, json=json, cls=cls, payload=content, header=payload.header, frames=payload.frames)
