"""Dask clusters of real processes, which tests may share, or have for themselves and kill."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psutil  # comes with Dask
from built_sets import quick_options

from shards import ShardSet

SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}


def start(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + str(arguments[0]), *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env=os.environ | environment,
    )


def worker(folder: Path, *more: str, nanny: bool = False, **environment: str) -> subprocess.Popen[bytes]:
    scheduler = folder / "scheduler.json"
    how = "--nanny" if nanny else "--no-nanny"
    options = ["--nthreads", "1", how, "--no-dashboard", "--local-directory", folder, *more]
    return start("dask_worker", "--scheduler-file", scheduler, *options, **environment)


def wait_for(condition: Callable[[], object], *, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def processes_below(pid: int, words: str) -> list[psutil.Process]:
    """Processes that a process has started, itself or through others, and whose command has these words."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if words in " ".join(process.cmdline()):
                found.append(process)
    return found


class Cluster(NamedTuple):
    """A real scheduler and its workers; a test may add some."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def started_cluster(
    folder: Path, *more: str, workers: int = 2, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Cluster]:
    """A scheduler and some workers of their own processes.

    more: options of both, such as those of TLS. environment: of the scheduler.
    """
    folder.mkdir()
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file, *more]
    no_stealing = {"DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False"}
    scheduler = start("dask_scheduler", *options, **no_stealing, **environment)
    started: list[subprocess.Popen[bytes]] = []
    try:
        wait_for(lambda: _is_written(file))
        started += [worker(folder, *more) for _ in range(workers)]
        yield Cluster(json.loads(file.read_text())["address"], scheduler, started)
    finally:
        for process in [*started, scheduler]:
            process.kill()
            process.wait()


def _is_written(file: Path) -> bool:
    """Whether a scheduler has written its file: it is there, and empty, before."""
    with suppress(FileNotFoundError, ValueError):
        json.loads(file.read_text())
        return True
    return False


def started_build(*arguments: str, settings: str = "") -> subprocess.Popen[bytes]:
    """A build in a process group of its own. settings: Python code that is run before."""
    code = f"from ipdata.executors import dask_results, dask_run, watch\nfrom shards import signals\n{settings}\n"
    command = [sys.executable, "-c", f"{code}import ipdata.cli\nipdata.cli.main()", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def begun_build(out: Path, *arguments: str, settings: str = "") -> subprocess.Popen[bytes]:
    """A build that has done two videos."""
    build = started_build(*arguments, settings=settings)
    log = out / ".build" / "log.jsonl"

    def done_two() -> bool:
        assert build.poll() is None
        return log.exists() and log.read_text().count("\n") >= 2

    wait_for(done_two)
    return build


def flow_options(out: Path, **changes: object) -> list[str]:
    """Arguments of a build with flow, small enough for Numba's CUDA simulator: tiny pictures, few iterations."""
    small = ["transcode.width=32", "transcode.height=16", "flow.scales=1", "flow.warps=1", "flow.outer_iterations=1"]
    small += ["flow.inner_iterations=2", "flow.median_px=1", "synthetic.frames=3"]
    return [*quick_options(out, **changes), *(f"--set={change}" for change in small)]


def payloads_of(out: Path, column: str) -> dict[str, bytes]:
    shard_set = ShardSet(out)
    return {sample.key: shard_set.read_bytes(sample.key, column) for sample in shard_set.samples()}
