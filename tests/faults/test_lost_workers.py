"""Workers and schedulers that die, are told to end, or freeze in the middle of a build."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from built_sets import quick_options, tree
from clusters import Cluster, begun_build, processes_below, started_build, started_cluster, wait_for, worker
from commands import in_process
from distributed import Client
from distributed import wait as done
from wrapped_ffmpeg import wrapped_ffmpeg

from ipdata.errors import BuildError
from ipdata.executors import dask_results, here
from ipdata.executors.dask_results import Results
from ipdata.steps.extract import Outcome
from ipdata.steps.pack import Packed, ShardTask, pack
from shards import ShardSet

SILENT_S = 5  # instead of a minute; a worker that is starting on a busy machine may be silent for some seconds too
QUICK = f"watch.SILENT_S, watch.ASK_S, dask_results.RESULT_S = {SILENT_S}, 0.2, 1.0"


SLOW = "sleep 0.5"  # for each transcode, so that all workers have work for a while

RELAY = """
import asyncio, sys

async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def serve(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def relayed(cluster: Cluster, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process through which workers of this folder reach the scheduler. While it is frozen, their network is cut."""
    port = cluster.address.rpartition(":")[2]
    with subprocess.Popen([sys.executable, "-c", RELAY, port], stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        address = f"tcp://127.0.0.1:{relay.stdout.readline().strip()}"
        folder.mkdir()
        (folder / "scheduler.json").write_text(json.dumps({"address": address}))
        try:
            yield relay
        finally:
            relay.kill()


def test_what_lost_workers_had_to_do_is_done_by_others(tmp_path: Path) -> None:
    """Five workers are lost at once, each in another way, with work at hand. One other does it all."""

    folder, far_folder = tmp_path / "cluster", tmp_path / "far"
    ready = ("--preload", "ipdata.executors.dask_worker")  # a worker is silent while it imports
    with (
        started_cluster(folder, workers=0) as cluster,
        relayed(cluster, far_folder) as relay,
        Client(cluster.address) as client,
    ):
        lost = {
            "frozen": worker(folder, *ready),
            "cut off": worker(far_folder, *ready),
            "ended": worker(folder, *ready),
            "killed": worker(folder, *ready, nanny=True),
            "without nanny": worker(folder, *ready, nanny=True),
        }
        cluster.workers.extend([worker(folder, *ready), *lost.values()])
        client.wait_for_workers(6, timeout=60)
        pids = {address: psutil.Process(pid) for address, pid in client.run(os.getpid).items()}
        address_of = {
            fate: next(a for a, worker in pids.items() if process.pid in (worker.pid, worker.ppid()))
            for fate, process in lost.items()
        }
        out, reference = tmp_path / "set", tmp_path / "reference"
        options = {"columns": "mv,video", "limit_videos": 18}
        slow = wrapped_ffmpeg(tmp_path, first=SLOW)
        arguments = quick_options(out, scheduler=cluster.address, ffmpeg=slow, **options)
        build = begun_build(out, *arguments, settings=QUICK)
        wait_for(lambda: all(client.processing()[address] for address in address_of.values()))

        lost["frozen"].send_signal(signal.SIGSTOP)
        relay.send_signal(signal.SIGSTOP)
        lost["ended"].terminate()  # as at a walltime: SIGTERM, some time to end, SIGKILL
        pids[address_of["killed"]].kill()
        lost["without nanny"].kill()
        with suppress(subprocess.TimeoutExpired):
            lost["ended"].wait(timeout=1)
        lost["ended"].kill()
        _, errors = build.communicate(timeout=120)

        said = [line for line in errors.decode().splitlines() if line.startswith("worker ")]
        says = f"worker {{}} was silent for {SILENT_S} s and was ended; others do its work"
        assert build.returncode == 0 and b"Traceback" not in errors, errors
        silent = [line for line in said if " silent " in line]
        assert sorted(silent) == sorted(says.format(address_of[fate]) for fate in ("frozen", "cut off")), errors
        gone = {address_of[fate] for fate in ("ended", "killed", "without nanny")}
        words = re.compile(r"worker (\S+) was lost with \d+ tasks of this build; others do them")
        assert {found[1] for line in said if (found := words.fullmatch(line))} == gone, errors
        assert b"workers that were lost with work of this build: 5" in errors, errors
        wait_for(lambda: not pids[address_of["without nanny"]].is_running(), timeout_s=10)
        for process in (lost["frozen"], relay):
            process.send_signal(signal.SIGCONT)
        for fate in ("frozen", "cut off"):  # they find themselves ended
            assert lost[fate].wait(timeout=30) is not None
    assert in_process("ipdata.cli", quick_options(reference, scheduler="none", **options)).returncode == 0
    assert tree(out) == tree(reference)


def test_results_of_others_come_while_a_frozen_worker_holds_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_results, "RESULT_S", 0.5)
    monkeypatch.setattr(dask_results, "LATE_S", 1.0)
    looks = []
    with started_cluster(tmp_path / "cluster", workers=2) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
        pids = client.run(os.getpid)
        frozen, other = sorted(pids)
        held, free = (client.map(abs, range(3), workers=[address], pure=False) for address in (frozen, other))
        done(held + free, timeout=30)
        results = Results(client, lambda: looks.append(time.monotonic()))
        psutil.Process(pids[frozen]).suspend()
        try:
            assert results.of(held + free) == dict(zip(free, range(3), strict=True))
            more = client.map(abs, range(3, 6), workers=[other], pure=False)
            done(more, timeout=30)
            began_s = time.monotonic()
            assert results.of(held + more) == dict(zip(more, range(3, 6), strict=True))
            assert time.monotonic() - began_s < 10  # a short time for each that is late
            assert max(later - earlier for earlier, later in pairwise(looks)) < 2  # Ctrl-C is heard meanwhile
        finally:
            psutil.Process(pids[frozen]).resume()
        wait_for(lambda: results.of(held) == dict(zip(held, range(3), strict=True)))


def test_a_worker_that_wakes_up_after_the_build_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[tuple[ShardTask, Sequence[Outcome]]] = []

    def noted(task: ShardTask, outcomes: Sequence[Outcome]) -> Packed:
        packed.append((task, outcomes))
        return pack(task, outcomes)

    monkeypatch.setattr(here, "pack", noted)
    out = tmp_path / "set"
    assert in_process("ipdata.cli", quick_options(out, scheduler="none", columns="mv,video")).returncode == 0
    before = tree(out)
    with pytest.raises(BuildError, match="cannot be written"):
        pack(*packed[0])
    assert tree(out) == before and "manifest.json" in before


def test_a_frozen_worker_of_a_local_cluster_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "set"
    slow = wrapped_ffmpeg(tmp_path, first=SLOW)
    build = begun_build(out, *quick_options(out, workers=1, columns="mv,video", ffmpeg=slow), settings=QUICK)
    (only,) = processes_below(build.pid, "multiprocessing.spawn")
    only.send_signal(signal.SIGSTOP)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 0 and f"was silent for {SILENT_S} s and was ended".encode() in errors, errors
    assert len(ShardSet(out)) == 6


def test_a_frozen_scheduler_ends_the_build_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "set"
    with started_cluster(tmp_path / "cluster", workers=1) as cluster:
        slow = wrapped_ffmpeg(tmp_path, first=SLOW)
        arguments = quick_options(out, scheduler=cluster.address, columns="mv,video", ffmpeg=slow)
        build = begun_build(out, *arguments, settings=QUICK)
        cluster.scheduler.send_signal(signal.SIGSTOP)
        _, errors = build.communicate(timeout=60)
        says = f"error: the Dask scheduler {cluster.address} has not answered for {SILENT_S} s; end it, start one, and"
        assert build.returncode == 1 and b"Traceback" not in errors, errors
        assert errors.decode().splitlines()[-1].startswith(says), errors
        cluster.scheduler.send_signal(signal.SIGCONT)
        assert in_process("ipdata.cli", arguments).returncode == 0
    assert len(ShardSet(out)) == 6


WORKERS = 2
MOMENTS = {  # of the start of a local cluster: what has been started, and how many of them
    "before the workers": ("resource_tracker", 1),
    "at the first worker": ("multiprocessing.spawn", 1),
    "at the last worker": ("multiprocessing.spawn", WORKERS),
}


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_not_lost_while_a_local_cluster_starts(tmp_path: Path) -> None:
    """As a terminal sends it: to the build and to all processes that it has started."""
    builds = {}
    for moment, (words, count) in MOMENTS.items():
        build = started_build(*quick_options(tmp_path / moment.replace(" ", "_"), workers=WORKERS))
        wait_for(lambda build=build, words=words, count=count: len(processes_below(build.pid, words)) >= count)
        os.killpg(build.pid, signal.SIGINT)
        builds[moment] = build
    for moment, build in builds.items():
        _, errors = build.communicate(timeout=60)
        assert build.returncode == 130 and b"Traceback" not in errors, (moment, errors)
        assert b"interrupted; the same command goes on" in errors.splitlines()[-1], (moment, errors)
    assert not list(tmp_path.glob("*/*/*.tar"))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_start_that_hangs_ends_by_itself_and_soon_after_one_interrupt(tmp_path: Path, interrupted: bool) -> None:
    """A process of the local cluster is frozen while it starts, so the cluster is never up."""
    settings = "from ipdata.executors import dask\ndask.START_S, dask.INTERRUPTED_S = 8.0, 1.0"
    build = started_build(*quick_options(tmp_path / "set", workers=1), settings=settings)
    wait_for(lambda: processes_below(build.pid, "multiprocessing.spawn"))
    (only,) = processes_below(build.pid, "multiprocessing.spawn")
    only.send_signal(signal.SIGSTOP)
    begun_s = time.monotonic()
    if interrupted:
        build.send_signal(signal.SIGTERM)
    try:
        _, errors = build.communicate(timeout=60)
        said = b"interrupted; the same command" if interrupted else b"the local Dask cluster has not started for 8 s"
        assert said in errors and build.returncode == (130 if interrupted else 1), errors
        assert b"Traceback" not in errors and (time.monotonic() - begun_s < 8.0 or not interrupted), errors
        assert not only.is_running()
    finally:
        with suppress(psutil.NoSuchProcess):
            only.kill()


@pytest.mark.usefixtures("interruptible")
def test_a_repeated_interrupt_ends_a_start_that_hangs(tmp_path: Path) -> None:
    """The first one waits until the cluster has started, so that nothing of it is left."""
    build = started_build(*quick_options(tmp_path / "set", workers=1), settings="signals.PATIENCE_S = 0.5")
    wait_for(lambda: processes_below(build.pid, "multiprocessing.spawn"))
    (only,) = processes_below(build.pid, "multiprocessing.spawn")
    only.send_signal(signal.SIGSTOP)
    os.killpg(build.pid, signal.SIGINT)
    time.sleep(0.6)
    os.killpg(build.pid, signal.SIGINT)
    try:
        _, errors = build.communicate(timeout=30)
        assert build.returncode == 130 and b"interrupted; the same command goes on" in errors, errors
        assert not only.is_running()
    finally:
        with suppress(psutil.NoSuchProcess):
            only.kill()
