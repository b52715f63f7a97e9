"""The manifest: what a set is and which bytes belong to it. Written last; what it does not name does not exist."""

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from shards import canonical
from shards.columns import Column, described_column, in_order
from shards.columns.registry import check_column_name, check_stated, failures_named
from shards.errors import ShardError
from shards.failures import Failure
from shards.layout import KEY_INDEX, MANIFEST, SHARD_NUMBER, files_of, key_index_path, samples_path
from shards.records import Record, parse
from shards.regular import open_regular
from shards.schema import FORMATS, SHA256, SUBSETS, Sample, check_splits

ROOT_FILE = re.compile(r"[a-z][a-z0-9_-]{0,39}\.[a-z]{1,8}")
MAX_MANIFEST_BYTES = 512 << 20  # some 25 million videos
MAX_FILE_BYTES = 1 << 40
MAX_FRAMES = 1 << 40  # of a shard


class FileInfo(Record, frozen=True, kw_only=True):
    """The size and the hash of a file. Raises: ShardError for values that no file has."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not 0 <= self.bytes <= MAX_FILE_BYTES or not SHA256.fullmatch(self.sha256):
            raise ShardError(f"a file needs its bytes and sha256, and has at most 2^40 bytes, got {self!s:.160}")

    @classmethod
    def of(cls, path: Path) -> "FileInfo":
        return cls(bytes=path.stat().st_size, sha256=canonical.sha256_file(path))

    @classmethod
    def of_bytes(cls, data: bytes) -> "FileInfo":  # type: ignore[valid-type]
        return cls(bytes=len(data), sha256=canonical.sha256_bytes(data))


class ShardInfo(Record, frozen=True, kw_only=True):
    """One shard: its counts, and its files by their path below the set."""

    shard: str  # "00000"
    samples: int
    frames: int
    subsets: dict[str, str] | None  # the subset of all its samples in each split; None if the set is not grouped
    files: dict[str, FileInfo]

    def __post_init__(self) -> None:
        if not SHARD_NUMBER.fullmatch(self.shard):
            raise ShardError(f"shard {self.shard!r}: needs a number of five digits, or more from 100000 on")
        if not 1 <= self.samples <= self.frames <= MAX_FRAMES:
            needs = "needs a sample, a frame for each sample, and at most 2^40 frames"
            got = f"got {self.samples!s:.20} samples and {self.frames!s:.20} frames"
            raise ShardError(f"shard {self.shard}: {needs}, {got}")
        records = self.files.get(samples_path(self.shard))
        if records is not None and self.frames > records.bytes:  # a record has a byte for each frame at least
            claim = f"claims {self.frames:.3g} frames in records of {records.bytes} bytes"
            raise ShardError(f"shard {self.shard}: {claim}; this is no sound set")


class ColumnInfo(Record, frozen=True, kw_only=True):
    """One column: what made it, and what is needed to read it. Equal recipes have equal hashes."""

    recipe: dict[str, Any]
    recipe_sha256: str
    encoding: dict[str, Any]
    tools: dict[str, str]
    # Format 1 states payload and pictures in the encoding, and only for columns of other packages.
    payload: str = ""  # suffix of its member in a tar
    pictures: str = ""  # which pictures have an entry: "I", "P" or "all"
    algorithm: int = 0  # version of what computes its bytes from its recipe; 0 in format 1, which means 1

    def __post_init__(self) -> None:
        for name in ("recipe", "encoding"):
            canonical.check_depth(getattr(self, name), where=name)
        if type(self.encoding.get("media")) is not str:
            raise ShardError(f"a column needs the media of its encoding, got {self.encoding}")
        if canonical.sha256_value(self.recipe) != self.recipe_sha256:
            raise ShardError(f"recipe_sha256 {self.recipe_sha256} is not the hash of the recipe")


def key_index_files(keys: bytes) -> dict[str, FileInfo]:
    """What a manifest of format 2 states about its key index, for its field `files`."""
    info = FileInfo.of_bytes(keys)
    return {key_index_path(info.sha256): info}


class Manifest(Record, frozen=True, kw_only=True):
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
    files: dict[str, FileInfo] | None = None  # beside manifest.json: the key index; None in format 1
    parent: str | None = None  # sha256 of the set that this one was taken from, or ""; None in format 1

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ShardError(f"manifest has format {self.format!r}, this version reads {_known()}; update the package")
        for field in ("dataset", "order"):
            canonical.check_depth(getattr(self, field), where=f"manifest, {field}")
        self._check_format()
        self._check_columns()
        check_splits(self.splits, where="manifest")
        kinds = {name: type(self.order.get(name)) for name in ("seed", "videos_per_shard", "grouped")}
        if list(kinds.values()) != [int, int, bool]:
            raise ShardError(
                f"manifest: order needs seed and videos_per_shard as numbers and grouped, got {self.order}"
            )
        if type(self.dataset.get("name")) is not str:
            raise ShardError(f"manifest: dataset needs a name, got {self.dataset!s:.80}")
        if len(set(self.classes)) < len(self.classes):
            raise ShardError("manifest: a class name stands twice in classes")
        self._check_shards()
        self._check_counts()
        # Canonical JSON sorts keys. Here a manifest that was built and one that was read get the same order.
        columns = {name: self.columns[name] for name in in_order(self.columns)}
        msgspec.structs.force_setattr(self, "columns", columns)
        splits = sorted(self.splits, key=lambda name: (len(name), name))  # split2 before split10
        msgspec.structs.force_setattr(self, "splits", {name: self.splits[name] for name in splits})

    def _check_format(self) -> None:
        """Check that the fields which came with format 2 are there in format 2, and only there."""
        if self.format == 1:
            if self.files is not None or self.parent is not None:
                raise ShardError("manifest: files and parent are fields of format 2, and it has format 1")
            return
        if self.parent is None or not (self.parent == "" or SHA256.fullmatch(self.parent)):
            raise ShardError(f'manifest: parent must be the sha256 of a set or "", got {self.parent!r}')
        named = [name for name in self.files or () if KEY_INDEX.fullmatch(name)]
        if (
            self.files is None
            or named != [key_index_path(self.files[name].sha256) for name in named]
            or len(named) != 1
        ):
            raise ShardError(
                f"manifest: files must name one key index, keys- and the first digits of its sha256, got {named}"
            )
        for name in self.files:
            if not ROOT_FILE.fullmatch(name) or name == MANIFEST:
                raise ShardError(f"manifest: a file beside it must match {ROOT_FILE.pattern}, got {name!r:.80}")

    def _check_columns(self) -> None:
        for name, info in self.columns.items():
            check_column_name(name, where="manifest")
            try:
                if self.format == 1 and (info.payload or info.pictures or info.algorithm):
                    raise ShardError(f"column {name} has fields of format 2, in a manifest of format 1")
                if self.format > 1:
                    check_stated(name, payload=info.payload, pictures=info.pictures, algorithm=info.algorithm)
                column = self.column(name)
                with failures_named(column):
                    column.check_encoding(info.encoding)
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
    def has_groups(self) -> bool:
        """Whether every record states a group."""
        return self.dataset.get("has_groups") is True

    @property
    def record_fields(self) -> list[msgspec.structs.FieldInfo]:
        """The fields that the records of this set have."""
        absent = {name for name, there in (("video_sha256", self.format > 1), ("group", self.has_groups)) if not there}
        return [field for field in msgspec.structs.fields(Sample) if field.name not in absent]

    @property
    def sha256(self) -> str:
        """The hash that names this set: the last field of its JSON."""
        return canonical.sha256_bytes(canonical.dumps(self.to_value()))

    @property
    def key_index(self) -> str | None:
        """The name of the key index. None in format 1."""
        return next(filter(KEY_INDEX.fullmatch, self.root_files), None)

    @property
    def root_files(self) -> dict[str, FileInfo]:
        """The files beside the manifest that it names. None in format 1."""
        return self.files or {}

    def all_files(self) -> dict[str, FileInfo]:
        """Every file that the manifest names, by path below the set."""
        return {**self.root_files, **{path: info for shard in self.shards for path, info in shard.files.items()}}

    def column(self, name: str) -> Column:
        """The object that decodes one of the set's columns; an UnknownColumn if none is installed."""
        info = self.columns[name]
        stated = (info.payload, info.pictures) if self.format > 1 else map(info.encoding.get, ("payload", "pictures"))
        return described_column(name, *stated)

    def algorithm(self, name: str) -> int:
        """The version of what computed a column. Package 0.1.0 wrote format 1 and stands for 1."""
        return self.columns[name].algorithm or 1

    def split_name(self, split: str) -> str:
        """The split's full name: "1" means "split1". Raises: ShardError that lists the splits if there is none."""
        for name in (split, f"split{split}"):
            if name in self.splits:
                return name
        raise ShardError(f"unknown split {split!r}; this set has {', '.join(self.splits)}")

    def to_json(self) -> bytes:
        """Canonical JSON whose last field is the sha256 of the same bytes without that field."""
        body = canonical.dumps(self.to_value())
        return body[:-2] + f',"sha256":"{canonical.sha256_bytes(body)}"}}\n'.encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, *, where: str = MANIFEST) -> "Manifest":
        """Parse and check a manifest. Raises: ShardError if any byte is not what `to_json` writes."""
        stated = parse(data, _Stated, where=where)
        if stated.sha256 is None:
            raise ShardError(f"{where}: not a manifest of a shard set")
        if stated.format > max(FORMATS):
            raise ShardError(f"{where}: format {stated.format}, this version reads {_known()}; update the package")
        tail = f',"sha256":"{stated.sha256}"}}\n'.encode("ascii", "replace")
        body = data.removesuffix(tail) + b"}\n"
        if not data.endswith(tail) or canonical.sha256_bytes(body) != stated.sha256:
            raise ShardError(f"{where}: its bytes do not have the sha256 that it states; fetch it again")
        manifest = parse(body, cls, where=where)
        if manifest.to_json() != data:
            raise ShardError(f"{where}: not canonical JSON; the program that wrote it has a bug")
        return manifest

    @classmethod
    def read(cls, set_dir: Path) -> "Manifest":
        """The manifest of the set in a directory. Raises: ShardError if there is no sound one."""
        path = set_dir / MANIFEST
        try:
            data = read_manifest_bytes(path)
        except (FileNotFoundError, NotADirectoryError):
            cure = "build it, finish its build, or use `ipshards verify --repair`"
            raise ShardError(f"{set_dir}: no {MANIFEST}, so no shard set; {cure}") from None
        except OSError as error:
            cure = "check what it is, its permissions and the disk"
            raise ShardError(f"{path}: cannot be read ({error.strerror}); {cure}") from None
        return cls.from_json(data, where=str(path))


def read_manifest_bytes(path: Path) -> bytes:
    """The bytes of a manifest. Raises: ShardError if the file is too large; OSError if it cannot be read."""
    with open_regular(path) as file:
        check_manifest_size(os.fstat(file.fileno()).st_size, where=str(path))
        return file.readall()


def check_manifest_size(size_bytes: int, *, where: str) -> None:
    """Raises: ShardError if a file is too large for a manifest."""
    if size_bytes > MAX_MANIFEST_BYTES:
        raise ShardError(f"{where}: is larger than {MAX_MANIFEST_BYTES} bytes, so it is no manifest")


class _Stated(msgspec.Struct):
    """What is read first, before anything else of a manifest is trusted."""

    format: int = 0
    sha256: str | None = None


def _known() -> str:
    return " and ".join(map(str, FORMATS))
