"""A worker needs memory for one video at a time, however large a shard is."""

import re
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_sets import quick_options, tree
from clusters import started_cluster, worker
from commands import in_process
from made_sets import Scene, sample_of, scenes
from moving import HEIGHT, WIDTH, moving_luma, task_of, write_y4m
from wrapped_ffmpeg import wrapped_ffmpeg

from ipdata.datasets.base import Video
from ipdata.steps import extract
from ipdata.steps.extract import Extracted, VideoTask, run_steps
from ipdata.steps.output import Output
from ipdata.steps.pack import ShardTask, pack
from ipdata.steps.plan import ShardPlan
from shards import ShardSet
from shards.columns import PayloadFile

PAYLOAD_BYTES = 8 << 20


def large(scene: Scene, directory: Path) -> Extracted:
    """The outcome of a video whose bitstream takes 8 MiB of a sparse file."""
    path = directory / scene.key
    with path.open("wb") as file:
        file.truncate(PAYLOAD_BYTES)
    frames = [PAYLOAD_BYTES * number // scene.frames for number in range(scene.frames + 1)]
    return Extracted(sample=sample_of(scene), payloads={"video": PayloadFile(path=path, frames=frames)}, seconds={})


def test_a_shard_is_packed_in_the_memory_of_a_part_of_a_payload(tmp_path: Path) -> None:
    made = scenes(classes=1, per_class=12)
    videos = {
        scene.key: Video(
            name=scene.name,
            source=tmp_path / scene.name,
            class_name=scene.class_name,
            class_id=scene.class_id,
            subsets=scene.subsets,
        )
        for scene in made
    }
    task = task_of(tmp_path / "any", "transcode.width=64", "transcode.height=48", columns=("video",))
    output = Output(tmp_path / "set")
    shard = ShardTask(
        output=output,
        plan=ShardPlan(shard="00000", videos=videos, subsets=None),
        columns=("video",),
        videos=tuple(replace(task, key=key, video=video) for key, video in videos.items()),
        kept=None,
        published=frozenset(),
        drop_failed=False,
        strict=False,
    )
    outcomes = [large(scene, tmp_path) for scene in made]
    with output.locked():
        tracemalloc.start()
        pack(shard, outcomes)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "set/video/00000.tar").stat().st_size > 12 * PAYLOAD_BYTES
    assert peak_bytes < PAYLOAD_BYTES


def test_frames_go_to_files_as_they_are_made(tmp_path: Path) -> None:
    """Of a video, a few pictures are in memory, but neither its bitstream nor a payload."""
    noise = np.random.default_rng(0).integers(0, 256, (300, HEIGHT, WIDTH), np.uint8)
    peaks_bytes, videos_bytes = [], []
    for frames in (2, 30, 300):  # the first one compiles
        source = write_y4m(tmp_path / f"{frames}.y4m", noise[:frames])
        task = task_of(source, "transcode.quantiser=31", columns=("iframe", "mv", "residual", "video"))
        tracemalloc.start()
        outcome = run_steps(task)
        peaks_bytes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert isinstance(outcome, Extracted), outcome
        videos_bytes.append(outcome.payloads["video"].size_bytes)
    grown_bytes = peaks_bytes[2] - peaks_bytes[1]
    assert grown_bytes < (videos_bytes[2] - videos_bytes[1]) / 4, (peaks_bytes, videos_bytes)


@pytest.mark.usefixtures("without_child")
def test_no_payload_is_left_after_a_build_and_none_of_a_packed_shard_during_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    payload_path = extract.payload_path

    def counted(directory: Path, key: str, column: str) -> Path:
        seen.append(len(list(directory.parent.glob("*"))))
        return payload_path(directory, key, column)

    monkeypatch.setattr(extract, "payload_path", counted)
    done = in_process("ipdata.cli", quick_options(tmp_path / "set", scheduler="none"))
    assert done.returncode == 0, done.stderr
    assert max(seen) == 1 and len(seen) == 6 * 5  # three shards, one after another
    assert not (tmp_path / "set/.build/tmp").exists() and len(ShardSet(tmp_path / "set")) == 6


def test_a_packed_shard_is_packed_again_if_its_worker_dies(tmp_path: Path) -> None:
    """Dask then calls pack a second time with the same outcomes: their files must still be there."""
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=14, step_px=(3, 1)))
    task: VideoTask = task_of(source, columns=("mv", "video"))
    output = Output(tmp_path / "set")
    task = replace(task, payload_dir=output.payload_dir("00000"))
    shard = ShardTask(
        output=output,
        plan=ShardPlan(shard="00000", videos={task.key: task.video}, subsets=None),
        columns=task.columns,
        videos=(task,),
        kept=None,
        published=frozenset(),
        drop_failed=False,
        strict=False,
    )
    with output.locked():
        outcomes = [run_steps(task)]
        pack(shard, outcomes)
        before = tree(tmp_path / "set")
        pack(shard, outcomes)
    assert tree(tmp_path / "set") == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory other processes take")
def test_a_video_that_takes_more_memory_than_its_worker_has_fails_alone(tmp_path: Path) -> None:
    """Dask does not see what the processes take that extract."""
    folder, clusters = tmp_path / "videos" / "any", tmp_path / "cluster"
    folder.mkdir(parents=True)
    for name in ("a", "b", "c"):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0)))
    ffmpeg = wrapped_ffmpeg(tmp_path, first="tail /dev/zero", of="b.y4m")  # which keeps the last line: all of it
    arguments = ["build", "--dataset=folder", f"--source={folder.parent}", f"--out={tmp_path / 'set'}", "--columns=mv"]
    with started_cluster(clusters, workers=0) as cluster:
        cluster.workers.append(worker(clusters, "--memory-limit", "800MiB"))
        done = in_process("ipdata.cli", [*arguments, f"--ffmpeg={ffmpeg}", f"--scheduler={cluster.address}"])
    assert done.returncode == 3, done.stderr
    says = (
        "any/b.y4m: crash (worker): native code crashed or the process was killed: extraction took more than 0.78 GiB"
    )
    assert says in done.stdout and "the memory of its worker, twice" in done.stdout, done.stdout
    status = in_process("ipdata.cli", ["status", str(tmp_path / "set")]).stdout
    assert "any/b.y4m: extraction took more than 0.78 GiB, the memory of its worker, twice" in status, status
    taken = re.search(r"memory    at most (\S+) (MB|GB) for a video, b-", status)  # also of what failed
    assert taken is not None and float(taken[1]) * {"MB": 1e6, "GB": 1e9}[taken[2]] > 800 * 2**20, status
    assert sorted(sample.name for sample in ShardSet(tmp_path / "set").samples()) == ["any/a.y4m", "any/c.y4m"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory other processes take")
def test_the_memory_that_a_video_took_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0)))
    hungry = f"""{sys.executable} -c 'import time; held = b"x" * 600_000_000; time.sleep(1.5)'"""
    ffmpeg = wrapped_ffmpeg(tmp_path, first=hungry, of="b.y4m")
    options = [f"--source={folder.parent}", f"--out={tmp_path / 'set'}", "--columns=mv", "--scheduler=none"]
    done = in_process("ipdata.cli", ["build", "--dataset=folder", *options, f"--ffmpeg={ffmpeg}"])
    assert done.returncode == 0, done.stderr
    said = in_process("ipdata.cli", ["status", str(tmp_path / "set")]).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("memory ")]
    matched = re.fullmatch(r"memory    at most (\d+) MB for a video, (\S+)", line)
    assert matched is not None and 600 < int(matched[1]) < 1200 and matched[2].startswith("b-"), line
    assert line.removeprefix("memory    ") in (tmp_path / "set/.build/report.html").read_text()
