"""The manifest: what a set is and which bytes belong to it. Written last; what it does not name does not exist."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shards import canonical
from shards.columns import Column, described_column, in_order
from shards.columns.registry import check_column_name, failures_named
from shards.errors import ShardError
from shards.failures import Failure
from shards.layout import MANIFEST, files_of
from shards.schema import FORMAT, SUBSETS, check_splits, check_types, record_from

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """The size and the hash of a file. Raises: ShardError for values that no file has."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if type(self.bytes) is not int or self.bytes < 0 or not SHA256.fullmatch(self.sha256):
            raise ShardError(f"a file needs its bytes and sha256, got {self}")

    @classmethod
    def of(cls, path: Path) -> "FileInfo":
        return cls(bytes=path.stat().st_size, sha256=canonical.sha256_file(path))


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One shard: its counts, and its files by their path below the set."""

    shard: str  # "00000"
    samples: int
    frames: int
    subsets: dict[str, str] | None  # the subset of all its samples in each split; None if the set is not grouped
    files: dict[str, FileInfo]

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9]{5}|[1-9][0-9]{5,}", self.shard):
            raise ShardError(f"shard {self.shard!r}: needs a number of five digits, or more from 100000 on")
        if not 1 <= self.samples <= self.frames:
            counts = f"got {self.samples} samples and {self.frames} frames"
            raise ShardError(f"shard {self.shard}: needs at least one sample, and a frame for each sample, {counts}")

    @classmethod
    def from_value(cls, value: Any, *, where: str) -> "ShardInfo":
        info: ShardInfo = record_from(cls, value, where=where)
        files = {path: record_from(FileInfo, file, where=f"{where}, {path}") for path, file in info.files.items()}
        return cls(shard=info.shard, samples=info.samples, frames=info.frames, subsets=info.subsets, files=files)


@dataclass(frozen=True, kw_only=True)
class ColumnInfo:
    """One column: what made it, and what is needed to read it. Equal recipes have equal hashes."""

    recipe: dict[str, Any]
    recipe_sha256: str
    encoding: dict[str, Any]
    tools: dict[str, str]

    def __post_init__(self) -> None:
        check_types(self, where="column")
        if type(self.encoding.get("media")) is not str or not all(type(v) is str for v in self.tools.values()):
            raise ShardError(f"a column needs the media of its encoding and its tools' versions, got {self}")
        if canonical.sha256_value(self.recipe) != self.recipe_sha256:
            raise ShardError(f"recipe_sha256 {self.recipe_sha256} is not the hash of the recipe")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of a set. Raises: ShardError if its fields contradict each other or the format."""

    format: int
    dataset: dict[str, Any]  # name, and the options that chose the videos
    classes: list[str]  # by class id
    splits: dict[str, dict[str, int]]  # split -> subset -> samples
    order: dict[str, Any]  # seed, videos_per_shard, grouped
    columns: dict[str, ColumnInfo]
    shards: list[ShardInfo]
    samples: int
    frames: int
    failed: list[Failure]
    missing: list[str]  # names that the dataset lists and the source directory lacks

    def __post_init__(self) -> None:
        check_types(self, where="manifest")
        if self.format != FORMAT:
            raise ShardError(f"manifest has format {self.format!r}, this version reads {FORMAT}; update the package")
        self._check_columns()
        check_splits(self.splits, where="manifest")
        kinds = {name: type(self.order.get(name)) for name in ("seed", "videos_per_shard", "grouped")}
        if list(kinds.values()) != [int, int, bool]:
            raise ShardError(
                f"manifest: order needs seed and videos_per_shard as numbers and grouped, got {self.order}"
            )
        if type(self.dataset.get("name")) is not str:
            raise ShardError(f"manifest: dataset needs a name, got {self.dataset!s:.80}")
        if not all(type(name) is str for name in [*self.classes, *self.missing]):
            raise ShardError("manifest: classes and missing must be names")
        if len(set(self.classes)) < len(self.classes):
            raise ShardError("manifest: a class name stands twice in classes")
        self._check_shards()
        self._check_counts()
        # Canonical JSON sorts keys. Here a manifest that was built and one that was read get the same order.
        object.__setattr__(self, "columns", {name: self.columns[name] for name in in_order(self.columns)})
        splits = sorted(self.splits, key=lambda name: (len(name), name))  # split2 before split10
        object.__setattr__(self, "splits", {name: self.splits[name] for name in splits})

    def _check_columns(self) -> None:
        for name in self.columns:
            check_column_name(name, where="manifest")
            try:
                column = self.column(name)
                with failures_named(column):
                    column.check_encoding(self.columns[name].encoding)
            except ShardError as error:
                raise ShardError(f"manifest: {error}") from None
        if not self.columns:
            raise ShardError("manifest: needs at least one column")

    def _check_shards(self) -> None:
        numbers = [shard.shard for shard in self.shards]
        if not numbers or sorted(set(numbers), key=int) != numbers:
            raise ShardError("manifest: shards must be at least one, each once, in order")
        for shard in self.shards:
            if set(shard.files) != set(files_of(shard.shard, list(self.columns))):
                raise ShardError(f"manifest: shard {shard.shard} does not list exactly the files of its columns")
            if (shard.subsets is not None) != self.order["grouped"]:
                raise ShardError(
                    f"manifest: shard {shard.shard} must name its subsets if and only if the set is grouped"
                )
            if shard.subsets is not None and set(shard.subsets) != set(self.splits):
                raise ShardError(f"manifest: shard {shard.shard} must say what its samples are in every split")

    def _check_counts(self) -> None:
        for field in ("samples", "frames"):
            total = sum(getattr(shard, field) for shard in self.shards)
            if getattr(self, field) != total:
                raise ShardError(f"manifest: {getattr(self, field)} {field}, its shards have {total}")
        for split, counts in self.splits.items():
            if set(counts) != set(SUBSETS) or min(counts.values()) < 0 or sum(counts.values()) != self.samples:
                raise ShardError(f"manifest: counts of {split} must add up to {self.samples} samples, got {counts}")

    @property
    def sha256(self) -> str:
        """The hash that names this set: the last field of its JSON."""
        return canonical.sha256_bytes(canonical.dumps(asdict(self)))

    def column(self, name: str) -> Column:
        """The object that decodes one of the set's columns; an UnknownColumn if none is installed."""
        return described_column(name, self.columns[name].encoding)

    def split_name(self, split: str) -> str:
        """The split's full name: "1" means "split1". Raises: ShardError that lists the splits if there is none."""
        for name in (split, f"split{split}"):
            if name in self.splits:
                return name
        raise ShardError(f"unknown split {split!r}; this set has {', '.join(self.splits)}")

    def to_json(self) -> bytes:
        """Canonical JSON whose last field is the sha256 of the same bytes without that field."""
        body = canonical.dumps(asdict(self))
        return body[:-2] + f',"sha256":"{canonical.sha256_bytes(body)}"}}\n'.encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, *, where: str = MANIFEST) -> "Manifest":
        """Parse and check a manifest. Raises: ShardError if any byte is not what `to_json` writes."""
        value = canonical.loads(data, where=where)
        if not isinstance(value, dict) or not isinstance(value.get("sha256"), str):
            raise ShardError(f"{where}: not a manifest of a shard set")
        if type(value.get("format")) is int and value["format"] > FORMAT:
            raise ShardError(f"{where}: format {value['format']}, this version reads {FORMAT}; update the package")
        stated = value.pop("sha256")
        tail = f',"sha256":"{stated}"}}\n'.encode("ascii", "replace")
        if not data.endswith(tail) or canonical.sha256_bytes(data.removesuffix(tail) + b"}\n") != stated:
            raise ShardError(f"{where}: its bytes do not have the sha256 that it states; fetch it again")
        try:
            manifest = cls._from_value(value, where=where)
            canonical_bytes = manifest.to_json()
        except ShardError as error:
            raise ShardError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
        except (TypeError, AttributeError, ValueError) as error:
            raise ShardError(
                f"{where}: a field has the wrong type ({error}); the program that wrote it has a bug"
            ) from None
        if canonical_bytes != data:
            raise ShardError(f"{where}: not canonical JSON; the program that wrote it has a bug")
        return manifest

    @classmethod
    def _from_value(cls, value: dict[str, Any], *, where: str) -> "Manifest":
        parsed = dict(value)
        columns = value.get("columns", {})
        parsed["columns"] = {n: record_from(ColumnInfo, c, where=f"{where}, column {n}") for n, c in columns.items()}
        parsed["shards"] = [ShardInfo.from_value(s, where=f"{where}, shards") for s in value.get("shards", [])]
        parsed["failed"] = [record_from(Failure, f, where=f"{where}, failed") for f in value.get("failed", [])]
        manifest: Manifest = record_from(cls, parsed, where=where)
        return manifest

    @classmethod
    def read(cls, set_dir: Path) -> "Manifest":
        """The manifest of the set in a directory. Raises: ShardError if there is no sound one."""
        path = set_dir / MANIFEST
        if not path.is_file():
            raise ShardError(f"{set_dir}: no {MANIFEST}, so no shard set; build it, or finish its build")
        return cls.from_json(path.read_bytes(), where=str(path))
