"""Dask clusters of real processes, which tests may share, or have for themselves and kill."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from built_sets import quick_options

from shards import ShardSet

SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + str(arguments[0]), *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )


def worker(folder: Path, *more: str, **environment: str) -> subprocess.Popen[bytes]:
    scheduler = folder / "scheduler.json"
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", folder, *more]
    return start("dask_worker", "--scheduler-file", scheduler, *options, **environment)


class Cluster(NamedTuple):
    """A real scheduler and its workers; a test may add some."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def started_cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two workers of their own processes."""
    folder.mkdir()
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    scheduler = start("dask_scheduler", *options, DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING="False")
    deadline = time.monotonic() + 60
    while not file.exists():
        assert scheduler.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    workers = [worker(folder), worker(folder)]
    try:
        yield Cluster(json.loads(file.read_text())["address"], scheduler, workers)
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def flow_options(out: Path, **changes: object) -> list[str]:
    """Arguments of a build with flow, small enough for Numba's CUDA simulator: tiny pictures, few iterations."""
    small = ["transcode.width=32", "transcode.height=16", "flow.scales=1", "flow.warps=1", "flow.outer_iterations=1"]
    small += ["flow.inner_iterations=2", "flow.median_px=1", "synthetic.frames=3"]
    return [*quick_options(out, **changes), *(f"--set={change}" for change in small)]


def payloads_of(out: Path, column: str) -> dict[str, bytes]:
    shard_set = ShardSet(out)
    return {sample.key: shard_set.read_bytes(sample.key, column) for sample in shard_set.samples()}
