"""Builds on a Dask cluster that already runs (--scheduler ADDRESS), also while workers or the scheduler die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from built_sets import quick_options, tree
from clusters import SIMULATOR, Cluster, begun_build, flow_options, started_build, started_cluster
from commands import in_process
from distributed import Client, as_completed

import ipdata.build
from ipdata.executors import Placement
from ipdata.executors.dask_run import ClusterRun
from ipdata.recipe import Limits, load_recipe
from shards.signals import interrupts_noted


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that tests leave as it is."""
    with started_cluster(tmp_path_factory.mktemp("shared") / "cluster") as shared:
        with Client(shared.address) as client:
            client.wait_for_workers(2, timeout=60)
        yield shared


def test_a_running_scheduler_gives_the_same_bytes_though_a_worker_is_killed(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    monkeypatch.chdir(tmp_path)
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
            ClusterRun(client, set(), interrupts, video_timeout_s=60, cure=str, patience_s=60).next_done(running)
    assert signal.getsignal(number) is before


def test_a_build_may_run_in_any_thread(tmp_path: Path) -> None:
    """A build handles signals only in the main thread; in another thread it leaves them alone."""
    recipe = replace(load_recipe("small", ["synthetic.frames=14"]), limits=Limits(videos=2))
    places = {"source": tmp_path, "splits": None, "draw": None, "out": tmp_path / "set"}
    request = ipdata.build.Request(
        dataset="synthetic", recipe=recipe, columns=("mv", "video"), placement=Placement(workers=1), **places
    )
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ipdata.build.build, request).result(timeout=120).manifest.samples == 2


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


def test_flow_on_gpus_without_a_worker_that_has_one_is_refused(
    tmp_path: Path, shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = shared_cluster.address
    arguments = flow_options(tmp_path / "set", scheduler=address, flow_backend="cuda", wait_workers=1)
    monkeypatch.setenv(*next(iter(SIMULATOR.items())))
    _, errors = started_build(*arguments, settings="watch.ASK_S = 0.2").communicate(timeout=60)
    cure = f"start one with `dask worker {address} --nthreads 1 --resources GPU=1`, and run this again"
    assert f"no worker with the resource GPU for 1 s; {cure}" in errors.decode(), errors
