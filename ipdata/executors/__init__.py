"""Where a build runs: here or on a Dask cluster. Videos are extracted in child processes of its workers."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipdata.errors import BuildError

if TYPE_CHECKING:
    from ipdata.executors.base import Executor

VIDEO_TIMEOUT_S = 1800.0


RUNNING = {"scheduler", "scheduler_file"}
NO_OTHER = "there is no scheduler that runs elsewhere"
ITS_OWN = {"local": NO_OTHER, "none": NO_OTHER, "cluster": "it starts a scheduler of its own, with TLS"}
OWN_WORKERS = "a running cluster has its own workers"
NO_WORKERS = {"scheduler": OWN_WORKERS, "scheduler_file": OWN_WORKERS, "none": "it extracts one video after another"}
# Option -> why it has no effect in a place, and the places where it has one.
NEEDS = {
    "workers": ({**NO_WORKERS, "cluster": "its profile says how many there are"}, {"local"}),
    "wait_workers": ({"local": NO_OTHER, "none": NO_OTHER}, {*RUNNING, "cluster"}),
    "tls_ca": (ITS_OWN, RUNNING),
    "tls_cert": (ITS_OWN, RUNNING),
    "tls_key": (ITS_OWN, RUNNING),
    "insecure_scheduler": (ITS_OWN, RUNNING),
}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the user wants a build to run; None: not given. It is no part of the recipe, as it changes no byte."""

    scheduler: str | None = None  # an address, or "none" for no cluster; not given: a local one
    cluster: str | None = None  # a profile's name or file: workers are jobs of a batch system
    scheduler_file: Path | None = None  # where a running scheduler has written its address
    workers: int | None = None  # processes of the local cluster
    wait_workers: float | None = None  # seconds that a running cluster may lack workers; not given: for ever
    video_timeout_s: float | None = None
    tls_ca: Path | None = None  # PEM files for a scheduler with TLS; not given: those of Dask's configuration
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure_scheduler: bool = False  # connect to a scheduler on another machine without TLS

    def check(self) -> None:
        """Raises: BuildError for an option that has no effect here."""
        places = [name for name in ("scheduler", "scheduler_file", "cluster") if getattr(self, name) is not None]
        if len(places) > 1:
            named = " and ".join(map(_option, places))
            raise BuildError(f"{named} name different places for the build; leave out all but one")
        place = places[0] if places else "local"
        if self.scheduler == "none":
            place = "none"
        for name, (why, where) in NEEDS.items():
            if getattr(self, name) not in (None, False) and place not in where:
                here = _option(place) if place in ("cluster", "scheduler_file") else "this --scheduler"
                raise BuildError(f"{_option(name)} has no effect with {here}, because {why[place]}; leave it out")

    @property
    def timeout_s(self) -> float:
        """How long a video may take."""
        return VIDEO_TIMEOUT_S if self.video_timeout_s is None else self.video_timeout_s


def executor_of(placement: Placement, *, scratch: Path) -> "Executor":
    """The executor for a placement. scratch: a directory where a local cluster may write.

    Raises: BuildError for an option that has no effect there.
    """
    placement.check()
    timeout_s = placement.timeout_s
    patience_s = math.inf if placement.wait_workers is None else placement.wait_workers
    if placement.scheduler == "none":
        from ipdata.executors.here import Here

        return Here(video_timeout_s=timeout_s)
    if placement.cluster is not None:
        from ipdata.executors.dask_jobs import QueuedDask  # Dask takes a second to import
        from ipdata.executors.profile import load_profile

        profile = load_profile(placement.cluster)
        return QueuedDask(profile, video_timeout_s=timeout_s, patience_s=patience_s, scratch=scratch)
    from ipdata.executors.address import TlsFiles, address_in
    from ipdata.executors.dask import LocalDask, RunningDask

    address = placement.scheduler
    if placement.scheduler_file is not None:
        address = address_in(placement.scheduler_file, patience_s=patience_s)
    if address is None:
        return LocalDask(workers=placement.workers, video_timeout_s=timeout_s, scratch=scratch)
    return RunningDask(
        address,
        video_timeout_s=timeout_s,
        patience_s=patience_s,
        tls=TlsFiles(ca=placement.tls_ca, cert=placement.tls_cert, key=placement.tls_key),
        insecure=placement.insecure_scheduler,
    )
