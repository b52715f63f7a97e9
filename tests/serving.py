"""Serves a directory over HTTP on the loopback. The server records requests, and fails when a test tells it to."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STALLED_S = 60.0


class Served(ThreadingHTTPServer):
    """`asked` lists the requested paths. `faults` lists failures by path; each request takes the first of its path."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.asked: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.stalled = threading.Event()  # set when a request has got half of its bytes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Served

    def do_GET(self) -> None:
        relative = self.path.lstrip("/")
        self.server.asked.append(relative)
        path = self.server.directory / relative
        if not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        faults = self.server.faults.get(relative)
        (faults.pop(0) if faults else whole)(self, path.read_bytes())

    def answer(self, data: bytes, *, announced: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

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


@contextmanager
def serving(directory: Path) -> Iterator[Served]:
    server = Served(directory)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.socket.close()
