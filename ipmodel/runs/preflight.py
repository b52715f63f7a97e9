"""Before anything is trained or tested: are the set's bytes those that its manifest names?"""

import logging
from collections.abc import Sequence

from ipmodel.errors import ModelError
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.runs.run import Run
from shards.errors import ShardError
from shards.store.remote import is_url

LOG = logging.getLogger(__name__)
LARGE_BYTES = 1 << 30  # what takes long enough to check to say so
FILES = 16  # that are read before SIGTERM is looked for


def check_files(
    run: Run, columns: Sequence[str], *, split: str, subset: str, ranks: Ranks, stopped: Sequence[int] = ()
) -> None:
    """Compare what these columns of a subset take with the manifest; the ranks of a machine share its files.

    Raises on all ranks, whoever found it: ModelError if they read different sets; ShardError that names a file that is
    missing or damaged; StoppedError once SIGTERM came.
    """
    if len(set(ranks.gathered(run.shard_set.manifest.sha256))) > 1:
        raise ModelError(f"{run.shard_set.location} is not the same set for all processes; copy it to all machines")
    files = run.shard_set.files(columns, split=split, subset=subset)
    size_bytes = sum(info.bytes for info in files.values())
    if ranks.first and size_bytes > LARGE_BYTES and not is_url(run.shard_set.location):
        once = "what was checked before and has not changed since is not read again"
        LOG.info("checking %.1f GB of shards against the manifest; %s", size_bytes / 1e9, once)
    own = sorted(files, key=lambda path: files[path].bytes)[ranks.local :: ranks.local_count]
    refused: ShardError | StoppedError | None = None
    try:
        for start in range(0, len(own), FILES):
            if not stopped:
                run.shard_set.check({path: files[path] for path in own[start : start + FILES]})
    except ShardError as error:
        refused = error
    for found in ranks.gathered(refused or (StoppedError() if stopped else None)):
        if found is not None:
            raise found
