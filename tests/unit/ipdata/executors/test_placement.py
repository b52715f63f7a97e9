"""An option that the chosen executor cannot honour is refused, not ignored."""

import math
from pathlib import Path
from typing import Any

import pytest

from ipdata.errors import BuildError
from ipdata.executors import VIDEO_TIMEOUT_S, Placement, executor_of
from ipdata.executors.dask import LocalDask, RunningDask
from ipdata.executors.here import Here


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"scheduler": "none", "workers": 2}, "--workers"),
        ({"scheduler": "none", "tls_ca": Path("ca.pem")}, "--tls-ca"),
        ({"tls_key": Path("key.pem")}, "--tls-key"),
        ({"insecure_scheduler": True}, "--insecure-scheduler"),
        ({"wait_workers": 60.0}, "--wait-workers"),
        ({"scheduler": "tcp://127.0.0.1:8786", "workers": 2}, "--workers"),
        ({"cluster": "slurm", "workers": 2}, "--workers"),
        ({"cluster": "slurm", "tls_ca": Path("ca.pem")}, "--tls-ca"),
        ({"scheduler_file": Path("scheduler.json"), "workers": 2}, "--workers"),
    ],
)
def test_what_has_no_effect_is_refused(options: dict[str, Any], option: str) -> None:
    with pytest.raises(BuildError, match=f"{option} has no effect with .*, because .*; leave it out"):
        executor_of(Placement(**options), scratch=Path())


def test_one_place_only() -> None:
    placement = Placement(scheduler="none", cluster="slurm")
    with pytest.raises(BuildError, match="--scheduler and --cluster name different places"):
        executor_of(placement, scratch=Path())


def test_each_placement_has_its_executor() -> None:
    here = executor_of(Placement(scheduler="none"), scratch=Path())
    assert isinstance(here, Here) and here.video_timeout_s == VIDEO_TIMEOUT_S
    here = executor_of(Placement(scheduler="none", video_timeout_s=60.0), scratch=Path())
    assert isinstance(here, Here) and here.video_timeout_s == 60
    local = executor_of(Placement(workers=3, video_timeout_s=60.0), scratch=Path("scratch"))
    assert isinstance(local, LocalDask)
    assert (local.workers, local.video_timeout_s, local.scratch) == (3, 60.0, Path("scratch"))
    running = executor_of(Placement(scheduler="tcp://127.0.0.1:8786"), scratch=Path())
    assert isinstance(running, RunningDask)
    assert (running.address, running.video_timeout_s) == ("tcp://127.0.0.1:8786", VIDEO_TIMEOUT_S)
    assert running.patience_s == math.inf
