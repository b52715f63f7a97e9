"""Why two sets differ: what `ipshards diff` says."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shards.columns import COLUMNS
from shards.keyindex import KeyPlace
from shards.layout import index_path, samples_path, tar_path
from shards.manifest import Manifest
from shards.sharing.verified import VerifiedSet
from shards.text import printable

LISTED = 5  # keys and files that stand for all of their kind
SHOWN = 10  # changes of one kind that are printed
VALUE_CHARACTERS = 72


@dataclass(frozen=True)
class Change:
    """A value of the manifest that differs; None where a set has none."""

    name: str  # dotted, such as "columns.flow.recipe.flow.quality"
    a: Any
    b: Any

    def in_words(self) -> str:
        return printable(f"{self.name}: {_shown(self.a)} in A, {_shown(self.b)} in B")


@dataclass
class Some:
    """How many keys or files there are of a kind, and the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(name)

    def in_words(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return f"{self.count}: {', '.join(self.first)}{more}"


@dataclass(kw_only=True)
class Difference:
    """All that differs between two sets. Keys are in their order, so the first few are the same at every run."""

    changes: list[Change]
    only_a: Some = field(default_factory=Some)  # keys
    only_b: Some = field(default_factory=Some)
    moved: Some = field(default_factory=Some)  # keys that are in shards of other numbers
    records: dict[str, Some] = field(default_factory=dict)  # field -> keys
    payloads: dict[str, Some] = field(default_factory=dict)  # column -> keys
    files: Some = field(default_factory=Some)  # that differ although nothing else does
    not_compared: list[str] = field(default_factory=list)  # columns

    @property
    def is_equal(self) -> bool:
        counts = (self.only_a, self.only_b, self.moved, self.files, *self.records.values(), *self.payloads.values())
        return not self.changes and not any(some.count for some in counts)

    def to_value(self) -> dict[str, Any]:
        """As JSON values."""
        return {"equal": self.is_equal, **asdict(self)}

    def in_words(self) -> Iterator[str]:
        """Yield the lines that people read."""
        kinds: dict[str, list[Change]] = defaultdict(list)
        for change in self.changes:
            kinds[change.name.rpartition(".")[0]].append(change)
        for kind, changes in kinds.items():
            yield from (change.in_words() for change in changes[:SHOWN])
            if len(changes) > SHOWN:
                yield printable(f"{kind}: {len(changes) - SHOWN} more differ")
        named = {"samples only in A": self.only_a, "samples only in B": self.only_b}
        named |= {"samples in other shards": self.moved}
        named |= {f"records that differ in {name}": some for name, some in self.records.items()}
        named |= {f"payloads that differ in {column}": some for column, some in self.payloads.items()}
        named |= {"files that differ, while all that they hold is equal": self.files}
        yield from (printable(f"{title}, {some.in_words()}") for title, some in named.items() if some.count)
        for column in self.not_compared:
            yield f"payloads of {column} are not compared: format 1 at a URL has no hashes of them; pull it first"


def diff(a: str | Path, b: str | Path, scratch: Path) -> Difference:
    """Compare two sets in directories or at URLs. What they state of their payloads is believed: verify them first.

    scratch: a directory for temporary files.

    Raises: ShardError if one of them is no set, or if records or indexes are damaged.
    """
    return _Diff(VerifiedSet(a, scratch / "a"), VerifiedSet(b, scratch / "b")).run()


class _Diff:
    def __init__(self, a: VerifiedSet, b: VerifiedSet) -> None:
        self._a, self._b = a, b
        self._one_format = a.manifest.format == b.manifest.format
        self._columns = [name for name in a.manifest.columns if name in b.manifest.columns]
        self._found = Difference(changes=list(manifest_changes(a.manifest, b.manifest)))

    def run(self) -> Difference:
        if self._a.manifest.sha256 == self._b.manifest.sha256:
            return self._found
        pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, one, two in _side_by_side(iter(self._a.keys), iter(self._b.keys)):
            if one is None or two is None:
                (self._found.only_a if two is None else self._found.only_b).add(key)
                continue
            pairs[one.shard, two.shard].append(key)
            if one.shard != two.shard:
                self._found.moved.add(key)
        if any(held.is_remote and held.manifest.format == 1 for held in (self._a, self._b)):
            self._found.not_compared = list(self._columns)
        for (one_shard, two_shard), keys in sorted(pairs.items()):
            self._compare_records(one_shard, two_shard, keys)
            for column in self._columns:
                self._compare_payloads(column, one_shard, two_shard, keys)
        if self._found.is_equal and self._one_format:
            self._compare_files()
        return self._found

    def _have_equal(self, paths_a: Sequence[str], paths_b: Sequence[str], shard_a: str, shard_b: str) -> bool:
        """Tell whether files of two shards have equal hashes, so that they need not be read."""
        files_a, files_b = self._a.shards[shard_a].files, self._b.shards[shard_b].files
        return [files_a[path] for path in paths_a] == [files_b[path] for path in paths_b]

    def _compare_records(self, shard_a: str, shard_b: str, keys: Sequence[str]) -> None:
        if self._have_equal([samples_path(shard_a)], [samples_path(shard_b)], shard_a, shard_b):
            return
        held_a, held_b = self._a.shard(shard_a), self._b.shard(shard_b)
        for key in keys:
            one, two = held_a.sample(key).to_value(), held_b.sample(key).to_value()
            for name in sorted(one.keys() | two.keys()):
                if one.get(name) != two.get(name) and (self._one_format or name != "video_sha256"):
                    self._found.records.setdefault(name, Some()).add(key)

    def _compare_payloads(self, column: str, shard_a: str, shard_b: str, keys: Sequence[str]) -> None:
        if column in self._found.not_compared:
            return
        paths = [[index_path(column, shard), tar_path(column, shard)] for shard in (shard_a, shard_b)]
        if self._have_equal(paths[0], paths[1], shard_a, shard_b):
            return
        for key in keys:
            if self._a.payload_sha256(column, shard_a, key) != self._b.payload_sha256(column, shard_b, key):
                self._found.payloads.setdefault(column, Some()).add(key)

    def _compare_files(self) -> None:
        files_a, files_b = self._a.manifest.all_files(), self._b.manifest.all_files()
        for path in sorted(files_a.keys() | files_b.keys()):
            if files_a.get(path) != files_b.get(path):
                self._found.files.add(path)


def _side_by_side(
    a: Iterator[KeyPlace], b: Iterator[KeyPlace]
) -> Iterator[tuple[str, KeyPlace | None, KeyPlace | None]]:
    """Yield every key of two key indexes in order, with its place in each; None where one has no such key."""
    one, two = next(a, None), next(b, None)
    while one is not None or two is not None:
        key = min(place.key for place in (one, two) if place is not None)
        has_a, has_b = one is not None and one.key == key, two is not None and two.key == key
        yield key, one if has_a else None, two if has_b else None
        one, two = next(a, None) if has_a else one, next(b, None) if has_b else two


def manifest_changes(a: Manifest, b: Manifest) -> Iterator[Change]:
    """Yield what two manifests state otherwise, without the hashes of files. Format 1 has no field for some of it."""
    yield from _changes(_stated(a), _stated(b))
    for name in sorted(a.columns.keys() | b.columns.keys()):
        if name in a.columns and name in b.columns:
            yield from column_changes(name, a, b)
        else:
            yield Change(f"columns.{name}", *("there" if name in m.columns else None for m in (a, b)))


def column_changes(name: str, a: Manifest, b: Manifest) -> Iterator[Change]:
    """Yield what two manifests state otherwise about a column that both have, by dotted name."""
    one, two = (_stated_of_column(manifest, name, one_format=a.format == b.format) for manifest in (a, b))
    yield from _changes(one, two, path=f"columns.{name}.")


def _stated(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": manifest.format,
        "dataset": manifest.dataset,
        "classes": {name: class_id for class_id, name in enumerate(manifest.classes)},
        "splits": manifest.splits,
        "order": manifest.order,
        "samples": manifest.samples,
        "frames": manifest.frames,
        "shards": len(manifest.shards),
        "failed": {failure.key: f"{failure.stage}/{failure.code}" for failure in manifest.failed},
        "missing": dict.fromkeys(manifest.missing, "missing"),
        "parent": manifest.parent or None,
    }


def _stated_of_column(manifest: Manifest, name: str, *, one_format: bool) -> dict[str, Any]:
    info, column = manifest.columns[name], manifest.column(name)
    encoding, tools = info.encoding, info.tools
    if not one_format:  # compare what both formats can state
        encoding = {k: v for k, v in encoding.items() if name in COLUMNS or k not in ("payload", "pictures")}
        tools = {tool: version for tool, version in tools.items() if tool != "ipdata"}
    return {
        "recipe": info.recipe,
        "encoding": encoding,
        "algorithm": manifest.algorithm(name),
        "payload": column.payload,
        "pictures": column.pictures,
        "tools": tools,
    }


def _changes(a: Mapping[str, Any], b: Mapping[str, Any], path: str = "") -> Iterator[Change]:
    """Yield the differing values of two tables of tables, by dotted name."""
    for name in sorted(a.keys() | b.keys()):
        one, two = a.get(name), b.get(name)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            yield from _changes(one, two, f"{path}{name}.")
        elif one != two or type(one) is not type(two):
            yield Change(f"{path}{name}", one, two)


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}..."
