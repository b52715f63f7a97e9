"""Checks before training and testing: are the bytes of the set those that its manifest names?"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.runs.run import Run
from shards import ShardSet
from shards.errors import ShardError
from shards.facts import size_of
from shards.layout import tar_path
from shards.manifest import FileInfo
from shards.store.cache import cache_dir, cache_limit
from shards.store.pruning import contents
from shards.store.urls import is_url

LOG = logging.getLogger(__name__)
LARGE_BYTES = 1 << 30  # checking more than this takes long enough to announce it
FILES = 16  # checked between two looks for SIGTERM


def check_files(
    run: Run, columns: Sequence[str], *, split: str, subset: str, ranks: Ranks, stopped: Sequence[int] = ()
) -> None:
    """Compares the files of these columns, and all records, with the manifest.

    The ranks of each machine divide the files among them. Collective: call it on every rank.

    stopped: not empty once SIGTERM came.

    Raises: on all ranks, whichever of them found it: ModelError if ranks read different sets; ShardError if a file is
    missing or damaged; StoppedError once SIGTERM came.
    """
    if len(set(ranks.gathered(run.shard_set.manifest.sha256))) > 1:
        cure = "copy one set to all machines"
        raise ModelError(f"{run.shard_set.location} is not the same set for all processes; {cure}")
    files = run.shard_set.files(columns, split=split, subset=subset)
    size_bytes = sum(info.bytes for info in files.values())
    if ranks.first and size_bytes > LARGE_BYTES and not is_url(run.shard_set.location):
        once = "files that were checked before and have not changed are not read again"
        LOG.info("checking %.1f GB of shards against the manifest; %s", size_bytes / 1e9, once)
    own = sorted(files, key=lambda path: files[path].bytes)[ranks.local :: ranks.local_count]
    for found in ranks.gathered(_first_error(run.shard_set, {path: files[path] for path in own}, stopped)):
        if found is not None:
            raise found


def check_room(shard_set: ShardSet, columns: Sequence[str], *, split: str, shards: int | None, ranks: Ranks) -> None:
    """Compare what training puts into the cache of this machine with the cache's limit, and with the disk.

    shards: that each rank reads from at a time, where samples come shard after shard. While it does, as many more come.

    Raises: ModelError if the cache must not hold so much, so that each shard would be fetched again and again; or if
        the disk cannot hold what the cache may.
    """
    if not shard_set.is_remote:
        return
    trained_on = shard_set.shards(split=split, subset="train")
    held = [sum(shard.files[tar_path(name, shard.shard)].bytes for name in columns) for shard in trained_on]
    limit_bytes, all_bytes = cache_limit(), sum(held)
    if shards is not None and limit_bytes is not None:
        needed_bytes = min(2 * ranks.local_count * sum(sorted(held)[-shards:]), all_bytes)
        if needed_bytes > limit_bytes:
            needs = f"{shard_set.location}: training shard after shard needs {size_of(needed_bytes)} in the cache"
            raise ModelError(f"{needs}, and IPTSN_CACHE_MAX is {size_of(limit_bytes)}, which is less; raise it")
    coming_bytes = all_bytes if limit_bytes is None else min(all_bytes, limit_bytes)
    room_bytes = _room_bytes(cache_dir())
    if coming_bytes > room_bytes:
        fills = f"{shard_set.location}: training puts {size_of(coming_bytes)} into the cache {cache_dir()}"
        cure = 'make room, or set IPTSN_CACHE_MAX to less and order = "shards"'
        raise ModelError(f"{fills}, which has room for {size_of(room_bytes)}; {cure}")


def _room_bytes(cache: Path) -> int:
    """What the cache may grow to before its disk is full."""
    there = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free + contents(cache).size_bytes


def _first_error(
    shard_set: ShardSet, files: dict[str, FileInfo], stopped: Sequence[int]
) -> ShardError | StoppedError | None:
    """Checks files until one is damaged or SIGTERM comes."""
    paths = list(files)
    try:
        for start in range(0, len(paths), FILES):
            if stopped:
                break
            shard_set.check({path: files[path] for path in paths[start : start + FILES]})
    except ShardError as error:
        return error
    return StoppedError() if stopped else None
