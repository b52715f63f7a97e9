"""Workers that come late, die by the dozen, or whose child a video crashes: they cost time, not builds."""

import itertools
import json
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from amounts import FIGURE, FULL
from built_sets import quick_options, tree
from clusters import Cluster, started_build, started_cluster, wait_for, worker
from commands import in_process
from distributed import Client, Scheduler
from moving import moving_luma, write_y4m
from wrapped_ffmpeg import wrapped_ffmpeg

from ipdata.executors.address import address_in
from shards import ShardSet

ONE_DEATH_IS_ENOUGH = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}  # for Dask to give up a task; it is 3
QUICK = "watch.ASK_S = 0.2"
# The worker is the parent of the guard, which is the parent of the child that runs this.
WORKER = "$(cut -d' ' -f4 /proc/$(cut -d' ' -f4 /proc/$PPID/stat)/stat)"
CRASHES_ITS_CHILD = f"echo {WORKER} >> {{}}; kill -SEGV $PPID"
KILLS_ITS_WORKER = (
    f"grep -q dask_worker /proc/{WORKER}/cmdline && kill -KILL {WORKER}"  # not the driver, in its self-test
)
KILLS = 40 if FULL else 6
CLASSES = 3  # of quick_options
VIDEOS = CLASSES * KILLS


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without workers whose scheduler gives up a task at the first death of a worker."""
    with started_cluster(tmp_path / "cluster", workers=0, environment=ONE_DEATH_IS_ENOUGH) as cluster:
        yield cluster


def test_a_build_waits_for_workers_that_come_late_and_says_so(tmp_path: Path) -> None:
    """As where jobs queue: first there is no file of the scheduler, then no worker."""
    file, out = tmp_path / "cluster" / "scheduler.json", tmp_path / "set"
    settings = f"{QUICK}\nwatch.SAY_S = 0.3"
    build = started_build(*quick_options(out, scheduler_file=file, limit_videos=2), settings=settings)
    assert build.stderr is not None
    assert f"{file} is not there: waiting for a scheduler that writes it" in build.stderr.readline().decode()
    with started_cluster(tmp_path / "cluster", workers=0) as cluster:
        first = next(line.decode() for line in build.stderr if b"no worker" in line)
        cure = f"start one with `dask worker {cluster.address} --nthreads 1`"
        assert first == f"the cluster has no worker at all: waiting for one; {cure}\n"
        assert b"the cluster has had no worker at all for " in build.stderr.readline()
        cluster.workers.append(worker(tmp_path / "cluster"))
        _, errors = build.communicate(timeout=120)
    assert build.returncode == 0 and len(ShardSet(out)) == 2, errors


def test_a_build_gives_up_waiting_when_it_is_told_to(tmp_path: Path, impatient: Cluster) -> None:
    out, file = tmp_path / "set", tmp_path / "no" / "scheduler.json"
    _, errors = started_build(*quick_options(out, scheduler_file=file, wait_workers=0.2)).communicate(timeout=60)
    cure = f"start one with `dask scheduler --scheduler-file {file}`"
    said = f"error: {file}: no scheduler has written its address there for 0.2 s; {cure}"
    assert errors.decode().splitlines()[-1] == said
    arguments = quick_options(out, scheduler=impatient.address, wait_workers=1)
    _, errors = started_build(*arguments, settings=QUICK).communicate(timeout=60)
    cure = f"start one with `dask worker {impatient.address} --nthreads 1`, and run this again: what is done is kept"
    assert errors.decode().splitlines()[-1] == f"error: the cluster has had no worker at all for 1 s; {cure}"


@pytest.mark.parametrize("written", ["", "[]", json.dumps({"address": 3}), "[" * 100_000])
def test_a_file_that_names_no_scheduler_is_one_line(tmp_path: Path, written: str) -> None:
    (tmp_path / "scheduler.json").write_text(written)
    done = in_process("ipdata.cli", quick_options(tmp_path / "set", scheduler_file=tmp_path / "scheduler.json"))
    assert done.returncode == 1 and "has no address of a scheduler" in done.stderr.splitlines()[-1], done.stderr


def test_a_file_that_a_scheduler_is_writing_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.touch()
    writing = threading.Timer(0.5, file.write_text, ['{"address": "tcp://127.0.0.1:8786"}'])
    writing.start()
    assert address_in(file, patience_s=0) == "tcp://127.0.0.1:8786"
    writing.join()


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_workers_that_die_by_the_dozen_cost_no_video(
    tmp_path: Path, impatient: Cluster, record_property: Callable[[str, object], None]
) -> None:
    """One worker at a time is killed, at any moment, and replaced. Dask gives up a task at each death."""
    out, reference = tmp_path / "set", tmp_path / "reference"
    options = {"columns": "mv,video", "limit_videos": VIDEOS, "set": f"synthetic.videos_per_class={VIDEOS // CLASSES}"}
    own = [worker(tmp_path / "cluster") for _ in range(2)]
    build = started_build(*quick_options(out, scheduler=impatient.address, **options), settings=QUICK)
    log, deaths = out / ".build" / "log.jsonl", 0
    with Client(impatient.address) as client:
        for number in itertools.count():
            if build.poll() is not None or deaths == KILLS:
                break
            done = log.read_text().count("\n") if log.exists() else 0
            wait_for(
                lambda done=done: build.poll() is not None or (log.exists() and log.read_text().count("\n") > done)
            )
            own[number % 2].kill()
            deaths += build.poll() is None
            own[number % 2] = worker(tmp_path / "cluster")
            wait_for(lambda: build.poll() is not None or len(client.scheduler_info()["workers"]) >= 1)
    impatient.workers.extend(own)
    _, errors = build.communicate(timeout=300)
    assert build.returncode == 0 and b"Traceback" not in errors, errors
    lost = re.search(rb"workers that were lost with work of this build: (\d+)", errors)
    assert deaths >= KILLS / 2 and lost is not None and 1 <= int(lost[1]) <= deaths + 2, (deaths, errors)
    assert re.search(rb"worker \S+ was lost with \d+ tasks of this build; others do them", errors), errors
    assert in_process("ipdata.cli", quick_options(reference, scheduler="none", **options)).returncode == 0
    assert tree(out) == tree(reference) and len(ShardSet(out)) == VIDEOS
    record_property(FIGURE, f"{deaths} workers killed, one after another, in a build of {VIDEOS} videos")


def test_a_build_gives_up_when_workers_die_and_nothing_is_done(tmp_path: Path, impatient: Cluster) -> None:
    """Each worker is killed by the video that it extracts."""
    ffmpeg = wrapped_ffmpeg(tmp_path, first=KILLS_ITS_WORKER)
    arguments = quick_options(tmp_path / "set", scheduler=impatient.address, ffmpeg=ffmpeg, video_timeout_s=2)
    build = started_build(*arguments, settings=f"{QUICK}\ndask_run.GIVE_UP_S = 2")
    while build.poll() is None:
        only = worker(tmp_path / "cluster")
        wait_for(lambda only=only: build.poll() is not None or only.poll() is not None)
        only.kill()
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 1 and b"Traceback" not in errors, errors
    last = errors.decode().splitlines()[-1]
    assert last.startswith("error: no video was done for ") and "while workers died" in last, errors
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_a_video_that_crashes_fails_after_a_second_try_on_another_worker(tmp_path: Path) -> None:
    folder, workers = tmp_path / "videos" / "any", tmp_path / "workers"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c")):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0), seed=seed))
    ffmpeg = wrapped_ffmpeg(tmp_path, first=CRASHES_ITS_CHILD.format(workers), of="b.y4m")
    arguments = ["build", "--dataset=folder", f"--source={folder.parent}", f"--out={tmp_path / 'set'}", "--columns=mv"]
    with started_cluster(tmp_path / "cluster") as cluster:
        with Client(cluster.address) as client:
            client.wait_for_workers(2, timeout=60)
        done = in_process("ipdata.cli", [*arguments, f"--ffmpeg={ffmpeg}", f"--scheduler={cluster.address}"])
    assert done.returncode == 3, done.stderr
    assert "any/b.y4m: crash (worker)" in done.stdout and "the second time with SIGSEGV" in done.stdout, done.stdout
    tried = [int(line) for line in workers.read_text().split()]
    assert sorted(tried) == sorted(process.pid for process in cluster.workers)
    assert sorted(sample.name for sample in ShardSet(tmp_path / "set").samples()) == ["any/a.y4m", "any/c.y4m"]


def test_a_scheduler_that_is_frozen_before_the_build_connects_is_one_line(tmp_path: Path) -> None:
    with started_cluster(tmp_path / "cluster", workers=0) as cluster:
        cluster.scheduler.send_signal(signal.SIGSTOP)
        settings = "from ipdata.executors import dask\ndask.CONNECT_S, dask.HANDSHAKE_S = 2.0, 1.0"
        build = started_build(*quick_options(tmp_path / "set", scheduler=cluster.address), settings=settings)
        _, errors = build.communicate(timeout=60)
        cluster.scheduler.send_signal(signal.SIGCONT)
    assert build.returncode == 1 and b"Traceback" not in errors, errors
    assert b"no Dask scheduler answers there (" in errors.splitlines()[-1], errors


def test_a_scheduler_that_dies_during_the_self_test_is_one_line(tmp_path: Path) -> None:
    """The worker is frozen, so the self-test goes on."""

    def is_testing(dask_scheduler: Scheduler) -> bool:
        return any(str(key).startswith("self-test") for key in dask_scheduler.tasks)

    with started_cluster(tmp_path / "cluster", workers=0) as cluster:
        only = worker(tmp_path / "cluster", "--no-nanny")
        cluster.workers.append(only)
        with Client(cluster.address) as client:
            client.wait_for_workers(1)
            only.send_signal(signal.SIGSTOP)
            build = started_build(*quick_options(tmp_path / "set", scheduler=cluster.address))
            wait_for(lambda: client.run_on_scheduler(is_testing))
        cluster.scheduler.kill()
        _, errors = build.communicate(timeout=60)
        only.send_signal(signal.SIGCONT)
    assert build.returncode == 1 and b"Traceback" not in errors, errors
    assert b"error: the Dask scheduler is gone; start one, and run this again" in errors.splitlines()[-1], errors


def test_a_worker_that_dask_has_paused_is_waited_for_and_the_cause_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes more than the share of its memory limit at which Dask gives it nothing more to do."""
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE", "0.05")
    with started_cluster(tmp_path / "cluster", workers=0) as cluster:
        cluster.workers.append(worker(tmp_path / "cluster", "--no-nanny", "--memory-limit", "1GiB"))
        with Client(cluster.address) as client:
            wait_for(lambda: "paused" in [found["status"] for found in client.scheduler_info()["workers"].values()])
        done = in_process("ipdata.cli", quick_options(tmp_path / "set", scheduler=cluster.address, wait_workers=1))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: the cluster has had no worker that takes work for 1 s; Dask has paused all of them")


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n" * 4, "a web server does, such as the dashboard of a scheduler"),
        (bytes(range(256)) * 4, ""),
        (b"\xff" * 64, "something else does"),
    ],
    ids=["http", "any", "a length of exbibytes"],
)
def test_a_port_of_something_else_is_one_line(tmp_path: Path, answer: bytes, what: str) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.sendall(answer)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    settings = "from ipdata.executors import dask\ndask.CONNECT_S, dask.HANDSHAKE_S = 2.0, 1.0"
    build = started_build(*quick_options(tmp_path / "set", scheduler=address), settings=settings)
    _, errors = build.communicate(timeout=60)
    server.close()
    assert build.returncode == 1 and b"Traceback" not in errors, errors
    assert f"error: --scheduler {address}: no Dask scheduler answers there ({what}" in errors.decode().splitlines()[-1]
