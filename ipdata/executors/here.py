"""Extract and pack in this process, one video after another: for debugging, and where no cluster may be started."""

from collections.abc import Generator, Sequence

from ipdata.executors.base import Event, Executor, summary
from ipdata.steps.extract import Outcome, run_steps
from ipdata.steps.pack import ShardTask, pack


class Here(Executor):
    """A video that crashes or hangs native code takes the whole build with it; a debugger sees everything."""

    def run(self, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        for task in tasks:
            outcomes: list[Outcome] = []
            for video in task.videos:
                outcomes.append(run_steps(video))
                yield summary(outcomes[-1])
            yield pack(task, outcomes)
