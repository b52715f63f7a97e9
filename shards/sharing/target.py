"""The directory that a set is taken into: a lock, temporary files, and the manifest last. It only ever grows."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from shards.atomic import LockedError, directory_locked, publish, write_published
from shards.canonical import dumps
from shards.columns.base import NAME
from shards.errors import ShardError
from shards.layout import KEY_INDEX, MANIFEST, SHARD_NUMBER, SIGNATURE, is_free
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.sharing.card import write_card

LOG = logging.getLogger(__name__)

WORK = ".taking"  # below the target: what arrives, and notes about it; gone when the set is complete
NUMBER = f"(?:{SHARD_NUMBER.pattern})"
SHARD_FILE = re.compile(rf"samples/{NUMBER}\.jsonl|{NAME.pattern}/{NUMBER}\.(?:tar|idx\.json)|{KEY_INDEX.pattern}")


class Target:
    """A directory that is empty, or holds a set that is to be extended, or what an interrupted run left."""

    def __init__(
        self,
        directory: Path,
        *,
        check: Callable[[Manifest], None] = lambda _: None,
        named: Collection[str] = frozenset(),
    ) -> None:
        """Change nothing yet.

        check: is given the manifest of the set that the directory holds, before anything is written. It raises a
        ShardError if the new set would lose something of that. named: paths of files that the new set will have.
        """
        self.directory, self.work = directory, directory / WORK
        self.before: Manifest | None = None  # the set that the directory holds already
        self._files_before: dict[str, FileInfo] = {}
        self._check, self._named = check, named

    @contextmanager
    def opened(self, plan: Mapping[str, object]) -> Iterator[None]:
        """Hold the directory for one run. plan: what is taken, as JSON values; another one cannot go on with this.

        Raises: ShardError if the directory is not ours to write to, or another run is at work in it.
        """
        self._check_ours()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with directory_locked(self.directory, wait_s=0):
                self._check_ours()  # another run may have ended meanwhile
                self.work.mkdir(exist_ok=True)
                self._check_plan(dumps(plan))
                yield
                shutil.rmtree(self.work, ignore_errors=True)
        except LockedError:
            raise ShardError(f"{self.directory}: another process is writing to it; wait for it or stop it") from None

    def _check_ours(self) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise ShardError(f"{self.directory}: is a file; name a directory")
        names = {path.name for path in self.directory.iterdir()} if self.directory.exists() else set()
        if ".build" in names:
            raise ShardError(f"{self.directory}: is the output of a build; name another directory")
        if MANIFEST in names:
            self.before = Manifest.read(self.directory)
            self._files_before = self.before.all_files()
            self._check(self.before)
        elif WORK not in names and not all(is_free(PurePosixPath(name)) for name in names):
            cure = "name an empty or new directory, or give a set its manifest back with `ipshards verify --repair URL`"
            raise ShardError(f"{self.directory}: is not empty and holds no shard set; {cure}")

    def _check_plan(self, plan: bytes) -> None:
        path = self.work / "plan.json"
        if path.is_file() and path.read_bytes() != plan:
            arrived = self._arrived()
            if self.before is None and arrived:
                cure = "run that again to finish it, or remove the directory"
                what = f"holds a part of another selection, {_differences(path, plan)}"
                raise ShardError(f"{self.directory}: {what}; {cure}")
            self._abandon(arrived)
            for folder in ("parts", "shards", "new"):
                shutil.rmtree(self.work / folder, ignore_errors=True)
        write_published(path, plan, temporary_dir=self.work / "tmp")

    def _arrived(self) -> list[str]:
        """The files that lie beside those of the set that was there before: a run that was interrupted put them."""
        known = {MANIFEST, *self._files_before}
        files = (path.relative_to(self.directory) for path in self.directory.rglob("*") if not path.is_dir())
        names = (PurePosixPath(path.as_posix()) for path in files)
        return [str(name) for name in names if str(name) not in known and not is_free(name)]

    def _abandon(self, arrived: Collection[str]) -> None:
        """Remove what an interrupted run put beside a complete set, if the new set does not name it either.

        Otherwise those files would be foreign in the new set. Only names that files of shards have are touched.
        """
        gone = [name for name in arrived if name not in self._named and SHARD_FILE.fullmatch(name)]
        for name in gone:
            (self.directory / name).unlink()
        if gone:
            what = f"{len(gone)} files of an interrupted run for another selection are removed"
            LOG.warning("%s: %s, such as %s", self.directory, what, gone[0])

    def has(self, relative: str, expected: FileInfo) -> bool:
        """Tell whether a file is in its place already, by its hash."""
        return self.has_size(relative, expected.bytes) and FileInfo.of(self.directory / relative) == expected

    def has_size(self, relative: str, size_bytes: int) -> bool:
        """Tell whether a file of this size is in its place."""
        path = self.directory / relative
        return path.is_file() and path.stat().st_size == size_bytes

    def place(self, relative: str, temporary: Path) -> None:
        """Give a verified, synced file its final name.

        Raises: ShardError if the set that the directory holds has another file of this name.
        """
        held, final = self._files_before.get(relative), self.directory / relative
        if held is not None and held != FileInfo.of(temporary):
            raise ShardError(
                f"{self.directory}: its set has another {relative}, which would be lost; name another directory"
            )
        check_no_directory(final)
        publish(temporary, final)

    def receipt(self, shard: str) -> ShardInfo | None:
        """What an interrupted run noted about a shard that it had written; None if its files are not that."""
        path = self._receipt(shard)
        try:
            info = ShardInfo.from_json(path.read_bytes(), where=str(path))
        except (OSError, ShardError):
            return None
        return info if all(self.has(relative, file) for relative, file in info.files.items()) else None

    def note(self, info: ShardInfo) -> None:
        """Note that a shard is written."""
        write_published(self._receipt(info.shard), info.to_json(), temporary_dir=self.work / "tmp")

    def is_noted(self, shard: str) -> bool:
        """Tell whether an interrupted run noted that it had written a shard."""
        return self._receipt(shard).is_file()

    def _receipt(self, shard: str) -> Path:
        return self.work / "shards" / f"{shard}.json"

    def fresh_dir(self, name: str) -> Path:
        """An empty directory for temporary files."""
        path = self.work / "new" / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, manifest: Manifest, keys: bytes) -> None:
        """Write the key index, the card and the manifest, in this order.

        Raises: ShardError if the set that the directory holds has files that the new one lacks.
        """
        named = manifest.all_files()
        for relative, info in self._files_before.items():
            if not KEY_INDEX.fullmatch(relative) and named.get(relative) != info:
                cure = "name another directory, or take at least what it has"
                raise ShardError(f"{self.directory}: its set has {relative}, which the new one has not; {cure}")
        if manifest.key_index is not None:
            if FileInfo.of_bytes(keys) != named[manifest.key_index]:
                raise ShardError(f"{self.directory}: the key index is not that of the manifest; verify the set")
            write_published(self.directory / manifest.key_index, keys, temporary_dir=self.work / "tmp")
        self._write_card(manifest)
        if self.before is not None and self.before.sha256 != manifest.sha256:
            self._drop_signature()
        write_published(self.directory / MANIFEST, manifest.to_json(), temporary_dir=self.work / "tmp")
        for path in self.directory.glob("keys-*.txt"):
            if path.name not in named:
                path.unlink()  # of the set that was here before

    def _write_card(self, manifest: Manifest) -> None:
        """Write what describes the set. The set is complete without it, so what is wrong there is only named."""
        try:
            write_card(self.directory, manifest, temporary_dir=self.work / "tmp", before=self.before)
        except (ShardError, OSError) as error:
            LOG.warning("%s; the set is complete without it, `ipshards card` writes it later", error)

    def _drop_signature(self) -> None:
        path = self.directory / SIGNATURE
        if path.is_file():
            path.unlink()
            LOG.warning("%s: removed, because it signs the set that was here before; sign the new one", path)


def check_no_directory(path: Path) -> None:
    """Raises: ShardError if a directory lies where a file of a set belongs."""
    if path.is_dir():
        raise ShardError(f"{path}: is a directory, but a file of the set belongs there; move it away")


def _differences(path: Path, plan: bytes) -> str:
    begun, asked = json.loads(path.read_bytes()), json.loads(plan)
    return ", ".join(
        f"{name} {begun.get(name)} instead of {asked[name]}" for name in asked if begun.get(name) != asked[name]
    )
