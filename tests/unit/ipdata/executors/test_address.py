"""Which schedulers are refused because anybody could come between."""

from pathlib import Path

import pytest

from ipdata.errors import BuildError
from ipdata.executors.address import TlsFiles, check_encrypted
from ipdata.executors.dask import RunningDask

NONE, SOME = TlsFiles(), TlsFiles(ca=Path("ca.pem"), cert=Path("cert.pem"))


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "tcp://127.9.9.9:1", "tcp://[::1]:8786", "tcp://localhost:8786", "ws://localhost"],
)
def test_this_machine_needs_no_encryption(address: str) -> None:
    check_encrypted(address, tls=NONE, insecure=False)


@pytest.mark.parametrize(
    "address", ["tcp://192.0.2.1:8786", "tcp://[2001:db8::1]:8786", "ws://192.0.2.1:80", "ucx://192.0.2.1"]
)
def test_another_machine_without_tls_is_refused_unless_the_user_accepts_it(address: str) -> None:
    with pytest.raises(BuildError, match=r"whoever reaches that port can run code as you; .*--insecure-scheduler"):
        check_encrypted(address, tls=NONE, insecure=False)
    check_encrypted(address, tls=NONE, insecure=True)


def test_options_that_do_not_fit_the_address_are_refused() -> None:
    check_encrypted("tls://192.0.2.1:8786", tls=SOME, insecure=False)
    with pytest.raises(BuildError, match=r"--insecure-scheduler has no effect with tls://192\.0\.2\.1:8786"):
        check_encrypted("tls://192.0.2.1:8786", tls=NONE, insecure=True)
    with pytest.raises(BuildError, match="--tls-ca, --tls-cert and --tls-key need an address with tls://"):
        check_encrypted("tcp://127.0.0.1:8786", tls=SOME, insecure=False)


def test_a_host_without_an_address_is_an_os_error() -> None:
    with pytest.raises(OSError):
        check_encrypted("tcp://nowhere.invalid:8786", tls=NONE, insecure=False)


def test_an_address_without_a_scheme_has_dasks_default() -> None:
    assert RunningDask("127.0.0.1:8786", video_timeout_s=1).address == "tcp://127.0.0.1:8786"
    with pytest.raises(BuildError, match=r"--scheduler tcp://192\.0\.2\.1:8786: without TLS, whoever reaches"):
        RunningDask("192.0.2.1:8786", video_timeout_s=1)


def test_an_address_without_a_scheme_has_tls_if_certificates_are_given() -> None:
    with pytest.raises(BuildError, match=r"these are no certificates and keys in PEM format \(.*\): ca.pem, cert.pem"):
        RunningDask("192.0.2.1:8786", video_timeout_s=1, tls=SOME)
