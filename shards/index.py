"""The index of a shard's tar: where every member and every frame lies in it."""

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from shards import canonical
from shards.errors import ShardError
from shards.schema import record_from


def rising_from_0(offsets: Sequence[int]) -> bool:
    """Tell whether offsets begin at 0 and rise, so that every frame has at least one byte."""
    return bool(offsets) and offsets[0] == 0 and all(map(operator.lt, offsets, offsets[1:]))


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """Where one sample lies in a tar: [offset, bytes] of the content of its three members, and where its frames begin.

    `frames` holds n + 1 offsets from the end of the payload's header, which has `header` bytes.

    Raises: ShardError for offsets that contradict each other.
    """

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


def write_index(column: str, entries: Sequence[IndexEntry]) -> bytes:
    """The bytes of `<column>/<shard>.idx.json`."""
    return canonical.dumps({"column": column, "samples": [asdict(entry) for entry in entries]})


def read_index(data: bytes, *, column: str, where: str) -> list[IndexEntry]:
    """Parse an index. Raises: ShardError if it is not a valid index of this column."""
    value = canonical.loads(data, where=where)
    if not isinstance(value, dict) or set(value) != {"column", "samples"} or value["column"] != column:
        raise ShardError(f"{where}: not an index of column {column}")
    if not isinstance(value["samples"], list):
        raise ShardError(f"{where}: samples must be a list")
    return [record_from(IndexEntry, entry, where=where) for entry in value["samples"]]
