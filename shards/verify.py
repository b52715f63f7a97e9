"""Checks that a set, in a directory or at a URL, is what its manifest says, and that it follows the format."""

import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath

from shards.checks import Checked, Checks
from shards.errors import ShardError
from shards.layout import MANIFEST, files_of, is_free
from shards.manifest import FileInfo, Manifest, ShardInfo
from shards.schema import SUBSETS
from shards.store.fetch import fetch
from shards.store.parts import Wanted
from shards.store.remote import read_manifest
from shards.store.sources import source_of
from shards.store.threads import in_threads
from shards.store.transport import Source
from shards.store.urls import is_url, shown

THREADS = min(os.cpu_count() or 1, 8)

CheckShard = Callable[[ShardInfo], Checked]


def verify(
    location: str | Path,
    *,
    columns: Sequence[str] | None = None,
    quick: bool = False,
    sha256: str | None = None,
    checked: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[str]:
    """Yield the problems of a set in a directory or at a URL, one sentence each; nothing if the set is sound.

    Every byte is read, and every member of every tar is compared with the records and the index. With `quick`, only the
    manifest, the records and the indexes are read, and of the tars only the sizes are compared. At a URL, shards are
    fetched one after another and thrown away; `quick` does not look at the tars there.

    columns: check only these. None checks all. sha256: that of the manifest that was signed; another one is a problem.
    checked: is called with (bytes checked, bytes in all) before the first shard and after each.

    Example:
        problems = list(shards.verify("shards/hmdb51"))

    Raises: ShardError if the set has no such column, or if the packages for the URL are missing.
    """
    source = source_of(str(location)) if is_url(location) else None
    try:
        manifest = Manifest.read(Path(location)) if source is None else read_manifest(source)
    except (ShardError, OSError) as error:
        yield str(error)
        return
    if sha256 not in (None, manifest.sha256):
        yield f"{shown(location)}/{MANIFEST}: is not the one that was signed, it changed meanwhile; check it again"
        return
    names = _chosen(manifest, columns, location=shown(location))
    for column in map(manifest.column, names):
        if not column.payload or column.pictures is None:
            lacks = f"the encoding of column {column.name} must state its payload and pictures"
            yield f"{shown(location)}/{MANIFEST}: {lacks}"
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="ipshards-") as scratch:
        directory, name = (Path(location), str(location)) if source is None else (Path(scratch), source.location)
        has_tars = source is None or not quick
        checks = Checks(
            directory=directory, location=name, manifest=manifest, columns=names, quick=quick, has_tars=has_tars
        )
        if source is None:
            yield from _foreign_files(directory, manifest)
            check: CheckShard = checks.shard
        else:
            check = partial(_fetched_and_checked, source, checks, stop)
            yield from _fetched(source, checks, stop, manifest.root_files)
        yield from _problems(checks, check, checked, stop)


def _chosen(manifest: Manifest, columns: Sequence[str] | None, *, location: str) -> list[str]:
    for name in columns or ():
        if name not in manifest.columns:
            raise ShardError(f"{location}: no column {name!r}; this set has {', '.join(manifest.columns)}")
    return [name for name in manifest.columns if columns is None or name in columns]


def _foreign_files(set_dir: Path, manifest: Manifest) -> Iterator[str]:
    known = manifest.all_files()
    for path in sorted(set_dir.rglob("*")):
        relative = PurePosixPath(path.relative_to(set_dir).as_posix())
        if not path.is_dir() and str(relative) not in {MANIFEST, *known} and not is_free(relative):
            yield f"{path}: the manifest does not name this file; it is foreign or left from another build, remove it"


def _problems(
    checks: Checks, check: CheckShard, checked: Callable[[int, int], None], stop: threading.Event
) -> Iterator[str]:
    """Check every shard, several at a time, and then what only all shards together show.

    stop: is set at the end, also if it comes early.
    """
    manifest = checks.manifest
    counts = {split: dict.fromkeys(SUBSETS, 0) for split in manifest.splits}
    shard_of_key: dict[str, str] = {}
    lines: list[str] = []
    all_sound = True
    sizes = {shard.shard: _bytes_of(shard, checks.columns) for shard in manifest.shards}
    done_bytes, all_bytes = 0, sum(sizes.values())
    checked(done_bytes, all_bytes)
    with closing(_in_order(check, manifest.shards, stop)) as in_order:
        for shard, found in in_order:
            yield from found.problems
            for place in found.places:
                if place.key in shard_of_key:
                    yield f"{place.key}: is in shard {shard_of_key[place.key]} and again in {shard.shard}"
                shard_of_key[place.key] = shard.shard
                for split in place.subsets.keys() & counts.keys():
                    counts[split][place.subsets[split]] += 1
                lines.append(place.to_line())
            all_sound = all_sound and not found.problems
            done_bytes += sizes[shard.shard]
            checked(done_bytes, all_bytes)
    if all_sound and counts != manifest.splits:
        yield f"{checks.location}/{MANIFEST}: split counts {manifest.splits} are not those of the records, {counts}"
    yield from _key_index_problems(checks, lines if all_sound else None)


def _bytes_of(shard: ShardInfo, columns: Sequence[str]) -> int:
    return sum(shard.files[path].bytes for path in files_of(shard.shard, columns))


def _in_order(
    check: CheckShard, shards: Iterable[ShardInfo], stop: threading.Event
) -> Generator[tuple[ShardInfo, Checked], None, None]:
    """Check shards in threads, few ahead of the one that is waited for."""
    waiting: deque[tuple[ShardInfo, Future[Checked]]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for shard in shards:
                waiting.append((shard, threads.submit(check, shard)))
                if len(waiting) > THREADS:
                    begun, future = waiting.popleft()
                    yield begun, future.result()
            for begun, future in waiting:
                yield begun, future.result()
        finally:  # the caller may stop early
            stop.set()
            threads.shutdown(cancel_futures=True)


def _key_index_problems(checks: Checks, lines: Sequence[str] | None) -> Iterator[str]:
    """Compare the key index with the manifest and with the lines that the records ask for, if those are known."""
    name = checks.manifest.key_index
    if name is None:
        return
    expected = checks.manifest.root_files[name]
    damaged = list(checks.file(name, expected))
    yield from damaged
    if not damaged and lines is not None and expected != FileInfo.of_bytes("".join(sorted(lines)).encode("ascii")):
        yield f"{checks.location}/{name}: its lines are not those of the records"


def _fetched_and_checked(source: Source, checks: Checks, stop: threading.Event, shard: ShardInfo) -> Checked:
    """Fetch the files of a shard, check them, and throw them away."""
    try:
        problems = list(_fetched(source, checks, stop, {path: shard.files[path] for path in checks.paths(shard)}))
        return Checked(problems) if problems else checks.shard(shard)
    finally:
        for path in checks.paths(shard):
            (checks.directory / path).unlink(missing_ok=True)


def _fetched(source: Source, checks: Checks, stop: threading.Event, files: dict[str, FileInfo]) -> Iterator[str]:
    """Fetch files; yield a problem for each one that does not arrive whole. Raises: WorkCancelledError after stop."""

    def attempt(relative: str) -> str | None:
        path = checks.directory / relative
        try:
            wanted = Wanted(relative, files[relative], path, lambda _: None)
            fetch(source, [wanted], connections=1, cancelled=stop)
        except ShardError as error:
            return str(error)
        return None

    yield from filter(None, in_threads(attempt, files, threads=len(files)))
