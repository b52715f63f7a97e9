"""The child process that extracts: a video that crashes or hangs native code costs only itself."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from children import MARK, OWN, marked, wait_for_none
from hostile import Changing, Crashing, Detaching, Exiting, Filling, Hanging, Hungry, Killed, Printing, Unwritable
from moving import recipe_of, task_of

from ipdata.datasets.base import Listing
from ipdata.errors import BuildError
from ipdata.estimate import estimate
from ipdata.executors.child import Child, ChildDiedError
from ipdata.executors.isolated import call_in_child, end_child, limit_memory, run_steps_in_child
from ipdata.executors.selftest import SelfTest, check_fit
from ipdata.steps.extract import Extracted, Failed, Outcome, Step, VideoTask, run_step, run_steps
from ipdata.steps.plan import make_plan
from ipdata.video.synthesis import Synthesis
from ipdata.video.tools import tools_here

SPEC = {"class_name": "move_left", "index": 0, "frames": 3, "width": 64, "height": 48, "seed": 0}


@pytest.fixture(autouse=True, scope="module")
def _child_of_another_module_is_ended() -> None:
    end_child()


@pytest.fixture(autouse=True)
def _hostile_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


def task_with(source: Synthesis) -> VideoTask:
    task = task_of(Path("unused"), columns=("mv", "video"))
    return replace(task, video=replace(task.video, source=source))


def work_of(task: VideoTask) -> tuple[VideoTask, Step, None]:
    return task, task.steps[0], None


def in_child(task: VideoTask) -> Outcome:
    return run_steps_in_child(task, 60)


def test_a_crash_is_that_videos_failure_and_the_next_one_works() -> None:
    crashed = in_child(task_with(Crashing(**SPEC)))
    assert isinstance(crashed, Failed)
    assert (crashed.failure.stage, crashed.failure.code) == ("worker", "crash")
    assert "ended twice, the second time with SIGSEGV" in crashed.detail
    assert isinstance(in_child(task_with(Synthesis(**SPEC))), Extracted)


def test_a_child_does_not_take_over_how_dask_limits_the_memory_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Dask's setting of malloc, extraction takes a quarter more CPU time."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("ANOTHER", "stays")
    end_child()
    values = [call_in_child(os.getenv, name, timeout_s=60) for name in ("MALLOC_TRIM_THRESHOLD_", "ANOTHER")]
    end_child()
    assert values == [None, "stays"]


def test_a_hang_ends_at_the_timeout() -> None:
    outcome = run_steps_in_child(task_with(Hanging(**SPEC)), 3)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.stage, outcome.failure.code, outcome.detail) == ("worker", "timeout", "not done after 3 s")


def test_a_child_that_takes_too_long_is_ended() -> None:
    child = Child()
    with pytest.raises(TimeoutError):
        child.call(time.sleep, 3600, timeout_s=1)
    assert not child.alive


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory other processes take")
def test_the_memory_of_all_processes_in_a_call_is_known() -> None:
    child = Child()
    taken_bytes = 300 * 2**20
    program = f"import time; held = b'x' * {taken_bytes}; time.sleep(1.5)"
    child.call(subprocess.call, [sys.executable, "-c", program], timeout_s=60)
    assert taken_bytes < child.peak_bytes < 3 * taken_bytes
    child.call(time.sleep, 1.5, timeout_s=60)
    assert 0 < child.peak_bytes < taken_bytes
    child.kill()
    assert child.peak_bytes == 0


def test_a_self_test_that_takes_too_much_memory_names_it() -> None:
    for limit_mib, said in ((300, r"0\.29 GiB"), (20, r"0\.02 GiB")):  # by its clip, or by its imports
        end_child()
        limit_memory(limit_mib * 2**20)
        try:
            with pytest.raises(
                BuildError, match=f"the self-test took more than {said}, the memory of its worker, twice"
            ):
                check_fit(SelfTest(name=f"{limit_mib} MiB", clip=task_with(Filling(**SPEC)), result={}))
        finally:
            limit_memory(None)


def test_what_a_library_prints_does_not_break_the_pipe() -> None:
    child = Child()
    assert isinstance(child.call(run_step, *work_of(task_with(Printing(**SPEC))), timeout_s=60), Extracted)
    assert child.alive
    child.kill()


def test_one_child_serves_many_videos() -> None:
    child = Child()
    outcomes = [child.call(run_step, *work_of(task_with(Synthesis(**SPEC))), timeout_s=60) for _ in range(3)]
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


def test_a_child_that_is_killed_once_costs_nothing(tmp_path: Path) -> None:
    assert isinstance(in_child(task_with(Killed(**SPEC, unless=str(tmp_path / "killed")))), Extracted)


def test_a_child_that_is_killed_twice_stops_the_build_and_fails_no_video() -> None:
    with pytest.raises(BuildError, match=r"was killed twice \(SIGKILL\).*give it more memory, or run fewer workers"):
        in_child(task_with(Killed(**SPEC)))


def test_a_child_that_ends_by_itself_stops_the_build_and_fails_no_video() -> None:
    """As where memory does not suffice to import what extracts."""
    with pytest.raises(BuildError, match=r"cannot be extracted here: .* ended twice with status 1; its error stands"):
        in_child(task_with(Exiting(**SPEC)))


@pytest.mark.parametrize(("source", "says"), [(Unwritable, "Input/output error"), (Hungry, "MemoryError")])
def test_scratch_or_memory_that_fails_stops_the_build_and_fails_no_video(source: type[Synthesis], says: str) -> None:
    with pytest.raises(BuildError, match=f"cannot be extracted here: .*{says}"):
        run_steps(task_with(source(**SPEC)))


def test_what_a_crashed_child_had_detached_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, OWN)
    child = Child()
    assert marked(OWN)
    with pytest.raises(ChildDiedError, match="SIGSEGV"):
        child.call(run_step, *work_of(task_with(Detaching(**SPEC))), timeout_s=60)
    assert marked(OWN) == {}


def test_a_child_that_does_not_read_its_work_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds: the parent cannot send it all. The guard does not react either, so it is killed too."""
    monkeypatch.setattr("ipdata.executors.child.END_S", 1.0)
    child = Child()
    os.killpg(child.process.pid, signal.SIGSTOP)
    with given_up_after(60), pytest.raises(TimeoutError):
        child.call(len, bytes(2**20), timeout_s=1)
    assert not child.alive


@contextmanager
def given_up_after(limit_s: int) -> Iterator[None]:
    """Fail a test that hangs."""

    def stop(*_: object) -> None:
        raise AssertionError(f"hangs for {limit_s} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_guard_that_is_killed_takes_the_child_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, OWN)
    child = Child()
    child.process.kill()
    wait_for_none(OWN)
    assert not child.alive
    child.kill()


WORKER = """
import os, signal
from ipdata.executors.child import Child

os.kill(Child().process.pid, signal.SIGSTOP)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing wakes a guard that is stopped")
def test_a_guard_that_is_frozen_ends_with_its_worker() -> None:
    subprocess.run([sys.executable, "-c", WORKER], check=True, env=os.environ | {MARK: OWN})
    try:
        wait_for_none(OWN)
    finally:
        for process in marked(OWN):
            os.kill(process, signal.SIGKILL)


def test_a_guard_that_is_told_to_end_while_its_child_starts_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, OWN)
    end_child()
    told: list[int] = []

    def tell() -> None:
        while not told:
            told.extend(pid for pid, command in marked(OWN).items() if "ipdata.executors.guard" in command)
        os.kill(told[0], signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    assert isinstance(in_child(task_with(Synthesis(**SPEC))), Extracted)
    teller.join()
    end_child()
    assert told


@pytest.mark.parametrize("hostile", [Crashing, Hanging])
def test_a_plan_goes_on_without_a_video_that_crashes_or_hangs(hostile: type[Synthesis]) -> None:
    sound = task_with(Synthesis(**SPEC)).video
    videos = (sound, replace(sound, name="hostile", source=hostile(**SPEC)))
    listing = Listing(dataset="folder", classes=("any",), splits=("split1",), videos=videos)
    made = estimate(make_plan(listing, recipe_of()), ["mv"], tools_here(), ffmpeg=None, timeout_s=3)
    assert made is not None and (made.probed, made.failed, made.frames.mean) == (2, 1, 2 * 3)
