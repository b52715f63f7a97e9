"""Sets at a URL, over HTTP, S3 and other protocols of fsspec. Files are fetched whole into the cache on first use."""

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

WAITS_S = (1.0, 4.0, 16.0)  # before each new attempt
STALL_S = 60.0  # a transfer fails after this time without a byte
CHUNK_BYTES = 8 << 20
PASSING = (408, 429)  # HTTP's client errors that may go away: request timeout, too many requests

T = TypeVar("T")
LOG = logging.getLogger(__name__)


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


class RemoteFiles:
    """Local copies of the files of a set at a URL. Can be pickled, because it holds no connection."""

    def __init__(self, url: str) -> None:
        """Fetch the manifest, which says what the other files must be.

        Raises: ShardError if fsspec is not installed, the server does not answer, its answer is no manifest, or this
            system has no file locks.
        """
        check_locks(url)
        self.location = url.rstrip("/")
        data = self._asked(MANIFEST, lambda: _whole(f"{self.location}/{MANIFEST}"))
        self.manifest = Manifest.from_json(data, where=f"{self.location}/{MANIFEST}")
        self._infos = {path: info for shard in self.manifest.shards for path, info in shard.files.items()}

    def path(self, relative: str) -> Path:
        """The path of a file's copy in the cache. Fetches the file if it is not there yet.

        Raises: ShardError if it cannot be fetched, is not what the manifest says, or the cache cannot be written.
        """
        expected = self._infos[relative]
        chunks = partial(_chunks, f"{self.location}/{relative}", expected.bytes)
        return self._asked(relative, lambda: cached(expected, chunks))

    def check(self, relative: str, expected: FileInfo) -> None:
        """Does nothing: a file in the cache was checked when it arrived."""

    def _asked(self, relative: str, ask: Callable[[], T]) -> T:
        """What `ask` returns; it is called again after errors that may go away.

        Raises: ShardError that names the file if they do not go away.
        """
        asked = 0
        while True:
            try:
                return ask()
            except NotReceivedError as error:
                if asked >= error.retries:
                    raise ShardError(f"{self.location}/{relative}: {error}") from None
                LOG.warning("%s/%s: %s; next attempt in %g s", self.location, relative, error, WAITS_S[asked])
            time.sleep(WAITS_S[asked])
            asked += 1


def _whole(url: str) -> bytes:
    try:
        files, path = _file_system(url)
        data: bytes = files.cat_file(path)
    except Exception as error:  # each protocol's package raises exceptions of its own
        raise _not_received(error) from None
    return data


def _chunks(url: str, size_bytes: int) -> Iterator[bytes]:
    """The bytes of a file as they arrive."""
    try:
        files, path = _file_system(url)
        with files.open(path, "rb", block_size=0, size=size_bytes) as file:  # 0: nothing is read ahead
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except Exception as error:  # each protocol's package raises exceptions of its own
        raise _not_received(error) from None


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Asked for at each use: a fork makes an old one useless.

    Raises: ShardError if fsspec or the protocol's package is not installed, or the protocol is unknown.
    """
    try:
        from fsspec.core import url_to_fs

        options = _http_options() if url.startswith(("http://", "https://")) else {}
        files, path = url_to_fs(url, **options)
    except ImportError as error:
        cure = f"{install('remote')}, or copy the set to a local disk"
        raise ShardError(f"{url}: reading it needs packages that are missing ({error}); {cure}") from None
    except ValueError as error:
        raise ShardError(f"{url}: {error}; use https, s3 or another protocol of fsspec") from None
    return files, str(path)


def _http_options() -> dict[str, Any]:
    """Options that end stalled transfers only; aiohttp ends any after five minutes. A user's configuration wins."""
    from aiohttp import ClientTimeout
    from fsspec.config import conf

    client = {"timeout": ClientTimeout(total=None, sock_connect=STALL_S, sock_read=STALL_S)}
    for protocol in ("http", "https"):
        client |= conf.get(protocol, {}).get("client_kwargs", {})
    return {"client_kwargs": client}


def _not_received(error: Exception) -> Exception:
    """Turn an exception of a transfer into one that says whether to ask again, and what a person can do."""
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
