"""Sets as another lab receives them: built of synthetic videos, without the builder's notes; and forged ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_sets
from built_sets import quick_options
from commands import in_process

from shards import ShardSet
from shards.columns import Payload
from shards.index import read_index
from shards.layout import index_path, tar_path
from shards.schema import Sample
from shards.writer import write_shard

Payloads = dict[str, Payload]  # by column
BEGUN_IN_FORMAT_1 = '{"dataset":"synthetic"}\n'  # what package 0.1.0 noted had no format


def build(out: Path, *arguments: str, format: int = 2, **options: object) -> None:
    """Build 6 synthetic videos in 3 shards, in this process."""
    if format == 1 and not out.exists():
        (out / ".build").mkdir(parents=True)
        (out / ".build" / "identity.json").write_text(BEGUN_IN_FORMAT_1)
    done = in_process("ipdata.cli", [*quick_options(out, scheduler="none", **options), *arguments])
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "manifest.json").read_bytes())["format"] == format


def received(origin: Path, out: Path, columns: str) -> Path:
    """A part of a set, as `ipshards subset` writes it."""
    done = in_process("shards.cli", ["subset", str(origin), str(out), f"--columns={columns}"])
    assert done.returncode == 0, done.stderr
    return out


def copied(origin: Path, out: Path) -> Path:
    """A set without the builder's notes."""
    return Path(shutil.copytree(origin, out, ignore=shutil.ignore_patterns(".build")))


def with_tools(set_dir: Path, **versions: str) -> None:
    """Let the manifest say that its columns were made with other tools."""

    def edit(value: dict[str, Any]) -> None:
        for info in value["columns"].values():
            info["tools"] |= {name: version for name, version in versions.items() if name in info["tools"]}

    made_sets.edit_manifest(set_dir, edit)


def forged(set_dir: Path, edit: Callable[[Sample, Payloads], tuple[Sample, Payloads]]) -> str:
    """Write the first sample of a set anew, so that every hash agrees with what `edit` makes of it; return its key."""
    shard_set = ShardSet(set_dir)
    shard = shard_set.manifest.shards[0].shard
    samples = shard_set.samples_of(shard)
    made: list[tuple[Sample, Payloads]] = []
    for sample in samples:
        payloads = {column: _payload(shard_set, column, shard, sample.key) for column in shard_set.columns}
        made.append((sample, payloads) if made else edit(sample, payloads))
    columns = {column: [payloads[column] for _, payloads in made] for column in shard_set.columns}
    for column in columns:
        (set_dir / tar_path(column, shard)).unlink()
    write_shard(set_dir, shard, [sample for sample, _ in made], columns)
    made_sets.edit_manifest(set_dir)
    return samples[0].key


def _payload(shard_set: ShardSet, column: str, shard: str, key: str) -> Payload:
    path = Path(shard_set.location) / index_path(column, shard)
    entry = next(e for e in read_index(path.read_bytes(), column=column, where=str(path)) if e.key == key)
    return Payload(data=shard_set.read_bytes(key, column), frames=entry.frames, header=entry.header)


def with_other_end(payload: Payload) -> Payload:
    """The payload with another last byte."""
    return Payload(data=payload.data[:-1] + bytes([payload.data[-1] ^ 1]), frames=payload.frames, header=payload.header)
