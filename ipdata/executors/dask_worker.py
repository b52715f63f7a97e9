"""What a Dask worker runs of a build: one step of a video, in the worker's child process."""

from distributed import get_worker

from ipdata.executors.child import ChildDiedError
from ipdata.executors.isolated import died_twice, limit_memory, try_step_in_child
from ipdata.executors.workers import by_this_worker
from ipdata.steps.extract import Failed, Outcome, Step, VideoTask


class DiedOnWorkerError(Exception):
    """The child of a worker has died, for the first time with this video. worker: its address."""

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker


def first_try(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Run a step on this worker. Raises: DiedOnWorkerError if the child dies; BuildError."""
    try:
        return _tried(video, step, begun, timeout_s)
    except ChildDiedError:
        raise DiedOnWorkerError(get_worker().address) from None


def last_try(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Run a step on this worker. If the child dies, the video fails. Raises: BuildError."""
    try:
        return _tried(video, step, begun, timeout_s)
    except ChildDiedError as death:
        return by_this_worker(died_twice(video, death), begun)


def _tried(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Raises: ChildDiedError, BuildError."""
    if isinstance(begun, Failed):
        return begun
    limit_memory(get_worker().memory_manager.memory_limit)
    return by_this_worker(try_step_in_child(video, step, begun, timeout_s), begun)
