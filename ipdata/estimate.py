"""The estimate of `ipdata plan`: extract parts of some videos and scale up. Writes nothing."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ipdata.datasets.base import Video
from ipdata.executors.isolated import ChildDiedError, call_in_child, child_ended, died_twice, run_steps_in_child
from ipdata.steps.extract import VideoTask
from ipdata.steps.plan import Plan
from ipdata.steps.probe import Probe, probe
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import Source
from ipdata.video.synthesis import CLASSES, Synthesis

PROBE_VIDEOS = 12
MORE_VIDEOS = 36  # where 12 leave more open; three parts of their order of sizes for each one, with the same middle
OPEN_SHARE = 0.1  # of an estimate, by which it may be off
SEED = 0  # of the draw of GOPs
STANDARD_ERRORS = 2.0  # about 95 % of such samples have the true mean within so many
WARM_UP_S = 600.0  # to compile all kernels on a slow machine
WARM_UP = Synthesis(class_name=CLASSES[0], index=0, frames=3, width=112, height=84, seed=0)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """An estimated sum over all videos, and how far it may be off."""

    mean: float
    spread: float | None  # STANDARD_ERRORS standard errors; None if only one video was probed

    @classmethod
    def of(cls, values: Sequence[float], *, videos: int) -> "Amount":
        """Scale the values of the probed videos up to all videos."""
        spread = None
        if len(values) > 1:
            spread = STANDARD_ERRORS * videos * statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean=videos * statistics.fmean(values), spread=spread)

    @property
    def low(self) -> float:
        return max(0.0, self.mean - (self.spread or 0.0))

    @property
    def high(self) -> float:
        return self.mean + (self.spread or 0.0)

    def said(self, text: Callable[[float], str]) -> str:
        """The amount in words. text: a number with its unit."""
        if self.spread is None:
            return f"about {text(self.mean)}, from one video, so its spread is not known"
        likely = f", likely {text(self.low)} to {text(self.high)}" if text(self.low) != text(self.high) else ""
        return f"about {text(self.mean)}{likely}"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Sums over the whole plan, scaled up from the probed videos."""

    probed: int  # videos
    failed: int  # of the probed videos
    frames: Amount
    column_bytes: dict[str, Amount]
    all_bytes: Amount
    core_s: Amount  # CPU time

    @property
    def open_share(self) -> float:
        """By what share of them bytes and work may be off. Infinite if only one video was probed."""
        amounts = (self.all_bytes, self.core_s)
        return max(math.inf if amount.spread is None else amount.spread / (amount.mean or 1.0) for amount in amounts)


def estimate(
    plan: Plan,
    columns: Sequence[str],
    tools: dict[str, str],
    *,
    ffmpeg: str | None,
    timeout_s: float,
    probe_videos: int | None = None,
) -> Estimate | None:
    """Extract parts of some videos in a child process; None if none of them can be extracted.

    timeout_s: how long one of them may take. probe_videos: how many; None: PROBE_VIDEOS, or MORE_VIDEOS where so few
    leave more than OPEN_SHARE open.

    Raises: BuildError if this machine cannot extract.
    """
    videos = plan.videos
    found: dict[str, Probe | None] = {}
    with child_ended(), scratch_dir() as payload_dir:
        task = VideoTask(
            key="",
            video=next(iter(videos.values())),
            recipe=plan.recipe,
            columns=tuple(columns),
            tools=tools,
            payload_dir=payload_dir,
            ffmpeg=ffmpeg,
        )
        _warm_up(task, timeout_s)
        for count in (PROBE_VIDEOS, MORE_VIDEOS) if probe_videos is None else (probe_videos,):
            for key in spread_over_sizes(videos, count):
                if key not in found:
                    found[key] = _probed(replace(task, key=key, video=videos[key]), timeout_s)
            made = _scaled_up(found, columns, videos=len(videos))
            if made is not None and made.open_share <= OPEN_SHARE:
                break
    return made


def _scaled_up(found: Mapping[str, Probe | None], columns: Sequence[str], *, videos: int) -> Estimate | None:
    probes = [probe for probe in found.values() if probe is not None]
    if not probes:
        return None
    sizes = {c: Amount.of([probe.column_bytes[c] for probe in probes], videos=videos) for c in columns}
    return Estimate(
        probed=len(found),
        failed=len(found) - len(probes),
        frames=Amount.of([probe.frames for probe in probes], videos=videos),
        column_bytes=sizes,
        all_bytes=Amount.of([sum(probe.column_bytes.values()) for probe in probes], videos=videos),
        core_s=Amount.of([probe.cpu_s for probe in probes], videos=videos),
    )


def spread_over_sizes(videos: Mapping[str, Video], count: int) -> list[str]:
    """The keys of `count` videos: the middle of each of as many equal parts, in order of the files' sizes."""
    ordered = sorted(videos, key=lambda key: (_size_of(videos[key].source), key))
    count = min(count, len(ordered))
    return [ordered[(2 * part + 1) * len(ordered) // (2 * count)] for part in range(count)]


def _size_of(source: Source) -> int:
    """A number that grows with the length of the source: bytes of a file, frames of a synthetic video."""
    if isinstance(source, Path):
        try:
            return source.stat().st_size
        except OSError:
            return 0
    return source.frames if isinstance(source, Synthesis) else source.size_bytes


def _warm_up(task: VideoTask, timeout_s: float) -> None:
    """Extract a tiny video, so that no probed one has to wait until Numba has compiled the kernels.

    Raises: BuildError if this machine cannot extract.
    """
    video = replace(task.video, source=WARM_UP)
    run_steps_in_child(replace(task, video=video), max(timeout_s, WARM_UP_S))


def _probed(task: VideoTask, timeout_s: float) -> Probe | None:
    """Probe a video in a child process; None if that fails. Raises: BuildError if this machine is at fault."""
    try:
        return call_in_child(probe, task, SEED, timeout_s=timeout_s)
    except TimeoutError:
        return None
    except ChildDiedError as death:
        died_twice(task, death)
        return None
