"""A Dask cluster whose workers are jobs of a batch system, such as Slurm. dask-jobqueue submits them."""

import math
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Security

from ipdata.errors import BuildError
from ipdata.executors.base import Event, Executor
from ipdata.executors.dask import quiet, resources_of
from ipdata.executors.dask_run import ClusterRun
from ipdata.executors.profile import ClusterProfile, Kind
from ipdata.steps.pack import ShardTask
from shards.terminal import interrupts_noted

CLASSES: dict[Kind, str] = {  # of dask_jobqueue
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
PASSED_ON = ("account", "queue", "interface", "python")  # keys of a profile that dask_jobqueue calls the same
TEND_S = 1.0  # from one look at the jobs to the next


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
        if wanted:
            raise BuildError(
                f"--cluster has no workers with the resource {', '.join(sorted(wanted))}; start a scheduler and such "
                "workers by hand and use --scheduler, or choose --flow-backend numba"
            )
        with (
            quiet(stealing=True, scratch=self.scratch),
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
                tend=Jobs(cluster, self.profile).tend,
            )
            yield from run.events(tasks)

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
            except (OSError, RuntimeError, ValueError) as error:
                raise BuildError(f"the {self.profile.kind} cluster does not start: {error}") from None
            with cluster:
                yield cluster

    def _options(self, private: str) -> dict[str, Any]:
        """Options of a class of dask_jobqueue. private: a directory."""
        profile = self.profile
        given = {key: value for key in PASSED_ON if (value := getattr(profile, key))}
        return {
            "cores": profile.processes,
            "processes": profile.processes,  # dask_jobqueue's own default is the square root of the cores
            "memory": profile.memory,
            "walltime": profile.walltime,
            "job_extra_directives": list(profile.directives),
            "job_script_prologue": list(profile.prologue),
            "worker_extra_args": profile.lifetime_options,
            "job_name": "ipdata",
            "log_directory": str(self.scratch / "jobs"),
            "security": _certificate_in(Path(private)),
            "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
            **given,
        }

    def _cure(self, resource: str) -> str:
        return f"its jobs queue, or end at once: look at the {self.profile.kind} queue and at {self.scratch / 'jobs'}"


class Jobs:
    """Keeps as many jobs as the work that is left needs: replaces jobs that have ended, and ends idle ones.

    Dask's own adapting counts a job that has ended as one that still queues, and so never replaces it.
    """

    def __init__(self, cluster: Any, profile: ClusterProfile) -> None:
        self.cluster, self.profile = cluster, profile
        self._begun: set[str] = set()  # names of jobs that have had a worker
        self._tended_s = -TEND_S

    def tend(self, videos_left: int) -> None:
        """Look at the jobs, if the last look is some seconds ago. videos_left: that are not yet done."""
        if time.monotonic() - self._tended_s < TEND_S:
            return
        self._tended_s = time.monotonic()
        self.cluster.sync(self._tend, videos_left)

    async def _tend(self, videos_left: int) -> None:
        needed = -(-videos_left // self.profile.processes)
        wanted = min(max(self.profile.minimum_jobs, needed, 1), self.profile.maximum_jobs)
        jobs, workers = self.cluster.worker_spec, list(self.cluster.scheduler.workers.values())
        own = {job: [worker for worker in workers if f"{worker.name}-".startswith(f"{job}-")] for job in jobs}
        ended = False
        for job, of_job in own.items():
            idle = len(jobs) > wanted and of_job and not any(worker.processing for worker in of_job)
            if idle or (job in self._begun and not of_job):
                del jobs[job]
                self._begun.discard(job)
                ended = True
            elif of_job:
                self._begun.add(job)
        # A new job may get the name of one that has ended, so that one must be gone first.
        self.cluster.scale(jobs=len(jobs) if ended else max(wanted, len(jobs)))


def _certificate_in(directory: Path) -> Security:
    """Make a certificate for all processes of a cluster, as files of this directory that only this user can read."""
    made = Security.temporary().get_tls_config_for_role("worker")
    files = {name: directory / f"{name}.pem" for name in ("ca_file", "cert", "key")}
    for name, path in files.items():
        path.touch(0o600)
        path.write_text(made[name])
    roles = ("client", "scheduler", "worker")
    own = {f"tls_{role}_{name}": str(files[name]) for role in roles for name in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(files["ca_file"]), **own)
