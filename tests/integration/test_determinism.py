"""Equal inputs give equal bytes: with 1 or 2 workers, without a cluster, interrupted, column after column.

Builds that are killed: tests/faults/test_killed_builds.py. Other environments: tests/faults/test_environments.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from built_sets import quick_options, tree
from commands import as_process, in_process, needs_process

from shards.verify import verify


def build(out: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A build that succeeds: in a process of its own if it starts a cluster, otherwise in this one."""
    command = quick_options(out, **options)
    done = as_process("ipdata.cli", command) if needs_process(command) else in_process("ipdata.cli", command)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of the set that one process builds, without Dask."""
    out = tmp_path_factory.mktemp("reference") / "set"
    done = as_process("ipdata.cli", quick_options(out, scheduler="none"))
    assert done.returncode == 0, done.stderr
    hashes = tree(out)
    assert len([name for name in hashes if name.endswith(".tar")]) == 3 * 5
    return hashes


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers(tmp_path: Path, reference: dict[str, str], workers: int) -> None:
    build(tmp_path / "set", workers=workers)
    assert tree(tmp_path / "set") == reference


def test_a_second_run_changes_nothing_and_extracts_nothing(tmp_path: Path, reference: dict[str, str]) -> None:
    build(tmp_path / "set", scheduler="none")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").glob("*/*.tar")}
    again = build(tmp_path / "set", workers=1)
    assert "0 to extract" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert tree(tmp_path / "set") == reference


def start(out: Path, **options: object) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "ipdata.cli", *quick_options(out, **options)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(out: Path, pattern: str, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob(pattern))) < count and process.poll() is None:
        assert time.monotonic() < deadline, f"no {count} of {pattern} within a minute"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def long_reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of a set that takes long enough to be interrupted."""
    out = tmp_path_factory.mktemp("long_reference") / "set"
    build(out, scheduler="none", limit_videos=18)
    return tree(out)


# Ctrl-C reaches all processes of a terminal, and so does a batch scheduler's SIGTERM; `kill` reaches the driver only.
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda driver: os.killpg(driver.pid, signal.SIGINT), id="ctrl-c"),
        pytest.param(lambda driver: os.killpg(driver.pid, signal.SIGTERM), id="batch-scheduler"),
        pytest.param(lambda driver: driver.terminate(), id="kill"),
    ],
)
def test_interrupted_it_says_so_in_one_line_and_the_next_run_goes_on(
    tmp_path: Path, long_reference: dict[str, str], end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    out = tmp_path / "set"
    arguments = [sys.executable, "-m", "ipdata.cli", *quick_options(out, workers=2, limit_videos=18)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, start_new_session=True)
    log = out / ".build" / "log.jsonl"
    while not (log.exists() and log.read_bytes()):  # no video is done
        assert process.poll() is None
        time.sleep(0.005)
    end(process)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    _, *progress, last = errors.partition(b"Dask dashboard")[2].splitlines()
    assert last.startswith(b"interrupted; the same command goes on"), errors
    assert all(b"/18 videos" in line for line in progress), errors
    assert len(list(out.glob("mv/*.tar"))) < 9  # it did not go on to the end first
    build(out, scheduler="none", limit_videos=18)
    assert tree(out) == long_reference


def test_columns_added_later_give_the_same_set(tmp_path: Path, reference: dict[str, str]) -> None:
    out = tmp_path / "set"
    build(out, scheduler="none", columns="mv,video")
    assert list(verify(out)) == []
    build(out, scheduler="none", columns="iframe,residual,flow")
    assert tree(out) == reference
    again = build(out, scheduler="none", columns="mv")  # asks for fewer columns: nothing is lost
    assert "0 to extract" in again.stderr and tree(out) == reference


def test_a_damaged_shard_is_built_again(tmp_path: Path, reference: dict[str, str]) -> None:
    out = tmp_path / "set"
    build(out, scheduler="none")
    tar = out / "mv" / "00001.tar"
    damaged = bytearray(tar.read_bytes())
    damaged[700] ^= 1  # in the record beside a payload: the payloads of this shard are sound
    tar.write_bytes(damaged)
    (out / "flow" / "00002.tar").unlink()
    (out / "samples" / "00002.jsonl").write_bytes(b'{"torn')
    again = build(out, scheduler="none")
    assert "2 to extract, 2 to copy" in again.stderr
    assert tree(out) == reference


@pytest.mark.parametrize("content", ['{"sources":[]}', '{"columns":["rgb"]}', "[]", "null", "7", '"', '{"info":{}}'])
def test_a_damaged_receipt_counts_for_nothing(tmp_path: Path, content: str) -> None:
    out = tmp_path / "set"
    build(out, scheduler="none", columns="mv,video")
    receipt = out / ".build" / "receipts" / "00000.json"
    before, whole = tree(out), json.loads(receipt.read_text())
    receipt.write_text(json.dumps({**whole, **json.loads(content)}) if content.startswith("{") else content)
    again = build(out, scheduler="none", columns="mv,video")
    assert "2 to extract" in again.stderr and tree(out) == before


def test_two_builds_at_once_are_refused(tmp_path: Path, reference: dict[str, str]) -> None:
    out = tmp_path / "set"
    first = start(out, scheduler="none")
    wait_for(out, ".build/identity.json", 1, first)
    first.send_signal(signal.SIGSTOP)  # otherwise it may have ended before the second one looks
    second = subprocess.run(
        [sys.executable, "-m", "ipdata.cli", *quick_options(out, scheduler="none")], capture_output=True, text=True
    )
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1 and "another build is writing to it" in second.stderr
    assert first.wait() == 0
    assert tree(out) == reference
