"""A fault of this machine stops a build in one line. It fails no video and drops no published sample."""

import errno
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from built_sets import SMALL, tree
from commands import words
from conftest import Run
from moving import moving_luma, write_y4m
from wrapped_ffmpeg import DETACHES_AND_HANGS, IS_KILLED, wrapped_ffmpeg

from ipdata.executors.base import Event, Executor, summary
from ipdata.steps import source
from ipdata.steps.extract import failed
from ipdata.steps.pack import ShardTask
from shards import ShardSet
from shards.failures import Failure

ONE_SHARD = "--set=shards.max_split_groups=1"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with three videos."""
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for name in ("a", "b", "c"):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0), seed=ord(name)))
    return tmp_path / "videos"


@pytest.fixture
def built(ipdata: Run, videos: Path, tmp_path: Path) -> Path:
    """A set of these videos with one column."""
    out = tmp_path / "set"
    done = ipdata("build", ONE_SHARD, dataset="folder", source=videos, out=out, columns="mv", scheduler="none")
    assert done.returncode == 0, done.stderr
    return out


def drop_failed(videos: Path, out: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Add a column, and leave out published samples whose videos fail."""
    options |= {"dataset": "folder", "source": videos, "out": out, "columns": "mv,video"}
    command = [sys.executable, "-m", "ipdata.cli", *words("build", "--drop-failed", ONE_SHARD, **options)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("where", [{"scheduler": "none"}, {"workers": 1}], ids=["no cluster", "cluster"])
def test_a_temporary_directory_that_vanishes_stops_the_build(
    videos: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: dict[str, object]
) -> None:
    before, scratch = tree(built), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    ffmpeg = wrapped_ffmpeg(tmp_path, first=f"rm -rf {scratch}")
    done = drop_failed(videos, built, ffmpeg=ffmpeg, **where)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert f"cannot be extracted here: [Errno {errno.ENOENT}] No such file or directory: '{scratch}" in done.stderr
    assert tree(built) == before


def test_no_sample_is_dropped_for_a_hang(videos: Path, built: Path, tmp_path: Path) -> None:
    before = tree(built)
    ffmpeg = wrapped_ffmpeg(tmp_path, first=DETACHES_AND_HANGS, of="b.y4m")
    done = drop_failed(videos, built, ffmpeg=ffmpeg, scheduler="none", video_timeout_s=2)
    assert done.returncode == 1 and "any/b.y4m: timeout (worker)" in done.stderr, done.stderr
    assert "No sample is dropped for a failure of stage worker" in done.stderr
    assert (
        "leave these samples out with --drop-failed" not in done.stderr
        and "--video-timeout-s gives more time" in done.stderr
    )
    assert tree(built) == before


def test_no_sample_is_dropped_for_a_disk_that_cannot_be_read(
    ipdata: Run, videos: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = tree(built), source.sha256_file

    def failing(path: Path) -> str:
        if path.name == "b.y4m":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    monkeypatch.setattr(source, "sha256_file", failing)
    options = {"dataset": "folder", "source": videos, "out": built, "scheduler": "none", "columns": "mv,video"}
    done = ipdata("build", "--drop-failed", ONE_SHARD, **options)
    assert done.returncode == 1 and "has a sample of any/b.y4m, which cannot be read now" in done.stderr, done.stderr
    assert "Input/output error" in done.stderr and "drops no sample" in done.stderr
    assert tree(built) == before


@pytest.mark.parametrize(
    ("stage", "code", "is_of_the_video"),
    [
        ("source", "truncated", True),
        ("transcode", "transcode_failed", True),
        ("source", "changed", False),
        ("source", "unreadable", False),
        ("worker", "crash", False),
        ("worker", "error", False),
    ],
)
def test_only_what_is_certainly_the_videos_fault_may_drop_a_sample(
    stage: str, code: str, is_of_the_video: bool
) -> None:
    assert Failure(key="a-00000000", name="a", stage=stage, code=code).is_of_the_video == is_of_the_video


class Blind(Executor):
    """Runs on a machine that lacks the sources."""

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        for video in tasks[0].videos:
            yield summary(failed(video, "source", "unreadable", "[Errno 2] No such file or directory"))


def test_a_worker_that_lacks_the_sources_fails_no_video(
    ipdata: Run, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdata.build.executor_of", lambda *_, **__: Blind())
    done = ipdata("build", dataset="folder", source=videos, out=tmp_path / "set", columns="mv", scheduler="none")
    assert done.returncode == 1 and "could not be read where it was extracted: [Errno 2] No such file" in done.stderr
    assert "workers need the same files at the same paths" in done.stderr


def test_an_ffmpeg_that_is_killed_stops_the_build(videos: Path, tmp_path: Path) -> None:
    ffmpeg = wrapped_ffmpeg(tmp_path, first=IS_KILLED, of="b.y4m")
    command = words("build", dataset="folder", source=videos, out=tmp_path / "set", columns="mv", scheduler="none")
    killed = subprocess.run([sys.executable, "-m", "ipdata.cli", *command, f"--ffmpeg={ffmpeg}"], capture_output=True)
    assert killed.returncode == 1 and b"b.y4m: ffmpeg was killed twice (SIGKILL)" in killed.stderr, killed.stderr
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_an_ffmpeg_that_is_killed_once_costs_nothing(ipdata: Run, videos: Path, tmp_path: Path) -> None:
    once = tmp_path / "once"
    ffmpeg = wrapped_ffmpeg(tmp_path, first=f"test -e {once} || {{ touch {once}; {IS_KILLED}; }}")
    options = {"dataset": "folder", "source": videos, "out": tmp_path / "set", "columns": "mv", "scheduler": "none"}
    done = ipdata("build", ffmpeg=ffmpeg, **options)
    assert done.returncode == 0, done.stderr
    assert once.exists() and len(list(ShardSet(tmp_path / "set").samples())) == 3


def test_the_manifest_is_gone_for_good_before_a_shard_changes(
    ipdata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in between must not leave the old manifest beside new shards."""
    out, manifest, calls = tmp_path / "set", tmp_path / "set" / "manifest.json", list[str]()
    options = {"dataset": "synthetic", "out": out, "scheduler": "none"}
    assert ipdata("build", *SMALL, columns="mv", **options).returncode == 0
    unlink, replace, fsync = os.unlink, os.replace, os.fsync

    def unlinking(path: Path, **more: int | None) -> None:
        calls.extend(["manifest removed"] * (Path(path) == manifest))
        unlink(path, **more)

    def replacing(old: Path, new: Path, **more: int | None) -> None:
        calls.extend(["shard changed"] * (Path(new).parent.parent == out and Path(new).parent.name != ".build"))
        replace(old, new, **more)

    def syncing(file: int) -> None:
        calls.extend(["directory synced"] * os.path.samestat(os.fstat(file), out.stat()))
        fsync(file)

    for name, noted in (("unlink", unlinking), ("replace", replacing), ("fsync", syncing)):
        monkeypatch.setattr(os, name, noted)
    assert ipdata("build", *SMALL, columns="mv,video", **options).returncode == 0
    removed = calls.index("manifest removed")
    assert calls[removed : removed + 3] == ["manifest removed", "directory synced", "shard changed"]
