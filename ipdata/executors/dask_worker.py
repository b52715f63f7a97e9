"""What a Dask worker runs of a build: the self-test, and one step of a video, in the worker's child process."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import get_worker

from ipdata.errors import BuildError
from ipdata.executors.child import ChildDiedError
from ipdata.executors.isolated import died_twice, limit_memory, try_step_in_child
from ipdata.executors.selftest import SelfTest, check_fit
from ipdata.executors.workers import by_this_worker
from ipdata.steps.extract import Failed, Outcome, Step, VideoTask


class DiedOnWorkerError(Exception):
    """The child of a worker has died, for the first time with this video.

    worker: its address. memory_bytes: what the child and its processes took.
    """

    def __init__(self, worker: str, memory_bytes: int) -> None:
        super().__init__(worker, memory_bytes)
        self.worker, self.memory_bytes = worker, memory_bytes


class UnfitWorkerError(Exception):
    """A worker has failed the self-test. worker: its address. problem: words for a message, which name it."""

    def __init__(self, worker: str, problem: str) -> None:
        super().__init__(worker, problem)
        self.worker, self.problem = worker, problem


def first_try(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float, test: SelfTest | None) -> Outcome:
    """Run a step on this worker. Raises: DiedOnWorkerError if the child dies; UnfitWorkerError; BuildError."""
    try:
        return _tried(video, step, begun, timeout_s, test)
    except ChildDiedError as death:
        raise DiedOnWorkerError(get_worker().address, death.memory_bytes) from None


def last_try(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float, test: SelfTest | None) -> Outcome:
    """Run a step on this worker. If the child dies, the video fails. Raises: UnfitWorkerError; BuildError."""
    try:
        return _tried(video, step, begun, timeout_s, test)
    except ChildDiedError as death:
        with _named():
            return by_this_worker(died_twice(video, death), begun)


def problem_here(test: SelfTest) -> str:
    """Why this worker is not fit for a build; empty if it is."""
    _limit_memory()
    try:
        check_fit(test)
    except BuildError as error:
        return f"worker {get_worker().address} on {platform.node()}: {error}"
    return ""


def _tried(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float, test: SelfTest | None) -> Outcome:
    """Raises: ChildDiedError, UnfitWorkerError, BuildError."""
    if isinstance(begun, Failed):
        return begun
    if test is not None and (problem := problem_here(test)):
        raise UnfitWorkerError(get_worker().address, problem)
    _limit_memory()
    with _named():
        return by_this_worker(try_step_in_child(video, step, begun, timeout_s), begun)


@contextmanager
def _named() -> Iterator[None]:
    """Raises: BuildError that says where it came to pass."""
    try:
        yield
    except BuildError as error:
        raise BuildError(f"worker {get_worker().address} on {platform.node()}: {error}") from None


def _limit_memory() -> None:
    limit_memory(get_worker().memory_manager.memory_limit)
