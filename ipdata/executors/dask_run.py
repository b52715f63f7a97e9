"""A build's work on a Dask cluster, whoever has started that.

The graph of a shard is pack([steps(video) for video in shard]). Each step of a video is a Dask task. A step that wants
a resource, such as a GPU, runs on a worker that has it.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future as Promise
from typing import Any

from distributed import Client, Future, KilledWorker, Scheduler, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.base import Event, summary
from ipdata.executors.isolated import run_step_in_child
from ipdata.executors.watch import WAIT_S, Watch, WorkerFields
from ipdata.steps.extract import VideoTask
from ipdata.steps.pack import ShardTask, pack
from shards.terminal import Arrivals

RESULT_S = 10.0  # how long to wait for the result of a task that is done
END_S = 10.0  # how long a nanny has to end its silent worker
POLL_S = 0.05
VIDEOS_AHEAD = 4  # submitted for each core: enough that no core waits, few enough that outcomes fit into memory
GONE = "the Dask scheduler is gone; start one, and run this again: what is done is kept"

LOG = logging.getLogger(__name__)


class ClusterRun:
    """A build's work on a cluster."""

    def __init__(
        self,
        client: Client,
        wanted: Collection[str],
        interrupts: Arrivals,
        *,
        video_timeout_s: float,
        cure: Callable[[str], str],
    ) -> None:
        """wanted: the resources that the work wants. cure: what to do if no worker has one of them, or none is there.

        cure is given the resource, or "" if there is no worker at all.
        """
        self.client, self.interrupts, self.video_timeout_s = client, interrupts, video_timeout_s
        self.name = uuid.uuid4().hex[:12]  # part of each key: two builds must not share tasks, as Dask does
        address = client.scheduler.address
        self.watch = Watch(address, wanted=wanted, ask=self._workers, end=self._end, cure=cure)
        self._with_resources = bool(wanted)

    def wait_for_workers(self) -> None:
        """Wait until the cluster has a worker, and one with each resource that the work wants. Raises: as _look."""
        told = False
        while self.watch.lacking or not self.watch.answered:
            if self.watch.lacking and not told:
                LOG.info("the cluster has no worker %s: waiting up to %g s", self.watch.lacking, WAIT_S)
                told = True
            self._look()
            time.sleep(POLL_S)

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
