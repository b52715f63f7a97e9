"""Cluster profiles: how the workers of a build become jobs of a batch system. They change no byte of a set."""

import re
from dataclasses import dataclass
from typing import Literal

import pipelines

Kind = Literal["slurm", "pbs", "sge", "lsf", "oar", "moab"]
WORKER_BYTES = 512 << 20  # itself it takes 150 MB; Dask gives it nothing to do beyond four fifths of its share
LIFETIME_SHARE = 0.9  # of the walltime: then a worker ends by itself, so that others get its work in time
STAGGER_SHARE = 0.05  # of the walltime: workers end by so much earlier or later, not all at once


@dataclass(frozen=True, kw_only=True)
class JobPool:
    """Jobs of one kind. Raises: ValueError."""

    processes: int  # workers of a job, with one thread each
    memory: str  # of a job, such as "16GiB"
    minimum_jobs: int = 0
    maximum_jobs: int = 1
    queue: str = ""
    directives: tuple[str, ...] = ()  # more options of the job, as the batch system spells them

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"processes must be 1 or more, got {self.processes}")
        if not 0 <= self.minimum_jobs <= self.maximum_jobs or self.maximum_jobs < 1:
            raise ValueError(
                f"jobs must be 0 <= minimum_jobs <= maximum_jobs, and maximum_jobs 1 or more, "
                f"got {self.minimum_jobs} and {self.maximum_jobs}"
            )
        size = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])(i?)B", self.memory)
        if not size or not float(size[1]):
            raise ValueError(f'memory must be a size such as "16GiB", and not 0, got {self.memory!r}')
        job_bytes = float(size[1]) * (1024 if size[3] else 1000) ** (1 + "KMGT".index(size[2]))
        if job_bytes < self.processes * WORKER_BYTES:
            each = f"{job_bytes / self.processes / 2**20:.0f} MiB"
            raise ValueError(f"memory leaves each of {self.processes} workers {each}, and one needs at least 512 MiB")

    def jobs_for(self, videos: int) -> int:
        """How many jobs there should be while so many videos are left."""
        return min(max(self.minimum_jobs, -(-videos // self.processes), 1), self.maximum_jobs)


@dataclass(frozen=True, kw_only=True)
class ClusterProfile(JobPool):
    """A profile, as `pipelines/clusters/*.toml` state it. Raises: ValueError."""

    kind: Kind  # the batch system
    walltime: str  # of a job, "hours:minutes:seconds"
    account: str = ""
    interface: str = ""  # the network interface by which nodes reach each other
    prologue: tuple[str, ...] = ()  # lines of shell before the workers start
    python: str = ""  # "": the Python that runs the build
    gpu: JobPool | None = None  # jobs whose workers have a GPU each

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", self.walltime) or not self.walltime_s:
            raise ValueError(f'walltime must be "hours:minutes:seconds", and not 0, got {self.walltime!r}')

    @property
    def walltime_s(self) -> int:
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds

    @property
    def lifetime_options(self) -> list[str]:
        """Options of `dask worker`: it ends by itself before the batch system ends it."""
        lifetime_s, stagger_s = (round(share * self.walltime_s) for share in (LIFETIME_SHARE, STAGGER_SHARE))
        return ["--lifetime", f"{lifetime_s}s", "--lifetime-stagger", f"{stagger_s}s"]


def load_profile(name_or_file: str) -> ClusterProfile:
    """Read a profile by name or from a file. Raises: RecipeError."""
    return pipelines.load(ClusterProfile, "clusters", name_or_file)
