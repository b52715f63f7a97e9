"""Run a build on a Dask cluster. The only module that imports Dask.

The graph of a shard is pack([steps(video) for video in shard]). Each step of a video is a Dask task. A step that wants
a resource, such as a GPU, runs on a worker that has it.
"""

import asyncio
import logging
import multiprocessing
import signal
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import Future as Promise
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Scheduler, Security, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.address import ENCRYPTED, TlsFiles, check_encrypted
from ipdata.executors.base import Event, Executor, summary
from ipdata.executors.isolated import run_step_in_child
from ipdata.executors.watch import Watch, WorkerFields
from ipdata.steps.extract import VideoTask
from ipdata.steps.pack import ShardTask, pack
from shards.terminal import Arrivals, interrupts_noted

CONNECT_S = 20.0  # how long to wait for a running scheduler to answer
RESULT_S = 10.0  # how long to wait for the result of a task that is done
END_S = 10.0  # how long a nanny has to end its silent worker
POLL_S = 0.05
VIDEOS_AHEAD = 4  # submitted for each core: enough that no core waits, few enough that outcomes fit into memory
GONE = "the Dask scheduler is gone; start one, and run this again: what is done is kept"

LOG = logging.getLogger(__name__)


class LocalDask(Executor):
    """A cluster of single-threaded processes on this machine, with one more for each resource that the work wants."""

    def __init__(self, *, workers: int | None, video_timeout_s: float, scratch: Path) -> None:
        """workers: number of processes; None: one for each core. scratch: a directory where Dask may write."""
        import cryptography  # noqa: F401  # Security.temporary needs it; it is better missed before the work begins

        self.workers, self.video_timeout_s, self.scratch = workers, video_timeout_s, scratch

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        with (
            _quiet(stealing=not wanted),
            interrupts_noted() as interrupts,
            _local_cluster(self.workers, wanted, self.scratch) as cluster,
            Client(cluster) as client,
        ):
            run = ClusterRun(client, wanted, interrupts, video_timeout_s=self.video_timeout_s)
            run.wait_for_workers()
            LOG.info("Dask dashboard: %s", client.dashboard_link)
            yield from run.events(tasks)


class RunningDask(Executor):
    """A cluster that already runs. Its workers need the same files and the same package versions."""

    def __init__(
        self, address: str, *, video_timeout_s: float, tls: TlsFiles | None = None, insecure: bool = False
    ) -> None:
        """insecure: the user accepts a connection to another machine that is not encrypted.

        Raises: BuildError if the connection would not be safe, or the certificates cannot be used.
        """
        self.tls, self.video_timeout_s = tls or TlsFiles(), video_timeout_s
        scheme = "tls" if self.tls.given else dask.config.get("distributed.comm.default-scheme")
        self.address = address if "://" in address else f"{scheme}://{address}"
        with self._reached():
            check_encrypted(self.address, tls=self.tls, insecure=insecure)
        self.security = self._security()

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        with _quiet(stealing=not wanted):
            with self._reached():
                client = Client(self.address, timeout=CONNECT_S, security=self.security)
            with interrupts_noted() as interrupts, client:
                run = ClusterRun(client, wanted, interrupts, video_timeout_s=self.video_timeout_s)
                run.wait_for_workers()
                self._check_resources(run.watch, wanted)
                LOG.info("Dask dashboard: %s", client.dashboard_link)
                yield from run.events(tasks)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raises: BuildError in place of what is raised if no scheduler can be reached."""
        try:
            yield
        except BuildError:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: Dask's configuration forbids the address
            reason = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
            problem = f"no Dask scheduler answers there ({reason})"
            raise BuildError(
                f"--scheduler {self.address}: {problem}; check the address (tls:// if it has TLS), or start one"
            ) from None

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

    def _check_resources(self, watch: Watch, wanted: Collection[str]) -> None:
        for resource in sorted(wanted):
            if not any(resource in worker.resources for worker in watch.workers.values()):
                tls = ", and its --tls options" if self.address.startswith(ENCRYPTED) else ""
                cure = f"start one with `dask worker {self.address} --nthreads 1 --resources {resource}=1`{tls}"
                raise BuildError(f"no worker of {self.address} has the resource {resource}; {cure}")


def resources_of(tasks: Sequence[ShardTask]) -> set[str]:
    """The resources that the steps of these tasks want. They depend on recipe and columns only."""
    kinds = {(id(video.recipe), video.columns): video for task in tasks for video in task.videos}
    return {step.resource for video in kinds.values() for step in video.steps if step.resource}


@contextmanager
def _quiet(*, stealing: bool) -> Iterator[None]:
    """Configure Dask for a build. Dask logs no errors, because the build reports each of them once.

    stealing: idle workers take work that is queued for others. It must be off where workers have a resource, or
    these would take videos that any worker can extract.
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
    }
    for logger in ("distributed", "distributed.client"):  # Dask sets the level of the second one by itself
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with dask.config.set(settings):
        yield


def _local_cluster(workers: int | None, resources: set[str], scratch: Path) -> LocalCluster:
    """Start worker processes of one thread each. They never see Ctrl-C: the driver ends them.

    A terminal sends Ctrl-C to all processes. A new process inherits from the thread that starts it which signals are
    blocked. So the cluster is made in a thread that blocks Ctrl-C, while the main thread goes on to note it.

    The scheduler takes commands only from processes that have its certificate, which is made here and kept in memory.
    Without it, any user of this machine could run code in the workers.
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
                security=Security.temporary(),
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            )
            made.set_result(cluster)
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        cluster = made.result()
    except KeyboardInterrupt:  # a repeated one: the start hangs
        for process in multiprocessing.active_children():
            if process.name.startswith("Dask Worker"):
                process.kill()  # or this process would wait for them before it ends
        raise
    except RuntimeError as error:
        raise BuildError(f"the local Dask cluster does not start: {error.__cause__ or error}") from error
    for resource in sorted(resources):
        options = {**cluster.new_spec["options"], "resources": {resource: 1}}
        cluster.new_spec = {**cluster.new_spec, "options": options}
        cluster.scale(len(cluster.worker_spec) + 1)  # Watch gives up if it does not come
    return cluster


class ClusterRun:
    """A build's work on a cluster."""

    def __init__(
        self, client: Client, wanted: Collection[str], interrupts: Arrivals, *, video_timeout_s: float
    ) -> None:
        """wanted: the resources that the work wants."""
        self.client, self.interrupts, self.video_timeout_s = client, interrupts, video_timeout_s
        self.name = uuid.uuid4().hex[:12]  # part of each key: two builds must not share tasks, as Dask does
        address = client.scheduler.address
        self.watch = Watch(address, wanted=wanted, ask=self._workers, end=self._end)
        self._with_resources = bool(wanted)

    def wait_for_workers(self) -> None:
        """Wait until it is known which workers the cluster has. Raises: as `look`; BuildError if it has none."""
        while not self.watch.answered:
            self._look()
            time.sleep(POLL_S)
        if not self.watch.workers:
            raise BuildError("the Dask scheduler has no workers; start some with `dask worker ADDRESS --nthreads 1`")

    def events(self, tasks: Sequence[ShardTask]) -> Iterator[Event]:
        """Submit shards in order, a bounded number of videos ahead, and yield events as they come.

        Tasks that have not begun when the client is closed are never run: the scheduler forgets them when a client
        leaves.

        Raises: whatever a pack raises; BuildError if workers keep dying, if the scheduler dies or does not answer, or
            if workers are lacking; KeyboardInterrupt if there are interrupts.
        """
        ahead = VIDEOS_AHEAD * sum(worker.threads for worker in self.watch.workers.values())
        waiting = list(reversed(tasks))
        running = as_completed(loop=self.client.loop)
        videos_of: dict[Future, int] = {}  # by the future of the shard's pack
        videos = 0  # in flight: the sum of these
        try:
            while waiting or videos_of:
                while waiting and (not videos_of or videos < ahead):
                    packed, summaries = self._submit(waiting.pop())
                    videos_of[packed] = len(summaries)
                    videos += len(summaries)
                    running.update([*summaries, packed])
                future = self.next_done(running)
                try:
                    event: Event = future.result(timeout=RESULT_S)
                except TimeoutError:
                    if future.status == "error":
                        raise
                    running.add(future)  # its result was lost with its worker; Dask makes it again
                    continue
                videos -= videos_of.pop(future, 0)
                self.watch.working()
                yield event
        except KilledWorker as error:
            raise BuildError(f"Dask workers keep dying ({error}); give them more memory, or use fewer") from None
        except (FutureCancelledError, CommClosedError):  # a client that lost its connection cancels its futures
            raise BuildError(GONE) from None

    def next_done(self, running: as_completed) -> Future:
        """Wait for the next future that is done. Raises: as _look."""
        self._look()
        while not running.has_ready():
            time.sleep(POLL_S)
            self._look()
        return next(running)

    def _look(self) -> None:
        """Raises: BuildError if the scheduler is gone or silent, or if workers are lacking; KeyboardInterrupt."""
        if self.interrupts:
            raise KeyboardInterrupt
        try:
            self.watch.look()
        except OSError:
            raise BuildError(GONE) from None

    def _submit(self, task: ShardTask) -> tuple[Future, list[Future]]:
        """Submit the graph of one shard; return the futures of its pack and of the summary of each video.

        Earlier shards have a higher priority, so they are published first.
        """
        submit, shard = self.client.submit, task.plan.shard
        priority = -int(shard)
        elsewhere = self._elsewhere()
        outcomes = [self._extracted(video, priority, elsewhere) for video in task.videos]
        summaries = [
            submit(summary, outcome, pure=False, priority=priority + 1, key=f"summary-{video.key}-{self.name}")
            for video, outcome in zip(task.videos, outcomes, strict=True)
        ]
        packed = submit(pack, task, outcomes, pure=False, priority=priority, key=f"pack-{shard}-{self.name}")
        return packed, summaries

    def _extracted(self, video: VideoTask, priority: int, elsewhere: dict[str, Any]) -> Future:
        """Submit the steps of one video; return the future of the last one's outcome."""
        outcome: Any = None  # of the previous step: a Future
        for number, step in enumerate(video.steps):
            place = {"resources": {step.resource: 1}} if step.resource else elsewhere
            name = "+".join(step.columns) if number else "extract"  # as Dask's dashboard shows it
            options = {"pure": False, "priority": priority + number / 2, "key": f"{name}-{video.key}-{self.name}"}
            outcome = self.client.submit(
                run_step_in_child, video, step, outcome, self.video_timeout_s, **options, **place
            )
        future: Future = outcome
        return future

    def _elsewhere(self) -> dict[str, Any]:
        """Options of `submit` that place a step on a worker without resources, if the work wants any.

        This is only a preference. If all workers without resources die, an idle worker with one takes the step.
        """
        if not self._with_resources:
            return {}
        plain = [address for address, worker in self.watch.workers.items() if not worker.resources]
        return {"workers": plain, "allow_other_workers": True} if plain else {}

    def _workers(self) -> Promise[dict[str, WorkerFields]]:
        """Ask the scheduler for its workers, by address."""

        def workers(dask_scheduler: Scheduler) -> dict[str, tuple]:
            return {
                address: (
                    worker.nthreads,
                    {name for name, amount in worker.resources.items() if amount},
                    worker.last_seen,
                )
                for address, worker in dask_scheduler.workers.items()
            }

        return self._on_scheduler(workers)

    def _end(self, address: str, heartbeat_s: float) -> Promise[bool]:
        """End a silent worker that has work of this build. Its nanny, if it has one, starts another.

        The answer is False if nothing was done, because it was heard of meanwhile or has no such work.
        """
        build, timeout_s = self.name, END_S

        async def end(dask_scheduler: Scheduler) -> bool:
            worker = dask_scheduler.workers.get(address)
            if worker is None or worker.last_seen != heartbeat_s:
                return False
            if not any(str(task.key).endswith(build) for task in (*worker.processing, *worker.has_what)):
                return False
            await dask_scheduler.restart_workers(
                [address],
                timeout=timeout_s,
                wait_for_workers=False,
                on_error="return",
                stimulus_id=f"silent-{build}",
            )
            return True

        return self._on_scheduler(end)

    def _on_scheduler(self, function: Callable) -> Promise:
        """Run a function on the scheduler. Does not wait."""
        coroutine = self.client.run_on_scheduler(function, asynchronous=True)
        loop: Any = self.client.loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop.asyncio_loop)
