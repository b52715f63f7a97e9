"""Take a part of a set, or all of it, into a directory: what `ipshards pull` and `ipshards subset` do.

Whole shards are copied as they are. Of other shards, the payloads of the chosen samples are written to a new shard of
the same number. The bytes of the result depend on the set and the choice alone, not on how they travelled.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from shards.canonical import sha256_value
from shards.columns import Payload
from shards.errors import ShardError
from shards.facts import size_of
from shards.index import IndexEntry, read_index
from shards.keyindex import KeyPlace, write_key_index
from shards.layout import SIGNATURE, files_of, index_path, samples_path
from shards.manifest import FileInfo, Manifest, ShardInfo, key_index_files
from shards.reader import ShardSet
from shards.records import parse_lines
from shards.schema import SUBSETS, Sample
from shards.sharing.beside import carry_beside, put_beside
from shards.sharing.choice import Choice, Chosen, choose
from shards.sharing.growth import Growth
from shards.sharing.origin import LocalOrigin, Origin, RemoteOrigin
from shards.sharing.progress import MovedBytes
from shards.sharing.target import Target
from shards.store.fetch import CONNECTIONS
from shards.store.sources import source_of
from shards.store.threads import in_threads
from shards.store.urls import is_url
from shards.writer import write_shard

SHARDS_AT_ONCE = 4  # that are cut at the same time; each holds its chosen payloads in memory


@dataclass(frozen=True)
class Taken:
    """What was taken, and how."""

    manifest: Manifest
    whole_shards: int
    cut_shards: int
    moved_bytes: int


def take(
    location: str | Path,
    directory: str | Path,
    choice: Choice,
    *,
    connections: int = CONNECTIONS,
    progress: MovedBytes | None = None,
) -> Taken:
    """Take what is chosen of the set at a location into a directory; go on if an earlier run was cut.

    A directory that holds a set already is extended, if the new set has every file of it.

    Raises: ShardError if the choice does not fit the set, if something does not arrive as the set's manifest says, or
        if the directory holds something else. What has arrived stays, and the same call goes on with it.
    """
    progress = progress or MovedBytes()
    if not is_url(location) and Path(location).resolve() == Path(directory).resolve():
        raise ShardError(f"{location}: is also the output; name another directory")
    shard_set = ShardSet(location)
    chosen = choose(shard_set, choice)
    growth = Growth(shard_set.manifest, chosen, Path(directory))
    target = Target(Path(directory), check=growth.check, named=growth.named)
    with target.opened(_plan_of(shard_set.manifest, chosen)):
        origin: Origin
        if is_url(location):
            source, scratch = source_of(str(location)), target.work / "parts"
            origin = RemoteOrigin(source, shard_set.manifest, scratch, progress.done, connections=connections)
        else:
            origin = LocalOrigin(Path(location), target.work / "parts", progress.done)
        taking = _Taking(shard_set.manifest, chosen, origin, target)
        about_bytes = taking.about_bytes()
        _check_room(target, about_bytes)
        progress.begin(about_bytes)
        infos = taking.run()
        keys = write_key_index(place for places in chosen.places.values() for place in places)
        manifest = part_of(shard_set.manifest, chosen, infos, keys)
        beside = carry_beside(shard_set.address, shard_set.manifest, target)
        target.finish(manifest, keys)
        if manifest == shard_set.manifest:
            put_beside(beside / SIGNATURE, target.directory)
    whole = sum(map(chosen.is_whole, taking.shards))
    return Taken(manifest, whole, len(taking.shards) - whole, progress.moved_bytes)


def _check_room(target: Target, about_bytes: int) -> None:
    """Raises: ShardError if the disk has less room than is needed, or a manifest claims more than any disk has.

    What has arrived of files that are not complete takes no more room.
    """
    parts = [path.stat() for path in (target.work / "parts").rglob("*") if path.is_file()]
    # Parts are made in full length, sparse. Windows does not tell how much of them is there.
    needed_bytes = about_bytes - sum(512 * getattr(found, "st_blocks", 0) for found in parts)
    free_bytes = shutil.disk_usage(target.directory).free
    if needed_bytes > free_bytes:
        needs = f"{size_of(needed_bytes)} are needed, the disk has {size_of(free_bytes)}"
        raise ShardError(f"{target.directory}: {needs}; make room, then the same command goes on")


def _plan_of(manifest: Manifest, chosen: Chosen) -> dict[str, object]:
    """What must be equal for two runs to work on the same directory."""
    keys = sorted(place.key for places in chosen.places.values() for place in places)
    return {"set": manifest.sha256, "columns": list(chosen.columns), "keys": sha256_value(keys)}


class _Taking:
    def __init__(self, manifest: Manifest, chosen: Chosen, origin: Origin, target: Target) -> None:
        self._manifest, self._chosen, self._origin, self._target = manifest, chosen, origin, target
        self.shards = [shard for shard in manifest.shards if shard.shard in chosen.places]

    def about_bytes(self) -> int:
        """What will move, roughly: of a shard that is cut, as much as the share of its samples.

        Files that lie in their places with the right size are not counted.
        """
        return round(sum(map(self._about_bytes_of, self.shards)))

    def _about_bytes_of(self, shard: ShardInfo) -> float:
        files = self._files(shard)
        if self._chosen.is_whole(shard):
            return sum(file.bytes for path, file in files.items() if not self._target.has_size(path, file.bytes))
        if self._target.is_noted(shard.shard):
            return 0
        return sum(file.bytes for file in files.values()) * len(self._chosen.places[shard.shard]) / shard.samples

    def _files(self, shard: ShardInfo) -> dict[str, FileInfo]:
        return with_columns(shard, self._chosen.columns).files

    def run(self) -> list[ShardInfo]:
        """Take every shard; return what there is of each."""
        whole = [shard for shard in self.shards if self._chosen.is_whole(shard)]
        cut = [shard for shard in self.shards if not self._chosen.is_whole(shard)]
        wanted = {path: file for shard in whole for path, file in self._files(shard).items()}
        with ThreadPoolExecutor(SHARDS_AT_ONCE) as threads:
            try:
                # Ctrl-C need not wait for what is hashed.
                there = in_threads(lambda item: self._target.has(*item), wanted.items(), threads=SHARDS_AT_ONCE)
                lacking = {path: file for (path, file), has in zip(wanted.items(), there, strict=True) if not has}
                self._origin.move(lacking, self._target.place)
                for shard in whole:
                    self._check_records(shard)
                written = dict(zip((shard.shard for shard in cut), threads.map(self._cut, cut), strict=True))
            except BaseException:  # such as Ctrl-C, which need not wait for a server that is silent
                self._origin.cancel()
                raise
        return [written.get(shard.shard) or with_columns(shard, self._chosen.columns) for shard in self.shards]

    def _check_records(self, shard: ShardInfo) -> None:
        """Compare a whole shard's records with the key index. Raises: ShardError that names what differs."""
        path = self._target.directory / samples_path(shard.shard)
        samples = parse_lines(path.read_bytes(), Sample, where=str(path))
        counts = len(samples), sum(sample.frames for sample in samples)
        if counts != (shard.samples, shard.frames):
            stated = f"the manifest says {shard.samples} and {shard.frames}"
            raise ShardError(f"{path}: has {counts[0]} samples and {counts[1]} frames, {stated}; verify the set")
        check_places(self._chosen.places[shard.shard], samples, where=str(path))

    def _cut(self, shard: ShardInfo) -> ShardInfo:
        done = self._target.receipt(shard.shard)
        if done is not None:
            return done
        temporary = self._target.fresh_dir(shard.shard)
        info = cut_shard(self._origin, self._manifest, shard, self._chosen, temporary)
        for relative in info.files:
            self._target.place(relative, temporary / relative)
        self._target.note(info)
        return info


def cut_shard(
    origin: Origin,
    manifest: Manifest,
    shard: ShardInfo,
    chosen: Chosen,
    directory: Path,
    *,
    held: Callable[[str, Sequence[IndexEntry]], Mapping[str, bytes]] = lambda *_: {},
) -> ShardInfo:
    """Write a shard of the chosen samples below `directory`.

    held: of a column's entries, key -> payload of those that need not be taken from the origin.

    Raises: ShardError if the set is damaged.
    """
    small = {
        path: info for path, info in with_columns(shard, chosen.columns).files.items() if not path.endswith(".tar")
    }
    paths = origin.paths(small)
    samples = _samples_in(paths[samples_path(shard.shard)], chosen.places[shard.shard])
    payloads = {}
    for column in chosen.columns:
        entries = _entries_in(paths[index_path(column, shard.shard)], column, [sample.key for sample in samples])
        found = dict(held(column, entries))
        lacking = [entry for entry in entries if entry.key not in found]
        taken = origin.payloads(column, shard, lacking)
        found |= {entry.key: data for entry, data in zip(lacking, taken, strict=True)}
        payloads[column] = [
            Payload(data=found[entry.key], frames=entry.frames, header=entry.header) for entry in entries
        ]
    origin.drop(small)
    written = write_shard(directory, shard.shard, samples, payloads, column_of=manifest.column)
    return replace(shard, samples=len(samples), frames=sum(sample.frames for sample in samples), files=written)


def with_columns(shard: ShardInfo, columns: Sequence[str]) -> ShardInfo:
    """A whole shard with only these columns."""
    return replace(shard, files={path: shard.files[path] for path in files_of(shard.shard, columns)})


def _samples_in(path: Path, places: Sequence[KeyPlace]) -> list[Sample]:
    keys = {place.key for place in places}
    found = [sample for sample in parse_lines(path.read_bytes(), Sample, where=str(path)) if sample.key in keys]
    check_places(places, found, where=str(path))
    return found


def check_places(places: Sequence[KeyPlace], samples: Sequence[Sample], *, where: str) -> None:
    """Compare lines of the key index with the records of the same shard.

    Raises: ShardError that begins with `where` and names a key, if a record is lacking, or stands otherwise there.
    """
    found = {sample.key: sample for sample in samples}
    for place in places:
        sample = found.pop(place.key, None)
        if sample is None:
            raise ShardError(f"{where}: lacks {place.key}, which the key index says is there; verify the set")
        if KeyPlace.of(sample, place.shard) != place:
            raise ShardError(f"{where}: the record of {place.key} is not what the key index says; verify the set")
    if found or len(samples) != len(places):
        key = next(iter(found), samples[0].key)
        raise ShardError(f"{where}: has {key} once more than the key index says; verify the set")


def _entries_in(path: Path, column: str, keys: Sequence[str]) -> list[IndexEntry]:
    entries = {entry.key: entry for entry in read_index(path.read_bytes(), column=column, where=str(path))}
    lacking = [key for key in keys if key not in entries]
    if lacking:
        raise ShardError(f"{path}: lacks {lacking[0]}; verify the set")
    return [entries[key] for key in keys]


def part_of(parent: Manifest, chosen: Chosen, shards: Sequence[ShardInfo], keys: bytes) -> Manifest:
    """The manifest of a part of a set. The whole of a set has the manifest of the set itself.

    Classes, failed and missing videos stay the parent's, and so do the numbers of shards and classes.

    Raises: ShardError if the parent's split counts are not those of its records.
    """
    splits = {split: dict.fromkeys(SUBSETS, 0) for split in parent.splits}
    for places in chosen.places.values():
        for place in places:
            for split, subset in place.subsets.items():
                splits[split][subset] += 1
    if list(shards) == parent.shards and chosen.columns == tuple(parent.columns):
        if splits != parent.splits:
            raise ShardError(f"the manifest counts {parent.splits}, the records give {splits}; verify the set")
        return parent
    named = {"files": key_index_files(keys), "parent": parent.sha256}
    return replace(
        parent,
        dataset=parent.dataset if parent.format > 1 else {**parent.dataset, "parent": parent.sha256},
        splits=splits,
        columns={name: parent.columns[name] for name in chosen.columns},
        shards=list(shards),
        samples=sum(shard.samples for shard in shards),
        frames=sum(shard.frames for shard in shards),
        **(named if parent.format > 1 else {}),
    )
