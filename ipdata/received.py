"""A set that came from elsewhere, in a directory or at a URL. Nothing of it is parsed before it is verified."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ipdata.datasets.base import Video
from ipdata.errors import BuildError
from ipdata.steps.source import Source
from ipdata.video.stored import Stored
from shards.canonical import sha256_bytes
from shards.columns import Payload
from shards.errors import ShardError
from shards.index import IndexEntry, read_index
from shards.keyindex import KeyIndex, KeyPlace, write_key_index
from shards.keys import order_of
from shards.layout import index_path, samples_path, tar_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sharing.origin import LocalOrigin, Origin, RemoteOrigin
from shards.store.sources import source_of
from shards.store.transport import is_url

VIDEO = "video"  # the column that all others can be made from


class ReceivedSet:
    """Reads verified records, index entries and payloads. scratch: a directory for what is fetched from a URL."""

    def __init__(self, location: str, scratch: Path) -> None:
        """Raises: ShardError if there is no sound manifest at the location."""
        shard_set = ShardSet(location)
        self.location, self.manifest = shard_set.location, shard_set.manifest
        self._scratch = scratch
        self._origin: Origin
        if is_url(location):
            self._origin = RemoteOrigin(source_of(location), scratch, _unwatched)
        else:
            self._origin = LocalOrigin(Path(location), scratch, _unwatched)

    def __str__(self) -> str:
        return self.location

    @cached_property
    def keys(self) -> KeyIndex:
        """All keys. Raises: ShardError if the key index or, in format 1, a file of records is damaged."""
        name = self.manifest.key_index
        if name is not None:
            data = self._read(name, self.manifest.root_files[name])
            shards = {shard.shard for shard in self.manifest.shards}
            return KeyIndex(data, self.manifest.splits, where=f"{self}/{name}", shards=shards)
        places = (KeyPlace.of(s, shard.shard) for shard in self.manifest.shards for s in self.samples(shard))
        return KeyIndex(write_key_index(places), self.manifest.splits, where=f"{self}/samples")

    def drawn(self, videos: int, *, seed: int) -> dict[str, list[Sample]]:
        """Shard -> its samples among those that a seed draws from all. The same for everyone who has this set.

        Raises: ShardError if the set is damaged.
        """
        keys: dict[str, set[str]] = defaultdict(set)
        for place in heapq.nsmallest(videos, self.keys, key=lambda place: order_of(seed, place.key)):
            keys[place.shard].add(place.key)
        shards = {shard.shard: shard for shard in self.manifest.shards if shard.shard in keys}
        found = {name: [s for s in self.samples(shard) if s.key in keys[name]] for name, shard in shards.items()}
        if sum(map(len, found.values())) < sum(map(len, keys.values())):
            raise ShardError(f"{self}: the records lack a key of the key index; verify the set")
        return found

    def shard(self, name: str) -> ShardInfo:
        return next(shard for shard in self.manifest.shards if shard.shard == name)

    def samples(self, shard: ShardInfo) -> list[Sample]:
        """The records of a shard. Raises: ShardError if they are damaged, or not canonical."""
        relative = samples_path(shard.shard)
        lines = self._read(relative, shard.files[relative]).splitlines()
        samples = [Sample.from_json(line, where=f"{self}/{relative}, line {n}") for n, line in enumerate(lines, 1)]
        if FileInfo.of_bytes(b"".join(sample.to_json() for sample in samples)) != shard.files[relative]:
            raise ShardError(f"{self}/{relative}: not canonical JSON; verify the set")
        return samples

    def payloads(self, column: str, shard: ShardInfo, samples: Sequence[Sample]) -> list[Payload]:
        """The payloads of some samples of a shard. Raises: ShardError if they are damaged."""
        entries = self._entries(column, shard, samples)
        data = self._origin.payloads(column, shard, entries)
        return [
            Payload(data=part, frames=entry.frames, header=entry.header)
            for part, entry in zip(data, entries, strict=True)
        ]

    def bitstreams(self, shard: ShardInfo, samples: Sequence[Sample]) -> list[Stored]:
        """Where the bitstreams of some samples of a shard lie in its tar. Only for a set in a directory.

        Raises: ShardError if the tar is damaged.
        """
        path, entries = Path(self.location) / tar_path(VIDEO, shard.shard), self._entries(VIDEO, shard, samples)
        hashes = [entry.sha256 for entry in entries]
        if self.manifest.format == 1:
            hashes = [sha256_bytes(data) for data in self._origin.payloads(VIDEO, shard, entries)]
        return [
            _checked(
                Stored(path=path, offset=entry.payload[0], size_bytes=entry.payload[1], sha256=sha256, sample=sample)
            )
            for entry, sha256, sample in zip(entries, hashes, samples, strict=True)
        ]

    def bitstream(self, shard: ShardInfo, sample: Sample) -> Stored:
        """A copy of the bitstream of one sample. Raises: ShardError if it is damaged."""
        (payload,) = self.payloads(VIDEO, shard, [sample])
        path = self._scratch / f"{sample.key}.m4v"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload.data)
        sha256, size = sha256_bytes(payload.data), len(payload.data)
        return _checked(Stored(path=path, offset=0, size_bytes=size, sha256=sha256, sample=sample))

    def _entries(self, column: str, shard: ShardInfo, samples: Sequence[Sample]) -> list[IndexEntry]:
        relative = index_path(column, shard.shard)
        read = read_index(self._read(relative, shard.files[relative]), column=column, where=f"{self}/{relative}")
        entries = {entry.key: entry for entry in read}
        lacking = [sample.key for sample in samples if sample.key not in entries]
        if lacking:
            raise ShardError(f"{self}/{relative}: lacks {lacking[0]}; verify the set")
        return [entries[sample.key] for sample in samples]

    def _read(self, relative: str, expected: FileInfo) -> bytes:
        """A small file, verified."""
        data = self._origin.paths({relative: expected})[relative].read_bytes()
        if FileInfo.of_bytes(data) != expected:
            raise ShardError(f"{self}/{relative}: changed while it was read; verify the set")
        return data


def _unwatched(_: int) -> None:
    """Bytes that move are not shown."""


def _checked(stored: Stored) -> Stored:
    stated = stored.sample.video_sha256
    if stated not in ("", stored.sha256):
        raise ShardError(f"{stored.sample.key}: its bitstream has not the video_sha256 of its record; verify the set")
    return stored


def video_of(sample: Sample, source: Source) -> Video:
    """A sample as a video to extract."""
    return Video(
        name=sample.name,
        source=source,
        class_name=sample.class_name,
        class_id=sample.class_id,
        subsets=sample.subsets,
    )


def check_has_video(manifest: Manifest, *, where: str) -> None:
    """Raises: BuildError if a set lacks the column that everything is made from."""
    if VIDEO not in manifest.columns:
        raise BuildError(f"{where}: has no column {VIDEO}, which other columns are made from; fetch it too")
