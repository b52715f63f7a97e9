"""The estimate of `ipdata plan`: extract the beginnings of some videos and scale up. Writes nothing."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ipdata.datasets.base import Video
from ipdata.errors import VideoError
from ipdata.executors.isolated import ChildDiedError, call_in_child, child_ended, run_steps_in_child
from ipdata.steps.extract import Extracted, VideoTask
from ipdata.steps.plan import Plan
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import Source, staged
from ipdata.video.decode_source import source_facts
from ipdata.video.stored import Stored
from ipdata.video.synthesis import CLASSES, Synthesis

PROBE_FRAMES = 24  # extracted from each probed video: two GOPs
PROBE_VIDEOS = 12
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
    core_s: Amount


@dataclass(frozen=True, kw_only=True)
class _Probe:
    """What one probed video will come to as a whole."""

    frames: int
    column_bytes: dict[str, float]
    seconds: float


def estimate(
    plan: Plan,
    columns: Sequence[str],
    tools: dict[str, str],
    *,
    ffmpeg: str | None,
    timeout_s: float,
    probe_videos: int = PROBE_VIDEOS,
) -> Estimate | None:
    """Extract the beginnings of some videos in a child process; None if none of them can be extracted.

    timeout_s: how long one of them may take.

    Raises: BuildError if this machine cannot extract.
    """
    limit = plan.recipe.limits.frames
    probe_frames = min(PROBE_FRAMES, limit or PROBE_FRAMES)
    recipe = replace(plan.recipe, limits=replace(plan.recipe.limits, frames=probe_frames))
    videos = plan.videos
    keys = spread_over_sizes(videos, probe_videos)
    with child_ended(), scratch_dir() as payload_dir:
        task = VideoTask(
            key=keys[0],
            video=videos[keys[0]],
            recipe=recipe,
            columns=tuple(columns),
            tools=tools,
            payload_dir=payload_dir,
            ffmpeg=ffmpeg,
        )
        _warm_up(task, timeout_s)
        tasks = [replace(task, key=key, video=videos[key]) for key in keys]
        probes = [probe for probe in (_probed(task, limit, timeout_s) for task in tasks) if probe is not None]
    if not probes:
        return None
    sizes = {c: Amount.of([probe.column_bytes[c] for probe in probes], videos=len(videos)) for c in columns}
    return Estimate(
        probed=len(keys),
        failed=len(keys) - len(probes),
        frames=Amount.of([probe.frames for probe in probes], videos=len(videos)),
        column_bytes=sizes,
        all_bytes=Amount.of([sum(probe.column_bytes.values()) for probe in probes], videos=len(videos)),
        core_s=Amount.of([probe.seconds for probe in probes], videos=len(videos)),
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


def _probed(task: VideoTask, limit: int | None, timeout_s: float) -> _Probe | None:
    """Extract the beginning of a video and scale it to its length; None if that fails. Raises: BuildError."""
    outcome = run_steps_in_child(task, timeout_s)
    if not isinstance(outcome, Extracted):
        return None
    frames = _length_of(task.video.source, limit, timeout_s)
    if not frames:
        return None
    scale = frames / outcome.sample.frames
    return _Probe(
        frames=frames,
        column_bytes={name: scale * payload.size_bytes for name, payload in outcome.payloads.items()},
        seconds=scale * sum(outcome.seconds.values()),
    )


def _length_of(source: Source, limit: int | None, timeout_s: float) -> int:
    """As frames_of, but in a child process; 0 also if that crashes or takes too long."""
    try:
        return call_in_child(frames_of, source, limit, timeout_s=timeout_s)
    except (TimeoutError, ChildDiedError):
        return 0


def frames_of(source: Source, limit: int | None) -> int:
    """Number of frames that decode, up to `limit`; 0 if the source does not decode."""
    if isinstance(source, Stored):
        return min(source.sample.frames, limit or source.sample.frames)
    if isinstance(source, Synthesis):
        return min(source.frames, limit or source.frames)
    try:
        with scratch_dir() as scratch:
            path = staged(source, scratch)
            assert isinstance(path, Path)
            return source_facts(path, limit_frames=limit).frames
    except VideoError:
        return 0
