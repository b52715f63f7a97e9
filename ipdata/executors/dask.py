"""The same tasks on a Dask cluster: pack([extract(video) for video in shard]). The only module that imports Dask.

Where flow is made on GPUs, a video takes two tasks: all else on any worker, then flow on one that has the resource GPU.
"""

import logging
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Scheduler, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.base import Event, summary
from ipdata.executors.isolated import attempt_in_child
from ipdata.steps.extract import Failed, Job, Outcome, without_flow
from ipdata.steps.pack import ShardTask, pack
from shards.terminal import Arrivals, handled, interrupts_noted

GPU = "GPU"  # the Dask resource of workers that make flow there; a task takes one
WAIT_S = 60.0  # for workers that come back, before a build that needs them gives up
RESULT_S = 10.0  # for the result of a task that is done
POLL_S = 0.05
VIDEOS_AHEAD = 4  # a core: enough that no core waits, few enough that outcomes fit into memory


@contextmanager
def connect(
    scheduler: str | None, *, workers: int | None, gpu: bool, scratch: Path
) -> Iterator[tuple[Client, Arrivals]]:
    """A client of a running scheduler, or of a local cluster of processes, one thread each, and one more for the GPU.

    With it come the interrupts; they raise KeyboardInterrupt when all is closed.

    Raises: BuildError if the scheduler cannot be reached or has no workers, or none with a GPU where one is needed.
    """
    quiet = {
        "logging.distributed": "critical",
        "distributed.admin.large-graph-warning-threshold": "1 GB",
        # Else idle workers take videos that were meant for others: a local cluster's worker with a GPU, above all.
        "distributed.scheduler.work-stealing": not gpu,
        # Before Python 3.11.8 and 3.12.1, sys._current_frames(), which the profiler calls, can deadlock a worker.
        "distributed.worker.profile.enabled": False,
    }
    for logger in ("distributed", "distributed.client"):  # Dask gives the second a level of its own
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # what goes wrong is told once, by the build
    with dask.config.set(quiet):
        if scheduler is None:
            with (
                interrupts_noted() as interrupts,
                _local_cluster(workers, gpu, scratch) as cluster,
                Client(cluster) as client,
            ):
                yield client, interrupts
            return
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise BuildError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
        with interrupts_noted() as interrupts, client:
            if gpu and not any(has_gpu for has_gpu in _workers(client).values()):
                cure = f"start one with `dask worker {scheduler} --nthreads 1 --resources GPU=1`"
                raise BuildError(f"flow backend cuda: no worker of {scheduler} has the resource GPU; {cure}")
            yield client, interrupts


def _local_cluster(workers: int | None, gpu: bool, scratch: Path) -> LocalCluster:
    """Processes of one thread each. They ignore Ctrl-C, which reaches the whole terminal: the driver ends them.

    Ignoring is inherited, so the driver ignores it too, and drops it, in the second or two in which they start.
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
        if gpu:
            options = {**cluster.new_spec["options"], "resources": {GPU: 1}}
            cluster.new_spec = {**cluster.new_spec, "options": options}
            cluster.scale(len(cluster.workers) + 1)  # run_on waits for it, and not for ever
        return cluster


def _workers(client: Client) -> dict[str, bool]:
    """Addresses of the workers, and whether each has the resource GPU."""

    def resources(dask_scheduler: Scheduler) -> dict[str, bool]:
        return {address: bool(worker.resources.get(GPU)) for address, worker in dask_scheduler.workers.items()}

    found: dict[str, bool] = client.run_on_scheduler(resources)
    return found


def cores(client: Client) -> int:
    """Worker threads of the cluster. Raises BuildError if there are none."""
    count = sum(client.nthreads().values())
    if not count:
        raise BuildError("the Dask scheduler has no workers; start some with `dask worker ADDRESS --nthreads 1`")
    return count


def run_on(client: Client, tasks: Sequence[ShardTask], interrupts: Arrivals, *, timeout_s: float) -> Iterator[Event]:
    """Submit shards in order, a bounded number of videos ahead, and yield events as they come.

    What has not begun when the client is closed is never run: the scheduler forgets the tasks of clients that leave.

    Raises: whatever a pack raises; BuildError if workers die again and again, or the scheduler does; OSError if
        it does not answer; KeyboardInterrupt if there are interrupts.
    """
    ahead = VIDEOS_AHEAD * cores(client)
    run = uuid.uuid4().hex[:12]  # Dask shares tasks of equal keys between clients: two builds must have none
    waiting = list(reversed(tasks))
    running = as_completed()
    videos_in_flight: dict[Future, int] = {}  # by the shard's pack
    try:
        while waiting or videos_in_flight:
            while waiting and (not videos_in_flight or sum(videos_in_flight.values()) < ahead):
                task = waiting.pop()
                packed, summaries = _submit(client, task, run=run, timeout_s=timeout_s)
                videos_in_flight[packed] = len(summaries)
                running.update([*summaries, packed])
            future = _next(running, client, interrupts, gpu=any(map(needs_gpu, _jobs(tasks))))
            try:
                event: Event = future.result(timeout=RESULT_S)
            except TimeoutError:
                if future.status == "error":
                    raise
                running.add(future)  # lost with its worker, and made again
                continue
            videos_in_flight.pop(future, None)
            yield event
    except KilledWorker as error:
        raise BuildError(f"Dask workers died again and again ({error}); give them more memory, or use fewer") from None
    except (FutureCancelledError, CommClosedError):  # cancelled by the client, which lost its connection
        raise BuildError("the Dask scheduler is gone; start one, and run this again: what is done is kept") from None


def _next(running: as_completed, client: Client, interrupts: Arrivals, *, gpu: bool) -> Future:
    """The next future that is done.

    Raises: BuildError if the cluster has had no worker, or none for a part of the work, for WAIT_S; KeyboardInterrupt.
    """
    lacking_since: float | None = None
    checked = time.monotonic()
    while not running.has_ready() and not interrupts:
        time.sleep(POLL_S)
        now = time.monotonic()
        if now - checked < WAIT_S / 10:
            continue
        checked = now
        lacking = _lacking(client, gpu=gpu)
        lacking_since = None if not lacking else lacking_since or now
        if lacking_since is not None and now - lacking_since > WAIT_S:
            raise BuildError(f"the cluster has had no worker {lacking}for {WAIT_S:g} s; start some, and run this again")
    if interrupts:
        raise KeyboardInterrupt
    return next(running)


def _lacking(client: Client, *, gpu: bool) -> str:
    """What kind of worker there is none of; empty if nothing is lacking."""
    workers = _workers(client)
    if not workers:
        return "at all "
    return "with the resource GPU " if gpu and not any(workers.values()) else ""


def _submit(client: Client, task: ShardTask, *, run: str, timeout_s: float) -> tuple[Future, list[Future]]:
    """The graph of one shard; earlier shards go first, so that they are published first."""
    priority = -int(task.plan.shard)
    # Loosely, so that work goes on if all of these die: an idle worker with a GPU may then take a video too.
    elsewhere = [address for address, has_gpu in _workers(client).items() if not has_gpu]
    place: dict[str, Any] = {}
    if elsewhere and any(map(needs_gpu, task.jobs)):
        place = {"workers": elsewhere, "allow_other_workers": True}

    def extracted(job: Job) -> Future:
        key = f"extract-{job.key}-{run}"
        part = without_flow(job) if needs_gpu(job) else job
        outcome = client.submit(attempt_in_child, part, timeout_s, pure=False, priority=priority, key=key, **place)
        if not needs_gpu(job):
            return outcome
        again = {"pure": False, "priority": priority + 0.5, "key": f"flow-{job.key}-{run}", "resources": {GPU: 1}}
        return client.submit(extend_in_child, job, outcome, timeout_s, **again)

    outcomes = [extracted(job) for job in task.jobs]
    summaries = [
        client.submit(summary, outcome, pure=False, priority=priority + 1, key=f"summary-{job.key}-{run}")
        for job, outcome in zip(task.jobs, outcomes, strict=True)
    ]
    packed = client.submit(pack, task, outcomes, pure=False, priority=priority, key=f"pack-{task.plan.shard}-{run}")
    return packed, summaries


def _jobs(tasks: Sequence[ShardTask]) -> Iterator[Job]:
    return (job for task in tasks for job in task.jobs)


def needs_gpu(job: Job) -> bool:
    return job.recipe.flow.backend == "cuda" and "flow" in job.columns


def extend_in_child(job: Job, outcome: Outcome, timeout_s: float) -> Outcome:
    """The rest of a job of which another worker did a part, unless that part failed."""
    return outcome if isinstance(outcome, Failed) else attempt_in_child(replace(job, begun=outcome), timeout_s)
