"""Watch a cluster: which workers it has, which of them are silent, and whether its scheduler answers at all.

A frozen process keeps its connections open, so no connection says that it is lost. Only its silence does.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import NamedTuple

from ipdata.errors import BuildError

ASK_S = 5.0  # from one question to the scheduler to the next
SILENT_S = 60.0  # a worker without a heartbeat for so long is given up; so is a scheduler without an answer
SAY_S = 10.0  # from one line about the workers that are waited for to the next
PAUSE_S = 10.0  # at most so much of the time between two looks counts

PAUSED = "Dask has paused all of them, because they use more than four fifths of their memory: give workers more memory"

LOG = logging.getLogger(__name__)


WorkerFields = tuple[int, set[str], float, bool]  # of a Worker: a scheduler may lack this package, but not tuples


class Worker(NamedTuple):
    """A worker, as the scheduler knows it."""

    threads: int
    resources: set[str]
    heartbeat_s: float  # when the last one came, by the scheduler's clock
    paused: bool = False  # Dask gives it no tasks, because it uses most of its memory limit


class Watch:
    """What is known of a cluster. `look` asks its scheduler now and then, and never waits for the answer.

    Time counts only while this process runs. After a pause, by Ctrl-Z or on a machine that slept, nobody has been
    silent for the length of that pause.
    """

    def __init__(
        self,
        scheduler: str,
        *,
        wanted: Collection[str],
        ask: Callable[[], Future[dict[str, WorkerFields]]],
        end: Callable[[str, float], Future[bool]],
        cure: Callable[[str], str],
        patience_s: float,
    ) -> None:
        """scheduler: its address. wanted: the resources that the work wants.

        ask: asks for the workers, by address. end: ends a worker, by address and last heartbeat; False if it did not
            because the worker was heard of meanwhile, or has no work of this build.
        cure: what to do if no worker has a resource, or, for "", if there is none at all; words for a message.
        patience_s: how long the cluster may lack workers while no event comes; may be infinite.
        """
        self.scheduler, self.wanted, self.patience_s = scheduler, wanted, patience_s
        self.workers: Mapping[str, Worker] = {}  # as of the last answer
        self.answered = False
        self._ask, self._end, self._cure = ask, end, cure
        self._now_s, self._looked_s = 0.0, time.monotonic()
        self._question: Future[dict[str, WorkerFields]] | None = None
        self._asked_s = -ASK_S
        self._heard: dict[str, tuple[float, float]] = {}  # address -> its heartbeat, and when that was new here
        self.given_up: set[str] = set()  # addresses of workers that were silent and are ended for it
        self._ending: dict[str, Future[bool]] = {}
        self._lacking_since_s: float | None = None
        self._said_s = 0.0  # when the last line about that came

    def look(self) -> None:
        """Ask, or take the answer if there is one. Call it often.

        Raises: BuildError if the scheduler has not answered for SILENT_S, or the cluster has lacked workers for
            patience_s.
        """
        looked_s = time.monotonic()
        self._now_s += min(looked_s - self._looked_s, PAUSE_S)
        self._looked_s = looked_s
        if self._question is None:
            if self._now_s - self._asked_s >= ASK_S:
                self._question, self._asked_s = self._ask(), self._now_s
        elif self._question.done():
            answer, self._question = self._question.result(), None
            self.workers = {address: Worker(*fields) for address, fields in answer.items()}
            self.answered = True
            self._check_heartbeats()
            self._check_lacking()
        elif self._now_s - self._asked_s > SILENT_S:
            problem = f"the Dask scheduler {self.scheduler} has not answered for {SILENT_S:g} s"
            raise BuildError(f"{problem}; end it, start one, and run this again: what is done is kept")
        self._report_ended()

    def working(self) -> None:
        """Say that an event came. The cluster may lack workers for as long as events come."""
        self._lacking_since_s = None

    def _check_heartbeats(self) -> None:
        heard = {}
        for address, worker in self.workers.items():
            heartbeat_s, since_s = self._heard.get(address, (worker.heartbeat_s, self._now_s))
            if heartbeat_s != worker.heartbeat_s:
                since_s = self._now_s
            elif self._now_s - since_s > SILENT_S and address not in self._ending:
                self._ending[address] = self._end(address, heartbeat_s)
                self.given_up.add(address)
                since_s = self._now_s
            heard[address] = (worker.heartbeat_s, since_s)
        self._heard = heard

    def _report_ended(self) -> None:
        for address in [address for address, ending in self._ending.items() if ending.done()]:
            ending = self._ending.pop(address)
            if error := ending.exception():  # the next answers say whether it is still there
                LOG.warning("worker %s is silent, and could not be ended: %s", address, error)
            elif ending.result():
                LOG.warning("worker %s was silent for %g s and was ended; others do its work", address, SILENT_S)

    def _check_lacking(self) -> None:
        if not self.lacking:
            self._lacking_since_s = None
            return
        cure = PAUSED if self._all_paused else self._cure(next(iter(self._absent), ""))
        if self._lacking_since_s is None:
            self._lacking_since_s = self._said_s = self._now_s
            LOG.warning("the cluster has no worker %s: waiting for one; %s", self.lacking, cure)
        waited_s = self._now_s - self._lacking_since_s
        if waited_s > self.patience_s:
            had = f"the cluster has had no worker {self.lacking} for {self.patience_s:g} s"
            raise BuildError(f"{had}; {cure}, and run this again: what is done is kept")
        if self._now_s - self._said_s >= SAY_S:
            self._said_s = self._now_s
            LOG.warning("the cluster has had no worker %s for %.0f s: still waiting", self.lacking, waited_s)

    @property
    def lacking(self) -> str:
        """The kind of worker that the cluster lacks, by the last answer, as words of a message; empty if it lacks none.

        Before the first answer, nothing is known to be lacking.
        """
        if self.answered and not self.workers:
            return "at all"
        if self.answered and self._absent:
            return f"with the resource {self._absent[0]}"
        return "that takes work" if self._all_paused else ""

    @property
    def _all_paused(self) -> bool:
        return bool(self.workers) and all(worker.paused for worker in self.workers.values())

    @property
    def _absent(self) -> list[str]:
        """The resources that the work wants and no worker has; empty if there are no workers."""
        if not self.workers:
            return []
        return sorted(set(self.wanted).difference(*(worker.resources for worker in self.workers.values())))
