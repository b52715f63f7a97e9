"""The index of a shard's tar: where every member and every frame lies in it."""

import operator
from collections.abc import Sequence

from shards.errors import ShardError
from shards.records import Record, is_canonical, parse
from shards.schema import SHA256


def rising_from_0(offsets: Sequence[int]) -> bool:
    """Tell whether offsets begin at 0 and rise, so that every frame has at least one byte."""
    return bool(offsets) and offsets[0] == 0 and all(map(operator.lt, offsets, offsets[1:]))


class IndexEntry(Record, frozen=True, kw_only=True):
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
    sha256: str = ""  # of the payload; "" in format 1

    def __post_init__(self) -> None:
        # This runs for every entry that is read. Comparisons are quicker than min() and loops.
        if not (_is_place(self.json) and _is_place(self.cls) and _is_place(self.payload)):
            places = (self.json, self.cls, self.payload)
            raise ShardError(f"index of {self.key!r}: needs [offset, bytes] of three members, got {places}")
        if self.header < 0 or not rising_from_0(self.frames):
            raise ShardError(f"index of {self.key}: frame offsets must rise from 0, got {str(self.frames)[:40]}")
        if self.header + self.frames[-1] != self.payload[1]:
            raise ShardError(f"index of {self.key}: its frames do not fill its payload of {self.payload[1]} bytes")
        if self.sha256 and not SHA256.fullmatch(self.sha256):
            raise ShardError(f"index of {self.key}: sha256 must be 64 hex digits, got {self.sha256!r}")

    def frame(self, position: int) -> tuple[int, int]:
        """(offset in the tar, bytes) of the frame at a position of the column."""
        start = self.payload[0] + self.header
        return start + self.frames[position], self.frames[position + 1] - self.frames[position]


def _is_place(place: list[int]) -> bool:
    return len(place) == 2 and place[0] >= 0 and place[1] >= 0


class _Index(Record, frozen=True, kw_only=True):
    column: str
    samples: list[IndexEntry]


def write_index(column: str, entries: Sequence[IndexEntry]) -> bytes:
    """The bytes of `<column>/<shard>.idx.json`."""
    return _Index(column=column, samples=list(entries)).to_json()


def is_canonical_index(data: bytes, column: str, entries: Sequence[IndexEntry]) -> bool:
    """Tell whether these bytes are what `write_index` gives."""
    return is_canonical(data, [_Index(column=column, samples=list(entries))])


def read_index(data: bytes, *, column: str, where: str) -> list[IndexEntry]:
    """Parse an index. Raises: ShardError if it is not a valid index of this column."""
    index = parse(data, _Index, where=where)
    if index.column != column:
        raise ShardError(f"{where}: not an index of column {column}")
    return index.samples
