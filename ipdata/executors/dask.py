"""Run a build on a Dask cluster. The only module that imports Dask.

The graph of a shard is pack([steps(video) for video in shard]). Each step of a video is a Dask task. A step that wants
a resource, such as a GPU, runs on a worker that has it.
"""

import logging
import signal
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Scheduler, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.base import Event, Executor, summary
from ipdata.executors.isolated import run_step_in_child
from ipdata.steps.extract import VideoTask
from ipdata.steps.pack import ShardTask, pack
from shards.terminal import Arrivals, handled, interrupts_noted

WAIT_S = 60.0  # how long a build waits for the workers that it lacks before it gives up
CONNECT_S = 20.0  # how long to wait for a running scheduler to answer
RESULT_S = 10.0  # how long to wait for the result of a task that is done
POLL_S = 0.05
VIDEOS_AHEAD = 4  # submitted for each core: enough that no core waits, few enough that outcomes fit into memory

LOG = logging.getLogger(__name__)


class LocalDask(Executor):
    """A cluster of single-threaded processes on this machine, with one more for each resource that the work wants."""

    def __init__(self, *, workers: int | None, video_timeout_s: float, scratch: Path) -> None:
        """workers: number of processes; None: one for each core. scratch: a directory where Dask may write."""
        self.workers, self.video_timeout_s, self.scratch = workers, video_timeout_s, scratch

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        with (
            _quiet(stealing=not wanted),
            interrupts_noted() as interrupts,
            _local_cluster(self.workers, wanted, self.scratch) as cluster,
            Client(cluster) as client,
        ):
            LOG.info("Dask dashboard: %s", client.dashboard_link)
            yield from run_on(client, tasks, interrupts, video_timeout_s=self.video_timeout_s)


class RunningDask(Executor):
    """A cluster that already runs. Its workers need the same files and the same package versions."""

    def __init__(self, address: str, *, video_timeout_s: float) -> None:
        self.address, self.video_timeout_s = address, video_timeout_s

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        with _quiet(stealing=not resources_of(tasks)):
            try:
                client = Client(self.address, timeout=CONNECT_S)
            except (OSError, ValueError) as error:
                problem = f"no Dask scheduler answers there ({error})"
                raise BuildError(f"--scheduler {self.address}: {problem}; check the address, or start one") from None
            with interrupts_noted() as interrupts, client:
                self._check_resources(client, tasks)
                LOG.info("Dask dashboard: %s", client.dashboard_link)
                yield from run_on(client, tasks, interrupts, video_timeout_s=self.video_timeout_s)

    def _check_resources(self, client: Client, tasks: Sequence[ShardTask]) -> None:
        for resource in sorted(resources_of(tasks)):
            if not any(resource in has for has in _workers(client).values()):
                cure = f"start one with `dask worker {self.address} --nthreads 1 --resources {resource}=1`"
                raise BuildError(f"no worker of {self.address} has the resource {resource}; {cure}")


def resources_of(tasks: Sequence[ShardTask]) -> set[str]:
    """The resources that the steps of these tasks want."""
    return {step.resource for task in tasks for video in task.videos for step in video.steps if step.resource}


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
        # Before Python 3.11.8 and 3.12.1, sys._current_frames(), which the profiler calls, can deadlock a worker.
        "distributed.worker.profile.enabled": False,
    }
    for logger in ("distributed", "distributed.client"):  # Dask sets the level of the second one by itself
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with dask.config.set(settings):
        yield


def _local_cluster(workers: int | None, resources: set[str], scratch: Path) -> LocalCluster:
    """Start worker processes of one thread each. They ignore Ctrl-C: the driver ends them.

    A terminal sends Ctrl-C to all processes, and a process inherits from its parent which signals it ignores. So the
    driver ignores Ctrl-C too while the workers start: in that second or two, a Ctrl-C is lost.
    """
    with handled([signal.SIGINT], signal.SIG_IGN):
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise BuildError(f"the local Dask cluster does not start: {error.__cause__ or error}") from error
        for resource in sorted(resources):
            options = {**cluster.new_spec["options"], "resources": {resource: 1}}
            cluster.new_spec = {**cluster.new_spec, "options": options}
            cluster.scale(len(cluster.worker_spec) + 1)  # run_on waits for it, for WAIT_S at most
        return cluster


def _workers(client: Client) -> dict[str, set[str]]:
    """Address -> resources, for each worker."""

    def resources(dask_scheduler: Scheduler) -> dict[str, set[str]]:
        workers = dask_scheduler.workers.items()
        return {address: {name for name, amount in worker.resources.items() if amount} for address, worker in workers}

    found: dict[str, set[str]] = client.run_on_scheduler(resources)
    return found


def cores(client: Client) -> int:
    """Number of worker threads of the cluster. Raises BuildError if there are none."""
    count = sum(client.nthreads().values())
    if not count:
        raise BuildError("the Dask scheduler has no workers; start some with `dask worker ADDRESS --nthreads 1`")
    return count


def run_on(
    client: Client, tasks: Sequence[ShardTask], interrupts: Arrivals, *, video_timeout_s: float
) -> Iterator[Event]:
    """Submit shards in order, a bounded number of videos ahead, and yield events as they come.

    Tasks that have not begun when the client is closed are never run: the scheduler forgets them when a client leaves.

    Raises: whatever a pack raises; BuildError if workers keep dying, or the scheduler dies; OSError if the scheduler
        does not answer; KeyboardInterrupt if there are interrupts.
    """
    ahead = VIDEOS_AHEAD * cores(client)
    run = uuid.uuid4().hex[:12]  # part of each key: two builds must not share tasks, as Dask does for equal keys
    wanted = resources_of(tasks)
    waiting = list(reversed(tasks))
    running = as_completed()
    videos_in_flight: dict[Future, int] = {}  # by the future of the shard's pack
    try:
        while waiting or videos_in_flight:
            while waiting and (not videos_in_flight or sum(videos_in_flight.values()) < ahead):
                packed, summaries = _submit(client, waiting.pop(), run=run, video_timeout_s=video_timeout_s)
                videos_in_flight[packed] = len(summaries)
                running.update([*summaries, packed])
            future = _next(running, client, interrupts, resources=wanted)
            try:
                event: Event = future.result(timeout=RESULT_S)
            except TimeoutError:
                if future.status == "error":
                    raise
                running.add(future)  # its result was lost with its worker; Dask makes it again
                continue
            videos_in_flight.pop(future, None)
            yield event
    except KilledWorker as error:
        raise BuildError(f"Dask workers keep dying ({error}); give them more memory, or use fewer") from None
    except (FutureCancelledError, CommClosedError):  # a client that lost its connection cancels its futures
        raise BuildError("the Dask scheduler is gone; start one, and run this again: what is done is kept") from None


def _next(running: as_completed, client: Client, interrupts: Arrivals, *, resources: set[str]) -> Future:
    """Wait for the next future that is done.

    Raises: BuildError if for WAIT_S the cluster has had no workers, or none with one of `resources`; KeyboardInterrupt.
    """
    lacking_since: float | None = None
    checked = time.monotonic()
    while not running.has_ready() and not interrupts:
        time.sleep(POLL_S)
        now = time.monotonic()
        if now - checked < WAIT_S / 10:
            continue
        checked = now
        lacking = _lacking(client, resources)
        lacking_since = None if not lacking else lacking_since or now
        if lacking_since is not None and now - lacking_since > WAIT_S:
            raise BuildError(f"the cluster has had no worker {lacking}for {WAIT_S:g} s; start some, and run this again")
    if interrupts:
        raise KeyboardInterrupt
    return next(running)


def _lacking(client: Client, resources: set[str]) -> str:
    """The kind of worker that the cluster lacks, as words of a message; empty if it lacks none."""
    workers = _workers(client)
    if not workers:
        return "at all "
    absent = sorted(resources - set().union(*workers.values()))
    return f"with the resource {absent[0]} " if absent else ""


def _submit(client: Client, task: ShardTask, *, run: str, video_timeout_s: float) -> tuple[Future, list[Future]]:
    """Submit the graph of one shard; return the futures of its pack and of the summary of each video.

    Earlier shards have a higher priority, so they are published first.
    """
    priority = -int(task.plan.shard)
    elsewhere = _elsewhere(client) if resources_of([task]) else {}

    def extracted(video: VideoTask) -> Future:
        outcome: Any = None  # of the previous step: a Future
        for number, step in enumerate(video.steps):
            place = {"resources": {step.resource: 1}} if step.resource else elsewhere
            name = "+".join(step.columns) if number else "extract"  # as Dask's dashboard shows it
            options = {"pure": False, "priority": priority + number / 2, "key": f"{name}-{video.key}-{run}"}
            outcome = client.submit(run_step_in_child, video, step, outcome, video_timeout_s, **options, **place)
        future: Future = outcome
        return future

    outcomes = [extracted(video) for video in task.videos]
    summaries = [
        client.submit(summary, outcome, pure=False, priority=priority + 1, key=f"summary-{video.key}-{run}")
        for video, outcome in zip(task.videos, outcomes, strict=True)
    ]
    packed = client.submit(pack, task, outcomes, pure=False, priority=priority, key=f"pack-{task.plan.shard}-{run}")
    return packed, summaries


def _elsewhere(client: Client) -> dict[str, Any]:
    """Options of `submit` that place a step on a worker without resources: those with one are for steps that want it.

    This is only a preference. If all workers without resources die, an idle worker with one takes the step.
    """
    plain = [address for address, resources in _workers(client).items() if not resources]
    return {"workers": plain, "allow_other_workers": True} if plain else {}
