"""Builds on a Dask cluster that already runs (--scheduler ADDRESS), also while workers or the scheduler die."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from built_sets import quick_options, tree
from click.testing import CliRunner
from commands import in_process
from distributed import Client, Future, as_completed
from numba import cuda

import ipdata.build
import ipdata.cli
from ipdata.executors import Placement
from ipdata.executors import dask as dask_executor
from ipdata.recipe import Limits, load_recipe
from shards import terminal
from shards.reader import ShardSet
from shards.terminal import interrupts_noted

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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose processes the test may kill, and to which it may add some."""
    with started_cluster(tmp_path / "cluster") as own:
        yield own


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that tests leave as it is."""
    with started_cluster(tmp_path_factory.mktemp("shared") / "cluster") as shared:
        with Client(shared.address) as client:
            client.wait_for_workers(2, timeout=60)
        yield shared


def begun_build(out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A build that has done two videos."""
    command = [sys.executable, "-m", "ipdata.cli", *arguments]
    build = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=out.parent)
    log = out / ".build" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert build.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return build


def test_a_running_scheduler_gives_the_same_bytes_though_a_worker_is_killed(tmp_path: Path, cluster: Cluster) -> None:
    out = tmp_path / "set"
    arguments = quick_options(Path("set"), scheduler=cluster.address)  # relative: the workers run in another directory
    build = begun_build(out, *arguments)
    cluster.workers[0].kill()
    _, errors = build.communicate(timeout=120)
    assert build.returncode == 0, errors

    reference = tmp_path / "reference"
    assert in_process("ipdata.cli", quick_options(reference, scheduler="none")).returncode == 0
    assert tree(out) == tree(reference)


def test_a_scheduler_that_dies_ends_the_build_in_one_line(tmp_path: Path, cluster: Cluster) -> None:
    out = tmp_path / "set"
    build = begun_build(out, *quick_options(out, scheduler=cluster.address, limit_videos=18))
    cluster.scheduler.kill()
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 1 and b"Traceback" not in errors, errors
    assert errors.splitlines()[-1].startswith(b"error: the Dask scheduler is gone; start one, and run this again")


def test_what_an_interrupted_build_had_not_begun_is_never_published(tmp_path: Path, shared_cluster: Cluster) -> None:
    out = tmp_path / "set"
    options = quick_options(out, scheduler=shared_cluster.address, limit_videos=18)
    build = begun_build(out, *options, "--set=shards.videos_per_shard=1")
    build.terminate()
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    published = len(list(out.glob("mv/*.tar")))
    with Client(shared_cluster.address) as client:
        while any(client.processing().values()):
            time.sleep(0.05)
    assert len(list(out.glob("mv/*.tar"))) <= published + len(shared_cluster.workers)  # each may have begun one
    assert published < 18


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_not_lost_in_a_finaliser(number: signal.Signals) -> None:
    """Python drops what is raised in a finaliser. The finaliser of a finished Dask future once swallowed a Ctrl-C."""

    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
        running = as_completed([client.submit(os.getpid)])
        with pytest.raises(KeyboardInterrupt), interrupts_noted() as interrupts:
            Finalised()
            assert len(interrupts) == 1
            dask_executor._next(running, client, interrupts, resources=set())
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_when_all_is_done_is_heeded_and_one_that_is_repeated_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # at once: one interrupt may arrive more than once
        reached.append("the end")
    monkeypatch.setattr(terminal, "PATIENCE_S", 0)
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        signal.raise_signal(signal.SIGTERM)
        reached.append("the repeated one")
        signal.raise_signal(signal.SIGTERM)
        reached.append("beyond it")
    assert reached == ["the end", "the repeated one"]


def test_a_build_may_run_in_any_thread(tmp_path: Path) -> None:
    """A build handles signals only in the main thread; in another thread it leaves them alone."""
    recipe = replace(load_recipe("small", ["synthetic.frames=14"]), limits=Limits(videos=2))
    places = {"source": tmp_path, "splits": None, "draw": None, "out": tmp_path / "set"}
    request = ipdata.build.Request(
        dataset="synthetic", recipe=recipe, columns=("mv", "video"), placement=Placement(workers=1), **places
    )
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ipdata.build.build, request).result(timeout=120).manifest.samples == 2


def test_a_scheduler_without_workers_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    for process in cluster.workers:
        process.kill()
        process.wait()
    time.sleep(1)
    arguments = quick_options(tmp_path / "set", scheduler=cluster.address)
    done = subprocess.run([sys.executable, "-m", "ipdata.cli", *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "has no workers; start some" in done.stderr


def test_two_builds_on_one_scheduler_do_not_mix(tmp_path: Path, shared_cluster: Cluster) -> None:
    """Two builds of the same videos, by two recipes, run at the same time. Each set equals the one built alone."""
    sizes = {"a": "64", "b": "96"}

    def arguments(name: str, scheduler: str) -> list[str]:
        options = quick_options(tmp_path / name, scheduler=scheduler, columns="mv,video")
        return [*options, f"--set=transcode.width={sizes[name[0]]}"]

    command = [sys.executable, "-m", "ipdata.cli"]
    address = shared_cluster.address
    builds = [subprocess.Popen([*command, *arguments(name, address)], stderr=subprocess.DEVNULL) for name in sizes]
    assert [build.wait(timeout=120) for build in builds] == [0, 0]
    for name in sizes:
        assert in_process("ipdata.cli", arguments(f"{name}_alone", "none")).returncode == 0
        assert tree(tmp_path / name) == tree(tmp_path / f"{name}_alone")


def flow_options(out: Path, **changes: object) -> list[str]:
    """Arguments of a build with flow, small enough for Numba's CUDA simulator: tiny pictures, few iterations."""
    small = ["transcode.width=32", "transcode.height=32", "flow.scales=1", "flow.warps=1", "flow.outer_iterations=1"]
    small += ["flow.inner_iterations=2", "flow.median_px=1", "synthetic.frames=4"]
    return [*quick_options(out, **changes), *(f"--set={change}" for change in small)]


def payloads_of(out: Path, column: str) -> dict[str, bytes]:
    shard_set = ShardSet(out)
    return {sample.key: shard_set.read_bytes(sample.key, column) for sample in shard_set.samples()}


def keys_run(address: str) -> dict[bool, set[str]]:
    """Prefixes of the tasks that workers ran: without the resource GPU (False) and with it (True)."""

    def started(dask_worker: Any) -> tuple[bool, set[str]]:
        keys = {str(entry[0]) for entry in dask_worker.state.log if "executing" in entry[1:4]}
        return bool(dask_worker.state.total_resources.get("GPU")), {key.split("-")[0] for key in keys}

    with Client(address) as client:
        found: dict[bool, set[str]] = {False: set(), True: set()}
        for has_gpu, prefixes in client.run(started).values():
            found[has_gpu] |= prefixes
        return found


def test_flow_goes_to_workers_with_a_gpu_and_the_rest_elsewhere(tmp_path: Path, cluster: Cluster) -> None:
    """Only the worker with the resource GPU has one, a simulated one. Its flow equals the flow of the CPU kernel."""
    cluster.workers.append(worker(tmp_path / "cluster", "--resources", "GPU=1", **SIMULATOR))
    with Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=60)
    out, reference = tmp_path / "set", tmp_path / "reference"
    on_gpu = flow_options(out, scheduler=cluster.address, flow_backend="cuda", columns="flow,mv")
    subprocess.run([sys.executable, "-m", "ipdata.cli", *on_gpu], check=True, timeout=200, env=os.environ | SIMULATOR)
    ran = keys_run(cluster.address)
    assert "flow" in ran[True] and "extract" not in ran[True]
    assert "extract" in ran[False] and "flow" not in ran[False]

    alone = flow_options(reference, scheduler="none", columns="flow,mv")
    assert in_process("ipdata.cli", alone).returncode == 0
    for column in ("flow", "mv"):
        assert payloads_of(out, column) == payloads_of(reference, column)
    assert ShardSet(out).manifest.columns["flow"].encoding["backend"] == "cuda"


def test_a_local_cluster_has_one_worker_for_the_gpu(tmp_path: Path) -> None:
    out = tmp_path / "set"
    arguments = flow_options(out, workers=1, flow_backend="cuda", columns="flow", limit_videos=2)
    subprocess.run([sys.executable, "-m", "ipdata.cli", *arguments], check=True, env=os.environ | SIMULATOR)
    assert len(payloads_of(out, "flow")) == 2


def test_flow_on_gpus_without_a_worker_that_has_one_is_refused(tmp_path: Path, shared_cluster: Cluster) -> None:
    arguments = flow_options(tmp_path / "set", scheduler=shared_cluster.address, flow_backend="cuda")
    command = [sys.executable, "-m", "ipdata.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | SIMULATOR)
    assert done.returncode == 1
    assert f"dask worker {shared_cluster.address} --nthreads 1 --resources GPU=1" in done.stderr


@pytest.mark.skipif(cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_a_build_that_needs_one_says_so(tmp_path: Path) -> None:
    for where in ({"scheduler": "none"}, {"workers": 1}):
        arguments = flow_options(tmp_path / "set", flow_backend="cuda", **where)
        done = subprocess.run([sys.executable, "-m", "ipdata.cli", *arguments], capture_output=True, text=True)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "numba-cuda is not installed" in done.stderr or "no CUDA GPU can be used here" in done.stderr
        assert not (tmp_path / "set" / "manifest.json").exists()


def test_a_build_whose_last_worker_with_a_gpu_dies_gives_up_and_can_go_on(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_worker = worker(tmp_path / "cluster", "--resources", "GPU=1", **SIMULATOR)
    cluster.workers.append(gpu_worker)
    with Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=60)
    out = tmp_path / "set"
    monkeypatch.setenv(*next(iter(SIMULATOR.items())))
    monkeypatch.setattr(dask_executor, "WAIT_S", 2.0)
    monkeypatch.setattr(dask_executor, "RESULT_S", 1.0)
    next_done = dask_executor._next

    def then_kill(
        running: as_completed, client: Client, interrupts: terminal.Arrivals, *, resources: set[str]
    ) -> Future:
        """Kill the worker after a task has ended, and before its result is fetched: the result is lost."""
        done = next_done(running, client, interrupts, resources=resources)
        gpu_worker.kill()
        while any(dask_executor._workers(client).values()):
            time.sleep(0.05)
        return done

    monkeypatch.setattr(dask_executor, "_next", then_kill)
    arguments = flow_options(out, scheduler=cluster.address, flow_backend="cuda", columns="flow")
    done = CliRunner().invoke(ipdata.cli.main, arguments)
    assert done.exit_code == 1 and "no worker with the resource GPU" in done.output, done.output
    monkeypatch.setattr(dask_executor, "_next", next_done)
    cluster.workers.append(worker(tmp_path / "cluster", "--resources", "GPU=1", **SIMULATOR))
    with Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=60)
    assert CliRunner().invoke(ipdata.cli.main, arguments).exit_code == 0
    assert len(payloads_of(out, "flow")) == 6


def test_a_gpu_that_fails_is_no_fault_of_the_videos(tmp_path: Path) -> None:
    """The build stops and names the reason; it counts no video as failed."""
    broken = (
        "import ipdata.kernels.tvl1_cuda as t, ipdata.cli\n"
        "def fail(*_): raise RuntimeError('CUDA_ERROR_OUT_OF_MEMORY')\n"
        "t.BatchTVL1._solve = fail\n"
        "ipdata.cli.main()"
    )
    arguments = flow_options(tmp_path / "set", scheduler="none", flow_backend="cuda")
    done = subprocess.run(
        [sys.executable, "-c", broken, *arguments], capture_output=True, text=True, env=os.environ | SIMULATOR
    )
    assert done.returncode == 1 and "the GPU failed (RuntimeError: CUDA_ERROR_OUT_OF_MEMORY)" in done.stderr
    assert not list((tmp_path / "set").rglob("*.tar"))
