"""Files over HTTP: ranges of them, resumed only while the file stays the same, from no other host than the one named.

The only module that imports requests, and urllib3 which it is made of.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from shards.errors import ShardError, install
from shards.store import pace, transport
from shards.store.transport import WAITS_S, NotReceivedError, Reply, per_process
from shards.store.urls import shown, without_secrets
from shards.text import printable

READ_BYTES = 1 << 20
MAX_REDIRECTS = 5
PASSING = (408, 425, 429)  # client errors that may go away: request timeout, too early, too many requests
NUMBER = re.compile("[0-9]{1,18}")
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class HttpSource:
    """Files below an http:// or https:// URL."""

    def __init__(self, location: str) -> None:
        try:
            import requests
            import urllib3
        except ImportError as error:
            cure = f"{install('remote')}, or copy the set to a local disk"
            missing = f"reading it needs packages that are missing ({error})"
            raise ShardError(f"{shown(location)}: {missing}; {cure}") from None
        self.address, self.location = location, shown(location).rstrip("/")
        try:
            parts = urlsplit(location)
            self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        except ValueError as error:
            said = without_secrets(str(error), location)
            raise ShardError(f"{self.location}: is no URL ({said}); check how it is written") from None
        self._parts = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
        self._failures: tuple[type[Exception], ...] = (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,  # requests parses a redirect's URL even if it is not to follow it
        )
        self._session = per_process(_paced_session)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return HttpSource, (self.address,)

    @contextmanager
    def get(self, relative: str, *, start: int = 0, stop: int | None = None, version: str = "") -> Iterator[Reply]:
        headers = {"Accept-Encoding": "identity"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
            if version:
                headers["If-Range"] = version
        with self._losses_named():
            response = self._asked(self._url_of(relative), headers)
        with response:
            yield _reply(response, start, self._chunks(response))

    def _url_of(self, relative: str) -> str:
        """The URL of a file. A query, such as a token or a signature, stays behind its path."""
        return urlunsplit(self._parts._replace(path=f"{self._parts.path.rstrip('/')}/{quote(relative)}"))

    def _chunks(self, response: Any) -> Iterator[bytes]:
        answer = response.raw._original_response
        read_bytes = pace.LEAST_BYTES if answer.chunked else READ_BYTES  # of chunks, nothing counts before all is read
        with self._losses_named():
            yield from answer.paced(response.raw.stream(read_bytes, decode_content=False))

    @contextmanager
    def _losses_named(self) -> Iterator[None]:
        """Turn failures of the network into a NotReceivedError."""
        try:
            yield
        except self._failures as error:
            said = without_secrets(str(error), self.address) or type(error).__name__
            reason = f"cannot be fetched ({said})"
            raise NotReceivedError(
                f"{reason}; check the URL, the network and the server", retries=len(WAITS_S)
            ) from None

    def _asked(self, url: str, headers: dict[str, str]) -> Any:
        """The response, after redirects within the same host. Raises: NotReceivedError for any other answer."""
        for _ in range(MAX_REDIRECTS):
            response = self._session().get(
                url,
                headers=headers,
                auth=self._login,
                stream=True,
                timeout=transport.STALL_S,
                allow_redirects=False,
            )
            if not response.is_redirect:
                break
            response.close()
            url = _redirected(url, response.headers["Location"])
        else:
            raise NotReceivedError("redirected too often; check the URL", retries=0)
        try:
            _check_status(response)
        except NotReceivedError:
            response.close()
            raise
        return response


def _paced_session() -> Any:
    """A session of requests that follows no redirect, and whose answers must keep a pace."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    class PacedAdapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *arguments: Any, **settings: Any) -> Any:
            return _paced(super().get_connection_with_tls_context(*arguments, **settings))

        def get_connection(self, *arguments: Any, **settings: Any) -> Any:  # instead of that, before requests 2.32
            return _paced(super().get_connection(*arguments, **settings))

    class PlainSession(Session):
        def get_redirect_target(self, _: Any) -> None:
            """None: requests would read the whole body of a redirect into memory, however long it is."""

    session = PlainSession()
    for scheme in ("http://", "https://"):
        session.mount(scheme, PacedAdapter())
    return session


def _paced(pool: Any) -> Any:
    """A pool of connections whose answers must keep a pace."""
    made = pool.ConnectionCls
    if made.response_class is not pace.PacedResponse:
        pool.ConnectionCls = type(made.__name__, (made,), {"response_class": pace.PacedResponse})
    return pool


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises: NotReceivedError if that is another host, or is less safe."""
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        same = after.hostname == before.hostname and _is_as_safe(before, after)
    except ValueError:
        raise NotReceivedError("the server redirects to what is no URL; check the URL", retries=0) from None
    if not same:
        where = printable(f"{after.scheme}://{after.netloc.rpartition('@')[2]}")
        cure = "if you trust it, name the set's URL there"
        raise NotReceivedError(f"the server redirects to {where}, which is another place; {cure}", retries=0)
    return target


def _is_as_safe(before: SplitResult, after: SplitResult) -> bool:
    """Tell whether a redirect within a host stays with the same server, or goes from http to https."""
    upgraded = (before.scheme, before.port or 80, after.scheme, after.port or 443) == ("http", 80, "https", 443)
    return upgraded or (before.scheme, before.port) == (after.scheme, after.port)


def _check_status(response: Any) -> None:
    status = response.status_code
    if status in (401, 403):
        raise NotReceivedError(f"access is refused (HTTP {status}); check the credentials", retries=0, absent=True)
    if status in (404, 410):
        raise NotReceivedError("not found there; check the URL, or upload it again", retries=0, absent=True)
    if status == 416:
        raise NotReceivedError("is shorter at the server than is stated; upload the file again", retries=1)
    if status not in (200, 206):
        final = status < 500 and status not in PASSING
        reason = f"cannot be fetched (HTTP {status}); check the URL, the network and the server"
        wait_s = _wait_s(response.headers.get("Retry-After", ""))
        raise NotReceivedError(reason, retries=0 if final else len(WAITS_S), wait_s=wait_s)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        cure = "check the URL; you may have to log in, or the server may be behind a portal"
        raise NotReceivedError(
            f"the server answers with a web page instead of the file; {cure}", retries=0, absent=True
        )
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise NotReceivedError(f"the server sends it in the encoding {encoding!r:.40}, unasked", retries=0)


def _wait_s(retry_after: str) -> float:
    """Seconds of a Retry-After header, which has a number or a date; 0 if it says nothing useful."""
    number = _number(retry_after)
    if number is not None:
        return float(number)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time(), 0.0)
    except (ValueError, OverflowError, TypeError):
        return 0.0


def _number(text: str) -> int | None:
    """A whole number in a header; None if it is none, or larger than any file."""
    return int(text) if NUMBER.fullmatch(text) else None


def _reply(response: Any, start: int, chunks: Iterator[bytes]) -> Reply:
    etag = response.headers.get("ETag", "")
    version = "" if etag.startswith("W/") else etag  # a weak one does not promise equal bytes
    if response.status_code == 200:
        return Reply(0, False, _number(response.headers.get("Content-Length", "")), version, chunks)
    found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != start:
        raise NotReceivedError("the server sends another part of the file than was asked for", retries=1)
    return Reply(start, True, None if found[3] == "*" else int(found[3]), version, chunks)
