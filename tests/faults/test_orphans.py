"""No process and no temporary file outlives a build, however it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from children import MARK, OWN, marked, wait_for_none
from commands import as_process, in_process, words
from moving import moving_luma, write_y4m
from wrapped_ffmpeg import DETACHES_AND_HANGS, wrapped_ffmpeg

from ipdata.errors import BuildError
from ipdata.executors.isolated import end_child
from ipdata.steps.scratch import PREFIX, remove_abandoned, scratch_dir
from ipdata.video import transcode
from shards import ShardSet

Driver = subprocess.Popen[bytes]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A build of two videos. ffmpeg hangs at one of them, and so does a process that it has detached."""
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for name in ("good", "bad"):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0)))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)  # so that this process looks at $TMPDIR again
    monkeypatch.setenv(MARK, OWN)
    ffmpeg = wrapped_ffmpeg(tmp_path, first=DETACHES_AND_HANGS, of="bad")
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "columns": "mv"}
    return [sys.executable, "-m", "ipdata.cli", *words("build", ffmpeg=ffmpeg, **options)]


def started(command: list[str]) -> Driver:
    """A build that hangs at its bad video."""
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    deadline_s = time.monotonic() + 60
    while sum("sleep" in process for process in marked(OWN).values()) < 2:
        assert time.monotonic() < deadline_s and driver.poll() is None
        time.sleep(0.05)
    return driver


def test_a_hanging_ffmpeg_costs_only_its_video(command: list[str], tmp_path: Path) -> None:
    """Also without a cluster."""
    done = subprocess.run([*command, "--scheduler=none", "--video-timeout-s=3"], capture_output=True, text=True)
    assert done.returncode == 3 and "any/bad.y4m: timeout (worker)" in done.stdout, done.stderr
    assert [sample.name for sample in ShardSet(tmp_path / "set").samples()] == ["any/good.y4m"]
    assert marked(OWN) == {} and list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("prints", "within_s", "reason"),
    [
        ("sleep 3600", 0.5, "timed out after 0.5 seconds"),
        ("yes | head -c 50000000", 30, "prints more than 65536 bytes"),
    ],
)
def test_an_ffmpeg_that_states_no_version_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, within_s: float, reason: str
) -> None:
    monkeypatch.setenv(MARK, OWN)
    monkeypatch.setattr(transcode, "VERSION_S", within_s)
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f"#!/bin/sh\nsleep 3600 &\n{prints}\nwait\n")
    ffmpeg.chmod(0o755)
    with pytest.raises(BuildError, match=f"{ffmpeg} does not run as ffmpeg .*{reason}.; name another with --ffmpeg"):
        transcode.version(str(ffmpeg))
    wait_for_none(OWN, within_s=5)


def test_a_proof_goes_on_without_a_video_at_which_ffmpeg_hangs(command: list[str], tmp_path: Path) -> None:
    sound = [word for word in command[3:] if not word.startswith("--ffmpeg=")]
    assert in_process("ipdata.cli", [*sound, "--scheduler=none"]).returncode == 0
    end_child()
    options = [f"--source={tmp_path / 'videos'}", f"--ffmpeg={tmp_path / 'ffmpeg'}", "--video-timeout-s=3"]
    done = as_process("ipdata.cli", ["prove", str(tmp_path / "set"), *options])
    assert done.returncode == 3 and "mv        DIFFERS in 1 of 2\n" in done.stdout, done.stderr
    assert ": any/bad.y4m: timeout (worker)" in done.stdout, done.stdout
    assert marked(OWN) == {} and list((tmp_path / "scratch").iterdir()) == []


def test_an_ffmpeg_that_writes_for_ever_costs_only_its_video(command: list[str], tmp_path: Path) -> None:
    wrapped_ffmpeg(tmp_path, first="exec yes", of="bad")
    done = subprocess.run([*command, "--scheduler=none"], capture_output=True, text=True)
    assert done.returncode == 3 and "any/bad.y4m: transcode_failed (transcode)" in done.stdout, done.stderr
    assert "ffmpeg writes more than" in (tmp_path / "set/.build/report.json").read_text()
    assert [sample.name for sample in ShardSet(tmp_path / "set").samples()] == ["any/good.y4m"]
    assert marked(OWN) == {} and list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("end", "where"),
    [
        pytest.param(lambda driver: os.killpg(driver.pid, signal.SIGINT), "--scheduler=none", id="ctrl-c"),
        pytest.param(lambda driver: driver.terminate(), "--scheduler=none", id="kill"),
        pytest.param(lambda driver: driver.terminate(), "--workers=1", id="kill-cluster"),
    ],
)
def test_interrupted(command: list[str], tmp_path: Path, end: Callable[[Driver], None], where: str) -> None:
    driver = started([*command, where])
    end(driver)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130 and errors.splitlines()[-1].startswith(b"interrupted"), errors
    wait_for_none(OWN)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("where", ["--scheduler=none", "--workers=1"], ids=["no cluster", "cluster"])
def test_killed(command: list[str], tmp_path: Path, where: str) -> None:
    driver = started([*command, where])
    driver.kill()
    driver.communicate()
    wait_for_none(OWN)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_all_killed_processes_have_left_is_removed_by_the_next_build(command: list[str], tmp_path: Path) -> None:
    driver = started([*command, "--scheduler=none"])
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: the guard would tidy up after the driver
        for process in sorted(marked(OWN), reverse=True):  # the driver last, whose death wakes the guard
            os.kill(process, number)
    driver.communicate()
    wait_for_none(OWN)
    scratch = tmp_path / "scratch"
    (left,) = scratch.glob(f"{PREFIX}*")
    mine = scratch / "ipdata-results"
    mine.mkdir()
    command.remove(f"--ffmpeg={tmp_path / 'ffmpeg'}")  # and so the usual one
    with scratch_dir() as living:
        assert living.parent == scratch
        subprocess.run([*command, "--scheduler=none"], check=True, capture_output=True)
        assert set(scratch.glob("ipdata-*")) == {living, mine} and left != living


def test_only_abandoned_directories_of_this_user_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_dir() as living:
        dead = Path(shutil.copytree(living, tmp_path / f"{PREFIX}dead"))
        unfinished = tmp_path / f"{PREFIX}unfinished"  # its owner was killed before it made the lock
        unfinished.mkdir()
        without_lock = tmp_path / f"{PREFIX}results"
        without_lock.mkdir()
        (without_lock / "thesis.tex").touch()
        link = tmp_path / f"{PREFIX}link"
        link.symlink_to(dead)
        monkeypatch.setattr(os, "geteuid", lambda: dead.stat().st_uid + 1)
        remove_abandoned()
        assert dead.exists() and unfinished.exists()
        monkeypatch.undo()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        remove_abandoned()
        assert set(tmp_path.iterdir()) == {living, without_lock, link}
    assert not living.exists()
