"""Predictions when something breaks: a video costs only itself, memory stays bounded, nothing is left."""

import json
import os
import signal
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import unreliable_parts
from children import MARK, OWN, wait_for_none
from moving import HEIGHT, WIDTH, task_of, write_y4m
from predicting import source_files
from training import command, ipmodel
from wrapped_ffmpeg import DETACHES_AND_HANGS, wrapped_ffmpeg

from ipdata.errors import BuildError
from ipdata.executors.child import Child
from ipdata.executors.isolated import end_child, parts_in_child
from ipdata.extraction import _parts_of
from ipdata.steps.chosen import Frames
from ipdata.steps.extract import Failed
from ipdata.video.transcode import executable
from ipmodel.prediction.looks import Look, choices_of
from shards import ShardSet


@pytest.fixture(autouse=True)
def _parts_are_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    end_child()
    yield
    end_child()


def parts_of(function: object, *arguments: object, timeout_s: float = 60) -> list[object]:
    return list(parts_in_child(task_of(Path("video.avi")), function, *arguments, timeout_s=timeout_s))  # type: ignore[arg-type]


def test_parts_come_one_by_one_and_not_long_before_they_are_asked_for(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert parts_of(unreliable_parts.counted, 5, made) == [0, 1, 2, 3, 4]
    child = Child()
    reader = child.parts(unreliable_parts.counted, 10**9, made, timeout_s=60)
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    seen, deadline_s = -1, time.monotonic() + 60
    while (now := int(made.read_text() or 0)) != seen:  # until the pipe is full
        assert time.monotonic() < deadline_s
        seen = now
        time.sleep(0.5)
    assert seen < 10**5
    reader.close()  # the caller has had enough
    assert not child.alive


def test_a_child_that_dies_once_costs_no_part(tmp_path: Path) -> None:
    died = partial(unreliable_parts.ending_at, 2, 5, tmp_path / "died", always=False)
    assert parts_of(died) == [0, 1, 2, 3, 4]


def test_a_child_that_crashes_twice_fails_the_video_after_the_parts_that_it_gave(tmp_path: Path) -> None:
    *given, failed = parts_of(partial(unreliable_parts.ending_at, 2, 5, tmp_path / "died", always=True))
    assert given == [0, 1] and isinstance(failed, Failed)
    assert (failed.failure.stage, failed.failure.code) == ("worker", "crash")


def test_a_child_that_is_killed_twice_stops_all(tmp_path: Path) -> None:
    killed = partial(unreliable_parts.ending_at, 2, 5, tmp_path / "x", always=True, with_signal=signal.SIGKILL)
    with pytest.raises(BuildError, match="was killed twice"):
        parts_of(killed)


def test_a_part_that_takes_too_long_fails_the_video() -> None:
    *given, failed = parts_of(unreliable_parts.hanging_at, 1, 5, timeout_s=3)
    assert given == [0] and isinstance(failed, Failed)
    assert (failed.failure.stage, failed.failure.code) == ("worker", "timeout")


def test_a_machine_that_lacks_something_stops_all() -> None:
    with pytest.raises(BuildError, match="this machine lacks something"):
        parts_of(unreliable_parts.refusing_at, 1, 5)


def test_memory_is_that_of_a_span_however_long_the_video_is(tmp_path: Path) -> None:
    looks = (
        Look(stream="i", columns=("iframe",), segments=2),
        Look(stream="p", columns=("mv", "residual"), segments=4),
    )
    noise = np.random.default_rng(0).integers(0, 256, (600, HEIGHT, WIDTH), np.uint8)
    peaks_bytes, bytes_given = [], []
    for frames in (2, 60, 600):  # the first one compiles
        source = write_y4m(tmp_path / f"{frames}.y4m", noise[:frames])
        task = task_of(source, "transcode.quantiser=31", columns=("iframe", "mv", "residual"))
        given = 0
        tracemalloc.start()
        for part in _parts_of(task, partial(choices_of, looks=looks, every_s=0.4)):
            assert not isinstance(part, Failed), part
            if isinstance(part, Frames):
                given += sum(len(data) for frames_of in part.columns.values() for data in frames_of.values())
        peaks_bytes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        bytes_given.append(given)
    assert bytes_given[2] > 9 * bytes_given[1] > 9 * WIDTH * HEIGHT
    grown_bytes = peaks_bytes[2] - peaks_bytes[1]
    assert grown_bytes < (bytes_given[2] - bytes_given[1]) / 4, (peaks_bytes, bytes_given)


def test_a_gap_in_the_timestamps_makes_no_spans(trained: Path, tmp_path: Path) -> None:
    gap = tmp_path / "gap.mkv"
    years = "setpts=if(gt(N\\,5)\\,N+10000000000\\,N)"  # 12 years of 25 frames a second, after 6 frames
    source = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=25"]
    written = ["-frames:v", "12", "-vf", years, "-fps_mode", "passthrough", "-c:v", "mjpeg", gap]
    subprocess.run([executable(), "-v", "error", *source, *written], check=True, timeout=60)
    done = ipmodel("predict", trained / "run", gap, "--every=1", "--json", "--video-timeout-s=30")
    assert done.returncode == 0, done.stderr
    starts_s = [json.loads(line)["start_s"] for line in done.stdout.splitlines()]
    assert len(starts_s) == 2 and starts_s[0] == 0 and starts_s[1] > 10 * 365 * 86400


NO_NUMBER = "is not a number in this range"
TOO_SHORT = "spans must be 0.001 s or longer, and finite"


@pytest.mark.parametrize(
    ("every_s", "status", "says"), [("nan", 2, NO_NUMBER), ("inf", 2, NO_NUMBER), ("1e-320", 1, TOO_SHORT)]
)
def test_spans_of_no_length_are_refused(trained: Path, tmp_path: Path, every_s: str, status: int, says: str) -> None:
    video = source_files(ShardSet(trained / "set"), tmp_path / "sources")[0]
    done = ipmodel("predict", trained / "run", video, f"--every={every_s}")
    assert done.returncode == status and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_fifo_in_place_of_a_video_fails_at_once(trained: Path, tmp_path: Path) -> None:
    good, fifo = source_files(ShardSet(trained / "set"), tmp_path / "sources")[0], tmp_path / "fifo.avi"
    os.mkfifo(fifo)
    done = ipmodel("predict", trained / "run", fifo, good, "--json", "--video-timeout-s=20")
    assert done.returncode == 3, done.stderr
    failed, predicted = map(json.loads, done.stdout.splitlines())
    assert failed["error"]["code"] == "unreadable" and "is a FIFO, not a regular file" in failed["error"]["reason"]
    assert predicted["video"] == str(good)


def test_an_ffmpeg_that_hangs_costs_its_video_only(trained: Path, tmp_path: Path) -> None:
    good, bad = source_files(ShardSet(trained / "set"), tmp_path / "sources")[:2]
    hangs = wrapped_ffmpeg(tmp_path, first="sleep 3600", of=bad.name)
    done = ipmodel("predict", trained / "run", bad, good, "--json", f"--ffmpeg={hangs}", "--video-timeout-s=8")
    assert done.returncode == 3, done.stderr
    failed, predicted = map(json.loads, done.stdout.splitlines())
    assert failed["error"]["code"] == "timeout" and predicted["video"] == str(good)


def test_interrupted_it_leaves_no_process_and_says_so(trained: Path, tmp_path: Path) -> None:
    video = source_files(ShardSet(trained / "set"), tmp_path / "sources")[0]
    began = tmp_path / "began"
    hangs = wrapped_ffmpeg(tmp_path, first=f"touch {began}\n{DETACHES_AND_HANGS}")
    process = subprocess.Popen(
        command("predict", trained / "run", video, f"--ffmpeg={hangs}"),
        env=os.environ | {MARK: OWN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline_s = time.monotonic() + 90
    while not began.exists():
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130 and messages.splitlines()[-1] == "interrupted; run the same command again"
    wait_for_none(OWN)
