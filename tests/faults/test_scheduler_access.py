"""Nobody but the build's own processes may use its local scheduler, and a scheduler of the user's may have TLS."""

import logging
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from built_sets import quick_options
from clusters import Cluster, started_cluster
from commands import in_process
from distributed import Client, Security

from ipdata.executors import dask as dask_executor
from ipdata.executors.dask import RunningDask

FILES = {"ca": "tls_ca_file", "cert": "tls_client_cert", "key": "tls_client_key"}


def written(folder: Path) -> dict[str, Path]:
    """New certificates, as files."""
    folder.mkdir()
    security = Security.temporary()
    for name, field in FILES.items():
        (folder / f"{name}.pem").write_text(getattr(security, field))
    return {name: folder / f"{name}.pem" for name in FILES}


def refused(address: str, security: Security | None, *, timeout_s: float = 1) -> bool:
    try:
        Client(address, timeout=timeout_s, security=security).close()
    except OSError:
        return True
    return False


def test_a_local_cluster_lets_nobody_in(tmp_path: Path) -> None:
    """Neither a plain connection nor one with another certificate, to no process; nothing listens beyond loopback."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    certificate = dask_executor.certificate_in(tmp_path)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.glob("*.pem"))
    with dask_executor._local_cluster(1, set(), tmp_path, certificate, []) as cluster:
        (worker,) = cluster.workers.values()
        addresses = [cluster.scheduler_address, worker.address, worker.worker_address]
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
        plain = cluster.scheduler_address.replace("tls:", "tcp:")
        assert refused(plain, None) and refused(cluster.scheduler_address, Security.temporary())
        assert not refused(cluster.scheduler_address, cluster.security, timeout_s=30)
        this = psutil.Process()
        listening = [
            connection.laddr.ip
            for process in [this, *this.children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) >= 4 and set(listening) == {"127.0.0.1"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Path]) -> Iterator[Cluster]:
    """A running cluster of the user's, with TLS."""
    options = [f"--tls-{'ca-file' if name == 'ca' else name}={file}" for name, file in certificates.items()]
    folder = tmp_path_factory.mktemp("encrypted") / "cluster"
    with started_cluster(folder, *options, workers=1) as cluster:
        files = {field: str(certificates[name]) for name, field in FILES.items()}
        with Client(cluster.address, security=Security(**files)) as client:
            client.wait_for_workers(1, timeout=60)
        yield cluster


def options_of(files: dict[str, Path]) -> dict[str, Path]:
    return {f"tls-{name}": file for name, file in files.items()}


def test_a_scheduler_with_tls_takes_the_users_certificate(
    tmp_path: Path, encrypted: Cluster, certificates: dict[str, Path]
) -> None:
    assert encrypted.address.startswith("tls://")
    options = {"scheduler": encrypted.address, "columns": "mv", **options_of(certificates)}
    done = in_process("ipdata.cli", quick_options(tmp_path / "set", **options))
    assert done.returncode == 0, done.stderr


def test_certificates_may_come_from_dasks_configuration(encrypted: Cluster, certificates: dict[str, Path]) -> None:
    files = {"ca-file": certificates["ca"], "client.cert": certificates["cert"], "client.key": certificates["key"]}
    with dask.config.set({f"distributed.comm.tls.{name}": str(file) for name, file in files.items()}):
        executor = RunningDask(encrypted.address, video_timeout_s=60)
    with Client(encrypted.address, security=executor.security) as client:
        assert len(client.nthreads()) == 1


def test_a_wrong_certificate_is_refused_in_one_line(
    tmp_path: Path, encrypted: Cluster, certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "CONNECT_S", 3.0)
    none, other = {}, written(tmp_path / "other")
    no_pem = {"ca": Path(__file__), "cert": certificates["cert"], "key": certificates["key"]}
    plain = encrypted.address.replace("tls:", "tcp:")
    for address, files, says in [
        (encrypted.address, none, "TLS needs certificates; give --tls-ca, --tls-cert and --tls-key, or set"),
        (encrypted.address, other, "no Dask scheduler answers there ([SSL: CERTIFICATE_VERIFY_FAILED]"),
        (encrypted.address, no_pem, "these are no certificates and keys in PEM format"),
        (plain, none, "no Dask scheduler answers there"),
        (plain, certificates, "--tls-ca, --tls-cert and --tls-key need an address with tls://"),
    ]:
        done = in_process("ipdata.cli", quick_options(tmp_path / "set", scheduler=address, **options_of(files)))
        assert done.returncode == 1 and says in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and done.stderr.count("error:") == 1, done.stderr
