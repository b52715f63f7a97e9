"""What part of a set is taken: columns, and samples by subset, by class and by key."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.keyindex import KeyPlace
from shards.layout import samples_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.reader import ShardSet

MAX_LIST_BYTES = 128 << 20  # of a list of keys: two million have as much


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Conditions for what is taken; None sets no condition. A sample must fulfil all of them."""

    columns: Sequence[str] | None = None
    split: str | None = None  # goes with subset
    subset: str | None = None
    classes: Sequence[str] | None = None
    keys: frozenset[str] | None = None
    exclude_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a choice takes of one set."""

    columns: tuple[str, ...]
    places: dict[str, list[KeyPlace]]  # shard -> its samples that are taken, at least one

    def is_whole(self, shard: ShardInfo) -> bool:
        """Tell whether every sample of a shard is taken."""
        return len(self.places[shard.shard]) == shard.samples


def choose(shard_set: ShardSet, choice: Choice) -> Chosen:
    """Apply a choice to a set.

    Raises: ShardError for a column, split, subset, class or key that the set does not have, or if no sample is left.
    """
    columns = tuple(name for name in shard_set.columns if choice.columns is None or name in choice.columns)
    for name in choice.columns or ():
        shard_set.column(name)
    shard_set.check(_looked_up(shard_set.manifest))
    split, class_ids = shard_set.check_choice(choice.split, choice.subset, choice.classes)
    places: dict[str, list[KeyPlace]] = defaultdict(list)
    taken: set[str] = set()
    for place in shard_set.keys.select(split=split, subset=choice.subset, class_ids=class_ids, keys=choice.keys):
        taken.add(place.key)
        if place.key not in choice.exclude_keys:
            places[place.shard].append(place)
    _check_keys(shard_set, (choice.keys or frozenset()) - taken)
    _check_keys(shard_set, choice.exclude_keys - taken)  # a typo would keep a sample that must go
    if not places:
        raise ShardError(f"{shard_set.location}: no sample fulfils every condition; ask for fewer at once")
    return Chosen(columns=columns, places=dict(places))


def _looked_up(manifest: Manifest) -> dict[str, FileInfo]:
    """The files that say which samples a set has: the key index, or in format 1 the records of all shards."""
    if manifest.format > 1:
        return manifest.root_files
    paths = ((samples_path(shard.shard), shard) for shard in manifest.shards)
    return {path: shard.files[path] for path, shard in paths}


def _check_keys(shard_set: ShardSet, keys: Iterable[str]) -> None:
    """Refuse keys that the set does not have; those that only other conditions leave out are no mistake."""
    lacking = sorted(key for key in keys if shard_set.keys.find(key) is None)
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        what = f"has no sample {lacking[0]:.100}{more}"
        raise ShardError(f"{shard_set.location}: {what}; `ipshards info --keys` lists them")


def read_keys(path: Path) -> frozenset[str]:
    """The keys in a file, one a line; empty lines do not count. It may be a pipe.

    Raises: ShardError if it cannot be read, has none, or is too large to be such a list.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
        if len(data) > MAX_LIST_BYTES:
            raise ShardError(f"{path}: has more than {MAX_LIST_BYTES} bytes, so it is no list of keys")
        keys = frozenset(line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ShardError(f"{path}: cannot be read as a list of keys ({error})") from None
    if not keys:
        raise ShardError(f"{path}: has no keys; write one a line")
    return keys
