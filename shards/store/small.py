"""Small files, whole in memory, whose size or hash is not known before."""

import logging

from shards.store.transport import WAITS_S, NotReceivedError, Source, attempts

LOG = logging.getLogger(__name__)


def fetch_whole(source: Source, relative: str, *, limit_bytes: int) -> bytes:
    """A whole small file whose size is not known, in memory. Raises: ShardError if it is larger or does not arrive."""
    return attempts(
        lambda: _whole(source, relative, limit_bytes), name=f"{source.location}/{relative}", say=LOG.warning
    )


def fetch_if_there(source: Source, relative: str, *, limit_bytes: int) -> bytes | None:
    """As `fetch_whole`, but None if there is no such file, or the server refuses it, as some do that list nothing."""

    def ask() -> bytes | None:
        try:
            return _whole(source, relative, limit_bytes)
        except NotReceivedError as error:
            if error.absent:
                return None
            raise

    return attempts(ask, name=f"{source.location}/{relative}", say=LOG.warning)


def _whole(source: Source, relative: str, limit_bytes: int) -> bytes:
    data = bytearray()
    too_large = NotReceivedError(f"is larger than {limit_bytes} bytes, so it is not what it should be", retries=0)
    with source.get(relative) as reply:
        if (reply.total_bytes or 0) > limit_bytes:  # not one byte is waited for
            raise too_large
        for chunk in reply.chunks:
            data.extend(chunk)
            if len(data) > limit_bytes:
                raise too_large
    if reply.total_bytes not in (None, len(data)):
        raise NotReceivedError(f"only {len(data)} of {reply.total_bytes} bytes arrived", retries=len(WAITS_S))
    return bytes(data)


def fetch_beginning(source: Source, relative: str, *, most_bytes: int) -> bytes:
    """The first bytes of a file, or all of a shorter one, in memory. Raises: ShardError if they do not arrive."""

    def ask() -> bytes:
        data = bytearray()
        with source.get(relative, start=0, stop=most_bytes) as reply:
            for chunk in reply.chunks:  # of the whole file, where the server has no ranges
                data.extend(chunk)
                if len(data) >= most_bytes:
                    break
        return bytes(data[:most_bytes])

    return attempts(ask, name=f"{source.location}/{relative}", say=LOG.warning)
