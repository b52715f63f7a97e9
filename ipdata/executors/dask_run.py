"""A build's work on a Dask cluster, whoever has started that.

Each step of a video is a Dask task. A step that wants a resource, such as a GPU, runs on a worker that has it. When all
videos of a shard are done, a task packs them. What a lost worker had to do is done again by others.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from ipdata.errors import BuildError
from ipdata.executors.base import Event, summary
from ipdata.executors.dask_fit import unfit_workers
from ipdata.executors.dask_flight import Attempt, Shard
from ipdata.executors.dask_lost import LostWorkers
from ipdata.executors.dask_scheduler import ask_for_workers, end_worker
from ipdata.executors.dask_worker import DiedOnWorkerError, UnfitWorkerError, first_try, last_try
from ipdata.executors.selftest import SelfTest, self_test_of
from ipdata.executors.watch import Watch
from ipdata.steps.extract import Step, VideoTask
from ipdata.steps.pack import Packed, ShardTask, pack
from shards.signals import Arrivals

RESULT_S = 10.0  # how long to wait for the result of a task that is done
POLL_S = 0.05
VIDEOS_AHEAD = 4  # submitted for each core: enough that no core waits, few enough that outcomes fit into memory
GIVE_UP_S = 1800.0  # a build whose workers die for so long, while nothing is done, gives up
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
        self._videos = 0  # of the shards in flight
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
        """Submit shards in order, a bounded number of videos ahead, and yield events as they come.

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
                    while waiting and (not self._attempts or self._videos < self._ahead):
                        self._begin(Shard(waiting.pop()))
                    yield from self._taken(self.next_done(self._running))
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
        self.tend(self._left)
        self._lost_workers.report(known=self.watch.given_up)
        try:
            self.watch.look()
        except OSError:
            raise BuildError(GONE) from None

    @property
    def _ahead(self) -> int:
        """How many videos may be in flight. It follows the workers that come and go."""
        return VIDEOS_AHEAD * sum(worker.threads for worker in self.watch.workers.values())

    def _begin(self, shard: Shard) -> None:
        self._videos += shard.load
        for video in shard.task.videos:
            self._extract(shard, video)
        if not shard.unfinished:
            self._pack(shard)

    def _taken(self, future: Future) -> Iterator[Event]:
        """The event of a future that is done, if it has one. What died with its worker is submitted again."""
        attempt = self._attempts[future]
        try:
            event: Event = future.result(timeout=RESULT_S)
        except TimeoutError:
            if future.status == "error" and isinstance(future.exception(), TimeoutError):
                raise
            self._running.add(future)  # its result was lost with its worker; Dask makes it again
            return
        except UnfitWorkerError as unfit:
            del self._attempts[future]
            self._leave_out(unfit)
            self._repeat(attempt, unfit)
            return
        except (KilledWorker, DiedOnWorkerError) as death:
            del self._attempts[future]
            self._repeat(attempt, death)
            return
        del self._attempts[future]
        self.watch.working()
        self._progress_s = time.monotonic()
        yield from self._done(attempt, event)

    def _done(self, attempt: Attempt, event: Event) -> Iterator[Event]:
        shard = attempt.shard
        if isinstance(event, Packed):
            self._videos -= shard.load
            yield event
            return
        if event.key not in shard.reported:
            shard.reported.add(event.key)
            self._left -= 1
            taken_bytes = self._taken_bytes.pop(event.key, 0)
            yield replace(event, memory_bytes=max(event.memory_bytes, taken_bytes))
        shard.unfinished.remove(event.key)
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
        shard = attempt.shard
        lost = [attempt.video] if attempt.video else self._lost(shard)
        for video in lost:
            avoided = death.worker if isinstance(death, DiedOnWorkerError) else None
            if isinstance(death, DiedOnWorkerError):
                self._taken_bytes[video.key] = max(death.memory_bytes, self._taken_bytes.get(video.key, 0))
            self._extract(shard, video, avoided=avoided)
        if not lost:
            self._pack(shard)

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

    def _lost(self, shard: Shard) -> list[VideoTask]:
        """The videos of a shard whose outcomes were lost with a worker and could not be made again."""
        return [video for video in shard.task.videos if shard.outcomes[video.key].status == "error"]

    def _extract(self, shard: Shard, video: VideoTask, *, avoided: str | None = None) -> None:
        """Submit the steps of one video, and wait for the summary of its outcome.

        Earlier shards have a higher priority, so they are published first.

        avoided: the worker whose child has died with this video. It runs elsewhere if there is another worker.
        """
        priority = -int(shard.task.plan.shard)
        outcome: Any = None  # of the previous step: a Future
        run = first_try if avoided is None else last_try
        for number, step in enumerate(video.steps):
            name = "+".join(step.columns) if number else "extract"  # as Dask's dashboard shows it
            place = {"resources": {step.resource: 1}} if step.resource else {}
            outcome = self.client.submit(
                run,
                video,
                step,
                outcome,
                self.video_timeout_s,
                self._test,
                pure=False,
                priority=priority + number / 2,
                key=self._key(name, video.key),
                **place,
                **self._preferred(step, avoided),
            )
        done = self.client.submit(
            summary, outcome, pure=False, priority=priority + 1, key=self._key("summary", video.key)
        )
        shard.outcomes[video.key] = outcome
        shard.unfinished.add(video.key)
        self._wait_for(done, Attempt(shard, video))

    def _pack(self, shard: Shard) -> None:
        number = shard.task.plan.shard
        outcomes = [shard.outcomes[video.key] for video in shard.task.videos]
        key = self._key("pack", number)
        packed = self.client.submit(pack, shard.task, outcomes, pure=False, priority=-int(number), key=key)
        self._wait_for(packed, Attempt(shard))

    def _wait_for(self, future: Future, attempt: Attempt) -> None:
        self._attempts[future] = attempt
        self._running.add(future)

    def _key(self, work: str, what: str) -> str:
        """A key that no other task has. It begins with the work, by which Dask's dashboard groups tasks."""
        self._tasks += 1
        return f"{work}-{what}-{self._tasks}-{self.name}"

    def _preferred(self, step: Step, avoided: str | None) -> dict[str, Any]:
        """Options of `submit` that place a step which wants no resource: on a worker without one, and not on `avoided`.

        This is only a preference. If no such worker is there, another takes the step. A step that wants a resource gets
        no preference: Dask would then place it on workers without the resource too.
        """
        left_out = self._unfit | ({avoided} if avoided else set())
        if step.resource or not (left_out or self._with_resources):
            return {}
        present = self.watch.workers.items()
        fitting = [address for address, worker in present if address not in left_out and not worker.resources]
        return {"workers": fitting, "allow_other_workers": True} if fitting else {}
