"""Reads the records, indexes and payloads of a set shard by shard. Every file is verified before it is parsed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from shards.canonical import sha256_bytes
from shards.columns import Payload
from shards.errors import ShardError
from shards.index import IndexEntry, read_index
from shards.keyindex import KeyIndex, KeyPlace, write_key_index
from shards.layout import index_path, samples_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.records import is_canonical, parse_lines
from shards.schema import Sample
from shards.sharing.origin import LocalOrigin, Moved, Origin, RemoteOrigin
from shards.store.remote import read_manifest
from shards.store.sources import source_of
from shards.store.urls import is_url, shown

KEPT_SHARDS = 16  # whose records and indexes stay in memory


@dataclass(frozen=True, kw_only=True)
class VerifiedShard:
    """The records and the index entries of one shard, by key, in the order of the shard."""

    where: str
    samples: dict[str, Sample]
    entries: dict[str, dict[str, IndexEntry]]  # by column

    def sample(self, key: str) -> Sample:
        """Raises: ShardError if the shard lacks the key."""
        if key not in self.samples:
            raise ShardError(f"{self.where}: has no record of {key}; verify the set")
        return self.samples[key]

    def entry(self, column: str, key: str) -> IndexEntry:
        """Raises: ShardError if the column's index lacks the key."""
        if key not in self.entries[column]:
            raise ShardError(f"{self.where}: the index of {column} has no {key}; verify the set")
        return self.entries[column][key]


class VerifiedSet:
    """What a set in a directory or at a URL holds. The shards that were read last stay in memory."""

    def __init__(self, location: str | Path, scratch: Path, *, moved: Moved = lambda _: None) -> None:
        """scratch: a directory for temporary files. moved: is told of the bytes of payloads.

        Raises: ShardError if there is no sound manifest at the location.
        """
        self.location, self.is_remote = shown(location), is_url(location)
        self._origin: Origin
        if self.is_remote:
            source = source_of(str(location))
            self.manifest = read_manifest(source)
            self._origin = RemoteOrigin(source, self.manifest, scratch, moved)
        else:
            self.manifest = Manifest.read(Path(location))
            self._origin = LocalOrigin(Path(location), scratch, moved)
        self.shards = {shard.shard: shard for shard in self.manifest.shards}
        self.shard = lru_cache(KEPT_SHARDS)(self._shard)
        self._hashes = lru_cache(KEPT_SHARDS)(self._payload_hashes)

    @cached_property
    def keys(self) -> KeyIndex:
        """The shard, the class and the subsets of every key. In format 1, all records are read for it."""
        name = self.manifest.key_index
        if name is not None:
            data = self._verified({name: self.manifest.root_files[name]})[name]
            return KeyIndex(data, self.manifest.splits, where=f"{self.location}/{name}", shards=self.shards)
        places = (KeyPlace.of(s, number) for number in self.shards for s in self._samples(number).values())
        return KeyIndex(write_key_index(places), self.manifest.splits, where=f"{self.location}/samples")

    def payloads(self, column: str, shard: str, keys: Sequence[str]) -> list[Payload]:
        """The payloads of some samples of a shard. Raises: ShardError if they are damaged or not there."""
        held = self.shard(shard)
        entries = [held.entry(column, key) for key in keys]
        data = self._origin.payloads(column, self.shards[shard], entries)
        return [
            Payload(data=part, frames=entry.frames, header=entry.header)
            for part, entry in zip(data, entries, strict=True)
        ]

    def payload_sha256(self, column: str, shard: str, key: str) -> str:
        """The sha256 of a payload: in format 2 from the index; in format 1 all payloads of the shard are read for it.

        Raises: ShardError if the index lacks the key, or if what is read for it is damaged.
        """
        stated = self.shard(shard).entry(column, key).sha256
        return stated or self._hashes(column, shard)[key]

    def _payload_hashes(self, column: str, shard: str) -> Mapping[str, str]:
        entries = self.shard(shard).entries[column]
        payloads = self.payloads(column, shard, list(entries))
        return {key: sha256_bytes(payload.data) for key, payload in zip(entries, payloads, strict=True)}

    def _shard(self, number: str) -> VerifiedShard:
        """The records and the index entries of a shard. Raises: ShardError if its files are damaged or not there."""
        info, where = self.shards[number], f"{self.location}, shard {number}"
        paths = [samples_path(number), *(index_path(column, number) for column in self.manifest.columns)]
        data = self._verified({path: info.files[path] for path in paths})
        entries = {}
        for column in self.manifest.columns:
            relative = index_path(column, number)
            found = read_index(data[relative], column=column, where=f"{self.location}/{relative}")
            entries[column] = {entry.key: entry for entry in found}
        samples = _parsed(data[samples_path(number)], where=f"{self.location}/{samples_path(number)}")
        return VerifiedShard(where=where, samples=samples, entries=entries)

    def _samples(self, number: str) -> dict[str, Sample]:
        relative = samples_path(number)
        data = self._verified({relative: self.shards[number].files[relative]})[relative]
        return _parsed(data, where=f"{self.location}/{relative}")

    def _verified(self, files: Mapping[str, FileInfo]) -> dict[str, bytes]:
        """The bytes of small files. Raises: ShardError that names one which is damaged or not there."""
        data = {relative: path.read_bytes() for relative, path in self._origin.paths(files).items()}
        self._origin.drop(files)
        changed = [relative for relative in files if FileInfo.of_bytes(data[relative]) != files[relative]]
        if changed:
            raise ShardError(f"{self.location}/{changed[0]}: changed while it was read; verify the set")
        return data


def _parsed(data: bytes, *, where: str) -> dict[str, Sample]:
    samples = parse_lines(data, Sample, where=where)
    if not is_canonical(data, samples):
        raise ShardError(f"{where}: not canonical JSON; verify the set")
    return {sample.key: sample for sample in samples}


def places_in(directory: Path, shard: ShardInfo) -> list[KeyPlace]:
    """The lines of the key index for a shard that was written and verified."""
    relative = samples_path(shard.shard)
    samples = _parsed((directory / relative).read_bytes(), where=f"{directory}/{relative}")
    return [KeyPlace.of(sample, shard.shard) for sample in samples.values()]
