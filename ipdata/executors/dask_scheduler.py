"""What a build asks of a Dask scheduler, beside running tasks: who works for it, and to end a silent worker."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future as Promise
from typing import Any

from distributed import Client, Scheduler

from ipdata.executors.watch import WorkerFields

END_S = 10.0  # how long a nanny has to end its silent worker


def ask_for_workers(client: Client) -> Promise[dict[str, WorkerFields]]:
    """Ask the scheduler for its workers, by address."""

    def workers(dask_scheduler: Scheduler) -> dict[str, tuple]:
        return {
            address: (
                worker.nthreads,
                {name for name, amount in worker.resources.items() if amount},
                worker.last_seen,
                worker.status.name == "paused",
            )
            for address, worker in dask_scheduler.workers.items()
        }

    return _on_scheduler(client, workers)


def end_worker(client: Client, address: str, heartbeat_s: float, *, build: str) -> Promise[bool]:
    """End a silent worker that has work of a build. Its nanny, if it has one, starts another.

    The answer is False if nothing was done, because it was heard of meanwhile or has no such work.

    heartbeat_s: the last one that is known of. build: ends the keys of the build's tasks.
    """
    timeout_s = END_S

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

    return _on_scheduler(client, end)


def _on_scheduler(client: Client, function: Callable) -> Promise:
    """Run a function on the scheduler. Does not wait."""
    coroutine = client.run_on_scheduler(function, asynchronous=True)
    loop: Any = client.loop
    return asyncio.run_coroutine_threadsafe(coroutine, loop.asyncio_loop)
