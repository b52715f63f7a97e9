"""A build's work on a Dask cluster, whoever has started that.

Each step of a video is a Dask task. A step that wants a resource, such as a GPU, runs on a worker that has it. When all
videos of a shard are done, a task packs them. What a lost worker had to do is done again by others.

The driver is one process, however many workers there are. So it submits the tasks of a shard at once, and fetches all
results that are there at once.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.base import Event, summary
from ipdata.executors.dask_fit import unfit_workers
from ipdata.executors.dask_flight import Attempt, Shard
from ipdata.executors.dask_lost import LostWorkers
from ipdata.executors.dask_results import GONE, Results
from ipdata.executors.dask_scheduler import ask_for_workers, end_worker
from ipdata.executors.dask_worker import DiedOnWorkerError, UnfitWorkerError, first_try, last_try
from ipdata.executors.selftest import SelfTest, self_test_of
from ipdata.executors.watch import Watch
from ipdata.steps.extract import Outcome, Step, VideoTask
from ipdata.steps.pack import Packed, ShardTask, pack
from shards.signals import Arrivals

FAILURE_S = 10.0  # how long to wait for what a task raised
POLL_S = 0.05
TASKS_AHEAD = 4  # submitted for each core, so that no core waits
PRIORITIES = 10  # of a shard: its steps have the first ones, its packing the last one
GIVE_UP_S = 1800.0  # a build whose workers die for so long, while nothing is done, gives up

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
        patience_s: float,
        tested: bool = True,
        tend: Callable[[int], None] = lambda videos_left: None,
    ) -> None:
        """wanted: the resources that the work wants. cure: what to do if no worker has one of them, or none is there.
        tested: each worker must pass a self-test before it extracts; not needed where all are of this machine.

        cure is given the resource, or "" if there is no worker at all. patience_s: how long the cluster may lack
        workers; may be infinite. tend: is called often, with the number of videos that are not yet done.
        """
        self.tend = tend
        self.client, self.interrupts, self.video_timeout_s = client, interrupts, video_timeout_s
        self.name = uuid.uuid4().hex[:12]  # part of each key: two builds must not share tasks, as Dask does
        self.tested = tested
        self._test: SelfTest | None = None  # of the workers
        self.watch = Watch(
            client.scheduler.address,
            wanted=wanted,
            ask=lambda: ask_for_workers(client),
            end=lambda address, heartbeat_s: end_worker(client, address, heartbeat_s, build=self.name),
            cure=cure,
            patience_s=patience_s,
        )
        self._with_resources = bool(wanted)
        self._running = as_completed(loop=client.loop)
        self._attempts: dict[Future, Attempt] = {}  # what is waited for
        self._results = Results(client, self._look)
        self._left = 0  # videos that are not yet done
        self._tasks = 0  # submitted so far; part of each key
        self._progress_s = time.monotonic()  # when the last event came
        self._repeated = 0  # attempts that died with their workers, or whose extracting processes died
        self._taken_bytes: dict[str, int] = {}  # by key: the memory of attempts that died
        self._lost_workers = LostWorkers(build=self.name)
        self._unfit: set[str] = set()  # addresses of workers that came later and failed the self-test

    def _wait_for_workers(self) -> None:
        """Wait until the cluster has a worker, and one with each resource that the work wants. Raises: as _look."""
        while self.watch.lacking or not self.watch.answered:
            self._look()
            time.sleep(POLL_S)

    def events(self, tasks: Sequence[ShardTask]) -> Iterator[Event]:
        """Submit shards in order, a bounded number of tasks ahead, and yield events as they come.

        Tasks that have not begun when the client is closed are never run: the scheduler forgets them when a client
        leaves.

        Raises: whatever a pack raises; BuildError if nothing is done for long while workers die, if the scheduler dies
            or does not answer, or if workers are lacking; KeyboardInterrupt if there are interrupts.
        """
        waiting = list(reversed(tasks))
        self._left = sum(len(task.videos) for task in tasks)
        self._wait_for_workers()
        LOG.info("Dask dashboard: %s", self.client.dashboard_link)
        try:
            if self.tested:
                self._test_workers(tasks)
            self._progress_s = time.monotonic()
            with self._lost_workers.noted(self.client):
                while waiting or self._attempts:
                    while waiting and (not self._attempts or len(self._attempts) < self._ahead):
                        self._begin(Shard(waiting.pop()))
                    yield from self._taken(self.next_done())
        except (FutureCancelledError, CommClosedError):  # a client that lost its connection cancels its futures
            raise BuildError(GONE) from None
        self._lost_workers.report(known=self.watch.given_up, at_end=True)
        if self._repeated:
            LOG.info(
                "extracting processes died, or took their workers with them: %d times; tried again", self._repeated
            )

    def _test_workers(self, tasks: Sequence[ShardTask]) -> None:
        """Have the workers that are there take the self-test. Raises: BuildError that names those which fail."""
        self._test = self_test_of(tasks, name=self.name)
        if self._test is not None:
            unfit = unfit_workers(self.client, self._test, lambda: self.watch.workers, self._look)
            if unfit:
                raise BuildError("\n".join(unfit))

    def next_done(self) -> list[Future]:
        """Wait for futures that are done, and return all of them. Raises: as _look."""
        self._look()
        while not (done := self._running.next_batch(block=False)):
            time.sleep(POLL_S)
            self._look()
        return list(done)

    def _look(self) -> None:
        """Raises: BuildError if the scheduler is gone or silent, or if workers are lacking; KeyboardInterrupt."""
        if self.interrupts:
            raise KeyboardInterrupt
        self.tend(self._left)
        self._lost_workers.report(known=self.watch.given_up)
        try:
            self.watch.look()
        except OSError:
            raise BuildError(GONE) from None

    @property
    def _ahead(self) -> int:
        """How many tasks may be in flight. It follows the workers that come and go."""
        return TASKS_AHEAD * sum(worker.threads for worker in self.watch.workers.values())

    def _begin(self, shard: Shard) -> None:
        self._extract(shard, shard.task.videos)
        if not shard.unfinished:
            self._pack(shard)

    def _taken(self, done: Sequence[Future]) -> Iterator[Event]:
        """The events of futures that are done. What died with its worker is submitted again."""
        results = self._results.of(done)
        for future in done:
            if future in results:
                self.watch.working()
                self._progress_s = time.monotonic()
                yield from self._events_of(self._attempts.pop(future), results[future])
            elif future.status in ("error", "cancelled"):
                self._failed(future)
            else:
                self._running.add(future)  # its result was lost with its worker; Dask makes it again

    def _failed(self, future: Future) -> None:
        """Submit again what died with its worker. Raises: what the future raises for another reason."""
        attempt = self._attempts.pop(future)
        try:
            future.result(timeout=FAILURE_S)
        except UnfitWorkerError as unfit:
            self._leave_out(unfit)
            self._repeat(attempt, unfit)
        except (KilledWorker, DiedOnWorkerError) as death:
            self._repeat(attempt, death)

    def _events_of(self, attempt: Attempt, result: Outcome | Packed) -> Iterator[Event]:
        shard = attempt.shard
        if isinstance(result, Packed):
            yield result
            return
        event = summary(result)
        self._left -= 1
        shard.outcomes[event.key] = result
        shard.unfinished.remove(event.key)
        taken_bytes = self._taken_bytes.pop(event.key, 0)
        yield replace(event, memory_bytes=max(event.memory_bytes, taken_bytes))
        if not shard.unfinished:
            self._pack(shard)

    def _repeat(self, attempt: Attempt, death: KilledWorker | DiedOnWorkerError | UnfitWorkerError) -> None:
        """Submit again what died with its worker or with its worker's child.

        A video is at fault only for the death of a child that extracts it. The second time it fails for it.

        Raises: BuildError if nothing was done for long.
        """
        self._repeated += not isinstance(death, UnfitWorkerError)  # an unfit worker has begun nothing
        if time.monotonic() - self._progress_s > max(GIVE_UP_S, self.video_timeout_s):
            since = f"no video was done for {time.monotonic() - self._progress_s:.0f} s, while workers died"
            cure = "give them more memory, or use fewer, and run this again: what is done is kept"
            raise BuildError(f"{since} ({self._repeated} attempts were lost with them); {cure}")
        if attempt.video is None:
            self._pack(attempt.shard)
            return
        avoided = death.worker if isinstance(death, DiedOnWorkerError) else None
        if isinstance(death, DiedOnWorkerError):
            key = attempt.video.key
            self._taken_bytes[key] = max(death.memory_bytes, self._taken_bytes.get(key, 0))
        self._extract(attempt.shard, [attempt.video], avoided=avoided)

    def _leave_out(self, unfit: UnfitWorkerError) -> None:
        """Give a worker that is not fit no more videos.

        Raises: BuildError if it cannot be left out, because no other worker is there, or none has its resource.
        """
        first = unfit.worker not in self._unfit
        self._unfit.add(unfit.worker)
        present = self.watch.workers
        if self._unfit.issuperset(present) or (unfit.worker in present and present[unfit.worker].resources):
            raise BuildError(unfit.problem)
        if first:
            LOG.warning("%s; it is left out", unfit.problem)

    def _extract(self, shard: Shard, videos: Sequence[VideoTask], *, avoided: str | None = None) -> None:
        """Submit the steps of videos, and wait for the outcomes of their last steps.

        Earlier shards have a higher priority, so they are published first.

        avoided: the worker whose child has died with these videos. They run elsewhere if there is another worker.
        """
        priority = -PRIORITIES * int(shard.task.plan.shard)
        run = first_try if avoided is None else last_try
        for steps, group in groupby(videos, key=lambda video: video.steps):
            alike = list(group)
            outcomes: list[Any] = [None] * len(alike)  # of the previous step: futures
            for number, step in enumerate(steps):
                name = "+".join(step.columns) if number else "extract"  # as Dask's dashboard shows it
                outcomes = self.client.map(
                    run,
                    alike,
                    [step] * len(alike),
                    outcomes,
                    [self.video_timeout_s] * len(alike),
                    [self._test] * len(alike),
                    pure=False,
                    priority=priority + number,
                    key=[self._key(name, video.key) for video in alike],
                    **self._placed(step, avoided),
                )
            for video, outcome in zip(alike, outcomes, strict=True):
                shard.unfinished.add(video.key)
                self._wait_for(outcome, Attempt(shard, video))

    def _pack(self, shard: Shard) -> None:
        number = shard.task.plan.shard
        outcomes = [shard.outcomes[video.key] for video in shard.task.videos]
        key = self._key("pack", number)
        last = -PRIORITIES * int(number) + PRIORITIES - 1
        packed = self.client.submit(pack, shard.task, outcomes, pure=False, priority=last, key=key)
        self._wait_for(packed, Attempt(shard))

    def _wait_for(self, future: Future, attempt: Attempt) -> None:
        self._attempts[future] = attempt
        self._running.add(future)

    def _key(self, work: str, what: str) -> str:
        """A key that no other task has. It begins with the work, by which Dask's dashboard groups tasks."""
        self._tasks += 1
        return f"{work}-{what}-{self._tasks}-{self.name}"

    def _placed(self, step: Step, avoided: str | None) -> dict[str, Any]:
        """Options of `map` that place a step: on workers with its resource, or rather on those without any.

        A step that wants no resource gets a preference, not for `avoided`. If no such worker is there, another takes
        the step. A step that wants a resource gets no preference: Dask would then place it on workers without the
        resource too.
        """
        if step.resource:
            return {"resources": {step.resource: 1}}
        left_out = self._unfit | ({avoided} if avoided else set())
        if not (left_out or self._with_resources):
            return {}
        present = self.watch.workers.items()
        fitting = [address for address, worker in present if address not in left_out and not worker.resources]
        return {"workers": fitting, "allow_other_workers": True} if fitting else {}
