"""The records, the indexes and the key index of a set: each is read when it is first needed, and kept in memory."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from shards.errors import ShardError
from shards.index import IndexEntry, read_index
from shards.keyindex import KeyIndex, KeyPlace, places_in_records, write_key_index
from shards.layout import index_path, samples_path
from shards.records import parse_lines
from shards.schema import Sample
from shards.store.local import LocalFiles, ranges_of
from shards.store.remote import RemoteFiles

T = TypeVar("T")

MAX_PARSED_BYTES = 1 << 30  # of one file; the key index of ten million videos is smaller


class Contents:
    """What a set's small files say. Errors name the file."""

    def __init__(self, files: LocalFiles | RemoteFiles) -> None:
        self._files = files
        self.location, self.manifest = files.location, files.manifest
        self._samples: dict[str, dict[str, Sample]] = {}
        self._indexes: dict[tuple[str, str], dict[str, IndexEntry]] = {}

    @cached_property
    def keys(self) -> KeyIndex:
        """The shard, the class and the subsets of every key. Format 1 has no key index: there, all records are read."""
        name = self.manifest.key_index
        if name is not None:
            shards = {shard.shard for shard in self.manifest.shards}
            index = KeyIndex(self._read_file(name), self.manifest.splits, where=self.name(name), shards=shards)
            if len(index) != self.manifest.samples:
                counts = f"has {len(index)} lines, and the set {self.manifest.samples} samples"
                raise ShardError(f"{self.name(name)}: {counts}; verify the set")
            return index
        read = self._in_turn([shard.shard for shard in self.manifest.shards], self._places_in)
        places = (place for places in read for place in places)
        return KeyIndex(write_key_index(places), self.manifest.splits, where=self.name("samples"))

    def _places_in(self, shard: str) -> list[KeyPlace]:
        relative = samples_path(shard)
        return places_in_records(self._read_file(relative), shard, where=self.name(relative))

    def in_turn(self, shards: Sequence[str]) -> Iterator[list[Sample]]:
        """The records of shards, one shard after another. At a URL, those of the second and later are fetched ahead."""
        if all(shard in self._samples for shard in shards):
            return map(self.samples_of, shards)
        return self._in_turn(shards, self.samples_of)

    def _in_turn(self, shards: Sequence[str], read: Callable[[str], T]) -> Iterator[T]:
        """What `read` gives for the records of each shard."""
        if shards:
            yield read(shards[0])
        if len(shards) > 1:
            with self._files.ahead([samples_path(shard)] for shard in shards[1:]) as ahead:
                for number, shard in enumerate(shards[1:], 1):
                    yield read(shard)
                    ahead.reached(number)

    def samples_of(self, shard: str) -> list[Sample]:
        """The records of one shard."""
        return list(self._samples_by_key(shard).values())

    def _samples_by_key(self, shard: str) -> dict[str, Sample]:
        if shard not in self._samples:
            relative = samples_path(shard)
            samples = parse_lines(self._read_file(relative), Sample, where=self.name(relative))
            self._samples[shard] = {sample.key: sample for sample in samples}
        return self._samples[shard]

    def place(self, key: str) -> KeyPlace:
        """Where a key is. Raises: ShardError if the set has no such sample."""
        place = self.keys.find(key)
        if place is None:
            raise ShardError(f"{self.location}: no sample {key!r}; `ipshards info --keys` lists them")
        return place

    def located(self, key: str) -> tuple[str, Sample]:
        """The shard and the record of a key. Raises: ShardError if the set has no such sample."""
        place = self.place(key)
        samples = self._samples_by_key(place.shard)
        if key not in samples:
            raise ShardError(f"{self.name(samples_path(place.shard))}: lacks {key}; verify the set")
        return place.shard, samples[key]

    def entry(self, key: str, column: str) -> tuple[str, IndexEntry]:
        """The shard of a key, and where its payload lies. Raises: ShardError if the set lacks the key or the column."""
        shard, _ = self.located(key)
        entries = self._index(shard, column)
        if key not in entries:
            raise ShardError(f"{self.name(index_path(column, shard))}: lacks {key}; verify the set")
        return shard, entries[key]

    def _index(self, shard: str, column: str) -> dict[str, IndexEntry]:
        self.check_column(column)
        if (shard, column) not in self._indexes:
            relative = index_path(column, shard)
            entries = read_index(self._read_file(relative), column=column, where=self.name(relative))
            self._indexes[shard, column] = {entry.key: entry for entry in entries}
        return self._indexes[shard, column]

    def check_column(self, column: str) -> None:
        """Raises: ShardError if the set lacks the column."""
        if column not in self.manifest.columns:
            raise ShardError(f"{self.location}: no column {column!r}; this set has {', '.join(self.manifest.columns)}")

    def name(self, relative: str) -> str:
        """What errors call a file of the set."""
        return f"{self.location}/{relative}"

    def _read_file(self, relative: str) -> bytes:
        """A file that is parsed in memory: a key index, records or an index."""
        try:
            if self._files.bytes_of(relative) > MAX_PARSED_BYTES:
                raise ShardError(f"{self.name(relative)}: larger than {MAX_PARSED_BYTES} bytes, which no sound set has")
            with self._files.opened(relative) as file:
                return file.readall()
        except OSError as error:
            raise self._incomplete(relative, error) from None

    def read_ranges(self, relative: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes at each (offset, bytes) of a file. Raises: ShardError if it is cut, or not there."""
        try:
            with self._files.opened(relative) as file:
                return ranges_of(file, ranges, name=self.name(relative))
        except OSError as error:
            raise self._incomplete(relative, error) from None

    def _incomplete(self, relative: str, error: OSError) -> ShardError:
        return ShardError(f"{self.name(relative)}: {error.strerror}; the set is incomplete, verify it")
