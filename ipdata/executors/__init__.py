"""Where a build runs: here or on a Dask cluster. Videos are extracted in child processes of its workers."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipdata.errors import BuildError

if TYPE_CHECKING:
    from ipdata.executors.base import Executor

VIDEO_TIMEOUT_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the user wants a build to run; None: not given. It is no part of the recipe, as it changes no byte."""

    scheduler: str | None = None  # an address, or "none" for no cluster; not given: a local one
    scheduler_file: Path | None = None  # where a running scheduler has written its address
    workers: int | None = None  # processes of the local cluster
    wait_workers: float | None = None  # seconds that a running cluster may lack workers; not given: for ever
    video_timeout_s: float | None = None
    tls_ca: Path | None = None  # PEM files for a scheduler with TLS; not given: those of Dask's configuration
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure_scheduler: bool = False  # connect to a scheduler on another machine without TLS

    @property
    def timeout_s(self) -> float:
        """How long a video may take."""
        return VIDEO_TIMEOUT_S if self.video_timeout_s is None else self.video_timeout_s


def executor_of(placement: Placement, *, scratch: Path) -> "Executor":
    """The executor for a placement. scratch: a directory where a local cluster may write.

    Raises: BuildError for an option that has no effect there.
    """
    timeout_s, elsewhere = placement.timeout_s, placement.scheduler not in (None, "none")
    if placement.scheduler_file is not None:
        _refuse(placement.scheduler, "--scheduler", "--scheduler-file names a scheduler too")
        elsewhere = True
    if not elsewhere:
        for option in ("tls_ca", "tls_cert", "tls_key", "insecure_scheduler", "wait_workers"):
            why = "there is no scheduler that runs elsewhere"
            _refuse(getattr(placement, option) or None, "--" + option.replace("_", "-"), why)
    if placement.scheduler == "none":
        _refuse(placement.workers, "--workers", "it extracts one video after another")
        from ipdata.executors.here import Here

        return Here(video_timeout_s=timeout_s)
    from ipdata.executors.address import TlsFiles, address_in
    from ipdata.executors.dask import LocalDask, RunningDask  # Dask takes a second to import

    if not elsewhere:
        return LocalDask(workers=placement.workers, video_timeout_s=timeout_s, scratch=scratch)
    _refuse(placement.workers, "--workers", "a running cluster has its own workers")
    patience_s = math.inf if placement.wait_workers is None else placement.wait_workers
    if placement.scheduler_file is None:
        address = str(placement.scheduler)
    else:
        address = address_in(placement.scheduler_file, patience_s=patience_s)
    return RunningDask(
        address,
        video_timeout_s=timeout_s,
        patience_s=patience_s,
        tls=TlsFiles(ca=placement.tls_ca, cert=placement.tls_cert, key=placement.tls_key),
        insecure=placement.insecure_scheduler,
    )


def _refuse(given: object, option: str, why: str) -> None:
    if given is not None:
        raise BuildError(f"{option} has no effect with this --scheduler, because {why}; leave it out")
