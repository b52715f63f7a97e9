"""Builds into a URL: in a local directory, from which each shard is sent as soon as it is published there."""

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ipdata.build import UNWATCHED, Request, Result, build
from ipdata.progress import Unwatched
from ipdata.steps.output import Output, check_ours
from shards.canonical import sha256_bytes
from shards.errors import ShardError
from shards.keys import slug
from shards.manifest import FileInfo
from shards.sharing.early import EarlyPush
from shards.sharing.progress import MovedBytes
from shards.sharing.push import Pushed
from shards.store.threads import WorkCancelledError
from shards.store.urls import shown

LOG = logging.getLogger(__name__)


def work_dir_of(url: str, home: Path) -> Path:
    """Where a set for a URL is built, unless the user names another directory. The same for every run."""
    name = shown(url).rstrip("/")
    return home / "uploads" / f"{slug(PurePosixPath(name).name)}-{sha256_bytes(name.encode())[:12]}"


def build_and_upload(
    request: Request, url: str, progress: Unwatched = UNWATCHED, moved: MovedBytes | None = None
) -> tuple[Result, Pushed]:
    """Build or finish a set in the request's directory, and push it to the URL: each shard as soon as it is there.

    Raises: as `build`; ShardError if the set cannot be sent. What is built stays, and the same again goes on.
    """
    check_ours(request.out)
    output = Output(request.out)
    there = EarlyPush(request.out, url, output.build_dir)
    LOG.info("building in %s; each shard is sent to %s", request.out, there.location)
    there.begin()
    with _sending(there) as sender:
        result = build(request, progress, shard_done=lambda shard: sender.put(output, shard))
    try:
        return result, there.finish(moved or MovedBytes())
    except ShardError as error:
        kept = f"The set is whole in {request.out}; run the same command again to send the rest"
        raise ShardError(f"{error}\n{kept}") from None


@contextmanager
def _sending(there: EarlyPush) -> Iterator["_Sender"]:
    """Send shards beside the work; at the end of this block all are sent, or the push at the end will."""
    sender = _Sender(there)
    try:
        yield sender
        sender.end()
    except BaseException:
        there.give_up()
        raise


class _Sender:
    """Sends one shard after another in a thread that nobody has to wait for."""

    def __init__(self, there: EarlyPush) -> None:
        self._there = there
        self._shards: queue.SimpleQueue[Mapping[str, FileInfo] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, output: Output, shard: str) -> None:
        """Raises: ShardError if it is another one than that of a set which is there."""
        receipt = output.receipt(shard)
        if receipt is not None and receipt.info is not None:
            self._there.check(receipt.info.files)
            self._shards.put(receipt.info.files)

    def end(self) -> None:
        """Wait until all are sent."""
        self._shards.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (files := self._shards.get()) is not None:
                self._there.send(files)
        except (ShardError, OSError) as error:
            LOG.warning("%s. The build goes on; what is not sent yet is sent at its end", error)
        except WorkCancelledError:
            return
