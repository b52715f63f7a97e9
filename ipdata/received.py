"""A set that came from elsewhere, in a directory or at a URL. Nothing of it is parsed before it is verified."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ipdata.datasets.base import Video
from ipdata.errors import BuildError
from ipdata.steps.source import Source
from ipdata.video.stored import Stored
from shards.atomic import named
from shards.canonical import sha256_bytes
from shards.errors import ShardError
from shards.keys import order_of
from shards.layout import tar_path
from shards.manifest import Manifest
from shards.schema import Sample
from shards.sharing.verified import VerifiedSet

VIDEO = "video"  # the column that all others can be made from


class ReceivedSet(VerifiedSet):
    """Draws samples, and gives the bitstreams that columns are made from."""

    def __init__(self, location: str, scratch: Path) -> None:
        """scratch: a directory for what is fetched. Raises: ShardError if there is no sound manifest there."""
        super().__init__(location, scratch)
        self.scratch = scratch

    def __str__(self) -> str:
        return self.location

    def samples(self, shard: str) -> list[Sample]:
        """The records of a shard, in its order. Raises: ShardError if they are damaged, or not canonical."""
        return list(self.shard(shard).samples.values())

    def drawn(self, videos: int, *, seed: int) -> dict[str, list[Sample]]:
        """Shard -> its samples among those that a seed draws from all. The same for everyone who has this set.

        Raises: ShardError if the set is damaged.
        """
        keys: dict[str, set[str]] = defaultdict(set)
        for place in heapq.nsmallest(videos, self.keys, key=lambda place: order_of(seed, place.key)):
            keys[place.shard].add(place.key)
        found = {
            shard: [s for s in self.samples(shard) if s.key in keys[shard]] for shard in self.shards if shard in keys
        }
        if sum(map(len, found.values())) < sum(map(len, keys.values())):
            raise ShardError(f"{self}: the records lack a key of the key index; verify the set")
        return found

    def bitstreams(self, shard: str, samples: Sequence[Sample]) -> list[Stored]:
        """Where the bitstreams of some samples of a shard lie in its tar. Only for a set in a directory.

        Raises: ShardError if the tar is damaged.
        """
        path = Path(self.location) / tar_path(VIDEO, shard)
        return [_checked(self._stored(path, shard, sample)) for sample in samples]

    def _stored(self, path: Path, shard: str, sample: Sample) -> Stored:
        offset, size_bytes = self.shard(shard).entry(VIDEO, sample.key).payload
        sha256 = self.payload_sha256(VIDEO, shard, sample.key)
        return Stored(path=path, offset=offset, size_bytes=size_bytes, sha256=sha256, sample=sample)

    def bitstream(self, shard: str, sample: Sample) -> Stored:
        """A copy of the bitstream of one sample. Raises: ShardError if it is damaged."""
        (payload,) = self.payloads(VIDEO, shard, [sample.key])
        path = self.scratch / f"{sample.key}.m4v"
        path.parent.mkdir(parents=True, exist_ok=True)
        with named(path):
            path.write_bytes(payload.data)
        sha256, size = sha256_bytes(payload.data), len(payload.data)
        return _checked(Stored(path=path, offset=0, size_bytes=size, sha256=sha256, sample=sample))


def _checked(stored: Stored) -> Stored:
    stated = stored.sample.video_sha256
    if stated not in ("", stored.sha256):
        raise ShardError(
            f"{stored.sample.key}: its bitstream does not have the video_sha256 of its record; verify the set"
        )
    return stored


def video_of(sample: Sample, source: Source) -> Video:
    """A sample as a video to extract."""
    return Video(
        name=sample.name,
        source=source,
        class_name=sample.class_name,
        class_id=sample.class_id,
        subsets=sample.subsets,
        group=sample.group,
    )


def check_has_video(manifest: Manifest, *, where: str) -> None:
    """Raises: BuildError if a set lacks the column that everything is made from."""
    if VIDEO not in manifest.columns:
        raise BuildError(f"{where}: has no column {VIDEO}, which other columns are made from; fetch it too")
