"""Flow on workers with a GPU, which Numba's CUDA simulator stands for, while everything else runs elsewhere."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from clusters import SIMULATOR, Cluster, flow_options, payloads_of, wait_for, worker
from commands import in_process
from distributed import Client, Future
from numba import cuda

import ipdata.cli
from ipdata.executors import dask_results, watch
from ipdata.executors.dask_run import ClusterRun
from shards import ShardSet


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
    monkeypatch.setattr(watch, "ASK_S", 0.2)
    monkeypatch.setattr(dask_results, "RESULT_S", 1.0)
    next_done = ClusterRun.next_done

    def then_kill(run: ClusterRun) -> list[Future]:
        """Kill the worker after a task has ended, and before its result is fetched: the result is lost."""
        done = next_done(run)
        gpu_worker.kill()
        wait_for(lambda: len(run.client.nthreads()) == 2)
        return done

    monkeypatch.setattr(ClusterRun, "next_done", then_kill)
    arguments = flow_options(out, scheduler=cluster.address, flow_backend="cuda", columns="flow", wait_workers=2)
    done = CliRunner().invoke(ipdata.cli.main, arguments)
    assert done.exit_code == 1 and "no worker with the resource GPU" in done.output, done.output
    monkeypatch.setattr(ClusterRun, "next_done", next_done)
    cluster.workers.append(worker(tmp_path / "cluster", "--resources", "GPU=1", **SIMULATOR))
    with Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=60)
    assert CliRunner().invoke(ipdata.cli.main, arguments).exit_code == 0
    assert len(payloads_of(out, "flow")) == 6


def test_a_gpu_that_fails_is_no_fault_of_the_videos(tmp_path: Path) -> None:
    """The build stops and names the reason; it counts no video as failed."""
    broken = (
        "import ipdata.kernels.tvl1_cuda as t, ipdata.cli\n"
        "from ipdata.executors import isolated\n"  # a child would not know of the change below
        "isolated.call_in_child = lambda function, *arguments, timeout_s: function(*arguments)\n"
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
