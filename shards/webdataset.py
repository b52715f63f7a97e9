"""Sets as pipelines of the package `webdataset`, for those who stream whole shards. Needs the extra `train`.

Example:
    from shards.webdataset import frames, pipeline

    for sample in pipeline("s3://bucket/hmdb51", ["mv", "residual"], split="1", subset="train", epoch=0):
        sample["__key__"], sample["cls"], frames(sample["mv.npy"]), frames(sample["residual.mjpeg"])
"""

import logging
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards import canonical
from shards.columns.base import UnknownColumn
from shards.errors import ShardError, install
from shards.layout import tar_path
from shards.reader import ShardSet
from shards.streaming.deal import Piece, dealt, of_worker
from shards.streaming.frames import frames
from shards.streaming.spool import Spool
from shards.tar import check_headers

if TYPE_CHECKING:
    from webdataset import DataPipeline

LOG = logging.getLogger(__name__)
WebSample = dict[str, Any]


def pipeline(
    location: str | Path | ShardSet,
    columns: Sequence[str] | None = None,
    *,
    split: str | None = None,
    subset: str | None = None,
    order: str = "shuffled",
    seed: int = 0,
    epoch: int = 0,
    rank: int | None = None,
    ranks: int | None = None,
    prefetch: int = 1,
    spool: Path | None = None,
) -> "DataPipeline":
    """One epoch of a set as a `webdataset.DataPipeline`, which takes further stages by `compose`.

    A sample is a dict: `__key__`, `__url__` (that of its tar in the first column), `cls` (class id), `json` (the
    record), and the payload of each column under its name, such as `mv.npy`, as bytes; `frames` splits them. Nothing of
    a tar is unpickled or run.

    Shards are read whole, in an order of our own, and dealt to ranks and to the loader processes of PyTorch's
    DataLoader: no sample comes twice, all ranks get equally many, and the samples of a rank are the same whatever the
    number of its loader processes. So make batches behind the loader: with `batched` in the pipeline, each loader
    process would have an incomplete batch of its own, and ranks would take unequal numbers of steps. For the next
    epoch, make another pipeline, with that epoch's number.

    columns: None for all that this version knows. order: of the shards: "shuffled", by seed and epoch; or "stored", the
        set's. The samples of a shard come as they are stored. rank, ranks: of several processes that share an epoch;
        None: as torch.distributed says, otherwise one. prefetch: shards that are fetched ahead from a URL. spool: a
        directory for them; None: the system's for temporary files.

    Raises: ShardError if the set cannot be read, lacks a column, split or subset, or has too few shards for the ranks;
        while it is read: ShardError if a shard cannot be fetched, has no room, or is not what the manifest says.
    """
    try:
        import webdataset
    except ModuleNotFoundError as error:
        raise ShardError(f"streaming needs a package that is missing ({error}); {install('train')}") from None
    if order not in ("shuffled", "stored"):
        raise ShardError(f'order must be "shuffled" or "stored", got {order!r}')
    if type(prefetch) is not int or prefetch < 0:
        raise ShardError(f"prefetch must be a whole number of shards, 0 or more, got {prefetch}")
    shard_set = location if isinstance(location, ShardSet) else ShardSet(location)
    chosen = _columns(shard_set, columns)
    own, count = _rank(rank, ranks)
    counts = _counts(shard_set, split, subset)
    pieces = dealt(counts, seed=None if order == "stored" else seed, epoch=epoch, ranks=count)[own]
    _say_left_out(shard_set, sum(counts.values()) - count * sum(piece.samples for piece in pieces), first=own == 0)
    choice = None if _takes_whole_shards(shard_set, split) else (split, subset)
    source = Spool(shard_set=shard_set, columns=chosen, prefetch=prefetch, directory=spool)
    return webdataset.DataPipeline(_Samples(source, tuple(pieces), choice))


def _columns(shard_set: ShardSet, columns: Sequence[str] | None) -> tuple[str, ...]:
    """The columns to read. Raises: ShardError."""
    if isinstance(columns, str) or (columns is not None and not columns):
        raise ShardError(f"columns must be a list of names, such as ['mv'], got {columns!r}")
    if columns is not None:
        return tuple(shard_set.column(name).name for name in columns)
    known = tuple(name for name in shard_set.columns if not isinstance(shard_set.column(name), UnknownColumn))
    if skipped := [name for name in shard_set.columns if name not in known]:
        LOG.warning("%s: skipped columns that are not known here: %s", shard_set.location, ", ".join(skipped))
    return known


def _takes_whole_shards(shard_set: ShardSet, split: str | None) -> bool:
    return split is None or all(shard.subsets is not None for shard in shard_set.manifest.shards)


def _counts(shard_set: ShardSet, split: str | None, subset: str | None) -> dict[str, int]:
    """How many samples of each shard are chosen, in the set's order. Raises: ShardError."""
    shards = shard_set.shards(split=split, subset=subset)
    if _takes_whole_shards(shard_set, split):
        return {shard.shard: shard.samples for shard in shards}
    name, _ = shard_set.check_choice(split, subset, None)
    held = Counter(place.shard for place in shard_set.keys.select(split=name, subset=subset))
    return {shard.shard: held[shard.shard] for shard in shards}


def _say_left_out(shard_set: ShardSet, samples: int, *, first: bool) -> None:
    if samples and first:
        what = "samples are left out of this epoch, so that all ranks have equally many"
        LOG.warning("%s: %d %s", shard_set.location, samples, what)


def _rank(rank: int | None, ranks: int | None) -> tuple[int, int]:
    """This process's rank, and the number of ranks. Raises: ShardError."""
    if (rank is None) != (ranks is None):
        raise ShardError("rank and ranks go together, such as rank=0, ranks=2")
    if rank is None or ranks is None:
        torch = sys.modules.get("torch")  # without it, there are no ranks
        distributed = getattr(torch, "distributed", None)
        if distributed is None or not distributed.is_available() or not distributed.is_initialized():
            if os.environ.get("WORLD_SIZE", "1") != "1":
                started = f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torch.distributed has not begun"
                raise ShardError(f"{started}; call init_process_group before, or give rank and ranks")
            return 0, 1
        return distributed.get_rank(), distributed.get_world_size()
    if ranks < 1 or not 0 <= rank < ranks:
        raise ShardError(f"ranks must be at least 1, and rank 0 to ranks - 1, got {rank} of {ranks}")
    return rank, ranks


@dataclass(frozen=True)
class _Samples:
    """The first stage of a pipeline: the samples of this rank and loader process."""

    source: Spool
    pieces: tuple[Piece, ...]  # of the rank
    choice: tuple[str | None, str | None] | None  # split and subset, where shards mix subsets

    def __call__(self) -> Iterator[WebSample]:
        worker, workers = _worker()
        own = of_worker(self.pieces, worker=worker, workers=workers)
        tars = self.source.tars((piece.shard for piece in own), processes=workers)
        try:
            for piece, (shard, files) in zip(own, tars, strict=True):
                yield from self._of_shard(shard, files, piece.samples)
        finally:
            tars.close()

    def _of_shard(self, shard: str, files: dict[str, FileIO], samples: int) -> Iterator[WebSample]:
        """The samples that are taken of a shard, each with all columns."""
        shard_set = self.source.shard_set
        expected = [sample.key for sample in shard_set.samples_of(shard)]
        chosen = expected if self.choice is None else self._chosen(shard)
        taken = set(chosen[:samples])
        read = [_members(shard_set, name, shard, file, expected) for name, file in files.items()]
        for first, *others in zip(*read, strict=True):
            if first["__key__"] in taken:
                yield {**{name: value for other in others for name, value in other.items()}, **first}

    def _chosen(self, shard: str) -> list[str]:
        assert self.choice is not None
        split, subset = self.choice
        name = self.source.shard_set.manifest.split_name(str(split))
        return [sample.key for sample in self.source.shard_set.samples_of(shard) if sample.subsets[name] == subset]


def _members(
    shard_set: ShardSet, column: str, shard: str, file: FileIO, expected: Sequence[str]
) -> Iterator[WebSample]:
    """The samples in a tar, as webdataset groups them. Raises: ShardError if it has others than the records say."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    relative, payload = tar_path(column, shard), shard_set.column(column).payload
    where = f"{shard_set.location}/{relative}"
    check_headers(file, where=where)  # else it could be compressed or sparse, and take any amount of memory
    grouped = group_by_keys(tar_file_expander([{"url": where, "stream": file}]))
    suffixes = {"__key__", "__url__", "json", "cls", payload}
    try:
        for sample, key in zip_longest(grouped, expected):
            if sample is None or sample["__key__"] != key or sample.keys() != suffixes:
                raise ShardError(f"{where}: does not hold the samples of its records, in their order; verify the set")
            record = canonical.loads(sample["json"], where=f"{where}: {key}")
            yield {**sample, "json": record, "cls": int(sample["cls"])}
    except ShardError:
        raise
    except (tarfile.TarError, ValueError, OSError) as error:
        raise ShardError(f"{where}: is no sound shard ({error}); verify the set") from None


def _worker() -> tuple[int, int]:
    """The number of this loader process of PyTorch's DataLoader, and how many there are."""
    torch = sys.modules.get("torch")
    info = torch.utils.data.get_worker_info() if torch is not None else None
    return (0, 1) if info is None else (info.id, info.num_workers)


__all__ = ["frames", "pipeline"]
