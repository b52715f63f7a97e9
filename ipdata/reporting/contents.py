"""What the published shards hold, added up from their records and indexes: also while the set has no manifest."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ipdata.bounds import MAX_FILE_BYTES, Count
from ipdata.status.published import published_shards
from ipdata.steps.output import Output
from shards.errors import ShardError
from shards.layout import index_path, samples_path
from shards.manifest import ShardInfo
from shards.regular import read_regular

DUPLICATES, DUPLICATE_NAMES = 50, 5  # how many groups are listed, and names of each
HASH_DIGITS = 16  # of a sha256, by which equal sources are looked for


class _Record(msgspec.Struct):
    """The fields of a Sample that are added up. Reading all of them takes ten times as long."""

    key: str
    name: str
    class_name: str
    frames: Count
    source_sha256: str


class _Entry(msgspec.Struct):
    key: str
    payload: tuple[Count, Count]  # offset, bytes


class _Index(msgspec.Struct):
    samples: list[_Entry]


_RECORDS, _INDEX = msgspec.json.Decoder(_Record), msgspec.json.Decoder(_Index)


@dataclass
class Contents:
    """Sums over published videos. Memory: some 100 bytes a video."""

    frames: array = field(default_factory=lambda: array("q"))  # of each video
    size_bytes: array = field(default_factory=lambda: array("q"))  # of its payloads, all columns together
    by_class: Counter[str] = field(default_factory=Counter)  # videos
    first_of_class: dict[str, str] = field(default_factory=dict)  # class -> key
    equal: dict[str, list[str]] = field(default_factory=dict)  # sha256 of a source -> names, where there are several
    names: dict[str, str] = field(default_factory=dict)  # of the keys that were asked for
    unread: list[str] = field(default_factory=list)  # shards that cannot be read, and why


def contents_of(output: Output, *, keys: Iterable[str]) -> Contents:
    """Add up what is published. keys: those whose names are wanted. Raises: OSError."""
    contents, wanted, equal = Contents(), set(keys), _equal_sources(output)
    for info, receipt in published_shards(output):
        try:
            records = _records(output.directory, info)
            sizes = _sizes(output.directory, info, receipt.columns)
        except (ShardError, OSError) as error:  # a build may be replacing its files
            contents.unread.append(str(error))
            continue
        for record in records:
            _add(contents, record, sizes.get(record.key, 0), equal)
            if record.key in wanted:
                contents.names[record.key] = record.name
    return contents


def _add(contents: Contents, record: _Record, size_bytes: int, equal: set[int]) -> None:
    contents.frames.append(record.frames)
    contents.size_bytes.append(size_bytes)
    contents.by_class[record.class_name] += 1
    contents.first_of_class.setdefault(record.class_name, record.key)
    if _short(record.source_sha256) in equal:
        contents.equal.setdefault(record.source_sha256, []).append(record.name)


def _equal_sources(output: Output) -> set[int]:
    """Short hashes of sources that several videos have."""
    seen, equal = set[int](), set[int]()
    for _, receipt in published_shards(output):
        for sha256 in receipt.sources.values():
            short = _short(sha256)
            (equal if short in seen else seen).add(short)
    return equal


def _short(sha256: str) -> int:
    return int(sha256[:HASH_DIGITS], 16)


def duplicates_of(contents: Contents) -> list[list[str]]:
    """The names of videos whose sources have equal bytes, group by group, in order of their names."""
    return sorted(sorted(names) for names in contents.equal.values() if len(names) > 1)


def _records(directory: Path, info: ShardInfo) -> list[_Record]:
    path = directory / samples_path(info.shard)
    with _named(path):
        return _RECORDS.decode_lines(read_regular(path, max_bytes=MAX_FILE_BYTES))


def _sizes(directory: Path, info: ShardInfo, columns: Iterable[str]) -> Counter[str]:
    """Key -> bytes of its payloads."""
    sizes: Counter[str] = Counter()
    for column in columns:
        path = directory / index_path(column, info.shard)
        with _named(path):
            for entry in _INDEX.decode(read_regular(path, max_bytes=MAX_FILE_BYTES)).samples:
                sizes[entry.key] += entry.payload[-1]
    return sizes


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raises: ShardError that names the file, for one that is damaged."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShardError(f"{path}: {error}; verify the set") from None
