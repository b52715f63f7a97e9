"""Start a Dask cluster, or connect to one. Only the modules `dask*.py` of this folder import Dask."""

import atexit
import logging
import math
import multiprocessing
import signal
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future as Promise
from concurrent.futures import wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import dask
import distributed
from distributed import Client, LocalCluster, Security
from distributed.client import AllExit
from distributed.deploy.spec import close_clusters

from ipdata.errors import BuildError
from ipdata.executors.address import ENCRYPTED, TlsFiles, check_encrypted, speaks_http
from ipdata.executors.base import Event, Executor
from ipdata.executors.dask_run import ClusterRun
from ipdata.steps.pack import ShardTask
from ipdata.steps.scratch import scratch_dir
from shards.signals import Arrivals, interrupts_noted

CONNECT_S = 12.0  # how long to wait for a running scheduler to answer
HANDSHAKE_S = 4.0  # more than that, for what Dask's own limit does not count
START_S = 300.0  # for all processes of a local cluster to start, on a slow file system
INTERRUPTED_S = 10.0  # to wait, after Ctrl-C, for a local cluster that starts
LOOK_S = 0.1
LOCAL_WAIT_S = 60.0  # a local cluster that has lacked workers for so long will get none


class LocalDask(Executor):
    """A cluster of single-threaded processes on this machine, with one more for each resource that the work wants."""

    def __init__(self, *, workers: int | None, video_timeout_s: float, scratch: Path) -> None:
        """workers: number of processes; None: one for each core. scratch: a directory where Dask may write."""
        import cryptography  # noqa: F401  # Security.temporary needs it; it is better missed before the work begins

        self.workers, self.video_timeout_s, self.scratch = workers, video_timeout_s, scratch

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        with (
            quiet(stealing=not wanted, scratch=self.scratch),
            interrupts_noted() as interrupts,
            scratch_dir() as private,
            _local_cluster(self.workers, wanted, self.scratch, certificate_in(private), interrupts) as cluster,
            Client(cluster) as client,
        ):
            run = ClusterRun(
                client,
                wanted,
                interrupts,
                video_timeout_s=self.video_timeout_s,
                cure=_local_cure,
                patience_s=LOCAL_WAIT_S,
                tested=False,
            )
            yield from run.events(tasks)


class RunningDask(Executor):
    """A cluster that already runs. Its workers need the same files and the same package versions."""

    def __init__(
        self,
        address: str,
        *,
        video_timeout_s: float,
        patience_s: float = math.inf,
        tls: TlsFiles | None = None,
        insecure: bool = False,
    ) -> None:
        """patience_s: how long it may lack workers; may be infinite.

        insecure: the user accepts a connection to another machine that is not encrypted.

        Raises: BuildError if the connection would not be safe, or the certificates cannot be used.
        """
        self.tls, self.video_timeout_s, self.patience_s = tls or TlsFiles(), video_timeout_s, patience_s
        scheme = "tls" if self.tls.given else dask.config.get("distributed.comm.default-scheme")
        self.address = address if "://" in address else f"{scheme}://{address}"
        with self._reached():
            check_encrypted(self.address, tls=self.tls, insecure=insecure)
        self.security = self._security()

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        with quiet(stealing=not wanted):
            with self._reached():
                client = self._connected()
            with interrupts_noted() as interrupts, client:
                run = ClusterRun(
                    client,
                    wanted,
                    interrupts,
                    video_timeout_s=self.video_timeout_s,
                    cure=self._cure,
                    patience_s=self.patience_s,
                )
                yield from run.events(tasks)

    def _connected(self) -> Client:
        """Connect. Dask's own limit does not bound the handshake, in which a scheduler may be frozen.

        Raises: TimeoutError; whatever Dask raises.
        """
        made: Promise[Client] = Promise()

        def connect() -> None:
            try:
                made.set_result(Client(self.address, timeout=CONNECT_S, security=self.security))
            except BaseException as error:
                made.set_exception(error)

        threading.Thread(target=connect, daemon=True).start()
        wait([made], timeout=CONNECT_S + HANDSHAKE_S)
        if not made.done():
            raise TimeoutError(f"no handshake within {CONNECT_S + HANDSHAKE_S:g} s")
        return made.result()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raises: BuildError in place of what is raised if no scheduler can be reached."""
        try:
            yield
        except BuildError:
            raise
        except Exception as error:  # what answers at an address can make Dask raise anything
            reason: object = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
            if speaks_http(self.address):
                reason = "a web server does, such as the dashboard of a scheduler, whose own port is another"
            elif not isinstance(reason, OSError):  # Dask takes any first bytes for a length
                reason = f"something else does, or this is no address: {reason}"
            problem = f"no Dask scheduler answers there ({reason})"
            cure = f"check the address (tls:// if it has TLS) and its version ({distributed.__version__} here)"
            raise BuildError(f"--scheduler {self.address}: {problem}; {cure}, or start one") from None

    def _security(self) -> Security:
        """The user's certificates. Raises: BuildError if TLS needs some, or if they cannot be used."""
        files = {"tls_ca_file": self.tls.ca, "tls_client_cert": self.tls.cert, "tls_client_key": self.tls.key}
        security = Security(**{field: str(file) for field, file in files.items() if file})
        used = security.get_tls_config_for_role("client")
        if self.address.startswith(ENCRYPTED) and not (used["ca_file"] and used["cert"]):
            cure = "give --tls-ca, --tls-cert and --tls-key, or set distributed.comm.tls in Dask's configuration"
            raise BuildError(f"--scheduler {self.address}: TLS needs certificates; {cure}")
        try:
            security.get_connection_args("client")
        except OSError as error:
            named = f"{used['ca_file']}, {used['cert']}, {used['key']}"
            raise BuildError(f"these are no certificates and keys in PEM format ({error}): {named}") from None
        return security

    def _cure(self, resource: str) -> str:
        tls = ", and its --tls options" if self.address.startswith(ENCRYPTED) else ""
        option = f" --resources {resource}=1" if resource else ""
        return f"start one with `dask worker {self.address} --nthreads 1{option}`{tls}"


def resources_of(tasks: Sequence[ShardTask]) -> set[str]:
    """The resources that the steps of these tasks want. They depend on recipe and columns only."""
    kinds = {(id(video.recipe), video.columns): video for task in tasks for video in task.videos}
    return {step.resource for video in kinds.values() for step in video.steps if step.resource}


def _local_cure(resource: str) -> str:
    return "find out what ended it, such as too little memory"


@contextmanager
def quiet(*, stealing: bool, scratch: Path | None = None) -> Iterator[None]:
    """Configure Dask for a build. Dask logs no errors, because the build reports each of them once.

    stealing: idle workers take work that is queued for others. It must be off where workers have a resource, or
    these would take videos that any worker can extract. scratch: where a scheduler that is started here may write.
    """
    settings = {
        "logging.distributed": "critical",
        "distributed.admin.large-graph-warning-threshold": "1 GB",
        "distributed.scheduler.work-stealing": stealing,
        # A Watch looks after silent workers. Dask would end all workers when a build goes on after a long Ctrl-Z.
        "distributed.scheduler.worker-ttl": None,
        "distributed.diagnostics.computations.nframes": 0,  # to find the caller's source costs more than to submit
        # Before Python 3.11.8 and 3.12.1, sys._current_frames(), which the profiler calls, can deadlock a worker.
        "distributed.worker.profile.enabled": False,
        **({"temporary-directory": str(scratch)} if scratch else {}),  # or the scheduler leaves a directory in $TMPDIR
    }
    for logger in ("distributed", "distributed.client"):  # Dask sets the level of the second one by itself
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_worth_telling)  # for good, because a client's tasks may end after the build
    with dask.config.set(settings):
        yield


def _worth_telling(record: logging.LogRecord) -> bool:
    """False where a client that was closed no longer wanted a result: nobody takes that exception of Dask's."""
    return not (record.exc_info and isinstance(record.exc_info[1], AllExit))


def certificate_in(directory: Path) -> Security:
    """Make a certificate for all processes of a cluster, as files of this directory that only this user can read.

    Dask would write one that is kept in memory into $TMPDIR whenever it uses it, and leave it there when it is killed.
    """
    made = Security.temporary().get_tls_config_for_role("worker")
    files = {name: directory / f"{name}.pem" for name in ("ca_file", "cert", "key")}
    for name, path in files.items():
        path.touch(0o600)
        path.write_text(made[name])
    roles = ("client", "scheduler", "worker")
    own = {f"tls_{role}_{name}": str(files[name]) for role in roles for name in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(files["ca_file"]), **own)


def _local_cluster(
    workers: int | None, resources: set[str], scratch: Path, security: Security, interrupts: Arrivals
) -> LocalCluster:
    """Start worker processes of one thread each. They never see Ctrl-C: the driver ends them.

    A terminal sends Ctrl-C to all processes. A new process inherits from the thread that starts it which signals are
    blocked. So the cluster is made in a thread that blocks Ctrl-C, while the main thread goes on to note it.

    The scheduler takes commands only from processes that have its certificate. Without it, any user of this machine
    could run code in the workers.
    """
    made: Promise[LocalCluster] = Promise()

    def make() -> None:
        resource_tracker.ensure_running()  # before: whoever starts it unblocks SIGINT in its own thread
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                security=security,
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            )
            made.set_result(cluster)
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        cluster = _started(made, interrupts)
    except (KeyboardInterrupt, BuildError):  # the start hangs
        atexit.unregister(close_clusters)  # which would fail at one that is half made, with a traceback
        for process in multiprocessing.active_children():
            if process.name.startswith("Dask Worker"):
                process.kill()  # or this process would wait for them before it ends
        raise
    except RuntimeError as error:
        cure = "too little memory or too few open files (ulimit -n) can be the cause; run this again"
        raise BuildError(f"the local Dask cluster does not start: {error.__cause__ or error}; {cure}") from error
    for resource in sorted(resources):
        options = {**cluster.new_spec["options"], "resources": {resource: 1}}
        cluster.new_spec = {**cluster.new_spec, "options": options}
        cluster.scale(len(cluster.worker_spec) + 1)  # Watch gives up if it does not come
    return cluster


def _started(made: Promise[LocalCluster], interrupts: Arrivals) -> LocalCluster:
    """Wait for a cluster that starts. One of its processes may be frozen; then this never ends by itself.

    Time counts only while this process runs, not after Ctrl-Z.

    Raises: BuildError if it has not started after START_S; KeyboardInterrupt if it has not, some time after an
        interrupt; RuntimeError if it cannot start.
    """
    waited_s = interrupted_s = 0.0
    looked_s = time.monotonic()
    while not wait([made], timeout=LOOK_S).done:
        now_s = time.monotonic()
        passed_s, looked_s = min(now_s - looked_s, 10 * LOOK_S), now_s
        waited_s += passed_s
        interrupted_s += passed_s if interrupts else 0.0
        if interrupted_s > INTERRUPTED_S:
            raise KeyboardInterrupt
        if waited_s > START_S:
            cure = "run this again, with fewer --workers if there are many: what is done is kept"
            raise BuildError(f"the local Dask cluster has not started for {START_S:g} s: a process of it hangs; {cure}")
    return made.result()
