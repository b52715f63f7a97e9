"""The same tasks on a Dask cluster: pack([extract(video) for video in shard]). The only module that imports Dask."""

import logging
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from ipdata.child import attempt_in_child
from ipdata.errors import BuildError
from ipdata.pack import ShardTask, pack
from ipdata.tasks import Event, summary

VIDEOS_AHEAD = 4  # a core: enough that no core waits, few enough that outcomes fit into memory


@contextmanager
def connect(scheduler: str | None, *, workers: int | None, scratch: Path) -> Iterator[Client]:
    """A client of a running scheduler, or of a local cluster of processes, one thread each.

    Raises: BuildError if the scheduler cannot be reached or has no workers.
    """
    quiet = {
        "logging.distributed": "critical",
        "distributed.admin.large-graph-warning-threshold": "1 GB",
        # Before Python 3.11.8 and 3.12.1, sys._current_frames(), which the profiler calls, can deadlock a worker.
        "distributed.worker.profile.enabled": False,
    }
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is told once, by the build
    with dask.config.set(quiet):
        if scheduler is None:
            with _local_cluster(workers, scratch) as cluster, Client(cluster) as client:
                yield client
            return
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise BuildError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
        with client:
            yield client


def _local_cluster(workers: int | None, scratch: Path) -> LocalCluster:
    """Processes of one thread each. They ignore Ctrl-C, which reaches the whole terminal: the driver ends them."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by what is started here
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            local_directory=str(scratch),
        )
    finally:
        signal.signal(signal.SIGINT, interrupt)


def cores(client: Client) -> int:
    """Worker threads of the cluster. Raises BuildError if there are none."""
    count = sum(client.nthreads().values())
    if not count:
        raise BuildError("the Dask scheduler has no workers; start some with `dask worker ADDRESS --nthreads 1`")
    return count


def run_on(client: Client, tasks: Sequence[ShardTask], *, timeout_s: float) -> Iterator[Event]:
    """Submit shards in order, a bounded number of videos ahead, and yield events as they come.

    Raises: whatever a pack raises; BuildError if workers die again and again.
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
            future = next(running)
            videos_in_flight.pop(future, None)
            yield future.result()
    except KilledWorker as error:
        raise BuildError(f"Dask workers died again and again ({error}); give them more memory, or use fewer") from None
    finally:
        client.cancel(list(videos_in_flight))  # a build that stops must not go on publishing


def _submit(client: Client, task: ShardTask, *, run: str, timeout_s: float) -> tuple[Future, list[Future]]:
    """The graph of one shard; earlier shards go first, so that they are published first."""
    priority = -int(task.plan.shard)
    outcomes = [
        client.submit(attempt_in_child, job, timeout_s, pure=False, priority=priority, key=f"extract-{job.key}-{run}")
        for job in task.jobs
    ]
    summaries = [
        client.submit(summary, outcome, pure=False, priority=priority + 1, key=f"summary-{job.key}-{run}")
        for job, outcome in zip(task.jobs, outcomes, strict=True)
    ]
    packed = client.submit(pack, task, outcomes, pure=False, priority=priority, key=f"pack-{task.plan.shard}-{run}")
    return packed, summaries
