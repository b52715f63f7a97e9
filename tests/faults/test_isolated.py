"""The child process that extracts: a video that crashes or hangs native code costs only itself."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import Changing, Crashing, Hanging, Printing
from moving import task_of

from ipdata.errors import BuildError
from ipdata.executors.isolated import Child, run_step_in_child
from ipdata.steps.extract import Extracted, Failed, Outcome, Step, VideoTask, run_steps
from ipdata.video.synthesis import Synthesis

SPEC = {"class_name": "move_left", "index": 0, "frames": 3, "width": 64, "height": 48, "seed": 0}


@pytest.fixture(autouse=True)
def _hostile_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def task_with(source: Synthesis) -> VideoTask:
    task = task_of(Path("unused"), columns=("mv", "video"))
    return replace(task, video=replace(task.video, source=source))


def work_of(task: VideoTask) -> tuple[VideoTask, Step, None]:
    return task, task.steps[0], None


def in_child(task: VideoTask) -> Outcome:
    return run_step_in_child(*work_of(task), 60)


def test_a_crash_is_that_videos_failure_and_the_next_one_works() -> None:
    crashed = in_child(task_with(Crashing(**SPEC)))
    assert isinstance(crashed, Failed)
    assert (crashed.failure.stage, crashed.failure.code) == ("worker", "crash")
    assert "SIGSEGV" in crashed.detail
    assert isinstance(in_child(task_with(Synthesis(**SPEC))), Extracted)


def test_a_hang_ends_at_the_timeout() -> None:
    child = Child()
    outcome = child.run(*work_of(task_with(Hanging(**SPEC))), 3)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.code, child.alive) == ("timeout", False)
    assert "3 s" in outcome.detail


def test_what_a_library_prints_does_not_break_the_pipe() -> None:
    child = Child()
    assert isinstance(child.run(*work_of(task_with(Printing(**SPEC))), 60), Extracted)
    assert child.alive
    child.kill()


def test_one_child_serves_many_videos() -> None:
    child = Child()
    outcomes = [child.run(*work_of(task_with(Synthesis(**SPEC))), 60) for _ in range(3)]
    assert len({outcome.payloads["video"].data for outcome in outcomes if isinstance(outcome, Extracted)}) == 1
    assert child.alive and child.process.pid != os.getpid()
    child.kill()


def test_a_worker_with_other_tools_refuses() -> None:
    task = replace(task_with(Synthesis(**SPEC)), tools={"ffmpeg": "4.2"})
    with pytest.raises(BuildError, match=r"this worker has .* column mv needs \{.*'ffmpeg': '4.2',"):
        in_child(task)


def test_a_source_that_changes_while_it_is_read_fails() -> None:
    outcome = run_steps(task_with(Changing(**SPEC)))
    assert isinstance(outcome, Failed)
    assert (outcome.failure.stage, outcome.failure.code) == ("source", "changed")
