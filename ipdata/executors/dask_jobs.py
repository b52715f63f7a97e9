"""A Dask cluster whose workers are jobs of a batch system, such as Slurm. dask-jobqueue submits them."""

import asyncio
import logging
import math
import os
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Status

from ipdata.errors import BuildError
from ipdata.executors.base import Event, Executor
from ipdata.executors.dask import certificate_in, quiet, resources_of
from ipdata.executors.dask_run import ClusterRun
from ipdata.executors.profile import ClusterProfile, JobPool, Kind
from ipdata.steps.pack import ShardTask
from shards.regular import open_regular
from shards.signals import interrupts_noted
from shards.text import printable

CLASSES: dict[Kind, str] = {  # of dask_jobqueue
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
PASSED_ON = ("account", "interface", "python")  # keys of a profile that dask_jobqueue calls the same
GPU = "GPU"  # the resource of the workers of the pool [gpu]
RETRY_S = 30.0  # until a job that was refused is submitted again
LOG_BYTES, LOG_LINES = 600, 3  # of the end of a job's log, in a message
RESTART_S = 20.0  # for a nanny to start another worker, before its job counts as ended
TEND_S = 1.0  # from one look at the jobs to the next

LOG = logging.getLogger(__name__)


class QueuedDask(Executor):
    """A scheduler in this process, and workers that queue as jobs. They come and go with the work that is left."""

    def __init__(
        self, profile: ClusterProfile, *, video_timeout_s: float, patience_s: float = math.inf, scratch: Path
    ) -> None:
        """patience_s: how long it may lack workers. scratch: a directory that all nodes have, for keys and logs.

        Raises: ModuleNotFoundError without dask-jobqueue.
        """
        import dask_jobqueue  # noqa: F401  # it is better missed before the work begins

        self.profile, self.video_timeout_s = profile, video_timeout_s
        self.patience_s, self.scratch = patience_s, scratch

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        wanted = resources_of(tasks)
        self._check_wanted(wanted)
        with (
            quiet(stealing=not wanted, scratch=self.scratch),
            interrupts_noted() as interrupts,
            self._cluster() as cluster,
            Client(cluster) as client,
        ):
            run = ClusterRun(
                client,
                wanted,
                interrupts,
                video_timeout_s=self.video_timeout_s,
                cure=self._cure,
                patience_s=self.patience_s,
                tend=Jobs(cluster, self._pools(cluster, wanted)).tend,
            )
            yield from run.events(tasks)

    def _check_wanted(self, wanted: set[str]) -> None:
        """Raises: BuildError if the work wants a resource that no pool of the profile has."""
        lacking = wanted - ({GPU} if self.profile.gpu else set())
        if lacking:
            cure = "add a table [gpu] to the profile, or choose --flow-backend numba"
            if lacking != {GPU}:
                cure = "start a scheduler and such workers by hand, and use --scheduler"
            raise BuildError(f"--cluster has no workers with the resource {', '.join(sorted(lacking))}; {cure}")

    def _pools(self, cluster: Any, wanted: set[str]) -> list["Pool"]:
        """The pools of jobs that the work wants."""
        pools = [Pool("ipdata", self.profile, cluster.new_spec)]
        if self.profile.gpu is not None and GPU in wanted:
            common = cluster.new_spec["options"]
            spec = {"cls": cluster.new_spec["cls"], "options": {**common, **self._options_of(self.profile.gpu, GPU)}}
            pools.append(Pool("ipdata-gpu", self.profile.gpu, spec))
        return pools

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """The cluster. All its jobs are cancelled at the end.

        Only processes that can read the certificate get in. It is made for this build, and lies in a directory that is
        for this user alone.
        """
        import dask_jobqueue

        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch) as private:  # of mode 0700
            try:
                cluster = getattr(dask_jobqueue, CLASSES[self.profile.kind])(**self._options(private))
            except (OSError, RuntimeError, ValueError, TypeError) as error:
                raise BuildError(f"the {self.profile.kind} cluster does not start: {error}") from None
            with cluster:
                yield cluster

    def _options(self, private: str) -> dict[str, Any]:
        """Options of a class of dask_jobqueue. private: a directory."""
        profile = self.profile
        given = {key: value for key in PASSED_ON if (value := getattr(profile, key))}
        return {
            **self._options_of(profile),
            "walltime": profile.walltime,
            "job_script_prologue": list(profile.prologue),
            "job_name": "ipdata",
            "log_directory": str(self.scratch / "jobs"),
            "security": certificate_in(Path(private)),
            "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
            **given,
        }

    def _options_of(self, pool: JobPool, resource: str = "") -> dict[str, Any]:
        """Options of a class of dask_jobqueue that the pools do not share."""
        has = ["--resources", f"{resource}=1"] if resource else []
        return {
            "cores": pool.processes,
            "processes": pool.processes,  # dask_jobqueue's own default is the square root of the cores
            "memory": pool.memory,
            "job_extra_directives": list(pool.directives),
            "worker_extra_args": [*self.profile.lifetime_options, *has],
            **({"queue": pool.queue} if pool.queue else {}),
        }

    def _cure(self, resource: str) -> str:
        """What to do. The logs are removed with the build, so it has the last words of the newest one."""
        logs = self.scratch / "jobs"
        said = last_words(logs)
        newest = f"; the newest log ends with: {said}" if said else ""
        look = f"look at the {self.profile.kind} queue and, meanwhile, at {logs}"
        return f"its jobs queue, or end at once: {look}{newest}"


def last_words(logs: Path) -> str:
    """The last lines of the newest log in a directory that has any, as one line; "" if none has."""
    with suppress(OSError, ValueError):  # there is none, or it was removed meanwhile
        written = [(path.stat().st_mtime, path) for path in logs.iterdir() if path.stat().st_size]
        with open_regular(max(written)[1]) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            lines = file.readall().decode("utf-8", "replace").splitlines()
            return " / ".join(printable(line.strip()) for line in [line for line in lines if line.strip()][-LOG_LINES:])
    return ""


@dataclass
class Pool:
    """The jobs of one kind in a cluster."""

    prefix: str  # of their names
    limits: JobPool
    spec: dict[str, Any]  # as Dask's SpecCluster takes it
    submitted: int = 0  # so far; part of each name
    seen_s: dict[str, float] = field(default_factory=dict)  # name of a job -> when it had a worker last

    def submit(self) -> tuple[str, dict[str, Any]]:
        """Name and specification of a new job."""
        self.submitted += 1
        processes = self.limits.processes
        group = {"group": [f"-{number}" for number in range(processes)]} if processes > 1 else {}
        return f"{self.prefix}-{self.submitted}", {"cls": self.spec["cls"], "options": self.spec["options"], **group}


class Jobs:
    """Keeps as many jobs as the work that is left needs: replaces jobs that have ended, and ends idle ones.

    Dask's own adapting counts a job that has ended as one that still queues, and so never replaces it.
    """

    def __init__(self, cluster: Any, pools: Sequence[Pool]) -> None:
        self.cluster, self.pools = cluster, pools
        self._tended_s = -TEND_S
        self._change: asyncio.Future[None] | None = None  # submits and cancels jobs
        self._accepted = False  # the batch system has taken a job

    def tend(self, videos_left: int) -> None:
        """Look at the jobs, if the last look is some seconds ago. videos_left: that are not yet done.

        Raises: BuildError if the batch system refuses the first job.
        """
        if time.monotonic() - self._tended_s < TEND_S:
            return
        self._tended_s = time.monotonic()
        self.cluster.sync(self._tend, videos_left)

    async def _tend(self, videos_left: int) -> None:
        if self._change is not None:
            if not self._change.done():
                return
            self._check(self._change.exception())
        for pool in self.pools:
            self._tend_pool(pool, pool.limits.jobs_for(videos_left))
        self._change = asyncio.ensure_future(self._changed())

    async def _changed(self) -> None:
        """Submit and cancel what was added and removed. Raises: RuntimeError, OSError if a job is refused."""
        await self.cluster

    def _check(self, refusal: BaseException | None) -> None:
        """Forget the jobs that were refused; they are submitted again later. Raises: BuildError as `tend`."""
        refused = [name for name, job in self.cluster.workers.items() if job.job_id is None]
        self._accepted = self._accepted or len(refused) < len(self.cluster.workers)
        if refusal is None:
            return
        if not isinstance(refusal, RuntimeError | OSError):
            raise refusal
        for name in refused:
            self.cluster.worker_spec.pop(name, None)
            self.cluster.workers.pop(name).status = Status.closed  # or the cluster's end would wait for it
        said = " ".join(str(refusal).rpartition("stderr:")[2].split())
        if not self._accepted:
            raise BuildError(f"the batch system takes no job: {said}; mend the profile, and run this again")
        LOG.warning("the batch system refuses a job: %s; it is submitted again in %g s", said, RETRY_S)
        self._tended_s += RETRY_S

    def _tend_pool(self, pool: Pool, wanted: int) -> None:
        """Remove the pool's jobs that have ended, and idle ones that are too many; add those that are missing."""
        jobs, workers = self.cluster.worker_spec, list(self.cluster.scheduler.workers.values())
        names = [name for name in jobs if name.rpartition("-")[0] == pool.prefix]
        left = len(names)
        for name in names:
            own = [worker for worker in workers if f"{worker.name}-".startswith(f"{name}-")]
            now_s = time.monotonic()
            idle = left > wanted and own and not any(worker.processing for worker in own)
            if idle or (not own and now_s - pool.seen_s.get(name, now_s) > RESTART_S):
                del jobs[name]
                pool.seen_s.pop(name, None)
                left -= 1
            elif own:
                pool.seen_s[name] = now_s
        jobs.update(pool.submit() for _ in range(wanted - left))
