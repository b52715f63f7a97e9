"""The estimate of `ipdata plan`: extract the beginnings of a few videos and scale up. Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ipdata.errors import VideoError
from ipdata.executors.isolated import ChildDiedError, call_in_child, child_ended, run_steps_in_child
from ipdata.steps.extract import Extracted, VideoTask
from ipdata.steps.plan import Plan
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import Source
from ipdata.video import decode
from ipdata.video.stored import Stored
from ipdata.video.synthesis import Synthesis

PROBE_FRAMES = 24  # extracted from each probed video: two GOPs
PROBE_VIDEOS = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Sums over the whole plan, scaled up from the probed videos."""

    probed: int  # videos
    failed: int  # of the probed videos
    frames: int
    column_bytes: dict[str, int]
    core_hours: float


def estimate(
    plan: Plan, columns: Sequence[str], tools: dict[str, str], *, ffmpeg: str | None, timeout_s: float
) -> Estimate | None:
    """Extract the beginnings of a few videos in a child process; None if none of them can be extracted.

    timeout_s: how long one of them may take.

    Raises: BuildError if this machine cannot extract.
    """
    with child_ended():
        return _estimate(plan, columns, tools, ffmpeg, timeout_s)


def _estimate(
    plan: Plan, columns: Sequence[str], tools: dict[str, str], ffmpeg: str | None, timeout_s: float
) -> Estimate | None:
    limit = plan.recipe.limits.frames
    probe_frames = min(PROBE_FRAMES, limit or PROBE_FRAMES)
    recipe = replace(plan.recipe, limits=replace(plan.recipe.limits, frames=probe_frames))
    keys = list(plan.videos)[:: max(1, len(plan.videos) // PROBE_VIDEOS)][:PROBE_VIDEOS]
    with scratch_dir() as payload_dir:
        outcomes = [
            run_steps_in_child(
                VideoTask(
                    key=key,
                    video=plan.videos[key],
                    recipe=recipe,
                    columns=tuple(columns),
                    tools=tools,
                    payload_dir=payload_dir,
                    ffmpeg=ffmpeg,
                ),
                timeout_s,
            )
            for key in keys
        ]
    done = [outcome for outcome in outcomes if isinstance(outcome, Extracted)]
    if not done:
        return None
    probed_frames = sum(outcome.sample.frames for outcome in done)
    lengths = [_length_of(plan.videos[outcome.sample.key].source, limit, timeout_s) for outcome in done]
    frames = round(sum(lengths) / len(done) * len(plan.videos))
    scale = frames / probed_frames
    sizes = {c: round(scale * sum(outcome.payloads[c].size_bytes for outcome in done)) for c in columns}
    seconds = sum(sum(outcome.seconds.values()) for outcome in done)
    return Estimate(
        probed=len(keys),
        failed=len(keys) - len(done),
        frames=frames,
        column_bytes=sizes,
        core_hours=scale * seconds / 3600,
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
        return decode.source_facts(source, limit_frames=limit).frames
    except VideoError:
        return 0
