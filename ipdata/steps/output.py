"""The output directory of a build: its paths, its lock, and checks that nothing in it is lost or mixed."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipdata.columns.registry import column_builds
from ipdata.errors import BuildError
from ipdata.steps.plan import Plan
from ipdata.steps.receipt import Receipt
from shards import canonical
from shards.atomic import LockedError, locked, write_published
from shards.columns import in_order
from shards.layout import MANIFEST
from shards.schema import Sample

BUILD_DIR = ".build"  # receipts, lock, log: no part of the set
PUBLISHED_NAME = re.compile(r"\d{5,}\.(tar|idx\.json|jsonl)")  # files of other names are not ours to remove
IDENTITY = "identity.json"  # in BUILD_DIR: settings and tools of the output, by dotted name


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
    def manifest(self) -> Path:
        return self.directory / MANIFEST

    def receipt_path(self, shard: str) -> Path:
        return self.build_dir / "receipts" / f"{shard}.json"

    def receipt(self, shard: str) -> Receipt | None:
        """The receipt of a shard; None if there is none, or it is damaged."""
        try:
            path = self.receipt_path(shard)
            return Receipt.from_json(path.read_bytes(), where=str(path))
        except (OSError, ValueError, TypeError, AttributeError):  # ShardError is a ValueError
            return None

    def receipts(self) -> list[Receipt]:
        """All receipts that can be read, also those of another plan."""
        paths = sorted((self.build_dir / "receipts").glob("*.json"))
        return [receipt for receipt in map(self.receipt, (path.stem for path in paths)) if receipt is not None]

    def published_keys(self) -> set[str]:
        """Keys of all samples that the output holds, from its receipts or, where one is lost, from the records."""
        keys = {key for receipt in self.receipts() for key in receipt.sources}
        for path in sorted((self.directory / "samples").glob("*.jsonl")):
            if self.receipt(path.stem) is None:
                keys |= _keys_in(path)
        return keys

    def published_columns(self) -> set[str]:
        """Columns that have files or receipts. Later builds must use the recipe that made them."""
        by_receipts = {column for receipt in self.receipts() for column in receipt.columns}
        return by_receipts | {column for column in column_builds() if any((self.directory / column).glob("*.tar"))}

    def publish(self, relative: str, data: bytes) -> None:
        write_published(self.directory / relative, data, temporary_dir=self.temporary_dir)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the output for one build. Raises BuildError if another build has locked it."""
        self.build_dir.mkdir(parents=True, exist_ok=True)
        try:
            with (self.build_dir / "lock").open("wb") as file, locked(file, wait_s=0):
                shutil.rmtree(self.temporary_dir, ignore_errors=True)  # left by a killed build
                self.temporary_dir.mkdir()
                try:
                    yield
                finally:
                    shutil.rmtree(self.temporary_dir, ignore_errors=True)
        except LockedError:
            raise BuildError(f"{self.directory}: another build is writing to it; wait for it or stop it") from None


def _keys_in(records: Path) -> set[str]:
    """Keys in a file of records; empty if it is damaged, because then its shard is built again."""
    try:
        return {Sample.from_json(line, where=str(records)).key for line in records.read_bytes().splitlines()}
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
            f"{directory}: holds a shard set that was not built here (no {BUILD_DIR}); build into another --out"
        )
    raise BuildError(
        f"{directory}: not empty, and not the output of a build; name an empty or new directory with --out"
    )


def identity(plan: Plan, columns: tuple[str, ...], tools: dict[str, str]) -> dict[str, Any]:
    """Settings and tools, by dotted name, that must be equal for two runs to write into one set."""
    tables = plan.recipe.tables()
    binding = {"transcode", "source", "shards", "limits", plan.listing.dataset, *columns}
    flat = {f"{table}.{key}": value for table in tables if table in binding for key, value in tables[table].items()}
    for column in columns:
        versions = plan.recipe.tools_of(column, tools)
        flat |= {f"tools.{column}.{name}": version for name, version in versions.items()}
    flat["dataset"] = plan.listing.dataset
    return flat


def check_identity(output: Output, plan: Plan, columns: tuple[str, ...], tools: dict[str, str]) -> tuple[str, ...]:
    """Check recipe and tools against the published columns, then record them; return all columns of the new set.

    Raises: BuildError that names each difference.
    """
    path = output.build_dir / IDENTITY
    begun = canonical.loads(path.read_bytes(), where=str(path)) if path.is_file() else {}
    if not isinstance(begun, dict):
        raise BuildError(f"{path}: damaged, so the recipe of this output is not known; build into another --out")
    published = output.published_columns()
    unknown = sorted(published - column_builds().keys())
    if unknown:
        cure = "install the package that defines it, or build into another --out"
        raise BuildError(f"{output.directory}: has the column {unknown[0]}, which cannot be built here; {cure}")
    union = tuple(in_order((*columns, *published)))
    binding = identity(plan, tuple(published), tools) if published else {}
    differences = [
        f"{name}: the output has {_spelt(begun.get(name))}, this build {_spelt(value)}"
        for name, value in sorted(_as_json(binding).items())
        if begun.get(name) != value
    ]
    if differences:
        listed = "\n  ".join(["was begun with another recipe or other tools:", *differences])
        raise BuildError(f"{output.directory}: {listed}\nUse those, or build into another --out")
    wanted = canonical.dumps(identity(plan, union, tools))
    write_published(path, wanted, temporary_dir=output.temporary_dir)
    return union


def _spelt(value: object) -> str:
    return "nothing" if value is None else repr(value)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """The value after JSON and back: tuples become lists, as in the file that it is compared with."""
    parsed: dict[str, Any] = canonical.loads(canonical.dumps(value), where="identity")
    return parsed


def check_nothing_lost(output: Output, plan: Plan, published: set[str]) -> None:
    """Raises BuildError if the output has samples whose videos are gone: a rebuild would throw them away."""
    lost = sorted(published - set(plan.videos))
    if lost:
        raise BuildError(
            f"{output.directory}: has {len(lost)} samples that this build does not choose, such as {lost[0]}. Their "
            "videos are gone, or the same limit or draw now takes other videos. Bring the videos back, list the old "
            "ones in a --draw file, or build into another --out"
        )


def remove_stale(output: Output, plan: Plan, columns: tuple[str, ...]) -> None:
    """Remove files and receipts of shards that are no longer planned or have lost all their samples."""
    receipts = {shard.shard: output.receipt(shard.shard) for shard in plan.shards}
    kept = {path for receipt in receipts.values() if receipt and receipt.info for path in receipt.info.files}
    files = [path for folder in ("samples", *columns) for path in (output.directory / folder).glob("*")]
    stale = [
        path
        for path in files
        if PUBLISHED_NAME.fullmatch(path.name) and path.relative_to(output.directory).as_posix() not in kept
    ]
    stale += [path for path in (output.build_dir / "receipts").glob("*.json") if path.stem not in receipts]
    if stale:
        output.manifest.unlink(missing_ok=True)
    for path in stale:
        path.unlink()
