"""The output directory of a build: its paths, its lock, and checks that nothing in it is lost."""

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ipdata.bounds import MAX_FILE_BYTES
from ipdata.columns.registry import column_builds
from ipdata.errors import BuildError
from ipdata.steps.plan import Plan
from ipdata.steps.receipt import Receipt
from shards import canonical
from shards.atomic import LockedError, locked, sync_directory, write_published
from shards.layout import MANIFEST
from shards.regular import check_regular_or_new, read_regular
from shards.schema import FORMAT, Sample

BUILD_DIR = ".build"  # receipts, lock, log: no part of the set
PUBLISHED_NAME = re.compile(r"\d{5,}\.(tar|idx\.json|jsonl)")  # files of other names are not ours to remove
CURES = {  # by the number of an error
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or name another place with --out"),
    **dict.fromkeys(
        (errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENOTDIR),
        "remove what is there, or name another place with --out",
    ),
}
RECEIPT = "receipt.json"  # in the folder of a shard that is being replaced
LOCK_WAIT_S = 0.5  # `ipdata status` asks for the shared lock, and gives it back at once
IDENTITY = "identity.json"  # in BUILD_DIR; see ipdata/steps/identity.py


@dataclass(frozen=True)
class Output:
    """Paths of one build's output."""

    directory: Path

    @property
    def build_dir(self) -> Path:
        return self.directory / BUILD_DIR

    @property
    def temporary_dir(self) -> Path:
        return self.build_dir / "tmp"

    @property
    def lock(self) -> Path:
        return self.build_dir / "lock"

    def payload_dir(self, shard: str) -> Path:
        """Where the payloads of a shard's videos wait until it is packed."""
        return self.temporary_dir / "payloads" / shard

    @property
    def manifest(self) -> Path:
        return self.directory / MANIFEST

    @property
    def format(self) -> int:
        """The format of the set: that which the output was begun in. Package 0.1.0 did not record it: that is 1."""
        return int(self.identity().get("format", 1)) if self.identity() else FORMAT

    def identity(self) -> dict[str, Any]:
        """What the output was begun with, as JSON; empty if nothing was begun. Raises: BuildError."""
        path = self.build_dir / IDENTITY
        begun = canonical.loads(_whole(path), where=str(path)) if path.is_file() else {}
        if not isinstance(begun, dict):
            raise BuildError(f"{path}: damaged, so the recipe of this output is not known; build into another --out")
        return begun

    def receipt_path(self, shard: str) -> Path:
        return self.build_dir / "receipts" / f"{shard}.json"

    def receipt(self, shard: str) -> Receipt | None:
        """The receipt of a shard; None if there is none, or it is damaged."""
        return _receipt(self.receipt_path(shard))

    def receipts(self) -> list[Receipt]:
        """All receipts that can be read, also those of another plan."""
        return [receipt for _, receipt in self.receipts_by_shard()]

    def damaged_receipts(self, *, but: Collection[str]) -> list[str]:
        """The shards whose receipts cannot be read. but: those that were read."""
        shards = sorted(path.stem for path in (self.build_dir / "receipts").glob("*.json"))
        return [shard for shard in shards if shard not in but and self.receipt(shard) is None]

    def receipts_by_shard(self) -> Iterator[tuple[str, Receipt]]:
        """Yield the number of a shard and its receipt, in order of the shards. Raises: NotADirectoryError."""
        directory = self.build_dir / "receipts"
        if os.path.lexists(directory) and not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
        for path in sorted(directory.glob("*.json"), key=lambda path: (len(path.stem), path.stem)):
            if (receipt := self.receipt(path.stem)) is not None:
                yield path.stem, receipt

    def published_keys(self) -> set[str]:
        """Keys of all samples that the output holds, from its receipts or, where one is lost, from the records."""
        replaced = [receipt for _, receipt in self.replaced()]  # a build was killed before it had copied all of them
        keys = {key for receipt in [*self.receipts(), *replaced] for key in receipt.sources}
        for path in sorted((self.directory / "samples").glob("*.jsonl")):
            if self.receipt(path.stem) is None:
                keys |= _keys_in(path)
        return keys

    @property
    def replaced_dir(self) -> Path:
        """Has the files of shards that a plan replaces, until all of its shards are published."""
        return self.build_dir / "replaced"

    def replaced(self) -> Iterator[tuple[Path, Receipt]]:
        """Yield the folder of each shard that is being replaced, and its receipt. See ipdata/steps/replaced.py."""
        for path in sorted(self.replaced_dir.glob(f"*/{RECEIPT}")):
            if (receipt := _receipt(path)) is not None:
                yield path.parent, receipt

    def forget_replaced(self) -> None:
        """Remove the files of replaced shards, all at once: they go with the temporary directory."""
        if self.replaced_dir.exists():
            self.replaced_dir.rename(self.temporary_dir / self.replaced_dir.name)

    def published_columns(self) -> set[str]:
        """Columns that have files or receipts with samples. Later builds must use the recipe that made them.

        A receipt of a shard in which every video failed binds to nothing, because all of them are tried again.
        """
        by_receipts = {column for receipt in self.receipts() if receipt.sources for column in receipt.columns}
        return by_receipts | {column for column in column_builds() if any((self.directory / column).glob("*.tar"))}

    def publish(self, relative: str, data: bytes) -> None:
        write_published(self.directory / relative, data, temporary_dir=self.temporary_dir)

    def remove_manifest(self) -> None:
        """Remove the manifest before shards change: meanwhile, this directory is no set, also after a power cut."""
        self.manifest.unlink(missing_ok=True)
        sync_directory(self.directory)  # also where another worker removed it, which may not have synced it yet

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the output for one build. Raises: BuildError if another build has locked it; OSError."""
        try:
            with self._opened_lock() as file, locked(file, wait_s=LOCK_WAIT_S):
                os.utime(self.lock)  # says since when a build holds it
                shutil.rmtree(self.temporary_dir, ignore_errors=True)  # left by a killed build
                with _cured():
                    self.temporary_dir.mkdir()
                try:
                    yield
                finally:
                    shutil.rmtree(self.temporary_dir, ignore_errors=True)
        except LockedError:
            raise BuildError(f"{self.directory}: another build is writing to it; wait for it or stop it") from None

    def _opened_lock(self) -> BinaryIO:
        with _cured():
            self.build_dir.mkdir(parents=True, exist_ok=True)
            check_regular_or_new(self.lock)  # to open a FIFO would wait for its reader
            return self.lock.open("ab")


@contextmanager
def _cured() -> Iterator[None]:
    """Add to an OSError of the output what to do about it."""
    try:
        yield
    except OSError as error:
        cure = CURES.get(error.errno or 0)
        if cure is None:
            raise
        raise OSError(error.errno, f"{error.strerror}; {cure}", error.filename) from None


def _receipt(path: Path) -> Receipt | None:
    try:
        return Receipt.from_json(_whole(path), where=str(path))
    except (OSError, ValueError, TypeError, AttributeError):  # ShardError is a ValueError
        return None


def _whole(path: Path) -> bytes:
    return read_regular(path, max_bytes=MAX_FILE_BYTES)


def _keys_in(records: Path) -> set[str]:
    """Keys in a file of records; empty if it is damaged, because then its shard is built again. Raises: OSError."""
    try:
        return {Sample.from_json(line, where=str(records)).key for line in _whole(records).splitlines()}
    except ValueError:
        return set()


def check_ours(directory: Path) -> None:
    """Protect what is not ours: raise BuildError if the directory has content that no build made."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise BuildError(f"{directory}: is a file; name a directory with --out")
    if (directory / BUILD_DIR / IDENTITY).is_file() or not any(directory.iterdir()):
        return
    if [entry.name for entry in directory.iterdir()] == [BUILD_DIR]:
        return  # a build was killed before it published anything
    if (directory / MANIFEST).is_file():
        raise BuildError(
            f"{directory}: holds a shard set that was not built here (no {BUILD_DIR}); add columns "
            "with `ipdata derive`, or build into another --out"
        )
    raise BuildError(
        f"{directory}: not empty, and not the output of a build; name an empty or new directory with --out"
    )


def check_nothing_lost(output: Output, plan: Plan, published: set[str]) -> None:
    """Raises BuildError if the output has samples whose videos are gone: a rebuild would throw them away."""
    lost = sorted(published - set(plan.videos))
    if lost:
        raise BuildError(
            f"{output.directory}: has {len(lost)} samples that this build does not choose, such as {lost[0]}. Their "
            "videos are gone, or a limit or a draw leaves them out. Bring the videos back, raise the limit, list the "
            "old ones in a --draw file, or build into another --out"
        )


def remove_stale(output: Output, plan: Plan, columns: tuple[str, ...], *, key_index: str | None) -> None:
    """Remove files and receipts of shards that are no longer planned or have lost all their samples.

    key_index: the name of the key index that stays.
    """
    receipts = {shard.shard: output.receipt(shard.shard) for shard in plan.shards}
    kept = {path for receipt in receipts.values() if receipt and receipt.info for path in receipt.info.files}
    files = [path for folder in ("samples", *columns) for path in (output.directory / folder).glob("*")]
    stale = [
        path
        for path in files
        if PUBLISHED_NAME.fullmatch(path.name) and path.relative_to(output.directory).as_posix() not in kept
    ]
    stale += [path for path in (output.build_dir / "receipts").glob("*.json") if path.stem not in receipts]
    stale += [path for path in output.directory.glob("keys-*.txt") if path.name != key_index]
    if stale:
        output.remove_manifest()
    for path in stale:
        path.unlink()
