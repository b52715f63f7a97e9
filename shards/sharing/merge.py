"""Merge sets of equal columns into one: what `ipshards merge` does. Payloads keep their bytes.

Shards are planned anew, because samples of several sets mix, and because the splits of the sets may differ.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from shards.columns import Payload
from shards.errors import ShardError
from shards.keyindex import write_key_index
from shards.manifest import Manifest, ShardInfo, key_index_files
from shards.schema import FORMAT, Sample
from shards.sharing.diff import column_changes
from shards.sharing.merge_plan import MergePlan, SourcePlace, merged_dataset, merged_failures
from shards.sharing.progress import MovedBytes
from shards.sharing.target import Target
from shards.sharing.verified import VerifiedSet
from shards.store.urls import is_url, shown
from shards.writer import write_shard

NAMED = 3  # of many conflicts, those that an error names


@dataclass(frozen=True)
class Merged:
    """What a merge did."""

    manifest: Manifest
    kept_once: int  # samples that several sets have, with equal records and payloads
    moved_bytes: int


def merge(locations: Sequence[str | Path], directory: str | Path, *, progress: MovedBytes | None = None) -> Merged:
    """Merge the sets in directories into one in another directory; go on if an earlier run was cut.

    Classes are matched by name: the first set's keep their ids, new names follow in the order of the sets. Videos are
    `unused` in splits that their set lacks. A sample that several sets have must be the same in all; it is kept once.

    Raises: ShardError that names what keeps the sets from being merged, or what is damaged.
    """
    progress, target = progress or MovedBytes(), Target(Path(directory))
    sets = _opened(locations, target, progress)
    merging = _Merging(sets, target, progress)
    kept_once = merging.check_common()
    progress.begin(sum(file.bytes for held in sets for shard in held.manifest.shards for file in shard.files.values()))
    with target.opened({"merged": [held.manifest.sha256 for held in sets]}):
        manifest = merging.finish(list(merging.write()))
    return Merged(manifest, kept_once, progress.moved_bytes)


def _opened(locations: Sequence[str | Path], target: Target, progress: MovedBytes) -> list[VerifiedSet]:
    """Open the sets. Raises: ShardError that names a set which cannot be merged with the others."""
    if len(locations) < 2:
        raise ShardError("a merge needs at least two sets")
    for location in locations:
        if is_url(location):
            cure = "fetch it with `ipshards pull` first"
            raise ShardError(f"{shown(location)}: only sets in directories can be merged; {cure}")
        if Path(location).resolve() == target.directory.resolve():
            raise ShardError(f"{location}: is also the output; name another directory")
    sets = [VerifiedSet(location, target.work / "parts", moved=progress.done) for location in locations]
    for number, held in enumerate(sets):
        if held.manifest.format < FORMAT:
            raise ShardError(f"{held.location}: has format {held.manifest.format}; use `ipshards upgrade` on it first")
        for other in sets[:number]:
            if other.manifest.sha256 == held.manifest.sha256:
                raise ShardError(f"{held.location}: is the same set as {other.location}")
    for other in sets[1:]:
        _check_groups(sets[0], other)
        _check_columns(sets[0], other)
    return sets


def _check_groups(first: VerifiedSet, other: VerifiedSet) -> None:
    """Raises: ShardError if only one of the sets has groups: all records of a set have the same fields."""
    if first.manifest.has_groups != other.manifest.has_groups:
        has, lacks = (first, other) if first.manifest.has_groups else (other, first)
        cure = "build one of them again, with or without the column group in its CSV"
        raise ShardError(f"{lacks.location}: its videos have no groups, those of {has.location} have some; {cure}")


def _check_columns(first: VerifiedSet, other: VerifiedSet) -> None:
    ours, theirs = first.manifest, other.manifest
    for has, lacks in ((first, other), (other, first)):
        names = sorted(has.manifest.columns.keys() - lacks.manifest.columns.keys())
        if names:
            cure = "take the columns that both have with `ipshards subset --columns`"
            raise ShardError(f"{lacks.location}: has no column {names[0]}, and {has.location} has one; {cure}")
    for name in ours.columns:
        changes = list(column_changes(name, ours, theirs))
        if changes:
            listed = "\n  ".join(change.in_words() for change in changes)
            problem = f"column {name} was not made alike in A, {first.location}, and B, {other.location}"
            raise ShardError(
                f"{problem}:\n  {listed}\nleave it out of both with `ipshards subset --columns`, or make it anew"
            )


class _Merging:
    def __init__(self, sets: Sequence[VerifiedSet], target: Target, progress: MovedBytes) -> None:
        self._sets, self._target, self._progress = sets, target, progress
        self._first = sets[0].manifest
        self._plan = MergePlan([held.manifest for held in sets], [held.keys for held in sets])

    def check_common(self) -> int:
        """Compare samples that several sets have; return how many there are. Raises: ShardError if any two differ."""
        conflicts = []
        for key, place in sorted(self._plan.twice, key=lambda item: (item[1].source, item[1].shard, item[0])):
            kept = self._plan.places[key]
            differing = list(self._differing(key, kept, place))
            if differing:
                first, other = self._sets[kept.source].location, self._sets[place.source].location
                conflicts.append(f"{key} is in {first} and in {other}, but differs in {', '.join(differing)}")
        if conflicts:
            more = f"\n  and {len(conflicts) - NAMED} more" if len(conflicts) > NAMED else ""
            cure = "leave them out of one set with `ipshards subset --exclude-keys`"
            listed = "\n  ".join(conflicts[:NAMED])
            raise ShardError(f"samples differ between the sets, {len(conflicts)}:\n  {listed}{more}\n{cure}")
        return len({key for key, _ in self._plan.twice})

    def _differing(self, key: str, kept: SourcePlace, other: SourcePlace) -> Iterator[str]:
        one, two = (self._sample(key, place).to_value() for place in (kept, other))
        yield from (f"{field} of its record" for field in one if one[field] != two[field])
        for column in self._first.columns:
            entries = [self._sets[at.source].shard(at.shard).entry(column, key) for at in (kept, other)]
            facts = [(entry.sha256, entry.header, entry.frames) for entry in entries]
            if facts[0] != facts[1]:
                yield f"its payload in {column}"

    def _sample(self, key: str, place: SourcePlace) -> Sample:
        """The record of a sample in the merged set. Raises: ShardError if the key index says otherwise."""
        held = self._sets[place.source]
        sample = held.shard(place.shard).sample(key)
        subsets, class_id = self._plan.subsets_of(sample.subsets), self._plan.class_ids.get(sample.class_name)
        if class_id != place.class_id or subsets != place.subsets:
            raise ShardError(f"{held.location}: key index and record of {key} do not agree; verify the set")
        return replace(sample, class_id=class_id, subsets=dict(zip(self._plan.splits, subsets, strict=True)))

    def write(self) -> Iterator[ShardInfo]:
        """Write the shards one after another; yield what there is of each. Those of an earlier run stay."""
        for shard, keys in self._plan.shards.items():
            info = self._target.receipt(shard)
            if info is None:
                info = self._write(shard, keys)
                self._target.note(info)
            else:
                self._progress.done(sum(file.bytes for file in info.files.values()), moved=False)
            yield info

    def _write(self, shard: str, keys: Sequence[str]) -> ShardInfo:
        samples = [self._sample(key, self._plan.places[key]) for key in keys]
        payloads = {column: self._payloads(column, keys) for column in self._first.columns}
        temporary = self._target.fresh_dir(shard)
        files = write_shard(temporary, shard, samples, payloads, column_of=self._first.column)
        for relative in files:
            self._target.place(relative, temporary / relative)
        return ShardInfo(
            shard=shard,
            samples=len(samples),
            frames=sum(sample.frames for sample in samples),
            subsets=samples[0].subsets if self._plan.grouped else None,
            files=files,
        )

    def _payloads(self, column: str, keys: Sequence[str]) -> list[Payload]:
        """The payloads of some keys, verified; each shard that has some of them is read once."""
        origins: dict[tuple[int, str], list[str]] = defaultdict(list)
        for key in keys:
            place = self._plan.places[key]
            origins[place.source, place.shard].append(key)
        found: dict[str, Payload] = {}
        for (source, shard), members in origins.items():
            found.update(zip(members, self._sets[source].payloads(column, shard, members), strict=True))
        return [found[key] for key in keys]

    def finish(self, infos: Sequence[ShardInfo]) -> Manifest:
        """Write the key index, the card and the manifest; return the manifest."""
        manifests, plan = [held.manifest for held in self._sets], self._plan
        keys = write_key_index(plan.lines())
        manifest = replace(
            self._first,
            format=FORMAT,
            dataset=merged_dataset(manifests),
            classes=list(plan.class_ids),
            splits=plan.split_counts(),
            order={**self._first.order, "grouped": plan.grouped},
            shards=list(infos),
            samples=sum(info.samples for info in infos),
            frames=sum(info.frames for info in infos),
            failed=merged_failures(manifests, plan.places),
            missing=self._missing(),
            files=key_index_files(keys),
            parent="",
        )
        self._target.finish(manifest, keys)
        return manifest

    def _missing(self) -> list[str]:
        """Names that a set lists as missing, and no other set has. Records are read only if there are any."""
        names = {name for held in self._sets for name in held.manifest.missing}
        for key in [key for keys in self._plan.shards.values() for key in keys] if names else ():
            sample = self._sample(key, self._plan.places[key])
            names -= {sample.name, sample.name.removeprefix(f"{sample.class_name}/")}
        return sorted(names)
