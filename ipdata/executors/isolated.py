"""Extract videos in a long-lived child process: a video that crashes or hangs native code costs only itself."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from ipdata.errors import BuildError
from ipdata.executors.child import Child, ChildDiedError
from ipdata.faults import MORE_MEMORY, was_killed
from ipdata.steps.extract import Failed, Outcome, Step, VideoTask, failed, run_step, run_steps

T = TypeVar("T")
_of_this_thread = threading.local()


class _Memory:
    limit_bytes: int | None = None  # of each child that this process starts


def limit_memory(limit_bytes: int | None) -> None:
    """End children that take more memory, with all that they have started. None: no limit. Concerns later children."""
    _Memory.limit_bytes = limit_bytes


def run_steps_in_child(task: VideoTask, timeout_s: float) -> Outcome:
    """Run all steps of a video in this thread's child process, as `call_in_child` does.

    The video fails if that takes longer than timeout_s, or if the child dies twice by a fault of its own.

    Raises: BuildError if this machine cannot extract any video, or if the second child was killed from outside.
    """
    try:
        return _with_memory(call_in_child(run_steps, task, timeout_s=timeout_s))
    except TimeoutError:
        return _timed_out(task, timeout_s)
    except ChildDiedError as death:
        return died_twice(task, death)


def try_step_in_child(task: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Run `run_step` in this thread's child process, once. The video fails if that takes longer than timeout_s.

    Raises: ChildDiedError if the child dies; BuildError if this machine cannot extract any video.
    """
    try:
        return _with_memory(_child().call(run_step, task, step, begun, timeout_s=timeout_s), begun)
    except TimeoutError:
        return _timed_out(task, timeout_s)


def _with_memory(outcome: Outcome, begun: Outcome | None = None) -> Outcome:
    """The outcome, with the most memory that its steps took. begun: the outcome of the step before."""
    child: Child | None = getattr(_of_this_thread, "child", None)
    of_steps = (0 if begun is None else begun.memory_bytes, 0 if child is None else child.peak_bytes)
    return replace(outcome, memory_bytes=max(of_steps))


def call_in_child(function: Callable[..., T], *arguments: Any, timeout_s: float) -> T:
    """Call a function in this thread's child process. The child is started when needed, and replaced when it dies.

    If the child dies, the function is called once more in a new one.

    Raises: TimeoutError; ChildDiedError if the second child dies too; BuildError if the function raises it.
    """
    with suppress(ChildDiedError):
        return _child().call(function, *arguments, timeout_s=timeout_s)
    return _child().call(function, *arguments, timeout_s=timeout_s)


def parts_in_child(
    task: VideoTask, function: Callable[..., Iterator[T]], *arguments: Any, timeout_s: float
) -> Generator[T | Failed, None, None]:
    """Yield what a generator of a module yields in this thread's child process, or at some point a Failed that ends it.

    function: gives the same parts each time: if the child dies, it is called once more in a new one.
    timeout_s: for each part. Parts are not made long before they are asked for.

    Raises: as run_steps_in_child.
    """
    given = 0
    for last_attempt in (False, True):
        try:
            with closing(_child().parts(function, *arguments, timeout_s=timeout_s)) as parts:
                for part in islice(parts, given, None):
                    given += 1
                    yield part
            return
        except TimeoutError:
            yield _timed_out(task, timeout_s)
            return
        except ChildDiedError as death:
            if last_attempt:
                yield died_twice(task, death)


def _timed_out(task: VideoTask, timeout_s: float) -> Failed:
    return failed(task, "worker", "timeout", f"not done after {timeout_s:g} s")


def died_twice(task: VideoTask, death: ChildDiedError) -> Failed:
    """The outcome of a video whose second child died too.

    Raises: BuildError if that was killed from outside, or ended by a Python error, which a video cannot raise there.
    """
    if death.over_memory:
        return _crashed(task, death, f"extraction took {more_than_its_memory()}")
    if was_killed(death.status):
        name = task.video.name
        raise BuildError(f"{name}: the extracting process was killed twice ({death}). {MORE_MEMORY}") from None
    if death.status > 0:
        what = f"the extracting process ended twice with {death}; its error stands above"
        raise BuildError(f"{task.video.name} cannot be extracted here: {what}. Mend that and run this again")
    return _crashed(task, death, f"the extracting process ended twice, the second time with {death}")


def more_than_its_memory() -> str:
    """Words for what the guard of a child has ended twice."""
    limit = f"{(_Memory.limit_bytes or 0) / 2**30:.2f} GiB"
    return f"more than {limit}, the memory of its worker, twice; give workers more memory"


def _crashed(task: VideoTask, death: ChildDiedError, detail: str) -> Failed:
    return replace(failed(task, "worker", "crash", detail), memory_bytes=death.memory_bytes)


def _child() -> Child:
    child: Child | None = getattr(_of_this_thread, "child", None)
    if child is None or not child.alive:
        child = _of_this_thread.child = Child(memory_bytes=_Memory.limit_bytes)
    return child


@contextmanager
def child_ended() -> Iterator[None]:
    """End this thread's child process after this block."""
    try:
        yield
    finally:
        end_child()


def end_child() -> None:
    """End this thread's child process, if it has one, and all that it has started."""
    child: Child | None = getattr(_of_this_thread, "child", None)
    _of_this_thread.child = None
    if child is not None:
        child.kill()
