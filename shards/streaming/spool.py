"""Has the tars of the next shards on the local disk: whole, and compared with their hashes before they are parsed."""

import os
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import FileIO
from itertools import islice
from pathlib import Path

from shards.atomic import can_lock, is_locked, locked
from shards.errors import ShardError
from shards.layout import tar_path
from shards.manifest import Manifest
from shards.reader import ShardSet

PREFIX, LOCK = "ipshards-spool-", ".lock"
Tars = dict[str, FileIO]  # by column, open


def window_bytes(manifest: Manifest, columns: Sequence[str], *, processes: int, prefetch: int) -> int:
    """The room that spooling takes at most: each process has the shard that is read, and those ahead of it."""
    sizes = (sum(shard.files[tar_path(name, shard.shard)].bytes for name in columns) for shard in manifest.shards)
    return processes * (prefetch + 1) * max(sizes)


@dataclass(frozen=True, kw_only=True)
class Spool:
    """How the tars of some columns come to the disk. Those of a set in a directory are read where they are."""

    shard_set: ShardSet
    columns: tuple[str, ...]
    prefetch: int  # shards that are fetched ahead
    directory: Path | None = None  # for temporary files; None: the system's

    def tars(self, shards: Iterable[str], *, processes: int) -> Generator[tuple[str, Tars], None, None]:
        """Yield each shard and its tars, in order. They are open until the next shard is asked for.

        Files of a URL are fetched into a temporary directory and removed as soon as they are open.

        processes: of this rank that do the same, for the room that is needed.

        Raises: ShardError if there is too little room, or a tar cannot be fetched or is not what the manifest says.
        """
        stop, left, ready = threading.Event(), iter(shards), deque[tuple[str, Future[Tars]]]()
        with self._place() as place:
            if place is not None:
                self._check_room(place, processes)
            with ThreadPoolExecutor(1, thread_name_prefix="spooling") as pool:

                def begin(shard: str) -> None:
                    ready.append((shard, pool.submit(self._opened, shard, place, stop)))

                try:
                    for shard in islice(left, self.prefetch + 1):
                        begin(shard)
                    while ready:
                        shard, opening = ready[0]
                        yield shard, opening.result()
                        _close(ready.popleft()[1])
                        for following in islice(left, 1):
                            begin(following)
                finally:
                    stop.set()
                    for _, opening in ready:
                        _close(opening)

    def _place(self) -> AbstractContextManager[Path | None]:
        """The directory for files of a URL. Raises: ShardError if there can be none."""
        if not self.shard_set.is_remote:
            return nullcontext()
        parent = Path(tempfile.gettempdir()) if self.directory is None else self.directory
        return _temporary_directory(parent)

    def _opened(self, shard: str, place: Path | None, stop: threading.Event) -> Tars:
        tars: Tars = {}
        try:
            for name in self.columns:
                tars[name] = self.shard_set.open_whole(tar_path(name, shard), place, cancelled=stop)
        except BaseException as error:
            for file in tars.values():
                file.close()
            if place is not None and isinstance(error, OSError):
                raise _refused(place.parent, error) from None
            raise
        return tars

    def _check_room(self, place: Path, processes: int) -> None:
        processes *= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # the ranks that torchrun has started here
        needed = window_bytes(self.shard_set.manifest, self.columns, processes=processes, prefetch=self.prefetch)
        free = shutil.disk_usage(place).free
        if needed > free:
            cure = "make room, lower prefetch or the number of loader processes, or name another spool directory"
            raise ShardError(f"{place.parent}: spooling needs {needed} bytes there, {free} are free; {cure}")


def _refused(parent: Path, error: OSError) -> ShardError:
    cure = "make room or make it writable, or name another spool directory"
    return ShardError(f"{parent}: cannot spool there ({error.strerror}); {cure}")


@contextmanager
def _temporary_directory(parent: Path) -> Iterator[Path]:
    """A temporary directory, locked while this process lives. Those of processes that were killed are removed.

    Raises: ShardError if it cannot be made.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise _refused(parent, error) from None
    with made as name:
        place = Path(name)
        if not can_lock():
            yield place
            return
        with (place / "new").open("wb") as file, locked(file):
            (place / "new").rename(place / LOCK)  # so that nobody sees it unlocked
            for other in place.parent.glob(f"{PREFIX}*"):
                with suppress(OSError):
                    if other != place and not is_locked(other / LOCK):
                        shutil.rmtree(other)
            yield place


def _close(opening: "Future[Tars]") -> None:
    """Close what was opened, or will be."""
    if opening.cancel():
        return
    with suppress(BaseException):  # the reader has seen it, or has ended before it would
        for file in opening.result().values():
            file.close()
