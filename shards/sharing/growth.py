"""Whether the set in a directory can grow to what is taken: found out from manifests, before anything moves."""

from pathlib import Path

from shards.errors import ShardError
from shards.keyindex import KeyIndex
from shards.layout import files_of
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.sharing.choice import Chosen

CURE = "name another directory, or take at least what it has"


class Growth:
    """What is taken of a set, beside what a directory may hold."""

    def __init__(self, manifest: Manifest, chosen: Chosen, directory: Path) -> None:
        self._chosen, self._directory = chosen, directory
        self._shards = {shard.shard: shard for shard in manifest.shards if shard.shard in chosen.places}
        self.named = {path for number in self._shards for path in files_of(number, chosen.columns)}

    def check(self, before: Manifest) -> None:
        """Compare with the set that the directory holds.

        Raises: ShardError if the new set would not have every file of that.
        """
        for name in before.columns:
            if name not in self._chosen.columns:
                raise self._lost(f"column {name}, which the new one has not; {CURE}")
        for shard in before.shards:
            found = self._shards.get(shard.shard)
            if found is None:
                raise self._lost(f"shard {shard.shard}, which the new one has not; {CURE}")
            if self._chosen.is_whole(found):
                self._check_files(shard, found)
        self._check_keys(before)

    def _check_files(self, shard: ShardInfo, found: ShardInfo) -> None:
        for path, info in shard.files.items():
            if found.files[path] != info:
                raise self._lost(f"another {path}, which would be lost; name another directory")

    def _check_keys(self, before: Manifest) -> None:
        """A shard of which only some samples are taken must be there with the same ones, or not at all."""
        held: dict[str, set[str]] = {shard.shard: set() for shard in before.shards}
        name, cut = before.key_index, [s for s in before.shards if not self._chosen.is_whole(self._shards[s.shard])]
        path = self._directory / str(name)
        if name is None or not path.is_file() or FileInfo.of(path) != before.root_files[name]:
            wrong = [s.shard for s in cut if s.samples != len(self._chosen.places[s.shard])]
        else:
            for place in KeyIndex(path.read_bytes(), before.splits, where=str(path), shards=held):
                held[place.shard].add(place.key)
            wrong = [s.shard for s in cut if held[s.shard] != {p.key for p in self._chosen.places[s.shard]}]
        if wrong:
            raise self._lost(f"other samples in shard {wrong[0]}, which is never changed; {CURE}")

    def _lost(self, what: str) -> ShardError:
        return ShardError(f"{self._directory}: its set has {what}")
