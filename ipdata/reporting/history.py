"""What the whole log of an output tells, over all builds into it: when videos were done, and what took how long."""

import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from ipdata.log import Damaged, LogLine

SLOWEST = 20
IDLE_S = 3600.0  # if no video is done for longer, the builds are taken to have paused


@dataclass
class History:
    """The log, added up. Memory: 16 bytes a video."""

    times: array = field(default_factory=lambda: array("d"))  # s since 1970, in the order of the log
    frames: array = field(default_factory=lambda: array("q"))  # of each video there
    stages_s: dict[str, float] = field(default_factory=dict)
    slowest: list[tuple[float, str, str]] = field(default_factory=list)  # s, key and the stage that took longest

    def add_all(self, lines: Iterable[LogLine | Damaged]) -> None:
        for line in lines:
            if isinstance(line, LogLine):
                self._add(line)
        self.slowest.sort(key=lambda entry: (-entry[0], entry[1]))

    def _add(self, line: LogLine) -> None:
        self.times.append(line.at)
        self.frames.append(line.frames)
        for stage, seconds in line.seconds.items():
            self.stages_s[stage] = self.stages_s.get(stage, 0.0) + seconds
        if line.seconds:
            entry = (line.total_s, line.key, max(line.seconds, key=lambda stage: line.seconds[stage]))
            push = heapq.heappush if len(self.slowest) < SLOWEST else heapq.heappushpop
            push(self.slowest, entry)

    def at_work_s(self) -> tuple[array, list[float]]:
        """When each video was done, in s at work: pauses are left out. And the places of those pauses."""
        done, pauses, place = array("d"), list[float](), 0.0
        ordered = sorted(self.times)
        for before, at in zip(ordered[:1] + ordered, ordered, strict=False):
            if at - before > IDLE_S:
                pauses.append(place)
            else:
                place += at - before
            done.append(place)
        return done, pauses
