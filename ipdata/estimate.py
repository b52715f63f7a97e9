"""The estimate of `ipdata plan`: extract the beginnings of a few videos and scale up. Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ipdata.errors import VideoError
from ipdata.steps.extract import Extracted, VideoTask, run_steps
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


def estimate(plan: Plan, columns: Sequence[str], tools: dict[str, str], *, ffmpeg: str | None) -> Estimate | None:
    """Extract the beginnings of a few videos in this process; None if none of them can be extracted."""
    limit = plan.recipe.limits.frames
    probe_frames = min(PROBE_FRAMES, limit or PROBE_FRAMES)
    recipe = replace(plan.recipe, limits=replace(plan.recipe.limits, frames=probe_frames))
    keys = list(plan.videos)[:: max(1, len(plan.videos) // PROBE_VIDEOS)][:PROBE_VIDEOS]
    with scratch_dir() as payload_dir:
        outcomes = [
            run_steps(
                VideoTask(
                    key=key,
                    video=plan.videos[key],
                    recipe=recipe,
                    columns=tuple(columns),
                    tools=tools,
                    payload_dir=payload_dir,
                    ffmpeg=ffmpeg,
                )
            )
            for key in keys
        ]
    done = [outcome for outcome in outcomes if isinstance(outcome, Extracted)]
    if not done:
        return None
    probed_frames = sum(outcome.sample.frames for outcome in done)
    lengths = [_frames_of(plan.videos[outcome.sample.key].source, limit) for outcome in done]
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


def _frames_of(source: Source, limit: int | None) -> int:
    """Number of frames that decode, up to `limit`; 0 if the source does not decode."""
    if isinstance(source, Stored):
        return min(source.sample.frames, limit or source.sample.frames)
    if isinstance(source, Synthesis):
        return min(source.frames, limit or source.frames)
    try:
        return decode.source_facts(source, limit_frames=limit).frames
    except VideoError:
        return 0
