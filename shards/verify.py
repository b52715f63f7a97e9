"""Checks that a set is what its manifest says, and that the manifest follows format 1."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from shards.columns import Column, Payload
from shards.columns.registry import failures_named
from shards.errors import ShardError
from shards.index import IndexEntry, read_index, write_index
from shards.keys import order_of
from shards.layout import CARD, MANIFEST, index_path, samples_path, tar_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.schema import SUBSETS, Sample
from shards.store.remote import is_url
from shards.tar import walk_tar
from shards.writer import members_of

OUTSIDE = {MANIFEST, CARD, ".build"}  # not covered by the manifest's hashes


def verify(
    location: str | Path, *, quick: bool = False, checked: Callable[[int, int], None] = lambda *_: None
) -> Iterator[str]:
    """Yield the problems of a set in a directory, one sentence each; nothing if the set is sound.

    Every byte is read, and every member of every tar is compared with the records and the index. With `quick`, only the
    manifest, the records and the indexes are read, and of the tars only the sizes are compared.

    `checked` is called with (bytes checked, bytes in all) before the first shard and after each.

    Example:
        problems = list(shards.verify("shards/hmdb51"))

    Raises: ShardError for a set at a URL.
    """
    if is_url(location):
        cure = "copy it there. Reading from a URL verifies each file that it fetches"
        raise ShardError(f"{location}: only a set on a local disk can be verified; {cure}")
    set_dir = Path(location)
    try:
        manifest = Manifest.read(set_dir)
    except (ShardError, OSError) as error:
        yield str(error)
        return
    yield from _foreign_files(set_dir, manifest)
    for column in map(manifest.column, manifest.columns):
        if not column.payload or column.pictures is None:
            yield f"{set_dir / MANIFEST}: the encoding of column {column.name} must state its payload and pictures"
    counts = {split: dict.fromkeys(SUBSETS, 0) for split in manifest.splits}
    keys: dict[str, str] = {}
    all_counted = True
    done_bytes, all_bytes = 0, sum(map(_bytes_of, manifest.shards))
    checked(done_bytes, all_bytes)
    for shard in manifest.shards:
        damaged = list(_file_problems(set_dir, shard, quick=quick))
        yield from damaged
        inside = [] if damaged else list(_shard_problems(set_dir, manifest, shard, counts, keys, quick=quick))
        yield from inside
        all_counted = all_counted and not damaged and not inside
        done_bytes += _bytes_of(shard)
        checked(done_bytes, all_bytes)
    if all_counted and counts != manifest.splits:
        yield f"{set_dir / MANIFEST}: split counts {manifest.splits} are not those of the records, {counts}"


def _bytes_of(shard: ShardInfo) -> int:
    return sum(file.bytes for file in shard.files.values())


def _foreign_files(set_dir: Path, manifest: Manifest) -> Iterator[str]:
    known = {path for shard in manifest.shards for path in shard.files}
    for path in sorted(set_dir.rglob("*")):
        relative = path.relative_to(set_dir)
        if not path.is_dir() and relative.parts[0] not in OUTSIDE and relative.as_posix() not in known:
            yield f"{path}: the manifest does not name this file; it is foreign or left from another build, remove it"


def _file_problems(set_dir: Path, shard: ShardInfo, *, quick: bool) -> Iterator[str]:
    for relative, expected in shard.files.items():
        path = set_dir / relative
        try:
            if not path.is_file():
                yield f"{path}: missing; fetch it again, or run the build again"
            elif path.stat().st_size != expected.bytes:
                yield f"{path}: {path.stat().st_size} bytes, the manifest says {expected.bytes}; fetch it again"
            elif not (quick and path.suffix == ".tar") and FileInfo.of(path) != expected:
                yield f"{path}: its bytes do not have the sha256 of the manifest; fetch it again"
        except OSError as error:
            yield f"{path}: cannot be read ({error.strerror}); check its permissions and the disk"


def _shard_problems(
    set_dir: Path,
    manifest: Manifest,
    shard: ShardInfo,
    counts: dict[str, dict[str, int]],
    keys: dict[str, str],
    *,
    quick: bool,
) -> Iterator[str]:
    """Problems inside a shard whose files have the right hashes: mistakes of the writer, not damage on the disk."""
    try:
        samples = _read_samples(set_dir / samples_path(shard.shard))
        yield from _record_problems(manifest, shard, samples, keys)
        for sample in samples:
            for split in set(sample.subsets) & set(counts):
                counts[split][sample.subsets[split]] += 1
        for column in map(manifest.column, manifest.columns):
            yield from _column_problems(set_dir, shard.shard, column, samples, quick=quick)
    except (ShardError, OSError) as error:
        yield f"{set_dir}, shard {shard.shard}: {error}"


def _read_samples(path: Path) -> list[Sample]:
    lines = path.read_bytes().splitlines(keepends=True)
    samples = [Sample.from_json(line, where=f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    if b"".join(sample.to_json() for sample in samples) != b"".join(lines):
        raise ShardError(f"{path}: not canonical JSON")
    return samples


def _record_problems(
    manifest: Manifest, shard: ShardInfo, samples: list[Sample], keys: dict[str, str]
) -> Iterator[str]:
    frames = sum(sample.frames for sample in samples)
    if (len(samples), frames) != (shard.samples, shard.frames):
        stated = f"the manifest says {shard.samples} and {shard.frames}"
        yield f"shard {shard.shard}: its records have {len(samples)} samples and {frames} frames, {stated}"
    seed = manifest.order["seed"]
    if [sample.key for sample in samples] != sorted((sample.key for sample in samples), key=partial(order_of, seed)):
        yield f"shard {shard.shard}: its samples are not in the order of seed {seed}"
    for sample in samples:
        if sample.key in keys:
            yield f"{sample.key}: is in shard {keys[sample.key]} and again in {shard.shard}"
        keys[sample.key] = shard.shard
        for column, info in manifest.columns.items():
            made = info.recipe.get("transcode", {"width": sample.width, "height": sample.height})
            size = (made.get("width"), made.get("height")) if isinstance(made, dict) else made
            if size != (sample.width, sample.height):
                yield f"{sample.key}: {sample.width}x{sample.height} px is not the size in the recipe of {column}"
        if manifest.classes[sample.class_id : sample.class_id + 1] != [sample.class_name]:
            yield f"{sample.key}: class {sample.class_id} is not {sample.class_name!r} in the manifest"
        if set(sample.subsets) != set(manifest.splits):
            yield f"{sample.key}: its splits {list(sample.subsets)} are not the manifest's"
        elif shard.subsets is not None and shard.subsets != sample.subsets:
            yield f"{sample.key}: its subsets {sample.subsets} are not those of shard {shard.shard}"


def _column_problems(set_dir: Path, shard: str, column: Column, samples: list[Sample], *, quick: bool) -> Iterator[str]:
    path, tar = set_dir / index_path(column.name, shard), set_dir / tar_path(column.name, shard)
    data = path.read_bytes()
    entries = read_index(data, column=column.name, where=str(path))
    if write_index(column.name, entries) != data:
        yield f"{path}: not canonical JSON"
    expected = [sample.key for sample in samples]
    if [entry.key for entry in entries] != expected:
        yield f"{path}: its keys are not those of {samples_path(shard)} in the same order"
        return
    for sample, entry in zip(samples, entries, strict=True):
        if column.pictures and len(entry.frames) - 1 != len(column.frame_numbers(sample.picture_types)):
            yield f"{path}: {sample.key} has {len(entry.frames) - 1} frames in it, its record asks for another number"
    tar_bytes = tar.stat().st_size
    if any(sum(place) > tar_bytes for entry in entries for place in (entry.json, entry.cls, entry.payload)):
        yield f"{path}: its offsets point beyond the end of its tar"
        return
    if not quick:
        yield from _tar_problems(tar, column, samples, entries)


def _tar_problems(path: Path, column: Column, samples: list[Sample], entries: list[IndexEntry]) -> Iterator[str]:
    members = walk_tar(path)
    suffix = column.payload
    for sample, entry in zip(samples, entries, strict=True):
        found = [next(members, ("nothing", 0, b"")) for _ in range(3)]
        payload = found[2][2]
        suffix = suffix or found[2][0].removeprefix(f"{sample.key}.")  # an unknown column: all take the first's suffix
        if [(name, content) for name, _, content in found] != members_of(sample, suffix, payload):
            names = ", ".join(name for name, _, _ in found)
            yield f"{path}: expected the members of {sample.key} with its record, found {names}"
            return
        positions = [[offset, len(content)] for _, offset, content in found]
        if positions != [entry.json, entry.cls, entry.payload]:
            yield f"{path}: {sample.key} does not lie where the index says"
            continue
        read = Payload(data=payload, frames=entry.frames, header=entry.header)
        with failures_named(column):
            problems = list(column.problems(read, width=sample.width, height=sample.height))
        for problem in problems:
            yield f"{path}: {sample.key}: {problem}"
    for name, _, _ in members:
        yield f"{path}: member {name} belongs to no record"
