"""Sets at a URL, over HTTP, S3 and whatever else fsspec knows: a file is fetched whole on first use, into the cache."""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from shards.errors import ShardError, install
from shards.layout import MANIFEST
from shards.manifest import FileInfo, Manifest
from shards.store.cache import NotReceivedError, cached, check_locks

WAITS_S = (1.0, 4.0, 16.0)  # before asking again
STALL_S = 60.0  # without a byte
CHUNK_BYTES = 8 << 20
PASSING = (408, 429)  # the client errors of HTTP that may not come back: timeout, too many requests

T = TypeVar("T")
log = logging.getLogger(__name__)


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


class RemoteFiles:
    """The files of a set at a URL, as local copies. It pickles: connections are no part of it."""

    def __init__(self, url: str) -> None:
        """Fetch the manifest, which decides what counts as the other files.

        Raises: ShardError if fsspec is not installed, nothing answers, what answers is no manifest, or this system
            has no file locks.
        """
        check_locks(url)
        self.location = url.rstrip("/")
        data = self._asked(MANIFEST, lambda: _whole(f"{self.location}/{MANIFEST}"))
        self.manifest = Manifest.from_json(data, where=f"{self.location}/{MANIFEST}")
        self._infos = {path: info for shard in self.manifest.shards for path, info in shard.files.items()}

    def path(self, relative: str) -> Path:
        """A file's copy in the cache, fetched if it is not there yet.

        Raises: ShardError if it cannot be fetched, is not what the manifest says, or the cache cannot be written.
        """
        expected = self._infos[relative]
        chunks = partial(_chunks, f"{self.location}/{relative}", expected.bytes)
        return self._asked(relative, lambda: cached(expected, chunks))

    def check(self, relative: str, expected: FileInfo) -> None:
        """Nothing is left to do: what the cache holds was checked as it arrived."""

    def _asked(self, relative: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again after what may pass. Raises ShardError that names the file if it does not."""
        asked = 0
        while True:
            try:
                return ask()
            except NotReceivedError as error:
                if asked >= error.retries:
                    raise ShardError(f"{self.location}/{relative}: {error}") from None
                log.warning("%s/%s: %s; asked again in %g s", self.location, relative, error, WAITS_S[asked])
            time.sleep(WAITS_S[asked])
            asked += 1


def _whole(url: str) -> bytes:
    try:
        files, path = _file_system(url)
        data: bytes = files.cat_file(path)
    except Exception as error:  # each protocol's package raises its own
        raise _not_received(error) from None
    return data


def _chunks(url: str, size_bytes: int) -> Iterator[bytes]:
    """The bytes of a file as they arrive."""
    try:
        files, path = _file_system(url)
        with files.open(path, "rb", block_size=0, size=size_bytes) as file:  # from begin to end: nothing is read ahead
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except Exception as error:  # each protocol's package raises its own
        raise _not_received(error) from None


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL and the path in it; asked for anew each time, since it survives no fork.

    Raises: ShardError if it or the protocol's package is not installed, or the protocol is unknown.
    """
    try:
        from fsspec.core import url_to_fs

        options = _http_options() if url.startswith(("http://", "https://")) else {}
        files, path = url_to_fs(url, **options)
    except ImportError as error:
        cure = f"{install('remote')}, or copy the set to a local disk"
        raise ShardError(f"{url}: reading it needs packages that are missing ({error}); {cure}") from None
    except ValueError as error:
        raise ShardError(f"{url}: {error}; known are https, s3 and the other protocols of fsspec") from None
    return files, str(path)


def _http_options() -> dict[str, Any]:
    """aiohttp would end any transfer after five minutes; a user's own configuration of fsspec stands before this."""
    from aiohttp import ClientTimeout
    from fsspec.config import conf

    client = {"timeout": ClientTimeout(total=None, sock_connect=STALL_S, sock_read=STALL_S)}
    for protocol in ("http", "https"):
        client |= conf.get(protocol, {}).get("client_kwargs", {})
    return {"client_kwargs": client}


def _not_received(error: Exception) -> Exception:
    """What an exception of a transfer means: is it worth asking again, and what can a person do?"""
    if isinstance(error, ShardError):
        return error
    status = getattr(error, "status", None)  # aiohttp's
    if isinstance(error, FileNotFoundError):
        return NotReceivedError("not found there; check the URL, or upload the set again", retries=0)
    if isinstance(error, PermissionError) or status in (401, 403):
        return NotReceivedError(f"access is refused ({error}); check the credentials", retries=0)
    final = isinstance(status, int) and status < 500 and status not in PASSING
    reason = f"cannot be fetched ({str(error) or type(error).__name__}); check the URL, the network and the server"
    return NotReceivedError(reason, retries=0 if final else len(WAITS_S))
