"""Files in object stores and elsewhere, through fsspec: s3://, gs://, az://, hf://, file:// and others."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shards.errors import ShardError, install
from shards.store.hub import HUB, pinned
from shards.store.transport import WAITS_S, NotReceivedError, Reply, attempts
from shards.store.urls import shown, without_secrets

CHUNK_BYTES = 8 << 20
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}  # waiting does not mend these
# Nor these, and ValueError itself (an endpoint that is no URL): exceptions of botocore, which may not be installed.
OF_THE_USER = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError"}

LOG = logging.getLogger(__name__)


class ObjectSource:
    """Files below a URL of one of fsspec's protocols. On the Hugging Face hub, those of one commit.

    `location` names that commit, so whoever opens it again gets the same files.
    """

    def __init__(self, location: str, *, models: bool = False) -> None:
        """models: on the hub, a repository of models will do too.

        Raises: ShardError if packages are missing, or the hub has no such repository or revision.
        """
        if location.startswith(HUB):
            location = attempts(lambda: pinned(location, models=models), name=location, say=LOG.warning)
        self.address, self.location = location, shown(location)
        file_system(location)  # packages that are missing are reported at once

    @contextmanager
    def get(self, relative: str, *, start: int = 0, stop: int | None = None, version: str = "") -> Iterator[Reply]:
        url = f"{self.address}/{relative}"
        yield Reply(start, stop is not None, None, "", _chunks(url, start, stop))


def _chunks(url: str, start: int, stop: int | None) -> Iterator[bytes]:
    """The bytes of a range as they arrive, a request for each CHUNK_BYTES; None: until the file ends."""
    files, path = file_system(url)
    try:
        while stop is None or start < stop:
            end = start + CHUNK_BYTES if stop is None else min(start + CHUNK_BYTES, stop)
            data = files.cat_file(path, start=start, end=end)
            yield data
            if len(data) < end - start:
                return
            start += len(data)
    except Exception as error:  # each protocol's package raises exceptions of its own
        raise not_received(error, url=url) from None


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Asked for at each use: a fork makes an old one useless.

    Raises: ShardError if fsspec or the protocol's package is not installed, or the protocol is unknown.
    """
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except ImportError as error:
        cure = f"{install('hf' if url.startswith(HUB) else 'remote')}, or copy the set to a local disk"
        raise ShardError(f"{shown(url)}: reading it needs packages that are missing ({error}); {cure}") from None
    except ValueError as error:
        said = without_secrets(str(error), url)
        raise ShardError(f"{shown(url)}: {said}; use https, s3 or another protocol of fsspec") from None
    return files, str(path)


def not_received(error: Exception, *, url: str, done: str = "fetched") -> Exception:
    """Turn an exception of a transfer into one that says whether to ask again, and what a person can do.

    url: that of the transfer, whose login and query are left out of what the exception says. done: what was to be done
        with the file, for the message.
    """
    if isinstance(error, ShardError | NotReceivedError):
        return error
    if isinstance(error, FileNotFoundError):
        return NotReceivedError("not found there; check the URL, or upload it again", retries=0, absent=True)
    if isinstance(error, PermissionError):
        said = without_secrets(str(error), url)
        return NotReceivedError(f"access is refused ({said}); check the credentials", retries=0, absent=True)
    said = without_secrets(" ".join(str(error).split()), url) or type(error).__name__  # the hub's have several lines
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return NotReceivedError(f"cannot be {done} ({said}); make room there, or make it writable", retries=0)
    if type(error) is ValueError or any(kind.__name__ in OF_THE_USER for kind in type(error).__mro__):
        return NotReceivedError(f"cannot be asked for ({said}); check the credentials and the URL", retries=0)
    reason = f"cannot be {done} ({said}); check the URL, the network and the server"
    return NotReceivedError(reason, retries=len(WAITS_S))
