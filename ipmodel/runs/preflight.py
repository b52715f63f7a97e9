"""Checks before training and testing: are the bytes of the set those that its manifest names?"""

from collections.abc import Sequence
from sys import stderr

from ipmodel.errors import ModelError
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.runs.run import Run
from shards.errors import ShardError
from shards.store.remote import is_url

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
        print(f"checking {size_bytes / 1e9:.1f} GB of shards against the manifest; {once}", file=stderr)
    own = sorted(files, key=lambda path: files[path].bytes)[ranks.local :: ranks.local_count]
    found: ShardError | StoppedError | None = None
    try:
        for start in range(0, len(own), FILES):
            if not stopped:
                run.shard_set.check({path: files[path] for path in own[start : start + FILES]})
    except ShardError as error:
        found = error
    for error_of_rank in ranks.gathered(found or (StoppedError() if stopped else None)):
        if error_of_rank is not None:
            raise error_of_rank
