"""Answers over HTTP that must keep a pace: their bytes are read from the socket under a limit of time.

The socket's own limit begins again with each byte, so a server that sends a byte now and then would never reach it.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shards.store import transport
from shards.store.transport import WAITS_S, NotReceivedError

LEAST_BYTES = 16 << 10  # of contents, that each connection must bring in STALL_S; 16 share a slow link


class Pace:
    """What an answer has brought lately. Its head must be complete after STALL_S; then LEAST_BYTES must come in each.

    Time for which nobody waits for the server does not count.
    """

    def __init__(self) -> None:
        self._in_head = True
        self._begun_s, self._bytes = time.monotonic(), 0

    def left_s(self) -> float:
        """How long the next bytes may take. Raises: NotReceivedError if the time is over."""
        left_s = self._begun_s + transport.STALL_S - time.monotonic()
        if left_s > 0:
            return left_s
        short = "the head of the server's answer was not complete" if self._in_head else "the server sent hardly a byte"
        reason = f"cannot be fetched ({short} in {transport.STALL_S:g} s)"
        raise NotReceivedError(f"{reason}; check the network and the server", retries=len(WAITS_S))

    def end_head(self) -> None:
        self._in_head = False
        self._begin()

    def count(self, contents_bytes: int) -> None:
        self._bytes += contents_bytes
        if self._bytes >= LEAST_BYTES:
            self._begin()

    def _begin(self) -> None:
        self._begun_s, self._bytes = time.monotonic(), 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time for which the reader does something else."""
        paused_s = time.monotonic()
        try:
            yield
        finally:
            self._begun_s += time.monotonic() - paused_s


class PacedResponse(http.client.HTTPResponse):
    """An answer that keeps a pace, or ends with a NotReceivedError."""

    def __init__(self, sock: socket.socket, *arguments: Any, **settings: Any) -> None:
        super().__init__(sock, *arguments, **settings)
        self.pace = Pace()
        self._paced = _PacedSocket(self.fp.detach(), sock, self.pace)
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        super().begin()
        self.pace.end_head()
        self._paced.counts = not self.chunked  # what frames the chunks is no contents

    def paced(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the contents as they arrive."""
        self.pace.end_head()
        for data in chunks:
            if not self._paced.counts:
                self.pace.count(len(data))
            with self.pace.paused():
                yield data


class _PacedSocket(io.RawIOBase):
    """Reads from a socket for as long as the pace allows."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pace: Pace) -> None:
        self._raw, self._socket, self._pace = raw, sock, pace
        self.counts = False  # whether all bytes are contents

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._pace.left_s())
        try:
            received_bytes = self._raw.readinto(buffer)
        except TimeoutError:
            self._pace.left_s()
            raise
        if self.counts:
            self._pace.count(received_bytes or 0)
        return received_bytes

    def close(self) -> None:
        self._raw.close()
        super().close()
