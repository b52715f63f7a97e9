"""Serves a directory over HTTP on the loopback. The server records requests, and fails when a test tells it to."""

import base64
import hashlib
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

STALLED_S = 60.0


class Served(ThreadingHTTPServer):
    """`asked` lists the requested paths. `faults` lists failures by path; each request takes the first of its path.

    With `ranges`, the server answers requests for ranges, and gives each file an ETag. `sent_bytes` counts, by path,
    the bytes of contents that it sent. Every answer begins after `latency_s`. If `login`, such as "name:password", or
    `query`, such as "token=x", is set, requests without it are refused.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, directory: Path, *, ranges: bool = False, latency_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.ranges, self.latency_s = ranges, latency_s
        self.login = self.query = ""
        self.asked: list[str] = []
        self.sent_bytes: Counter[str] = Counter()
        self.counting = threading.Lock()
        self.faults: dict[str, list[Fault]] = {}
        self.stalled = threading.Event()  # set when a request has got half of its bytes

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback for a client that has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Served

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.relative = unquote(path.lstrip("/"))
        self.server.asked.append(self.relative)
        time.sleep(self.server.latency_s)
        if query != self.server.query or self._login() != self.server.login:
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return
        file = self.server.directory / self.relative
        if not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        data = self._requested(file.read_bytes())
        if self.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_error(self.status)
            return
        faults = self.server.faults.get(self.relative)
        (faults.pop(0) if faults else whole)(self, data)

    def _login(self) -> str:
        return base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()

    def _requested(self, data: bytes) -> bytes:
        """The range that was asked for, if the server knows ranges and the file is the one that the client knows."""
        self.status, self.content_headers = HTTPStatus.OK, {}
        if not self.server.ranges:
            return data
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        self.content_headers["ETag"] = etag
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None or self.headers.get("If-Range", etag) != etag:
            return data
        start, stop = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        if start >= len(data):
            self.status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return b""
        self.status = HTTPStatus.PARTIAL_CONTENT
        self.content_headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return data[start:stop]

    def answer(self, data: bytes, *, announced: int, content_type: str = "application/octet-stream") -> None:
        self.send_response(self.status)
        for name, value in {**self.content_headers, "Content-Type": content_type}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        with self.server.counting:
            self.server.sent_bytes[self.relative] += len(data)

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[_Handler, bytes], None]


def whole(handler: _Handler, data: bytes) -> None:
    handler.answer(data, announced=len(data))


def slow(handler: _Handler, data: bytes) -> None:
    time.sleep(0.5)
    whole(handler, data)


def unavailable(handler: _Handler, _: bytes) -> None:
    handler.send_error(HTTPStatus.SERVICE_UNAVAILABLE)


def forbidden(handler: _Handler, _: bytes) -> None:
    handler.send_error(HTTPStatus.FORBIDDEN)


def corrupted(handler: _Handler, data: bytes) -> None:
    whole(handler, data[:-1] + bytes([data[-1] ^ 1]))


def flipped_at(position: int) -> Fault:
    """A bit of the file is flipped, if it is in what was asked for."""

    def flip(handler: _Handler, data: bytes) -> None:
        found = re.match(r"bytes (\d+)-", handler.content_headers.get("Content-Range", ""))
        place = position - int(found[1] if found else 0)
        sent = bytearray(data)
        if 0 <= place < len(sent):
            sent[place] ^= 1
        whole(handler, bytes(sent))

    return flip


def shortened(handler: _Handler, data: bytes) -> None:
    """As if the file were shorter: the announced length is shorter too."""
    whole(handler, data[:-1])


def lengthened(handler: _Handler, data: bytes) -> None:
    whole(handler, data + b"\0")


def truncated(handler: _Handler, data: bytes) -> None:
    """The connection ends before the announced length."""
    handler.answer(data[: len(data) // 2], announced=len(data))
    handler.close_connection = True


def reset(handler: _Handler, data: bytes) -> None:
    truncated(handler, data)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def stalled(handler: _Handler, data: bytes) -> None:
    truncated(handler, data)
    handler.server.stalled.set()
    time.sleep(STALLED_S)


def endless(handler: _Handler, _: bytes) -> None:
    """Does not say how much comes, and does not stop."""
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Connection", "close")
    handler.end_headers()
    with suppress(OSError):  # the client has had enough
        while True:
            handler.wfile.write(bytes(1 << 20))


def _drip(handler: _Handler, data: bytes, *, every_s: float = 0.0) -> None:
    """Send this again and again, until the client has had enough."""
    handler.close_connection = True
    ends_s = time.monotonic() + STALLED_S
    with suppress(OSError):
        while time.monotonic() < ends_s:
            handler.wfile.write(data)
            time.sleep(every_s)


def head_dripped(handler: _Handler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nName: ")
    _drip(handler, b"a", every_s=0.05)


def contents_dripped(handler: _Handler, _: bytes) -> None:
    handler.answer(b"{", announced=10**8)
    _drip(handler, b" ", every_s=0.05)


def chunks_dripped(handler: _Handler, _: bytes) -> None:
    """Many bytes around the chunks, and hardly one in them."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _drip(handler, b"1;" + bytes([97]) * 4000 + b"\r\n \r\n", every_s=0.05)


def never_begun(handler: _Handler, _: bytes) -> None:
    _drip(handler, b"HTTP/1.1 100 Continue\r\n\r\n")


def never_ended(handler: _Handler, data: bytes) -> None:
    """All the contents, and then lines of a trailer without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    handler.wfile.write(b"%x\r\n%s\r\n0\r\n" % (len(data), data))
    _drip(handler, b"T: aaaaa\r\n")


def paced(bytes_per_s: int) -> Fault:
    """As over a slow link."""

    def send(handler: _Handler, data: bytes) -> None:
        handler.answer(b"", announced=len(data))
        for begin in range(0, len(data), 100):
            handler.wfile.write(data[begin : begin + 100])
            time.sleep(100 / bytes_per_s)

    return send


def page(handler: _Handler, _: bytes) -> None:
    """As a portal does that wants a login: a page with status 200 instead of the file."""
    handler.status, handler.content_headers = HTTPStatus.OK, {}
    text = b"<html><body>Please log in.</body></html>"
    handler.answer(text, announced=len(text), content_type="text/html; charset=utf-8")


def redirecting(location: str) -> Fault:
    def redirect(handler: _Handler, _: bytes) -> None:
        handler.send_response(HTTPStatus.FOUND)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return redirect


def redirecting_at_length(location: str, *, most_bytes: int) -> Fault:
    """A redirect that announces contents of petabytes. Counts how many of them it could send."""

    def redirect(handler: _Handler, _: bytes) -> None:
        handler.close_connection = True
        handler.wfile.write(
            b"HTTP/1.1 302 F\r\nLocation: %s\r\nContent-Length: 999999999999999\r\n\r\n" % location.encode()
        )
        with suppress(OSError):
            while handler.server.sent_bytes[handler.relative] < most_bytes:
                handler.wfile.write(bytes(1 << 20))
                handler.server.sent_bytes[handler.relative] += 1 << 20

    return redirect


def later(wait_s: int, status: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS) -> Fault:
    """Asks the client to come back after some time."""

    def refuse(handler: _Handler, _: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Retry-After", str(wait_s))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return refuse


@contextmanager
def serving(directory: Path, *, ranges: bool = False, latency_s: float = 0.0) -> Iterator[Served]:
    server = Served(directory, ranges=ranges, latency_s=latency_s)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.socket.close()
