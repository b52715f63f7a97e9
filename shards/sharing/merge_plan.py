"""Plans a merge: the classes and splits of the merged set, and which sample goes into which shard. Touches no disk."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from shards.errors import ShardError
from shards.failures import Failure
from shards.keyindex import KeyPlace
from shards.keys import order_of
from shards.manifest import Manifest
from shards.schema import SUBSETS

MAX_SPLIT_GROUPS = 32  # where the first set does not state another number


@dataclass(frozen=True)
class SourcePlace:
    """Where a sample comes from, and what it is in the merged set."""

    source: int  # number of its set
    shard: str  # in its set
    class_id: int
    subsets: tuple[str, ...]  # in the order of the merged splits


class MergePlan:
    """What a merged set holds. The same sets in the same order give the same plan."""

    def __init__(self, manifests: Sequence[Manifest], keys: Sequence[Iterable[KeyPlace]]) -> None:
        """keys: the key index of each set.

        Raises: ShardError if a key index is not that of its manifest, or if the first set's order cannot be used.
        """
        names = [name for manifest in manifests for name in manifest.classes]
        self.class_ids = {name: number for number, name in enumerate(dict.fromkeys(names))}
        # In the order of a manifest's splits, in which a build sorts groups of shards, too.
        self.splits = sorted({s for held in manifests for s in held.splits}, key=lambda name: (len(name), name))
        self.places: dict[str, SourcePlace] = {}
        self.twice: list[tuple[str, SourcePlace]] = []  # what later sets have of keys that an earlier one has
        for source, (manifest, places) in enumerate(zip(manifests, keys, strict=True)):
            self._add(source, manifest, places)
        self.shards, self.grouped = self._shards(manifests[0].order)

    def _add(self, source: int, manifest: Manifest, places: Iterable[KeyPlace]) -> None:
        class_ids = [self.class_ids[name] for name in manifest.classes]
        seen: dict[tuple[str, ...], tuple[str, ...]] = {}  # equal subsets are one object
        count = 0
        for found in places:
            count += 1
            if not 0 <= found.class_id < len(class_ids):
                raise ShardError(f"set {source + 1}: {found.key} has class {found.class_id}; verify the set")
            subsets = self.subsets_of(found.subsets)
            place = SourcePlace(source, found.shard, class_ids[found.class_id], seen.setdefault(subsets, subsets))
            if found.key in self.places:
                self.twice.append((found.key, place))
            else:
                self.places[found.key] = place
        if count != manifest.samples:
            stated = f"its manifest says {manifest.samples} samples"
            raise ShardError(f"set {source + 1}: its key index has {count} keys, {stated}; verify the set")

    def _shards(self, order: Mapping[str, Any]) -> tuple[dict[str, list[str]], bool]:
        """The keys of every shard by its number, as docs/shard-format.md orders them; whether they are grouped."""
        size, limit = order["videos_per_shard"], order.get("max_split_groups", MAX_SPLIT_GROUPS)
        if size < 1 or type(limit) is not int:
            raise ShardError(f"set 1: shards cannot be planned by its order, {order}")
        ordered = sorted(self.places, key=partial(order_of, order["seed"]))
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for key in ordered:
            groups[self.places[key].subsets].append(key)
        grouped = order["grouped"] and len(groups) <= limit
        parts = [groups[subsets] for subsets in sorted(groups)] if grouped else [ordered]
        cuts = [part[start : start + size] for part in parts for start in range(0, len(part), size)]
        return {f"{number:05d}": cut for number, cut in enumerate(cuts)}, grouped

    def subsets_of(self, subsets: Mapping[str, str]) -> tuple[str, ...]:
        """The subsets of a sample in the merged splits; `unused` in those that its set lacks."""
        return tuple(subsets.get(split, "unused") for split in self.splits)

    def lines(self) -> Iterator[KeyPlace]:
        """The lines of the key index."""
        for shard, keys in self.shards.items():
            for key in keys:
                place = self.places[key]
                yield KeyPlace(key, shard, place.class_id, dict(zip(self.splits, place.subsets, strict=True)))

    def split_counts(self) -> dict[str, dict[str, int]]:
        counts = {split: dict.fromkeys(SUBSETS, 0) for split in self.splits}
        for place in self.places.values():
            for split, subset in zip(self.splits, place.subsets, strict=True):
                counts[split][subset] += 1
        return counts


def merged_dataset(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """The names of the datasets, the options that are equal in all, and the hashes of the sets."""
    first, *others = [manifest.dataset for manifest in manifests]
    equal = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    names = dict.fromkeys(manifest.dataset["name"] for manifest in manifests)
    merged = sorted(manifest.sha256 for manifest in manifests)
    return {**equal, "name": "+".join(names), "merged": merged}


def merged_failures(manifests: Sequence[Manifest], present: Mapping[str, object]) -> list[Failure]:
    """What failed in a set and is in no other. What failed in several sets stands once for each way."""
    failed = {tuple(failure.to_value().values()): failure for manifest in manifests for failure in manifest.failed}
    return [failed[values] for values in sorted(failed) if failed[values].key not in present]
