"""A Dask cluster that is already running: --scheduler ADDRESS, and a worker that is killed in the middle."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from built_sets import quick_options, tree


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + str(arguments[0]), *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def worker(folder: Path) -> subprocess.Popen[bytes]:
    scheduler = folder / "scheduler.json"
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", folder]
    return start("dask_worker", "--scheduler-file", scheduler, *options)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a real scheduler, and its two worker processes."""
    import json

    folder = tmp_path / "cluster"
    folder.mkdir()
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    scheduler = start("dask_scheduler", *options)
    deadline = time.monotonic() + 60
    while not file.exists():
        assert scheduler.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    workers = [worker(folder), worker(folder)]
    yield json.loads(file.read_text())["address"], workers
    for process in [*workers, scheduler]:
        process.kill()
        process.wait()


def test_a_running_scheduler_gives_the_same_bytes_though_a_worker_is_killed(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = cluster
    out = tmp_path / "set"
    arguments = quick_options(Path("set"), scheduler=address)  # relative: the workers stand elsewhere
    build = subprocess.Popen([sys.executable, "-m", "ipdata.cli", *arguments], stderr=subprocess.PIPE, cwd=tmp_path)
    log = out / ".build" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert build.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers[0].kill()
    _, errors = build.communicate(timeout=120)
    assert build.returncode == 0, errors

    reference = tmp_path / "reference"
    subprocess.run([sys.executable, "-m", "ipdata.cli", *quick_options(reference, scheduler="none")], check=True)
    assert tree(out) == tree(reference)


def test_a_scheduler_without_workers_is_refused(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = cluster
    for process in workers:
        process.kill()
        process.wait()
    time.sleep(1)
    arguments = quick_options(tmp_path / "set", scheduler=address)
    done = subprocess.run([sys.executable, "-m", "ipdata.cli", *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "has no workers; start some" in done.stderr


def test_two_builds_on_one_scheduler_do_not_mix(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    """The same videos by two recipes at the same time: each set is what it would be alone."""
    address, _ = cluster
    sizes = {"a": "64", "b": "96"}

    def arguments(name: str, scheduler: str) -> list[str]:
        options = quick_options(tmp_path / name, scheduler=scheduler, columns="mv,video")
        return [sys.executable, "-m", "ipdata.cli", *options, f"--set=transcode.width={sizes[name[0]]}"]

    builds = [subprocess.Popen(arguments(name, address), stderr=subprocess.DEVNULL) for name in sizes]
    assert [build.wait(timeout=120) for build in builds] == [0, 0]
    for name in sizes:
        subprocess.run(arguments(f"{name}_alone", "none"), check=True, capture_output=True)
        assert tree(tmp_path / name) == tree(tmp_path / f"{name}_alone")
