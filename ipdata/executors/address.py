"""The address of a scheduler: is the connection encrypted, or does it stay on this machine?

Whoever can connect to a Dask scheduler can run code in its workers and, through the results, in the build. TLS lets in
only those who have a certificate of the cluster's authority.
"""

import ipaddress
import json
import logging
import math
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ipdata.errors import BuildError
from shards.regular import open_regular

SAY_S = 10.0  # from one line about a file that is waited for to the next
POLL_S = 0.1
WRITE_S = 2.0  # for a scheduler to write its file, which is empty when it appears
PROBE_S = 1.0  # how long a web server may take to answer
MAX_BYTES = 1_000_000  # of a scheduler's file, which has some thousand
LOG = logging.getLogger(__name__)
ENCRYPTED = ("tls://", "wss://")


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """PEM files. What is None comes from Dask's configuration; a key may also be part of its certificate's file."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def given(self) -> bool:
        return any((self.ca, self.cert, self.key))


def check_encrypted(address: str, *, tls: TlsFiles, insecure: bool) -> None:
    """Check that a connection is encrypted, or does not leave this machine, or that the user accepts that.

    Raises: BuildError if not, or if an option has no effect; OSError if the host has no address; ValueError if this is
        no address.
    """
    if address.startswith(ENCRYPTED):
        if insecure:
            raise BuildError(f"--insecure-scheduler has no effect with {address}, which is encrypted; leave it out")
        return
    if tls.given:
        raise BuildError(f"--scheduler {address}: --tls-ca, --tls-cert and --tls-key need an address with tls://")
    if not insecure and not is_loopback(urlsplit(address).hostname or ""):
        problem = "without TLS, whoever reaches that port can run code as you"
        cure = "start the cluster with TLS and use tls://, or accept this with --insecure-scheduler"
        raise BuildError(f"--scheduler {address}: {problem}; {cure}")


def address_in(file: Path, *, patience_s: float) -> str:
    """The address that a scheduler has written to its --scheduler-file. Waits until the file is there, and says so.

    Raises: BuildError if it is not there after patience_s, or if it names no address WRITE_S later.
    """
    begun_s, said_s = time.monotonic(), -math.inf
    while not file.exists():
        now_s = time.monotonic()
        if now_s - begun_s >= patience_s:
            cure = f"start one with `dask scheduler --scheduler-file {file}`"
            raise BuildError(f"{file}: no scheduler has written its address there for {patience_s:g} s; {cure}")
        if now_s - said_s >= SAY_S:
            LOG.warning("%s is not there: waiting for a scheduler that writes it, for %.0f s", file, now_s - begun_s)
            said_s = now_s
        time.sleep(POLL_S)
    ends_s = time.monotonic() + WRITE_S
    while True:
        try:
            with open_regular(file) as opened:
                written = json.loads(opened.read(MAX_BYTES))
            if not isinstance(address := written["address"], str):
                raise TypeError(f"address: {address}")
            return address
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            half_written = isinstance(error, ValueError)  # no JSON yet
            if not half_written or time.monotonic() > ends_s:
                cure = "name the file of `dask scheduler --scheduler-file`"
                raise BuildError(f"{file}: has no address of a scheduler ({error!r}); {cure}") from None
        time.sleep(POLL_S)


def is_loopback(host: str) -> bool:
    """Tell whether all addresses of a host are this machine's own. Raises: OSError if it has none."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)]
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def speaks_http(address: str) -> bool:
    """Tell whether a web server answers there. Asks what a scheduler would refuse, so ask only after it has failed."""
    try:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), timeout=PROBE_S) as connection:
            connection.settimeout(PROBE_S)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except (OSError, ValueError, TypeError):  # no answer; no such address
        return False
