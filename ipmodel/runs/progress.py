"""What a person at a terminal reads meanwhile: the progress of a training, and how long reading waited."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from shards.store.urls import is_url
from shards.terminal import Progress

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What training a phase takes."""

    steps: int
    cost: float  # of a step, in any unit that is the same for all phases


class TrainingProgress:
    """Shows step, loss, clips/s, the time left for all phases, and the share of time spent waiting for data."""

    def __init__(self, *, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.enabled = enabled
        self._stream = stream
        self._phases: dict[str, Work] = {}
        self._shown: Progress | None = None

    def plan(self, phases: Mapping[str, Work]) -> None:
        """Set the phases that are left, in their order."""
        self._phases = dict(phases)
        self._shown = Progress(self._until(None), stream=self._stream)

    def begin(self, phase: str, *, steps: int, first_step: int) -> None:
        """Begin a phase, or resume it at a step. The phases that were planned before it are complete."""
        if phase not in self._phases or self._shown is None:
            self.plan({**self._phases, phase: Work(steps, 1.0)})
        assert self._shown is not None
        self._phase, self._clips, self._waited_s = phase, 0, 0.0
        self._before = self._until(phase)
        self._shown.skip_to(self._before + first_step * self._phases[phase].cost)
        self._begun_s = self._shown.elapsed_s
        if self.enabled:
            self._shown.advance_to(self._shown.done, f"{self._place}, step {first_step}/{steps}")

    def update(self, *, step: int, loss: float, clips: int, wait_s: float) -> None:
        """Report a finished step, its clips and its waiting time."""
        if not self.enabled or self._shown is None:
            return
        self._clips += clips
        self._waited_s += wait_s
        elapsed_s = max(self._shown.elapsed_s - self._begun_s, 1e-9)
        work = self._phases[self._phase]
        said = f"{self._place}, step {step}/{work.steps}, loss {loss:.3f}, {self._clips / elapsed_s:.1f} clips/s"
        waiting = f", {self._waited_s / elapsed_s:.0%} waiting for data"
        self._shown.advance_to(self._before + step * work.cost, said, more=waiting)

    @property
    def _place(self) -> str:
        if len(self._phases) == 1:
            return self._phase
        return f"phase {list(self._phases).index(self._phase) + 1}/{len(self._phases)} {self._phase}"

    def _until(self, phase: str | None) -> float:
        """The cost of the phases before this one, or of all."""
        names = list(self._phases)
        before = names if phase is None else names[: names.index(phase)]
        return sum(self._phases[name].steps * self._phases[name].cost for name in before)


def say_waited(location: str, where: str, *, fetch_wait_s: float) -> None:
    """Log how long reading waited for the files of a set at a URL, over all loader processes of this rank."""
    if is_url(location):
        LOG.info("%s: reading waited %.1f s for files from %s", where, fetch_wait_s, location)
