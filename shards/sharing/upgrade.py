"""Write a set of format 1 as format 2: what `ipshards upgrade` does. Payloads keep their bytes."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from shards.canonical import sha256_bytes
from shards.checks import Checks
from shards.columns import COLUMNS
from shards.columns.registry import PICTURES
from shards.errors import ShardError
from shards.keyindex import write_key_index
from shards.manifest import ColumnInfo, Manifest, ShardInfo, key_index_files
from shards.schema import FORMAT, SHA256
from shards.sharing.card import carry_card
from shards.sharing.progress import MovedBytes
from shards.sharing.target import Target
from shards.sharing.verified import VerifiedSet, places_in
from shards.store.urls import is_url, shown
from shards.writer import write_shard

ALGORITHM = 1  # of every column of format 1


def upgrade(location: str | Path, directory: str | Path, *, progress: MovedBytes | None = None) -> Manifest:
    """Write the set of format 1 in a directory as format 2 into another one; go on if an earlier run was cut.

    Every shard is checked as `ipshards verify` does before anything of it is written. The set's parent is that of the
    old set or, if that has none, the old set itself.

    Raises: ShardError if the set is not of format 1, has no column `video`, or is damaged.
    """
    progress, target = progress or MovedBytes(), Target(Path(directory))
    if is_url(location):
        cure = "fetch it with `ipshards pull` first"
        raise ShardError(f"{shown(location)}: only a set in a directory can be upgraded; {cure}")
    if Path(location).resolve() == target.directory.resolve():
        raise ShardError(f"{location}: is also the output; no file of a set is ever changed, so name a new directory")
    held = VerifiedSet(location, target.work / "parts")
    _check_can_be_upgraded(held)
    progress.begin(sum(file.bytes for shard in held.manifest.shards for file in shard.files.values()))
    with target.opened({"upgraded": held.manifest.sha256}):
        infos = [_upgraded_shard(held, shard, target, progress) for shard in held.manifest.shards]
        keys = write_key_index(place for info in infos for place in places_in(target.directory, info))
        manifest = upgraded_manifest(held.manifest, infos, keys)
        carry_card(Path(location), held.manifest, target.directory, temporary_dir=target.work / "tmp")
        target.finish(manifest, keys)
    return manifest


def _check_can_be_upgraded(held: VerifiedSet) -> None:
    manifest = held.manifest
    if manifest.format != 1:
        raise ShardError(f"{held.location}: has format {manifest.format} already")
    parent = manifest.dataset.get("parent", manifest.sha256)
    if not isinstance(parent, str) or not SHA256.fullmatch(parent):
        raise ShardError(f"{held.location}: dataset.parent must be the sha256 of a set, got {parent!r:.80}")
    if "video" not in manifest.columns:
        cure = "add the column with `ipdata build --columns video` where the set was built, or build it anew"
        raise ShardError(f"{held.location}: has no column video, whose hash format 2 has in every record; {cure}")
    for column in map(manifest.column, manifest.columns):
        if not column.payload or column.pictures not in PICTURES:
            cure = "install the package that defines it"
            raise ShardError(f"{held.location}: does not state payload and pictures of column {column.name}; {cure}")


def _upgraded_shard(held: VerifiedSet, shard: ShardInfo, target: Target, progress: MovedBytes) -> ShardInfo:
    """Write a shard with the hashes of format 2. Raises: ShardError that names what is wrong in the old one."""
    size_bytes, info = sum(file.bytes for file in shard.files.values()), target.receipt(shard.shard)
    if info is not None:
        progress.done(size_bytes, moved=False)
        return info
    columns = list(held.manifest.columns)
    checks = Checks(
        directory=Path(held.location), location=held.location, manifest=held.manifest, columns=columns, quick=False
    )
    problems = checks.shard(shard).problems
    if problems:
        raise ShardError("\n".join([*problems, "fetch or build the set again, then upgrade it"]))
    keys = list(held.shard(shard.shard).samples)
    payloads = {column: held.payloads(column, shard.shard, keys) for column in columns}
    samples = [
        replace(held.shard(shard.shard).sample(key), video_sha256=sha256_bytes(video.data))
        for key, video in zip(keys, payloads["video"], strict=True)
    ]
    temporary = target.fresh_dir(shard.shard)
    files = write_shard(temporary, shard.shard, samples, payloads, column_of=held.manifest.column)
    for relative in files:
        target.place(relative, temporary / relative)
    info = replace(shard, files=files)
    target.note(info)
    progress.done(size_bytes)
    return info


def upgraded_manifest(old: Manifest, shards: list[ShardInfo], keys: bytes) -> Manifest:
    """The manifest of format 2 of a set whose manifest of format 1 is `old`."""
    return replace(
        old,
        format=FORMAT,
        dataset={name: value for name, value in old.dataset.items() if name != "parent"},
        columns={name: _upgraded_column(old, name) for name in old.columns},
        shards=shards,
        files=key_index_files(keys),
        parent=old.dataset.get("parent", old.sha256),
    )


def _upgraded_column(old: Manifest, name: str) -> ColumnInfo:
    """What format 2 states about a column: no version of the package that wrote it, but an algorithm."""
    info, column = old.columns[name], old.column(name)
    stated: dict[str, Any] = {"payload": column.payload, "pictures": column.pictures}
    return replace(
        info,
        encoding=info.encoding if name in COLUMNS else {k: v for k, v in info.encoding.items() if k not in stated},
        tools={tool: version for tool, version in info.tools.items() if tool != "ipdata"},
        algorithm=ALGORITHM,
        **stated,
    )
