"""Shards that a plan replaces: what is published of their samples is copied into the plan's shards, not made again.

A video more moves others into the next shard, which takes the name of one whose samples are still needed. So before any
shard changes, the files of all that will be replaced are linked into `.build/replaced/`. They stay there until the
plan's shards are published, also if the build is killed.
"""

import logging
import shutil
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as changed

from ipdata.datasets.base import Video
from ipdata.steps.output import RECEIPT, Output
from ipdata.steps.plan import ShardPlan
from ipdata.steps.receipt import Content, Receipt, intact, published_content, stored_videos
from ipdata.video.stored import Stored
from shards.atomic import named, publish, sync_directory, write_synced
from shards.canonical import sha256_bytes
from shards.columns import AnyPayload
from shards.errors import ShardError
from shards.schema import Sample

LOG = logging.getLogger(__name__)


def set_aside(output: Output, done: Collection[str]) -> None:
    """Link the files of published shards into `.build/replaced/`. done: the shards that stay as they are.

    Format 1 has no hashes of payloads, so nothing of such a set is copied.
    """
    for shard, receipt in output.receipts_by_shard():
        if shard not in done and receipt.info is not None and output.format > 1:
            _set_aside(output, shard, receipt)


def _set_aside(output: Output, shard: str, receipt: Receipt) -> None:
    assert receipt.info is not None
    name = f"{shard}-{sha256_bytes(receipt.to_json())[:16]}"
    final, temporary = output.replaced_dir / name, output.temporary_dir / name
    if final.exists():  # since then, a killed build may have put files of the plan in the place of these
        return
    temporary.mkdir()
    for relative in receipt.info.files:
        if (output.directory / relative).is_file():
            _link(output.directory / relative, temporary / relative)
    write_synced(temporary / RECEIPT, receipt.to_json())
    for folder in (temporary, *(path for path in temporary.iterdir() if path.is_dir())):
        sync_directory(folder)
    publish(temporary, final)
    sync_directory(output.build_dir)  # after a power cut, the folder must be there if new files are


def _link(there: Path, path: Path) -> None:
    """Raises: OSError if the file can be neither linked nor copied."""
    path.parent.mkdir(exist_ok=True)
    with suppress(OSError):  # this file system has no hard links
        path.hardlink_to(there)
        return
    with named(path):
        shutil.copyfile(there, path)


@dataclass(frozen=True, kw_only=True)
class Copied:
    """Samples of one replaced shard that one new shard takes over."""

    directory: Path  # has the files of the replaced shard, under the names that they have in a set
    receipt: Receipt
    keys: frozenset[str]

    def content(self, shard: ShardPlan) -> Content:
        """Their payloads, and their records as the new shard has them. Reading a whole payload verifies it."""
        there = published_content(self.directory, self.receipt)
        return {key: (_planned(there[key][0], shard.videos[key]), there[key][1]) for key in self.keys}

    def lacking(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns that they have not got yet."""
        return tuple(column for column in columns if column not in self.receipt.columns)

    def stored_videos(self, shard: ShardPlan, columns: Sequence[str]) -> dict[str, Stored]:
        """Key -> the bitstream from which columns are added; empty if no columns are lacking."""
        there = stored_videos(self.directory, self.receipt) if self.lacking(columns) else {}
        own = {key: stored for key, stored in there.items() if key in self.keys}
        return {key: replace(stored, sample=_planned(stored.sample, shard.videos[key])) for key, stored in own.items()}


def without_copied(
    work: Mapping[str, tuple[str, ...]], copies: Sequence[Copied], columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The work that is left, by key, if these samples are copied: the columns that they lack, if any."""
    lacking = {key: copied.lacking(columns) for copied in copies for key in copied.keys}
    return {key: left for key, left in {**work, **lacking}.items() if left}


class Replaced:
    """The samples of all replaced shards, by key and by the bytes of their sources."""

    def __init__(self, output: Output) -> None:
        # If several have a sample, because more than one plan was not carried out, that with most columns counts.
        self._shards = sorted(output.replaced(), key=lambda found: len(found[1].columns))
        self._places = {
            (key, sha256): place
            for place, (_, receipt) in enumerate(self._shards)
            for key, sha256 in receipt.sources.items()
        }

    def copies(self, shard: ShardPlan, sources: Mapping[str, str]) -> tuple[Copied, ...]:
        """What a new shard can take over: samples of unchanged sources, if their payloads have their hashes.

        sources: key -> sha256 that the source has now. Damaged samples are named in a warning.
        """
        wanted = defaultdict(set)
        for key in shard.videos:
            place = self._places.get((key, sources.get(key, "")))
            if place is not None:
                wanted[place].add(key)
        found = [_sound(*self._shards[place], keys) for place, keys in wanted.items()]
        return tuple(copied for copied in found if copied.keys)


def _sound(directory: Path, receipt: Receipt, keys: set[str]) -> Copied:
    """Those of some samples whose records and payloads have their hashes."""
    content = published_content(directory, receipt) if intact(directory, receipt, tars=False) else {}
    sound = {key for key in keys if key in content and all(map(_is_sound, content[key][1].values()))}
    if damaged := sorted(keys - sound):
        what = f"of shard {directory.name.partition('-')[0]}, {len(damaged)} published samples are damaged"
        LOG.warning("%s, such as %s; they are extracted again", what, damaged[0])
    return Copied(directory=directory, receipt=receipt, keys=frozenset(sound))


def _is_sound(payload: AnyPayload) -> bool:
    """Read a payload as whole; tell whether it has its hash."""
    try:
        for _ in payload.chunks():
            pass
    except (ShardError, FileNotFoundError):
        return False
    return True


def _planned(sample: Sample, video: Video) -> Sample:
    """A record with all that it takes from the plan."""
    return changed(
        sample,
        name=video.name,
        class_name=video.class_name,
        class_id=video.class_id,
        subsets=video.subsets,
        group=video.group,
    )
