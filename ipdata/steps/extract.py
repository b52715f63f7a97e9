"""One video to its record and payloads: transcode, decode, residual, flow, encode. All or nothing."""

import errno
import tempfile
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from ipdata.columns.encode import Clock, encode_columns
from ipdata.datasets.base import Video
from ipdata.errors import BuildError, VideoError
from ipdata.recipe import BuildRecipe
from ipdata.video import decode
from ipdata.video.synthesis import Synthesis
from ipdata.video.tools import tools_here, tools_of
from ipdata.video.transcode import executable, transcode
from shards.canonical import sha256_file
from shards.encodings import Payload
from shards.failures import Failure
from shards.schema import Sample

# Errors that are no fault of a video: no space, quota, file handles or memory left.
THIS_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}
MIN_DEFICIT_FRAMES = 3  # genuine clips announce a few frames too many, whatever their length


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker needs to extract one video."""

    key: str
    video: Video
    recipe: BuildRecipe
    columns: tuple[str, ...]
    tools: dict[str, str]  # what the build was planned with; a worker with others refuses
    ffmpeg: str | None = None
    begun: "Extracted | None" = None  # by another worker, with a video payload; only what it lacks is left to do


@dataclass(frozen=True, kw_only=True)
class Extracted:
    sample: Sample
    payloads: dict[str, Payload]
    seconds: dict[str, float]  # spent in each stage; for the log, never for the set


@dataclass(frozen=True, kw_only=True)
class Failed:
    failure: Failure
    detail: str  # free text, for the log and the report


Outcome = Extracted | Failed


def attempt(job: Job) -> Outcome:
    """extract, with everything that is the video's fault turned into a Failed.

    Raises: BuildError where this machine cannot extract any video.
    """
    _check_tools(job)
    try:
        return extract(job) if job.begun is None else extend(job, job.begun)
    except BuildError:
        raise
    except VideoError as error:
        return failed(job, error.stage, error.code, error.detail)
    except Exception as error:  # whatever one video does to a library must not cost the other videos
        if isinstance(error, OSError) and error.errno in THIS_MACHINE:
            raise BuildError(f"{job.video.name} cannot be extracted here: {error}; mend that and run again") from None
        return failed(job, "worker", "error", traceback.format_exc())


def _check_tools(job: Job) -> None:
    here = tools_here(job.ffmpeg)
    for column in job.columns:
        ours, needed = (tools_of(column, job.recipe, tools) for tools in (here, job.tools))
        if ours != needed:
            raise BuildError(f"this worker has {ours}, column {column} needs {needed}; install the same")


def failed(job: Job, stage: str, code: str, detail: str) -> Failed:
    return Failed(failure=Failure(key=job.key, name=job.video.name, stage=stage, code=code), detail=detail)


def extract(job: Job) -> Extracted:
    """Extract one video. Raises: VideoError with stage and code; nothing is returned in part."""
    cv2.setNumThreads(1)
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="ipdata-") as scratch:
        with clock.stage("source"):
            path, sha256 = _materialise(job.video.source, Path(scratch))
            facts = decode.source_facts(path, limit_frames=job.recipe.limits.frames)
            _check_source(facts, job.recipe)
        with clock.stage("transcode"):
            ffmpeg = executable(job.ffmpeg)
            m4v = transcode(path, job.recipe.transcode, limit_frames=job.recipe.limits.frames, path=ffmpeg)
        with clock.stage("source"):
            if source_sha256(job.video.source) != sha256:
                raise VideoError("source", "changed", "its bytes are not those that were hashed first")
    picture_types, payloads = encode_columns(m4v, job.columns, job.recipe, clock)
    _check_pictures(picture_types, facts, job.recipe.transcode.gop)
    sample = _sample(job, facts, picture_types, sha256)
    return Extracted(sample=sample, payloads=payloads, seconds=clock.seconds)


def extend(job: Job, begun: Extracted) -> Extracted:
    """Add the job's columns that `begun` lacks, from its video payload; keep only the job's. Raises: VideoError."""
    cv2.setNumThreads(1)
    clock = Clock()
    lacking = [column for column in job.columns if column not in begun.payloads]
    _, payloads = encode_columns(begun.payloads["video"].data, lacking, job.recipe, clock)
    payloads |= begun.payloads
    seconds = {
        stage: begun.seconds.get(stage, 0.0) + clock.seconds.get(stage, 0.0)
        for stage in {*begun.seconds, *clock.seconds}
    }
    return Extracted(sample=begun.sample, payloads={name: payloads[name] for name in job.columns}, seconds=seconds)


def without_flow(job: Job) -> Job:
    """The part of a job that needs no GPU: everything but flow, and the video that flow is made from."""
    return replace(job, columns=tuple(dict.fromkeys([*(c for c in job.columns if c != "flow"), "video"])))


def source_sha256(source: Path | Synthesis) -> str:
    """What tells whether a source is still the same. Raises: VideoError if it cannot be read."""
    if isinstance(source, Synthesis):
        return source.sha256()
    try:
        return sha256_file(source)
    except OSError as error:
        raise VideoError("source", "unreadable", str(error)) from None


def _materialise(source: Path | Synthesis, scratch: Path) -> tuple[Path, str]:
    """A file that ffmpeg can open, and the source's hash."""
    sha256 = source_sha256(source)
    if isinstance(source, Path):
        if source.stat().st_size == 0:
            raise VideoError("source", "empty", f"{source} has 0 bytes")
        return _openable(source, scratch), sha256
    path = scratch / "source.y4m"
    source.write(path)
    return path, sha256


def _openable(source: Path, scratch: Path) -> Path:
    """The path itself, or a link to it where its name is not UTF-8, which PyAV cannot pass on."""
    try:
        str(source).encode()
        return source
    except UnicodeEncodeError:
        link = scratch / "source"
        link.symlink_to(source.absolute())
        return link


def _check_source(facts: decode.SourceFacts, recipe: BuildRecipe) -> None:
    """Containers announce a frame or a few too many; far too many means that the file was cut."""
    allowed = recipe.source.max_frame_deficit
    announced = min(facts.announced_frames, recipe.limits.frames or facts.announced_frames)
    if announced - facts.frames > max(MIN_DEFICIT_FRAMES, allowed * announced):
        detail = f"{announced} frames announced, {facts.frames} decode; more than {allowed:.0%} are missing"
        raise VideoError("source", "truncated", detail)
    if facts.damaged > allowed * facts.frames:
        detail = f"{facts.damaged} damaged packets or frames beside {facts.frames} frames; more than {allowed:.0%}"
        raise VideoError("source", "damaged", detail)


def _check_pictures(picture_types: str, facts: decode.SourceFacts, gop: int) -> None:
    if len(picture_types) != facts.frames:
        detail = f"an independent decode yields {facts.frames} frames, the transcoded video has {len(picture_types)}"
        raise VideoError("transcode", "frame_count", detail)
    expected = "".join("P" if number % gop else "I" for number in range(facts.frames))
    if picture_types != expected:
        raise VideoError("transcode", "picture_types", f"expected {expected}, got {picture_types}")


def _sample(job: Job, facts: decode.SourceFacts, picture_types: str, sha256: str) -> Sample:
    return Sample(
        key=job.key,
        name=job.video.name,
        class_name=job.video.class_name,
        class_id=job.video.class_id,
        subsets=job.video.subsets,
        frames=len(picture_types),
        picture_types=picture_types,
        width=job.recipe.transcode.width,
        height=job.recipe.transcode.height,
        source_width=facts.width,
        source_height=facts.height,
        source_frames=facts.frames,
        source_frames_announced=facts.announced_frames,
        source_frames_damaged=facts.damaged,
        source_frame_rate=facts.frame_rate,
        source_time_base=facts.time_base,
        source_pts=facts.pts,
        source_sha256=sha256,
    )
