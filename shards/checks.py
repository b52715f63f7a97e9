"""Checks inside one shard: that its files are what the manifest says, and that they follow the format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from shards import canonical
from shards.columns import Column, Payload
from shards.columns.registry import failures_named
from shards.errors import ShardError
from shards.index import IndexEntry, is_canonical_index, read_index
from shards.keyindex import KeyPlace
from shards.keys import order_of
from shards.layout import files_of, index_path, samples_path, tar_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.records import is_canonical, parse_lines
from shards.regular import check_regular
from shards.schema import Sample
from shards.tar import walk_tar
from shards.writer import members_of


@dataclass(frozen=True)
class Checked:
    """What checking one shard found."""

    problems: list[str]
    places: list[KeyPlace] = field(default_factory=list)  # of its samples; [] if its records cannot be read


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Checks the shards of one set in a directory. Used by several threads at once."""

    directory: Path
    location: str  # what problems call the directory
    manifest: Manifest
    columns: Sequence[str]  # that are checked
    quick: bool  # do not read the tars
    has_tars: bool = True  # False: only records and indexes are here

    def shard(self, shard: ShardInfo) -> Checked:
        """Check one shard. Mistakes of its writer are looked for only if all its files are as the manifest says."""
        damaged = [problem for path in self.paths(shard) for problem in self.file(path, shard.files[path])]
        if damaged:
            return Checked(damaged)
        problems: list[str] = []
        places: list[KeyPlace] = []
        try:
            samples = self._read_samples(samples_path(shard.shard))
            places = [KeyPlace.of(sample, shard.shard) for sample in samples]
            problems += self._record_problems(shard, samples)
            for column in map(self.manifest.column, self.columns):
                problems += self._column_problems(shard, column, samples)
        except (ShardError, OSError) as error:
            problems.append(f"{self.location}, shard {shard.shard}: {error}")
        return Checked(problems, places)

    def paths(self, shard: ShardInfo) -> list[str]:
        """The files of a shard that are looked at."""
        return [path for path in files_of(shard.shard, self.columns) if self.has_tars or not path.endswith(".tar")]

    def file(self, relative: str, expected: FileInfo) -> Iterator[str]:
        """Yield what is wrong with a file, going by the manifest alone."""
        path, name = self.directory / relative, self._name(relative)
        try:
            check_regular(path)
            if path.stat().st_size != expected.bytes:
                yield f"{name}: {path.stat().st_size} bytes, the manifest says {expected.bytes}; fetch it again"
            elif not (self.quick and path.suffix == ".tar") and FileInfo.of(path) != expected:
                yield f"{name}: its bytes do not have the sha256 of the manifest; fetch it again"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            yield f"{name}: missing; fetch it again, or run the build again"
        except OSError as error:
            yield f"{name}: cannot be read ({error.strerror}); check its permissions and the disk"

    def _name(self, relative: str) -> str:
        return f"{self.location}/{relative}"

    def _read_samples(self, relative: str) -> list[Sample]:
        data, name = (self.directory / relative).read_bytes(), self._name(relative)
        samples = parse_lines(data, Sample, where=name)
        if not is_canonical(data, samples):
            raise ShardError(f"{name}: not canonical JSON")
        return samples

    def _record_problems(self, shard: ShardInfo, samples: list[Sample]) -> Iterator[str]:
        manifest, frames = self.manifest, sum(sample.frames for sample in samples)
        if (len(samples), frames) != (shard.samples, shard.frames):
            stated = f"the manifest says {shard.samples} and {shard.frames}"
            yield f"shard {shard.shard}: its records have {len(samples)} samples and {frames} frames, {stated}"
        seed, keys = manifest.order["seed"], [sample.key for sample in samples]
        if keys != sorted(keys, key=partial(order_of, seed)):
            yield f"shard {shard.shard}: its samples are not in the order of seed {seed}"
        made = {column: self._size_in_recipe(column) for column in self.columns}
        for sample in samples:
            if sample.format != min(manifest.format, 2):
                yield f"{sample.key}: its record is not of format {manifest.format}: video_sha256 came with format 2"
            if bool(sample.group) != manifest.has_groups:
                yield f"{sample.key}: its record has the group {sample.group!r}, against dataset.has_groups"
            for column, size in made.items():
                if size not in (None, (sample.width, sample.height)):
                    yield f"{sample.key}: {sample.width}x{sample.height} px is not the size in the recipe of {column}"
            if manifest.classes[sample.class_id : sample.class_id + 1] != [sample.class_name]:
                yield f"{sample.key}: class {sample.class_id} is not {sample.class_name!r} in the manifest"
            if set(sample.subsets) != set(manifest.splits):
                yield f"{sample.key}: its splits {list(sample.subsets)} are not the manifest's"
            elif shard.subsets is not None and shard.subsets != sample.subsets:
                yield f"{sample.key}: its subsets {sample.subsets} are not those of shard {shard.shard}"

    def _size_in_recipe(self, column: str) -> object:
        """Width and height of the pictures, as the recipe of a column states them; None if it does not."""
        made = self.manifest.columns[column].recipe.get("transcode")
        return (made.get("width"), made.get("height")) if isinstance(made, dict) else made

    def _column_problems(self, shard: ShardInfo, column: Column, samples: list[Sample]) -> Iterator[str]:
        relative, tar = index_path(column.name, shard.shard), tar_path(column.name, shard.shard)
        data, name = (self.directory / relative).read_bytes(), self._name(relative)
        entries = read_index(data, column=column.name, where=name)
        if not is_canonical_index(data, column.name, entries):
            yield f"{name}: not canonical JSON"
        if [entry.key for entry in entries] != [sample.key for sample in samples]:
            yield f"{name}: its keys are not those of {samples_path(shard.shard)} in the same order"
            return
        for sample, entry in zip(samples, entries, strict=True):
            if column.pictures and len(entry.frames) - 1 != _frames_of(column, sample.picture_types):
                found = len(entry.frames) - 1
                yield f"{name}: {sample.key} has {found} frames in it, its record asks for another number"
            if bool(entry.sha256) != (self.manifest.format > 1):
                yield f"{name}: {sample.key} is not of format {self.manifest.format}: sha256 came with format 2"
        tar_bytes = shard.files[tar].bytes
        if any(sum(place) > tar_bytes for entry in entries for place in (entry.json, entry.cls, entry.payload)):
            yield f"{name}: its offsets point beyond the end of its tar"
            return
        if not self.quick:
            yield from self._tar_problems(tar, column, samples, entries)

    def _tar_problems(
        self, relative: str, column: Column, samples: list[Sample], entries: list[IndexEntry]
    ) -> Iterator[str]:
        members, name = walk_tar(self.directory / relative, where=self._name(relative)), self._name(relative)
        suffix = column.payload
        for sample, entry in zip(samples, entries, strict=True):
            found = [next(members, ("nothing", 0, b"")) for _ in range(3)]
            payload = found[2][2]
            suffix = suffix or found[2][0].removeprefix(f"{sample.key}.")  # an unknown column: all take the first's
            if [(member, content) for member, _, content in found] != members_of(sample, suffix, payload):
                names = ", ".join(member for member, _, _ in found)
                yield f"{name}: expected the members of {sample.key} with its record, found {names}"
                return
            positions = [[offset, len(content)] for _, offset, content in found]
            if positions != [entry.json, entry.cls, entry.payload]:
                yield f"{name}: {sample.key} does not lie where the index says"
                continue
            try:
                for problem in _payload_problems(column, sample, entry, payload):
                    yield f"{name}: {sample.key}: {problem}"
            except ShardError as error:
                yield f"{name}: {sample.key}: {error}"
        for member, _, _ in members:
            yield f"{name}: member {member} belongs to no record"


@lru_cache(maxsize=4096)  # videos of equal length have equal types
def _frames_of(column: Column, picture_types: str) -> int:
    return len(column.frame_numbers(picture_types))


def _payload_problems(column: Column, sample: Sample, entry: IndexEntry, payload: bytes) -> Iterator[str]:
    sha256 = canonical.sha256_bytes(payload) if entry.sha256 else ""
    if sha256 != entry.sha256:
        yield "the payload does not have the sha256 that the index states"
    if column.name == "video" and sample.video_sha256 and sha256 != sample.video_sha256:
        yield "the bitstream does not have the video_sha256 of its record"
    read = Payload(data=payload, frames=entry.frames, header=entry.header)
    with failures_named(column):
        yield from column.problems(read, width=sample.width, height=sample.height)
