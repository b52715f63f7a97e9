"""Adds up the log of a build, line by line, in memory that does not grow with the number of videos."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipdata.log import Damaged, LogLine
from shards.failures import reason_of
from shards.records import Record

RECENT_S = 300.0  # the last minutes, for the rate now
REASON_CHARACTERS = 300
MAX_WORKERS = 10_000  # that are told apart; all others count as one
OTHERS = "others"


class FailedKind(Record, frozen=True, kw_only=True):
    """Videos that failed in one stage with one code."""

    stage: str
    code: str
    count: int
    videos: list[tuple[str, str]]  # name and reason of the first ones


class Largest(Record, frozen=True, kw_only=True):
    """The video that took the most memory."""

    key: str
    memory_bytes: int  # of all processes that extract it


class WorkerDone(Record, frozen=True, kw_only=True):
    """What the workers of one machine have done. A video whose steps ran on several machines counts on each."""

    host: str
    processes: int
    videos: int
    frames: int
    failed: int
    last_at: float  # s since 1970


@dataclass
class _Host:
    processes: set[str] = field(default_factory=set)
    videos: int = 0
    frames: int = 0
    failed: int = 0
    last_at: float = 0.0


class Tally:
    """Sums over the videos of a log."""

    def __init__(self, *, recent_from: float, names: int) -> None:
        """recent_from: lines from then on count as recent (s since 1970). names: how many of each kind are kept."""
        self._recent_from, self._names = recent_from, names
        self.videos = self.failed = self.frames = 0
        self.recent_videos = self.recent_frames = 0
        self.last_at = 0.0
        self.largest: Largest | None = None
        self.failed_keys: set[str] = set()
        self.damaged = 0
        self.first_damaged: int | None = None  # byte in the log
        self._kinds: dict[tuple[str, str], tuple[int, list[tuple[str, str]]]] = {}
        self._hosts: dict[str, _Host] = {}

    def add_all(self, lines: Iterable[LogLine | Damaged]) -> None:
        for line in lines:
            if isinstance(line, Damaged):
                self.damaged += 1
                self.first_damaged = line.at_byte if self.first_damaged is None else self.first_damaged
            else:
                self.add(line)

    def add(self, line: LogLine) -> None:
        self.videos += 1
        self.frames += line.frames
        if line.at > self.last_at:
            self.last_at = line.at
        if line.at >= self._recent_from:
            self.recent_videos += 1
            self.recent_frames += line.frames
        if line.memory_bytes > (self.largest.memory_bytes if self.largest else 0):
            self.largest = Largest(key=line.key, memory_bytes=line.memory_bytes)
        if line.code:
            self._add_failure(line)
        for worker in dict.fromkeys(line.workers):
            self._add_worker(worker, line)

    def _add_failure(self, line: LogLine) -> None:
        self.failed += 1
        self.failed_keys.add(line.key)
        count, videos = self._kinds.get((line.stage, line.code), (0, []))
        if count < self._names:
            reason = reason_of(line.stage, line.code, line.detail)
            videos.append((line.name, reason[:REASON_CHARACTERS]))
        self._kinds[line.stage, line.code] = (count + 1, videos)

    def _add_worker(self, worker: str, line: LogLine) -> None:
        name, _, process = worker.rpartition(":")
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts.setdefault(name if len(self._hosts) < MAX_WORKERS else OTHERS, _Host())
        if len(host.processes) < MAX_WORKERS:
            host.processes.add(process)
        host.videos += 1
        host.frames += line.frames
        host.failed += line.failed
        host.last_at = max(host.last_at, line.at)

    @property
    def kinds(self) -> list[FailedKind]:
        """Failures by stage and code, the most frequent first."""
        kinds = [
            FailedKind(stage=stage, code=code, count=count, videos=videos)
            for (stage, code), (count, videos) in self._kinds.items()
        ]
        return sorted(kinds, key=lambda kind: (-kind.count, kind.stage, kind.code))

    @property
    def workers(self) -> list[WorkerDone]:
        """What was done where, by the names of the machines."""
        return [
            WorkerDone(
                host=name,
                processes=len(host.processes),
                videos=host.videos,
                frames=host.frames,
                failed=host.failed,
                last_at=host.last_at,
            )
            for name, host in sorted(self._hosts.items())
        ]
