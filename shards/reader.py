"""Random access to a shard set: choose split, subset and columns, and get a sample's frames as arrays."""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.columns import Column
from shards.columns.registry import failures_named
from shards.contents import Contents
from shards.errors import ShardError
from shards.facts import describe, in_html
from shards.keyindex import KeyIndex
from shards.layout import files_of, samples_path, tar_path
from shards.manifest import FileInfo, ShardInfo
from shards.schema import SUBSETS, Sample
from shards.store.ahead import Ahead
from shards.store.local import LocalFiles
from shards.store.remote import RemoteFiles
from shards.store.threads import in_threads
from shards.store.urls import is_url

THREADS = 8  # that hash files at once


class ShardSet:
    """A set in a directory or at a URL, such as "https://host/path/set" or "s3://bucket/set".

    Opening a set reads only its manifest. Records and indexes are read shard by shard when they are first needed, and
    kept in memory. From a URL, a file is fetched whole when it is first needed, and kept in the cache.

    Example:
        shard_set = ShardSet("shards/hmdb51")
        for sample in shard_set.samples(split="1", subset="train"):
            mv = shard_set.read(sample.key, "mv", [0, 5, 10])  # (3, h, w, 2) int16 half-pels

    `len(shard_set)` is the number of samples; iterating gives all records. `location` is the name of the set for errors
    and records. `address` opens the same set again; of a URL it has the login or the token, so never print or store it.
    """

    def __init__(self, location: str | Path) -> None:
        """Raises: ShardError if there is no sound manifest at the location."""
        self._files = RemoteFiles(str(location)) if is_url(location) else LocalFiles(location)
        self.location, self.manifest = self._files.location, self._files.manifest
        self.address = self._files.address
        self._contents = Contents(self._files)

    def __len__(self) -> int:
        return self.manifest.samples

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()

    def __repr__(self) -> str:
        what = f"{len(self)} samples, {len(self.manifest.classes)} classes, {len(self.manifest.splits)} splits"
        return f"<ShardSet {self.location!r}: {what}, columns {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows for the set."""
        return in_html(describe(self.manifest), location=self.location)

    @property
    def columns(self) -> list[str]:
        return list(self.manifest.columns)

    def column(self, name: str) -> Column:
        """The object that decodes a column; an UnknownColumn if none is installed.

        Raises: ShardError if the set lacks the column.
        """
        self._contents.check_column(name)
        return self.manifest.column(name)

    def shards(self, *, split: str | None = None, subset: str | None = None) -> list[ShardInfo]:
        """The shards that can hold samples of a subset: if the set is grouped, only those that do, otherwise all.

        Raises: ShardError if only one of the two is given, or if the set has no such split or subset.
        """
        if split is None and subset is None:
            return list(self.manifest.shards)
        name, _ = self.check_choice(split, subset, None)
        return [shard for shard in self.manifest.shards if shard.subsets is None or shard.subsets[str(name)] == subset]

    def samples(
        self, *, split: str | None = None, subset: str | None = None, classes: Collection[str] | None = None
    ) -> Iterator[Sample]:
        """Yield records in the set's order: all, or only those of one subset of a split, of some classes, or of both.

        Raises: ShardError if only one of split and subset is given, or if the set has no such split, subset or class.
        """
        name, class_ids = self.check_choice(split, subset, classes)
        shards = [shard.shard for shard in self.shards(split=split, subset=subset)]
        if class_ids is not None and self.manifest.format > 1:
            holding = {place.shard for place in self.keys.select(class_ids=class_ids)}
            shards = [shard for shard in shards if shard in holding]
        for samples in self._contents.in_turn(shards):
            for sample in samples:
                in_subset = name is None or sample.subsets[name] == subset
                if in_subset and (classes is None or sample.class_name in classes):
                    yield sample

    def table(self) -> list[dict[str, str | int]]:
        """A dict for each sample, in the set's order: the numbers and strings of its record, its subset in each split.

        The subset in split1 is called "subset_split1". pandas takes the list as it is; DuckDB takes pandas' DataFrame.

        Example:
            rows = pandas.DataFrame(shard_set.table())
            train = rows[rows.subset_split1 == "train"]
            frames = duckdb.sql("SELECT class_name, sum(frames) FROM rows GROUP BY class_name")
        """
        return [sample.scalars() for sample in self]

    def files(self, columns: Sequence[str], *, split: str, subset: str) -> dict[str, FileInfo]:
        """The files that reading these columns of a subset needs, by path below the set.

        In format 1 the records of all shards are among them, because there is no key index to look keys up in.

        Raises: ShardError if the set lacks a column, the split or the subset.
        """
        for column in columns:
            self._contents.check_column(column)
        chosen = self.shards(split=split, subset=subset)
        files = {path: shard.files[path] for shard in chosen for path in files_of(shard.shard, columns)}
        lookup = {samples_path(shard.shard): shard.files[samples_path(shard.shard)] for shard in self.manifest.shards}
        return {**(lookup if self.manifest.format == 1 else self.manifest.root_files), **files}

    def tars(self, column: str, *, split: str | None = None, subset: str | None = None) -> list[str]:
        """The paths or URLs of a column's tars, for other tools: all of the set, or those of a subset of a split.

        URLs have the login or the token of the set's `address`, so never print or store them.

        Example:
            files = {name: shard_set.tars("mv", split="1", subset=name) for name in ("train", "test")}
            dataset = datasets.load_dataset("webdataset", data_files=files, streaming=True)

        Raises: ShardError if the set lacks the column, the split or the subset, or if its shards mix subsets.
        """
        self._contents.check_column(column)
        shards = self.shards(split=split, subset=subset)
        if split is not None and any(shard.subsets is None for shard in shards):
            cure = "read all tars, and choose by the records' subsets"
            raise ShardError(f"{self.location}: its shards mix subsets, so no list of tars is one; {cure}")
        base, mark, query = self.address.partition("?")
        return [f"{base.rstrip('/')}/{tar_path(column, shard.shard)}{mark}{query}" for shard in shards]

    def check(self, files: dict[str, FileInfo]) -> None:
        """Compare files with their sha256. A local file that was compared before and has not changed is not read again.

        `shards.store.local` says how a change is noticed. Files of a set at a URL were compared when they arrived.

        Raises: ShardError that names a file which is missing or damaged.
        """
        checked = in_threads(lambda item: self._files.check(*item), files.items(), threads=THREADS)
        for _ in checked:  # Ctrl-C ends this at once: the threads that read are not waited for
            pass

    def fetching_ahead(self, wanted: Iterable[Iterable[str]], *, share: float = 1.0) -> Ahead:
        """From a URL, fetch files in the background before they are read; a context, which ends that.

        wanted: paths below the set that each step of the reader needs. Tell what is returned which step is `reached`.
        share: of what may be fetched ahead, where several processes on this machine do.
        """
        return self._files.ahead(wanted, share=share)

    @property
    def is_remote(self) -> bool:
        """Whether the set lies at a URL."""
        return isinstance(self._files, RemoteFiles)

    def open_whole(self, relative: str, place: Path | None, *, cancelled: threading.Event | None = None) -> FileIO:
        """A file of the set, open for reading, once all of its bytes were compared with the manifest.

        place: a directory that a file of a URL is fetched into, past the cache; it is removed there once it is open.
            A set in a directory needs none.
        cancelled: ends the fetch soon after it is set.

        Raises: ShardError if it cannot be fetched, or is not what the manifest says.
        """
        return self._files.opened_whole(relative, place, cancelled=cancelled)

    @property
    def waited_s(self) -> float:
        """Seconds that reading has waited, in this process, for files to arrive from a URL."""
        return self._files.waited_s

    def shard_of(self, key: str) -> str:
        """The number of the shard that holds a sample. Raises: ShardError for an unknown key."""
        return self._contents.place(key).shard

    def paths_of(self, key: str, columns: Sequence[str]) -> list[str]:
        """The files, below the set, that hold a sample in these columns. Raises: ShardError for an unknown key."""
        return files_of(self.shard_of(key), columns)

    def samples_of(self, shard: str) -> list[Sample]:
        """The records of one shard, such as "00000"."""
        return self._contents.samples_of(shard)

    @property
    def keys(self) -> KeyIndex:
        """The shard, the class and the subsets of every key. Format 1 has no key index: there, all records are read."""
        return self._contents.keys

    def sample(self, key: str) -> Sample:
        """The record of a key. Raises: ShardError if the set has no such sample."""
        return self._contents.located(key)[1]

    def frame_numbers(self, key: str, column: str) -> list[int]:
        """The frame numbers of a sample's entries in a column: position p holds the frame with the p-th number.

        Raises: ShardError for an unknown key or column.
        """
        return self.column(column).frame_numbers(self.sample(key).picture_types)

    def read(self, key: str, column: str, positions: Sequence[int] | None = None, *, stored: bool = False) -> NDArray:
        """Frames of one sample, by their positions in the column; None reads all. Reads only the bytes of those frames.

        iframe: (n, H, W, 3) uint8 RGB. mv: (n, h, w, 2) int16 half-pels, -32768 in intra macroblocks. residual:
        (n, H, W, 3) int16 RGB, -128..127. flow: (n, H, W, 2) float32 px. With `stored`, residual and flow are uint8
        levels. Position p holds frame number `frame_numbers(key, column)[p]`.

        Raises: ShardError for an unknown key, column or position, and for damaged bytes.
        """
        own = self.column(column)
        sample = self.sample(key)
        frames = list(self.stored_frames(key, column, positions))
        with failures_named(own):
            array = np.stack(frames) if frames else own.empty(width=sample.width, height=sample.height)
            return array if stored else own.restore(array, self.manifest.columns[column].encoding)

    def stored_frames(self, key: str, column: str, positions: Sequence[int] | None = None) -> Iterator[NDArray]:
        """Decode frame by frame what `read` gives with `stored`: a caller that crops needs memory for one frame only.

        Raises: ShardError as `read` does; for a damaged frame, when it is reached.
        """
        own = self.column(column)
        shard, sample = self._contents.located(key)
        for data in self.read_frames(key, column, positions):
            try:
                with failures_named(own):
                    frame = own.decode(data, width=sample.width, height=sample.height)
            except ShardError as error:
                raise ShardError(f"{self._contents.name(tar_path(column, shard))}: {key}: {error}") from None
            yield frame

    def read_frames(self, key: str, column: str, positions: Sequence[int] | None = None) -> list[bytes]:
        """The encoded frames at positions of a column: JPEG images, raw motion vectors, or coded pictures of the video.

        Raises: ShardError for an unknown key, column or position.
        """
        shard, entry = self._contents.entry(key, column)
        count = len(entry.frames) - 1
        wanted = range(count) if positions is None else positions
        if len(wanted) and not count:
            raise ShardError(f"{key}: has no frames in {column}, so none at position {wanted[0]}")
        for position in wanted:
            if not 0 <= position < count:
                raise ShardError(f"{key}: {column} has {count} frames, counted from 0, so no position {position}")
        return self._contents.read_ranges(tar_path(column, shard), [entry.frame(position) for position in wanted])

    def read_bytes(self, key: str, column: str) -> bytes:
        """The whole payload of a sample: an .m4v bitstream, an .npy file, or JPEG images one after another.

        Raises: ShardError for an unknown key or column.
        """
        shard, entry = self._contents.entry(key, column)
        offset, size = entry.payload
        return self._contents.read_ranges(tar_path(column, shard), [(offset, size)])[0]

    def check_choice(
        self, split: str | None, subset: str | None, classes: Collection[str] | None
    ) -> tuple[str | None, set[int] | None]:
        """The full name of a split, and the ids of classes; None where nothing is chosen.

        Raises: ShardError if only one of split and subset is given, or if the set has no such split, subset or class.
        """
        if (split is None) != (subset is None):
            raise ShardError("split and subset go together, such as split='1', subset='train'")
        if subset is not None and subset not in SUBSETS:
            raise ShardError(f"unknown subset {subset!r}; known: {', '.join(SUBSETS)}")
        if isinstance(classes, str):
            raise ShardError(f"class names must be in a list, such as classes=[{classes!r}]")
        unknown = [name for name in classes or () if name not in self.manifest.classes]
        if unknown:
            raise ShardError(f"unknown class {unknown[0]!r}; this set has {', '.join(self.manifest.classes)}")
        class_ids = None if classes is None else {self.manifest.classes.index(name) for name in classes}
        return None if split is None else self.manifest.split_name(split), class_ids
