"""Extract and pack in this process, one video after another: for debugging, or where no cluster may be started."""

from collections.abc import Generator, Sequence

from ipdata.executors.base import Event, Executor, summary
from ipdata.steps.extract import Outcome, run_steps
from ipdata.steps.pack import ShardTask, pack


class Here(Executor):
    """Runs everything in this process. A video that crashes or hangs native code stops the whole build."""

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        for task in tasks:
            outcomes: list[Outcome] = []
            for video in task.videos:
                outcomes.append(run_steps(video))
                yield summary(outcomes[-1])
            yield pack(task, outcomes)
