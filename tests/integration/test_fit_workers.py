"""Workers must pass a self-test before they extract: a machine that is not as the driver's adds nothing to a set."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from built_sets import quick_options, tree
from clusters import Cluster, begun_build, start, started_build, started_cluster, wait_for, worker
from commands import in_process
from distributed import Client
from wrapped_ffmpeg import wrapped_ffmpeg

# Run at the start of each Python process of a machine, this makes it another one.
OTHER_JPEG = """
import cv2
encode = cv2.imencode
cv2.imencode = lambda suffix, picture, parameters: encode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 11])
"""
OTHER_OPENCV = "import cv2\ncv2.__version__ = '4.1.0'\n"
NO_PACKAGE = "import sys\nsys.modules['ipdata'] = None\n"


def other_machine(tmp_path: Path, code: str) -> dict[str, str]:
    """Environment of the processes of a machine on which this code runs first."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a cluster with one worker that is as the driver's machine. Tests take away what they add."""
    folder = tmp_path_factory.mktemp("fit") / "cluster"
    with started_cluster(folder, workers=1):
        yield folder


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (OTHER_JPEG, "of the self-test's clip, it makes other bytes than the driver (iframe)"),
        (OTHER_OPENCV, "this worker has {'opencv': '4.1.0'}, but column iframe needs {'opencv': "),
        (
            NO_PACKAGE,
            "cannot run this build (No module named 'ipdata.executors'; "
            "'ipdata' is not a package); install the driver's version",
        ),
    ],
    ids=["bytes", "version", "package"],
)
def test_a_worker_that_is_not_as_the_driver_is_named_before_the_work(
    tmp_path: Path, fit: Path, code: str, said: str
) -> None:
    out, file = tmp_path / "set", fit / "scheduler.json"
    with Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(1, timeout=60)
        (sound,) = client.scheduler_info()["workers"]
        process = worker(fit, **other_machine(tmp_path, code))
        client.wait_for_workers(2, timeout=60)
        (unfit,) = set(client.scheduler_info()["workers"]) - {sound}
        try:
            build = started_build(*quick_options(out, scheduler_file=file, columns="iframe,mv"))
            _, errors = build.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        wait_for(lambda: len(client.scheduler_info()["workers"]) == 1)
    last = errors.decode().splitlines()[-1]
    assert build.returncode == 1 and last.startswith(f"error: worker {unfit} ") and said in last, errors
    assert not (out / ".build" / "log.jsonl").read_bytes()  # of no video
    assert not list(out.glob("*/*.tar"))


def test_a_worker_that_comes_later_and_is_not_fit_is_left_out(tmp_path: Path, cluster: Cluster) -> None:
    out, options = tmp_path / "set", {"columns": "iframe,mv", "limit_videos": 12}
    log, come = out / ".build" / "log.jsonl", tmp_path / "come"
    begun = f"[ $(cat {log} 2>/dev/null | wc -l) -ge 2 ]"  # two videos are done
    waiting = wrapped_ffmpeg(tmp_path, first=f"if {begun}; then until [ -e {come} ]; do sleep 0.1; done; fi")
    build = begun_build(out, *quick_options(out, scheduler=cluster.address, ffmpeg=waiting, **options))
    process = worker(tmp_path / "cluster", **other_machine(tmp_path, OTHER_JPEG))
    try:
        with Client(cluster.address) as client:
            client.wait_for_workers(3, timeout=60)
        come.touch()
        _, errors = build.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    said = [line for line in errors.decode().splitlines() if "it makes other bytes than the driver (iframe)" in line]
    assert build.returncode == 0 and len(said) == 1 and said[0].endswith("; it is left out"), errors
    assert in_process("ipdata.cli", quick_options(tmp_path / "alone", scheduler="none", **options)).returncode == 0
    assert tree(out) == tree(tmp_path / "alone")


def test_the_last_worker_that_is_left_must_be_fit(tmp_path: Path, cluster: Cluster) -> None:
    out = tmp_path / "set"
    options = {"columns": "iframe,mv", "limit_videos": 18}
    build = begun_build(out, *quick_options(out, scheduler=cluster.address, **options))
    process = worker(tmp_path / "cluster", **other_machine(tmp_path, OTHER_JPEG))
    for own in cluster.workers:
        own.kill()  # so that it gets work
    try:
        _, errors = build.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert build.returncode == 1 and "it makes other bytes than the driver (iframe)" in errors.decode(), errors
    for finished in (out, tmp_path / "reference"):
        done = in_process("ipdata.cli", quick_options(finished, scheduler="none", **options))
        assert done.returncode == 0, done.stderr
    assert tree(out) == tree(tmp_path / "reference")


def test_workers_with_other_directories_give_the_same_bytes(tmp_path: Path) -> None:
    """A scheduler and workers that are started by hand, as `dask worker`, each with its own directory and TMPDIR."""
    file = tmp_path / "scheduler.json"
    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)]
    try:
        wait_for(file.exists)
        for name in ("one", "two"):
            folder = tmp_path / name
            (folder / "temporary").mkdir(parents=True)
            options = ["--scheduler-file", file, "--nthreads", "1"]
            processes.append(start("dask_worker", *options, cwd=folder, TMPDIR=str(folder / "temporary")))
        out, options = tmp_path / "set", {"columns": "mv,video", "limit_videos": 4}
        build = started_build(*quick_options(out, scheduler_file=file, **options))
        _, errors = build.communicate(timeout=120)
        assert build.returncode == 0, errors
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=30)
    assert in_process("ipdata.cli", quick_options(tmp_path / "alone", scheduler="none", **options)).returncode == 0
    assert tree(out) == tree(tmp_path / "alone")
