"""The state of a build as lines of text."""

import math
import time
from collections.abc import Iterator, Sequence

from ipdata.status.state import COMPARING, COMPLETE, RUNNING, UNFINISHED, Rate, Status
from ipdata.status.tally import FailedKind
from shards.facts import size_of
from shards.failures import CODES, reason_of
from shards.terminal import duration
from shards.text import printable

SHOWN_HOSTS = 20
STATES = {
    COMPARING: "a build has begun, and compares what is there with what is to be built",
    RUNNING: "a build is running",
    COMPLETE: "no build is running, and the set is complete",
    UNFINISHED: "no build is running, and the last one has not finished; the same command goes on",
}


def in_words(status: Status, *, now: float) -> str:
    """What `status_of` gives as lines of text. now: s since 1970."""
    return "\n".join(map(printable, _lines(status, now)))


def _lines(status: Status, now: float) -> Iterator[str]:
    state = (
        STATES[status.state] if status.has_lock is not None else "not known whether a build is running: no file locks"
    )
    yield f"{status.directory}: {state}"
    if status.begun_at is not None:
        yield f"begun     {clock(status.begun_at)}" + _ago(status.begun_at, now)
    if status.last_at is not None:
        yield f"last      {clock(status.last_at)}" + _ago(status.last_at, now)
    if status.videos is not None:
        yield f"videos    {status.videos}: {status.done} done, {status.left} left, {status.failed} failed"
    elif status.failed:
        yield f"videos    {status.failed} failed"
    published = status.published
    yield (
        f"published {published.videos} videos, {published.frames} frames, {published.shards} shards, "
        f"{size_of(published.size_bytes)}"
    )
    yield from _rate_lines(status)
    if status.largest is not None:
        yield f"memory    at most {size_of(status.largest.memory_bytes)} for a video, {status.largest.key}"
    yield from _worker_lines(status, now)
    yield from _failure_lines(status.failures)
    yield from _name_lines(status)
    if status.damaged_receipts:
        where = f"the first is .build/receipts/{status.damaged_receipts[0]}.json"
        cure = "to make those shards again, run the same command again"
        yield f"receipts  {len(status.damaged_receipts)} cannot be read, {where}; {cure}"
    if status.damaged is not None:
        many = "line is" if status.damaged.lines == 1 else "lines are"
        where = f"the first at byte {status.damaged.first_at_byte} of .build/log.jsonl"
        cure = "a build does not go by its log: to make what is left, run the same command again"
        yield f"log       {status.damaged.lines} {many} damaged and not counted, {where}; {cure}"


def _rate_lines(status: Status) -> Iterator[str]:
    if status.rate is not None:
        yield f"rate      {said(status.rate)} in {duration(status.rate.seconds)}"
    if status.recent is not None:
        yield f"          {said(status.recent)} in the last {duration(status.recent.seconds)}"
    if status.left and status.state == RUNNING:
        left_s = math.inf if status.time_left_s is None else status.time_left_s
        yield f"time left {duration(left_s)}"
    elif status.left and status.time_left_s is not None:
        yield f"time left {duration(status.time_left_s)} at this rate, once a build goes on"


def said(rate: Rate) -> str:
    return f"{rate.videos_per_s:.3g} videos/s, {rate.frames_per_s:.3g} frames/s"


def _worker_lines(status: Status, now: float) -> Iterator[str]:
    for worker in status.workers[:SHOWN_HOSTS]:
        failed = f", {worker.failed} failed" if worker.failed else ""
        processes = f"{worker.processes} process" + ("" if worker.processes == 1 else "es")
        done = f"{worker.videos} videos, {worker.frames} frames{failed}"
        yield f"worker    {worker.host}: {processes}, {done}, last {duration(max(0.0, now - worker.last_at))} ago"
    if len(status.workers) > SHOWN_HOSTS:
        yield f"          and {len(status.workers) - SHOWN_HOSTS} more machines"


def _failure_lines(failures: Sequence[FailedKind]) -> Iterator[str]:
    for kind in failures:
        yield f"failed    {kind.count} {kind.code} ({kind.stage}): {CODES[kind.code]}"
        for name, reason in kind.videos:
            said = reason.removeprefix(reason_of(kind.stage, kind.code, "x").removesuffix("x"))
            yield f"            {name}: {said}"
        if kind.count > len(kind.videos):
            yield f"            and {kind.count - len(kind.videos)} more"


def _name_lines(status: Status) -> Iterator[str]:
    if status.missing:
        yield f"missing   {status.missing} on disk, though listed"
        for name in status.missing_names:
            yield f"            {name}"
        if status.missing > len(status.missing_names):
            yield f"            and {status.missing - len(status.missing_names)} more"
    if status.unlisted:
        yield f"unlisted  {status.unlisted} on disk, but not part of the dataset"


def clock(at: float) -> str:
    """A time in s since 1970, as the clocks here show it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _ago(at: float, now: float) -> str:
    return f" ({duration(max(0.0, now - at))} ago)"
