"""Extract one video after another in one child process, and pack in this one: where no cluster may be started."""

from collections.abc import Generator, Sequence

from ipdata.executors.base import Event, Executor, summary
from ipdata.executors.isolated import child_ended, run_steps_in_child
from ipdata.executors.workers import by_this_worker
from ipdata.steps.extract import Outcome
from ipdata.steps.pack import ShardTask, pack


class Here(Executor):
    """Runs the steps of all videos in one child process: a video that crashes or hangs costs only itself."""

    def __init__(self, *, video_timeout_s: float) -> None:
        self.video_timeout_s = video_timeout_s

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        with child_ended():
            for task in tasks:
                outcomes: list[Outcome] = []
                for video in task.videos:
                    outcomes.append(by_this_worker(run_steps_in_child(video, self.video_timeout_s)))
                    yield summary(outcomes[-1])
                yield pack(task, outcomes)
