"""Repair a set in a directory: fetch exactly what is missing or damaged from the same set, or its parent, at a URL."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from shards.atomic import LockedError, directory_locked, publish, write_published
from shards.canonical import sha256_bytes
from shards.checks import Checks
from shards.errors import ShardError
from shards.index import IndexEntry, read_index
from shards.keyindex import KeyIndex, KeyPlace, write_key_index
from shards.layout import MANIFEST, files_of, index_path, is_free, samples_path, tar_path
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.reader import THREADS, ShardSet
from shards.schema import Sample
from shards.sharing.choice import Chosen
from shards.sharing.origin import RemoteOrigin
from shards.sharing.progress import MovedBytes
from shards.sharing.take import cut_shard
from shards.sharing.target import WORK, check_no_directory
from shards.store.fetch import CONNECTIONS
from shards.store.local import read_ranges
from shards.store.sources import source_of
from shards.store.threads import in_threads

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repaired:
    """What was put right."""

    files: list[str]
    moved_bytes: int


def repair(
    directory: str | Path,
    url: str,
    *,
    columns: Sequence[str] | None = None,
    connections: int = CONNECTIONS,
    progress: MovedBytes | None = None,
) -> Repaired:
    """Fetch the files of a set that are missing or damaged. Sound files are only read.

    A manifest that is missing or damaged is taken from the URL, if every file that is there belongs to the set there.

    columns: look at these only. None looks at all.

    Raises: ShardError if the set at the URL is neither the same nor its parent. What was put right until then stays.
    """
    run = _Repair(Path(directory), url, progress or MovedBytes(), connections)
    try:
        with directory_locked(Path(directory), wait_s=0):
            try:
                return run.run(columns)
            finally:
                shutil.rmtree(run.work, ignore_errors=True)
                with suppress(OSError):  # a run of pull was interrupted there, and goes on with what it has
                    run.work.parent.rmdir()
    except LockedError:
        raise ShardError(f"{directory}: another process is writing to it; wait for it or stop it") from None


class _Repair:
    def __init__(self, directory: Path, url: str, progress: MovedBytes, connections: int) -> None:
        self.work = directory / WORK / "repair"
        self._directory, self._progress = directory, progress
        self._far = ShardSet(url)
        self._far_files = self._far.manifest.all_files()
        self._has_manifest = True
        self._manifest = self._own_manifest()
        self._origin = RemoteOrigin(
            source_of(url), self._far.manifest, self.work, progress.done, connections=connections
        )

    def _own_manifest(self) -> Manifest:
        """The manifest of the directory; that of the URL where it is not sound.

        Raises: ShardError if files that are there belong to another set, which nobody knows then.
        """
        try:
            return Manifest.read(self._directory)
        except ShardError as error:
            LOG.warning("%s", error)
        paths = [path.relative_to(self._directory) for path in self._directory.rglob("*") if path.is_file()]
        names = [str(name) for path in paths if not is_free(name := PurePosixPath(path.as_posix()))]
        foreign = sorted(name for name in names if name not in {MANIFEST, *self._far_files})
        if foreign:
            raise self._of_another(f"{foreign[0]} does not belong to")
        if not names:
            raise ShardError(f"{self._directory}: holds nothing of a set; fetch one with `ipshards pull`")
        if (self._directory / ".build").exists():
            raise ShardError(f"{self._directory}: is the output of a build; finish its build")
        if self._far.manifest.key_index not in names:  # only it tells a part from the whole set by its name
            self._check_records()
        LOG.warning("%s: is taken from %s", self._directory / MANIFEST, self._far.location)
        self._has_manifest = False
        return self._far.manifest

    def _check_records(self) -> None:
        """Raises: ShardError if the records that are there are not those of the set at the URL."""
        for shard in self._far.manifest.shards:
            path = samples_path(shard.shard)
            if not (self._directory / path).is_file() or FileInfo.of(self._directory / path) != shard.files[path]:
                raise self._of_another(f"{path} is not that of")

    def _of_another(self, what: str) -> ShardError:
        problem = f"{self._directory}: has no sound {MANIFEST}, and {what} the set at {self._far.location}"
        return ShardError(f"{problem}; name the URL of the same set, or pull it anew into another directory")

    def run(self, columns: Sequence[str] | None) -> Repaired:
        wrong = self._wrong_files(columns)
        whole = {path: info for path, info in wrong.items() if self._far_files.get(path) == info}
        cut = {path: info for path, info in wrong.items() if path not in whole}
        begun = {path for path, info in whole.items() if self._begin_with_ours(path, info)}
        self._progress.begin(sum(info.bytes for path, info in wrong.items() if path not in begun))
        self._origin.move(whole, self._place)
        if cut:
            self._cut_again(cut)
        repaired = list(wrong)
        if not self._has_manifest:
            final, data = self._directory / MANIFEST, self._manifest.to_json()
            write_published(final, data, temporary_dir=self.work / "tmp")
            repaired.append(MANIFEST)
        return Repaired(repaired, self._progress.moved_bytes)

    def _begin_with_ours(self, path: str, info: FileInfo) -> bool:
        """If a tar has its right size, let the fetch keep the samples that are right in it; tell whether it has."""
        ours = self._directory / path
        has_size = path.endswith(".tar") and ours.is_file() and ours.stat().st_size == info.bytes
        if has_size:
            self._origin.begin_with(path, info, ours)
        return has_size

    def _wrong_files(self, columns: Sequence[str] | None) -> dict[str, FileInfo]:
        """The files that are missing or damaged: records and indexes too, those of other columns not."""
        names = [name for name in self._manifest.columns if columns is None or name in columns]
        files = dict(self._manifest.root_files)
        for shard in self._manifest.shards:
            files |= {path: shard.files[path] for path in files_of(shard.shard, names)}
        checks = Checks(
            directory=self._directory,
            location=str(self._directory),
            manifest=self._manifest,
            columns=names,
            quick=False,
        )
        # Ctrl-C need not wait for what is hashed.
        problems = in_threads(lambda path: list(checks.file(path, files[path])), files, threads=THREADS)
        return {path: files[path] for path, found in zip(files, problems, strict=True) if found}

    def _place(self, relative: str, temporary: Path) -> None:
        check_no_directory(self._directory / relative)
        publish(temporary, self._directory / relative)

    def _cut_again(self, wrong: Mapping[str, FileInfo]) -> None:
        """Write shards again of which this set has only some samples, from the set that it was taken from."""
        parent = self._manifest.parent or self._manifest.dataset.get("parent")
        if self._far.manifest.sha256 != parent:
            which = f"neither this set nor the one that it was taken from ({parent or 'none'})"
            raise ShardError(f"{self._far.location}: is {which}, so it cannot give {min(wrong)}; name another URL")
        places = self._places()
        self._restore_key_index(wrong, places)
        for shard in self._manifest.shards:
            lost = [path for path in shard.files if path in wrong]
            if lost:
                self._cut_shard(shard, lost, places[shard.shard])

    def _cut_shard(self, shard: ShardInfo, lost: Sequence[str], places: list[KeyPlace]) -> None:
        folders = {path.split("/")[0] for path in lost}
        columns = tuple(name for name in self._manifest.columns if name in folders)
        chosen = Chosen(columns=columns, places={shard.shard: places})
        far = next((info for info in self._far.manifest.shards if info.shard == shard.shard), None)
        if far is None:
            raise ShardError(f"{self._far.location}: has no shard {shard.shard}, which {self._directory} has")
        lacking = [name for name in columns if name not in self._far.manifest.columns]
        if lacking:
            raise ShardError(f"{self._far.location}: has no column {lacking[0]}, so it cannot give {lost[0]}")
        new, held = self.work / "new" / shard.shard, partial(self._held, shard)
        made = cut_shard(self._origin, self._far.manifest, far, chosen, new, held=held)
        for path in lost:
            if made.files[path] != shard.files[path]:
                raise ShardError(
                    f"{self._directory}: {path} cannot be made again from the set at the URL; pull it again"
                )
            self._place(path, new / path)

    def _held(self, shard: ShardInfo, column: str, entries: Sequence[IndexEntry]) -> dict[str, bytes]:
        """The payloads of these entries that are here and right; none if the index that tells where is not."""
        index = index_path(column, shard.shard)
        tar, found = self._directory / tar_path(column, shard.shard), {}
        with suppress(OSError, ShardError):
            if FileInfo.of(self._directory / index) != shard.files[index]:
                return {}
            ours = read_index((self._directory / index).read_bytes(), column=column, where=index)
            places = {entry.key: (entry.payload[0], entry.payload[1]) for entry in ours}
            for entry in (entry for entry in entries if entry.key in places):
                (data,) = read_ranges(tar, [places[entry.key]], name=str(tar))
                if entry.sha256 == sha256_bytes(data):
                    found[entry.key] = data
        return found

    def _places(self) -> dict[str, list[KeyPlace]]:
        """The samples of this set by shard: from its key index, or from its records where that is damaged."""
        places: dict[str, list[KeyPlace]] = {shard.shard: [] for shard in self._manifest.shards}
        name = self._manifest.key_index
        path = self._directory / str(name)
        if name is not None and path.is_file() and FileInfo.of(path) == self._manifest.root_files[name]:
            for place in KeyIndex(path.read_bytes(), self._manifest.splits, where=str(path), shards=places):
                places[place.shard].append(place)
            return places
        for shard in self._manifest.shards:
            records = self._directory / samples_path(shard.shard)
            if not records.is_file() or FileInfo.of(records) != shard.files[samples_path(shard.shard)]:
                raise ShardError(
                    f"{records}: damaged, and so is the key index; nobody knows what was here, pull it again"
                )
            for line in records.read_bytes().splitlines():
                places[shard.shard].append(KeyPlace.of(Sample.from_json(line, where=str(records)), shard.shard))
        return places

    def _restore_key_index(self, wrong: Mapping[str, FileInfo], places: Mapping[str, Sequence[KeyPlace]]) -> None:
        name = self._manifest.key_index
        if name in wrong:
            keys = write_key_index(place for shard in places.values() for place in shard)
            write_published(self._directory / str(name), keys, temporary_dir=self.work / "tmp")
