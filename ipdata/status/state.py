"""The state of a build, from what it has left in its output. Reads only, and holds back no build."""

from contextlib import suppress
from pathlib import Path

from ipdata.errors import BuildError
from ipdata.log import LOG, read_log
from ipdata.status.published import Published, Receipts, read_receipts
from ipdata.status.tally import RECENT_S, FailedKind, Largest, Tally, WorkerDone
from ipdata.steps.output import BUILD_DIR, Output
from ipdata.steps.started import STARTED, Started
from shards.atomic import can_lock, is_locked
from shards.layout import MANIFEST
from shards.records import Record
from shards.regular import check_regular

SHOWN_NAMES = 5  # of each kind of failure, and of missing videos

COMPARING, RUNNING, COMPLETE, UNFINISHED = "comparing", "running", "complete", "unfinished"


class Rate(Record, frozen=True, kw_only=True):
    """How many videos, failed ones among them, and frames were done in some time."""

    seconds: float
    videos: int
    frames: int

    @property
    def videos_per_s(self) -> float:
        return self.videos / self.seconds

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds


class DamagedLines(Record, frozen=True, kw_only=True):
    """Lines of the log that cannot be read."""

    lines: int
    first_at_byte: int


class Status(Record, frozen=True, kw_only=True):
    """How far a build is. None stands for what is not known."""

    directory: str
    state: str  # comparing (a build looks what is left to do), running, complete, unfinished
    has_lock: bool | None  # whether a build holds the lock now; None where files cannot be locked
    dataset: str | None
    columns: list[str]
    videos: int | None  # that are to be in the set
    done: int | None  # of them
    failed: int  # of them, in the last build
    left: int | None
    missing: int | None  # listed by the dataset and not on disk
    missing_names: list[str]
    unlisted: int | None
    published: Published
    begun_at: float | None  # of the last build; s since 1970
    last_at: float | None  # when it has done its last video
    rate: Rate | None  # of the last build
    recent: Rate | None  # over the last minutes, while it runs
    time_left_s: float | None
    failures: list[FailedKind]
    largest: Largest | None  # in the last build
    workers: list[WorkerDone]
    damaged: DamagedLines | None
    damaged_receipts: list[str]  # their shards count as not published


def status_of(directory: Path, *, now: float, names: int = SHOWN_NAMES, held_by_caller: bool = False) -> Status:
    """The state of the build in a directory.

    now: s since 1970. names: how many videos of each kind of failure are kept. held_by_caller: the caller is the build
    that holds the lock, and it has ended its work.

    Raises: BuildError if no build was begun there; ShardError if its files are damaged; OSError.
    """
    check_has_build(directory)
    output = Output(directory)
    has_lock = False if held_by_caller else _has_lock(output)
    started = Started.read(output)
    comparing = bool(has_lock) and (started is None or not _began_under_this_lock(output))
    started = None if comparing else started  # it is that of an earlier build
    tally = Tally(recent_from=now - RECENT_S, names=names)
    if not comparing:
        tally.add_all(read_log(output.build_dir / LOG, from_byte=started.log_bytes if started else 0))
    receipts = read_receipts(output, started)
    running = bool(has_lock) and not comparing
    done, left = _counts(started, tally, receipts, running=running)
    state = COMPARING if comparing else RUNNING if running else _ended(output, left)
    rate, recent = _rates(started, tally, now=now, running=running)
    return Status(
        directory=str(directory),
        state=state,
        has_lock=has_lock,
        dataset=started.dataset if started else None,
        columns=started.columns if started else [],
        videos=sum(started.videos) if started else None,
        done=done,
        failed=tally.failed,
        left=left,
        missing=sum(started.missing) if started else None,
        missing_names=started.missing_names[:names] if started else [],
        unlisted=started.unlisted if started else None,
        published=receipts.published,
        begun_at=started.at if started else None,
        last_at=tally.last_at or None,
        rate=rate,
        recent=recent,
        time_left_s=_time_left_s(left, rate, recent),
        failures=tally.kinds,
        largest=tally.largest,
        workers=tally.workers,
        damaged=_damaged(tally),
        damaged_receipts=receipts.unread,
    )


def check_has_build(directory: Path) -> None:
    """Raises: BuildError if no build was begun in the directory."""
    if not directory.exists():
        raise BuildError(f"{directory}: there is no such directory; name the --out of a build")
    if not directory.is_dir():
        raise BuildError(f"{directory}: is a file; name the directory of a set")
    if (directory / BUILD_DIR).is_dir():
        return
    if (directory / MANIFEST).is_file():
        cure = f"`ipshards info {directory}` tells what it holds"
        raise BuildError(
            f"{directory}: holds a set that was not built here (no {BUILD_DIR}), so there is no log; {cure}"
        )
    raise BuildError(f"{directory}: no build was begun there (no {BUILD_DIR}); name the --out of a build")


def _has_lock(output: Output) -> bool | None:
    if not can_lock():
        return None
    try:
        check_regular(output.lock)
    except FileNotFoundError:
        return False
    try:
        return is_locked(output.lock)
    except FileNotFoundError:
        return False
    except OSError:  # this file system has no locks, or the file may not be read
        return None


def _began_under_this_lock(output: Output) -> bool:
    """Tell whether what was begun last belongs to the build that holds the lock now."""
    with suppress(FileNotFoundError):
        return (output.build_dir / STARTED).stat().st_mtime_ns >= output.lock.stat().st_mtime_ns
    return False


def _counts(
    started: Started | None, tally: Tally, receipts: Receipts, *, running: bool
) -> tuple[int | None, int | None]:
    """Videos that are done, and that are left.

    What was extracted of a shard that was not packed is done as long as the build runs, and left when it has ended.
    """
    if started is None:
        return None, None
    left = sum(started.todo.values()) - tally.videos
    if not running:
        left = receipts.left - len(tally.failed_keys - receipts.settled_failed_keys)
    left = max(0, left)
    return max(0, sum(started.videos) - left - tally.failed), left


def _ended(output: Output, left: int | None) -> str:
    return COMPLETE if output.manifest.is_file() and not left else UNFINISHED


def _rates(started: Started | None, tally: Tally, *, now: float, running: bool) -> tuple[Rate | None, Rate | None]:
    """The rates since the last build began, and over the last minutes. None where nothing was done."""
    if started is None or not tally.videos:
        return None, None
    until = max(now, tally.last_at) if running else tally.last_at
    seconds = until - started.at
    if seconds <= 0:  # the clock was set back
        return None, None
    rate = Rate(seconds=seconds, videos=tally.videos, frames=tally.frames)
    if not running or not tally.recent_videos:
        return rate, None
    return rate, Rate(seconds=min(seconds, RECENT_S), videos=tally.recent_videos, frames=tally.recent_frames)


def _time_left_s(left: int | None, rate: Rate | None, recent: Rate | None) -> float | None:
    at = recent or rate
    return None if left is None or at is None else left / at.videos_per_s


def _damaged(tally: Tally) -> DamagedLines | None:
    if tally.first_damaged is None:
        return None
    return DamagedLines(lines=tally.damaged, first_at_byte=tally.first_damaged)
