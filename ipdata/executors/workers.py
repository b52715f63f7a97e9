"""Which worker has extracted a video: for the log, never for the set."""

import os
import platform
from dataclasses import replace

from ipdata.steps.extract import Outcome


def by_this_worker(outcome: Outcome, begun: Outcome | None = None) -> Outcome:
    """The outcome, with this process as the worker of its last step. begun: the outcome of the step before."""
    earlier = () if begun is None else begun.workers
    return replace(outcome, workers=(*earlier, f"{platform.node()}:{os.getpid()}"))
