"""The key index, `keys-<hash>.txt`: the shard of every key, and what samples are chosen by, without the records."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

import msgspec

from shards.errors import ShardError
from shards.keys import KEY_PATTERN
from shards.layout import SHARD_NUMBER
from shards.records import parse_lines
from shards.schema import SUBSETS, Sample

SUBSET = f"(?:{'|'.join(SUBSETS)})"
LINE = re.compile(
    rf"({KEY_PATTERN.pattern}) ({SHARD_NUMBER.pattern}) (0|[1-9][0-9]{{0,8}}) ({SUBSET}(?:,{SUBSET})*)".encode()
)


@dataclass(frozen=True)
class KeyPlace:
    """A line of the key index: a key, its shard, its class, and its subset in each split, by split name."""

    key: str
    shard: str
    class_id: int
    subsets: dict[str, str]

    @classmethod
    def of(cls, sample: Sample, shard: str) -> "KeyPlace":
        return cls(sample.key, shard, sample.class_id, sample.subsets)

    def to_line(self) -> str:
        subsets = ",".join(self.subsets[split] for split in sorted(self.subsets))
        return f"{self.key} {self.shard} {self.class_id} {subsets}\n"


class _Placed(msgspec.Struct):
    """What a key index has of a record. Reading no more of it is quick, and takes little memory."""

    key: str
    class_id: int
    subsets: dict[str, str]


def places_in_records(data: bytes, shard: str, *, where: str) -> list[KeyPlace]:
    """The places of the records of a shard, of which nothing else is parsed or checked.

    Raises: ShardError that begins with `where`, and names the line, if a key index could not have what it says.
    """
    records = parse_lines(data, _Placed, where=where)
    places = [KeyPlace(record.key, shard, record.class_id, record.subsets) for record in records]
    for number, place in enumerate(places, 1):
        if not LINE.fullmatch(place.to_line().removesuffix("\n").encode("utf-8", "surrogatepass")):
            wrong = "its key, its class or its subsets are not those of a sample"
            raise ShardError(f"{where}, line {number}: {wrong}; verify the set")
    return places


def write_key_index(places: Iterable[KeyPlace]) -> bytes:
    """The bytes of the key index: a line a key, sorted. A space sorts before every character of a key."""
    return "".join(sorted(place.to_line() for place in places)).encode("ascii")


class KeyIndex:
    """Finds keys by bisection in the bytes of a key index. Opening it parses nothing."""

    def __init__(
        self, data: bytes, splits: Collection[str], *, where: str, shards: Collection[str] | None = None
    ) -> None:
        """shards: the numbers of the set's shards; lines that name another one are refused. None refuses none."""
        self._data, self._where, self._shards = data, where, shards
        self._splits = sorted(splits)
        self._subsets: dict[bytes, dict[str, str]] = {}  # by how a line has them: most lines share one of a few

    def __len__(self) -> int:
        return self._data.count(b"\n")

    def __iter__(self) -> Iterator[KeyPlace]:
        """All keys in their order. Raises: ShardError for a line that is none of a key index, or not in its order."""
        before = ""
        for line in BytesIO(self._data):
            place = self._place(line.removesuffix(b"\n"))
            if place.key <= before:
                raise ShardError(f"{self._where}: {place.key} stands after {before}, out of order; verify the set")
            before = place.key
            yield place

    def find(self, key: str) -> KeyPlace | None:
        """The place of a key; None if the set has no such key. Raises: ShardError as iterating does."""
        wanted = key.encode("utf-8", "surrogateescape")
        line = self._line_at(self._first_from(wanted))
        return self._place(line) if line and line.partition(b" ")[0] == wanted else None

    def beginning_with(self, prefix: str) -> Iterator[KeyPlace]:
        """The keys that begin with a text, in their order. Raises: ShardError as iterating does."""
        wanted = prefix.encode("utf-8", "surrogateescape")
        start = self._first_from(wanted)
        while (line := self._line_at(start)) and line.startswith(wanted):
            yield self._place(line)
            start += len(line) + 1

    def _first_from(self, wanted: bytes) -> int:
        """Where the line of the first key begins that does not sort before `wanted`."""
        low, high = 0, len(self._data)
        while low < high:
            start = max(low, self._data.rfind(b"\n", low, (low + high) // 2) + 1)
            line = self._line_at(start)
            if line.partition(b" ")[0] < wanted:
                low = start + len(line) + 1
            else:
                high = start
        return low

    def _line_at(self, start: int) -> bytes:
        end = self._data.find(b"\n", start)
        return self._data[start : end if end >= 0 else len(self._data)]

    def select(
        self,
        *,
        split: str | None = None,
        subset: str | None = None,
        class_ids: Collection[int] | None = None,
        keys: Collection[str] | None = None,
    ) -> Iterator[KeyPlace]:
        """The keys that fulfil every condition that is given, in the order of the index. split: its full name."""
        for place in self:
            in_subset = split is None or place.subsets[split] == subset
            in_class = class_ids is None or place.class_id in class_ids
            if in_subset and in_class and (keys is None or place.key in keys):
                yield place

    def _place(self, line: bytes) -> KeyPlace:
        found = LINE.fullmatch(line)
        if found is None:
            raise self._no_line(line)
        key, shard, class_id, text = found.groups()
        subsets = self._subsets.get(text)
        if subsets is None:
            parts = text.decode("ascii").split(",")
            if len(parts) != len(self._splits):
                raise self._no_line(line)
            subsets = self._subsets[text] = dict(zip(self._splits, parts, strict=True))
        place = KeyPlace(key.decode("ascii"), shard.decode("ascii"), int(class_id), subsets)
        if self._shards is not None and place.shard not in self._shards:
            where = f"{self._where}: {place.key} is in shard {place.shard}"
            raise ShardError(f"{where}, which the manifest lacks; verify the set")
        return place

    def _no_line(self, line: bytes) -> ShardError:
        return ShardError(f"{self._where}: {line[:80]!r} is no line of a key index; verify the set")
