"""The plan: which video goes into which shard. A pure function of the listing and the recipe; touches no disk."""

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import Any

from ipdata.datasets.base import Listing, Video
from ipdata.errors import BuildError
from ipdata.recipe import BuildRecipe
from shards.canonical import sha256_value
from shards.keys import keys_of, order_of
from shards.schema import check_splits


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """The videos of one shard, by key, in the order of the shard."""

    shard: str
    videos: dict[str, Video]
    subsets: dict[str, str] | None  # split -> subset, the same for all videos; None if the plan is not grouped

    @property
    def sha256(self) -> str:
        """Hash of all that the shard's records take from the plan."""
        videos = [
            {"key": key, "name": v.name, "class": [v.class_id, v.class_name], "subsets": v.subsets}
            | ({"group": v.group} if v.group else {})
            for key, v in self.videos.items()
        ]
        return sha256_value({"shard": self.shard, "videos": videos})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The shards of a set, in order, and what they were planned from."""

    listing: Listing
    recipe: BuildRecipe
    shards: tuple[ShardPlan, ...]
    grouped: bool  # the videos of a shard have equal subsets in every split

    @property
    def videos(self) -> dict[str, Video]:
        return {key: video for shard in self.shards for key, video in shard.videos.items()}

    @property
    def order(self) -> dict[str, Any]:
        return {**asdict(self.recipe.shards), "grouped": self.grouped}


def make_plan(listing: Listing, recipe: BuildRecipe) -> Plan:
    """Choose the videos, order them, group them by subsets and cut the groups into shards.

    Raises: BuildError if no video is left; ShardError if two keys collide.
    """
    check_splits(listing.splits, where=listing.dataset)
    listing = _limit_classes(listing, recipe.limits.classes)
    keys = keys_of((video.class_name, video.name) for video in listing.videos)
    by_key = dict(zip(keys, listing.videos, strict=True))
    ordered = sorted(by_key, key=lambda key: order_of(recipe.shards.seed, key))[: recipe.limits.videos]
    if not ordered:
        raise BuildError(
            f"{listing.dataset}: no video is left to build; {len(listing.missing)} listed videos are missing. "
            "Check --source and --classes"
        )
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key in ordered:
        groups[tuple(by_key[key].subsets[split] for split in listing.splits)].append(key)
    grouped = len(groups) <= recipe.shards.max_split_groups
    parts = [groups[subsets] for subsets in sorted(groups)] if grouped else [ordered]
    cuts = [cut for part in parts for cut in _cut(part, recipe.shards.videos_per_shard)]
    shards = tuple(_shard_plan(number, cut, by_key, grouped=grouped) for number, cut in enumerate(cuts))
    return Plan(listing=listing, recipe=recipe, shards=shards, grouped=grouped)


def _limit_classes(listing: Listing, classes: tuple[str, ...]) -> Listing:
    if not classes:
        return listing
    for name in classes:
        if name not in listing.classes:
            raise BuildError(f"--classes: {listing.dataset} has no class {name!r}; it has {', '.join(listing.classes)}")
    missing = zip(listing.missing, listing.missing_classes, strict=True)
    kept = [(name, class_name) for name, class_name in missing if class_name in classes]
    return replace(
        listing,
        videos=tuple(video for video in listing.videos if video.class_name in classes),
        missing=tuple(name for name, _ in kept),
        missing_classes=tuple(class_name for _, class_name in kept),
    )


def _cut(keys: list[str], size: int) -> list[list[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _shard_plan(number: int, keys: list[str], by_key: dict[str, Video], *, grouped: bool) -> ShardPlan:
    videos = {key: by_key[key] for key in keys}
    subsets = by_key[keys[0]].subsets if grouped else None
    return ShardPlan(shard=f"{number:05d}", videos=videos, subsets=subsets)
