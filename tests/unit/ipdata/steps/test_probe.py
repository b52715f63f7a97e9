"""What `ipdata plan` finds out of one video: what it comes to as a whole, wherever its motion lies."""

import errno
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import serving
from moving import extracted_from, moving_luma, task_of, write_y4m
from wrapped_ffmpeg import wrapped_ffmpeg

from ipdata.errors import BuildError
from ipdata.steps import probe as probing
from ipdata.steps.extract import VideoTask
from ipdata.steps.probe import probe
from shards.store.listed import ListedFile, version_of
from shards.tar import member_bytes, write_tar

COLUMNS = ("iframe", "mv", "residual", "video")
STILL, FRAMES = 48, 100  # the last GOP has 4 frames


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> VideoTask:
    """A video that stands still for half of its time."""
    moving = moving_luma(frames=FRAMES - STILL, step_px=(3, -1))
    source = write_y4m(tmp_path_factory.mktemp("source") / "clip.y4m", np.concatenate([moving[:1]] * STILL + [moving]))
    return task_of(source, columns=COLUMNS)


def test_some_groups_of_pictures_tell_the_bytes_of_the_whole_video(task: VideoTask) -> None:
    probes = [found for seed in range(12) if (found := probe(task, seed)) is not None]
    assert len(probes) == 12 and {found.frames for found in probes} == {FRAMES}
    whole = extracted_from(task.video.source, columns=COLUMNS)
    for column, payload in whole.payloads.items():
        sizes = payload.size_bytes, len(whole.sample.to_json()), len(str(whole.sample.class_id))
        expected = sum(map(member_bytes, sizes))
        found_bytes = statistics.mean(found.column_bytes[column] for found in probes)
        assert found_bytes == pytest.approx(expected, rel=0.25), column
    assert probes[0] == replace(probe(task, 0), cpu_s=probes[0].cpu_s)  # equal seeds draw equal groups


def test_of_two_groups_of_pictures_all_bytes_are_known(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "clip.y4m", moving_luma(frames=24, step_px=(3, -1)))
    task, whole = task_of(source, columns=COLUMNS), extracted_from(source, columns=COLUMNS)
    for column, payload in whole.payloads.items():
        sizes = payload.size_bytes, len(whole.sample.to_json()), len(str(whole.sample.class_id))
        assert probe(task, 0).column_bytes[column] == sum(map(member_bytes, sizes)), column


def test_of_a_long_video_the_beginning_is_transcoded_and_all_is_counted(
    task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "TRANSCODED_FRAMES", 24)
    assert probe(task, 0).frames == FRAMES
    limited = replace(task, recipe=replace(task.recipe, limits=replace(task.recipe.limits, frames=50)))
    assert probe(limited, 0).frames == 50


def test_a_source_at_a_url_may_be_longer_than_the_limit(task: VideoTask) -> None:
    path = task.video.source
    with serving.serving(path.parent, ranges=True) as server:
        url = f"{server.url}/{path.name}"
        info = fsspec.filesystem("http").info(url)
        listed = ListedFile(url, "", info["size"], version_of(info))
        at_url = replace(task, video=replace(task.video, source=listed))
        limited = replace(at_url, recipe=replace(task.recipe, limits=replace(task.recipe.limits, frames=50)))
        assert probe(limited, 0).frames == 50


def test_waiting_is_no_work(task: VideoTask, tmp_path: Path) -> None:
    slow = replace(task, ffmpeg=str(wrapped_ffmpeg(tmp_path, first="sleep 3")))
    began_s = time.monotonic()
    found = probe(slow, 0)
    assert 0 < found.cpu_s < time.monotonic() - began_s - 2.5


def test_a_video_that_cannot_be_extracted_gives_nothing(task: VideoTask, tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_bytes(b"no video")
    assert probe(task_of(tmp_path / "text.avi", columns=COLUMNS), 0) is None


def test_a_fault_of_this_machine_stops_the_plan(task: VideoTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(probing, "transcoded", full)
    with pytest.raises(BuildError, match=r"cannot be extracted here: .*No space left.*; fix that and run again"):
        probe(task, 0)


def test_members_take_so_much_of_a_tar(tmp_path: Path) -> None:
    sizes = [0, 1, 511, 512, 513]
    write_tar(tmp_path / "all.tar", [(f"{size}.mv.npy", bytes(size)) for size in sizes])
    ends_with_bytes = 2 * 512
    assert (tmp_path / "all.tar").stat().st_size == sum(map(member_bytes, sizes)) + ends_with_bytes
