"""Extract one video: transcode, decode and encode it to a record and payloads. All or nothing.

A video's work is a list of steps. Each step makes some columns, and may want a resource such as a GPU. The first step
transcodes the source, or reads the bitstream that a set has; later steps decode the bitstream that the first one gave.
Steps do not know where they run.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from ipdata.columns.registry import packages_of
from ipdata.datasets.base import Video
from ipdata.errors import BuildError, VideoError
from ipdata.recipe import BuildRecipe
from ipdata.steps.encode import Clock, encode_columns
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import Opened, staged
from ipdata.steps.spool import payload_path
from ipdata.video import decode_source
from ipdata.video.finished import copied_if_finished
from ipdata.video.stored import VIDEO, Stored
from ipdata.video.synthesis import Synthesis
from ipdata.video.tools import tools_but_ffmpeg, tools_here
from ipdata.video.transcode import executable, transcode
from shards.canonical import sha256_file
from shards.columns import PayloadFile
from shards.failures import Failure
from shards.schema import FORMAT, Sample
from shards.store.listed import ListedFile

MIN_DEFICIT_FRAMES = 3  # sound clips of any length may announce a few frames too many


@dataclass(frozen=True)
class Step:
    """A part of a video's work."""

    columns: tuple[str, ...]  # the columns that it makes
    resource: str = ""  # that its worker must have; empty if any worker will do


@dataclass(frozen=True, kw_only=True)
class VideoTask:
    """All that a worker needs to extract one video."""

    key: str
    video: Video
    recipe: BuildRecipe
    columns: tuple[str, ...]
    tools: dict[str, str]  # name -> version that the build was planned with; a worker with others refuses
    payload_dir: Path  # where payloads wait until their shard is packed; every worker can write there
    format: int = FORMAT  # of the set
    ffmpeg: str | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """One step for all columns that any worker can make, then one for each resource.

        If there are later steps, the first one also makes the column video, which they decode.
        """
        resources = {column: self.recipe.resource(column) for column in self.columns}
        wanted = sorted({resource for resource in resources.values() if resource})
        first = tuple(column for column, resource in resources.items() if not resource)
        if wanted and VIDEO not in first:
            first = (*first, VIDEO)
        later = [Step(tuple(c for c, own in resources.items() if own == resource), resource) for resource in wanted]
        return (Step(first), *later)


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What the steps so far have made of one video."""

    sample: Sample
    payloads: Mapping[str, PayloadFile]
    seconds: dict[str, float]  # spent in each stage; this and what follows are for the log, never for the set
    workers: tuple[str, ...] = ()  # HOST:PROCESS, one for each step
    memory_bytes: int = 0  # the most that its processes took together; 0 if that is not known


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why a video could not be extracted."""

    failure: Failure
    detail: str  # free text, for the log and the report
    workers: tuple[str, ...] = ()  # this and memory_bytes as of Extracted
    memory_bytes: int = 0


Outcome = Extracted | Failed


def run_steps(task: VideoTask) -> Outcome:
    """Run all steps of a video, one after another, in this process. Raises: as run_step."""
    outcome: Outcome | None = None
    for step in task.steps:
        outcome = run_step(task, step, outcome)
    assert outcome is not None  # there is always a first step
    return outcome


def run_step(task: VideoTask, step: Step, begun: Outcome | None) -> Outcome:
    """Run one step of a video. If the video is at fault, return a Failed, which later steps pass on.

    begun: the outcome of the previous step; None for the first step.

    Raises: BuildError if this machine is at fault.
    """
    if isinstance(begun, Failed):
        return begun
    _check_tools(task)
    try:
        return extract(task, step) if begun is None else extend(task, step, begun)
    except Exception as error:
        return failure_of(task, error)


def failure_of(task: VideoTask, error: Exception) -> Failed:
    """The outcome of a task that has raised an error. An error of a library must not cost the other videos.

    Raises: BuildError if this machine is at fault.
    """
    if isinstance(error, BuildError):
        raise error
    if isinstance(error, VideoError):
        return failed(task, error.stage, error.code, error.detail)
    if _is_this_machines(error):
        what = str(error) or type(error).__name__
        raise BuildError(f"{task.video.name} cannot be extracted here: {what}; fix that and run again") from None
    return failed(task, "worker", "error", "".join(traceback.format_exception(error)))


def _is_this_machines(error: Exception) -> bool:
    """Tell whether an error that is no VideoError is the fault of this machine, such as of its temporary directory.

    Errors of reading a source, also with PyAV, are VideoErrors. So any other OSError has nothing to do with the video.
    """
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, OSError | MemoryError)


def _check_tools(task: VideoTask) -> None:
    """Compare this machine's tools with the driver's, and this package's version too: it decides the algorithms."""
    packages = packages_of(task.columns)
    if isinstance(task.video.source, Stored):  # nothing is transcoded
        here = {"ffmpeg": task.tools.get("ffmpeg", "none"), **tools_but_ffmpeg(packages)}
    else:
        here = tools_here(task.ffmpeg, packages=packages)
    for column in task.columns:
        ours, needed = (_versions(task, column, tools) for tools in (here, task.tools))
        other = [name for name in needed if ours[name] != needed[name]]
        if other:
            has, needs = ({name: versions[name] for name in other} for versions in (ours, needed))
            raise BuildError(f"this worker has {has}, but column {column} needs {needs}; install the same versions")


def _versions(task: VideoTask, column: str, tools: dict[str, str]) -> dict[str, str]:
    own = task.recipe.tools_of(column, tools, format=task.format)
    return {**own, "ipdata": tools.get("ipdata", "none")}


def failed(task: VideoTask, stage: str, code: str, detail: str) -> Failed:
    """The outcome of a task whose video failed. detail: free text for the log and the report."""
    return Failed(failure=Failure(key=task.key, name=task.video.name, stage=stage, code=code), detail=detail)


def extract(task: VideoTask, step: Step) -> Extracted:
    """The first step: transcode the source, and make the record and the step's payloads.

    Of a video that a set has, nothing is transcoded: the record and the bitstream are those of the set.

    Raises: VideoError with stage and code; OSError or BuildError if this machine is at fault. There is no partial
        result.
    """
    clock = Clock()
    with scratch_dir() as scratch:
        m4v, source = scratch / "video.m4v", task.video.source
        if isinstance(source, Stored):
            source.copy_to(m4v)
            sample = source.sample
        else:
            sample = transcoded(task, source, m4v, clock)
        payloads = encode_columns(m4v, _files(task, step), task.recipe, clock, picture_types=sample.picture_types)
    return _finished(task, step, Extracted(sample=sample, payloads=payloads, seconds=clock.seconds))


def transcoded(
    task: VideoTask, source: Path | ListedFile | Synthesis, m4v: Path, clock: Clock, *, as_it_is: bool = False
) -> Sample:
    """Transcode a source to the new file m4v, with all checks; return its record.

    as_it_is: copy a source that is already what the recipe's transcode makes.

    Raises: as extract.
    """
    limits = task.recipe.limits
    limit_frames = limits.frames
    with clock.stage("source"):
        opened = Opened.of(staged(source, m4v.parent), m4v.parent)
    try:
        with clock.stage("source"):
            facts = decode_source.source_facts(opened.path, limit_frames=limit_frames, max_frames=limits.max_frames)
            _check_source(facts, task.recipe)
        if as_it_is and copied_if_finished(opened.path, m4v, task.recipe.transcode, facts):
            return _sample(task, facts, opened.sha256(), m4v)
        with clock.stage("transcode"):
            checksums = transcode(
                opened.path,
                task.recipe.transcode,
                m4v,
                frames=facts.frames,
                limit_frames=limit_frames,
                path=executable(task.ffmpeg),
                checksum_rows=facts.checksum_rows,
            )
    except VideoError:
        opened.check_readable()
        raise
    with clock.stage("source"):
        sha256 = opened.sha256()
    facts.check_alike(checksums)
    return _sample(task, facts, sha256, m4v)


def extend(task: VideoTask, step: Step, begun: Extracted) -> Extracted:
    """A later step: make its columns from the bitstream that is there already, and add them. Raises: VideoError."""
    clock, m4v, types = Clock(), begun.payloads[VIDEO].path, begun.sample.picture_types
    payloads = encode_columns(m4v, _files(task, step), task.recipe, clock, picture_types=types)
    stages = {*begun.seconds, *clock.seconds}
    seconds = {stage: begun.seconds.get(stage, 0.0) + clock.seconds.get(stage, 0.0) for stage in stages}
    extended = Extracted(sample=begun.sample, payloads={**begun.payloads, **payloads}, seconds=seconds)
    return _finished(task, step, extended)


def _files(task: VideoTask, step: Step) -> dict[str, Path]:
    """The files for the payloads of a step."""
    return {column: payload_path(task.payload_dir, task.key, column) for column in step.columns}


def _finished(task: VideoTask, step: Step, extracted: Extracted) -> Extracted:
    """After the last step, keep only the columns that were asked for, in their order."""
    if step != task.steps[-1]:
        return extracted
    payloads = {name: extracted.payloads[name] for name in task.columns}
    return Extracted(sample=extracted.sample, payloads=payloads, seconds=extracted.seconds)


def _check_source(facts: decode_source.SourceFacts, recipe: BuildRecipe) -> None:
    """Raise VideoError if far fewer frames decode than announced, as in a cut file, or if too many are damaged."""
    allowed = recipe.source.max_frame_deficit
    recorded = facts.announced_frames - facts.dropped_frames
    expected = min(recorded, recipe.limits.frames or recorded)
    if expected - facts.frames > max(MIN_DEFICIT_FRAMES, allowed * expected):
        detail = f"{expected} frames are announced, {facts.frames} decode; more than {allowed:.0%} are missing"
        raise VideoError("source", "truncated", detail)
    if facts.damaged > allowed * facts.frames:
        detail = f"{facts.damaged} packets or frames are damaged, more than {allowed:.0%} of {facts.frames} frames"
        raise VideoError("source", "damaged", detail)


def _sample(task: VideoTask, facts: decode_source.SourceFacts, sha256: str, m4v: Path) -> Sample:
    return Sample(
        key=task.key,
        name=task.video.name,
        class_name=task.video.class_name,
        class_id=task.video.class_id,
        subsets=task.video.subsets,
        frames=facts.frames,
        picture_types=task.recipe.transcode.picture_types(facts.frames),
        width=task.recipe.transcode.width,
        height=task.recipe.transcode.height,
        source_width=facts.width,
        source_height=facts.height,
        source_frames=facts.frames,
        source_frames_announced=facts.announced_frames,
        source_frames_damaged=facts.damaged,
        source_frame_rate=facts.frame_rate,
        source_time_base=facts.time_base,
        source_pts=facts.pts,
        source_sha256=sha256,
        group=task.video.group if task.format > 1 else "",
        video_sha256=sha256_file(m4v) if task.format > 1 else "",
    )


def differing_fields(old: Sample, new: Sample) -> list[str]:
    """The names of the fields in which two records differ."""
    there, here = old.to_value(), new.to_value()
    return [name for name in {**there, **here} if there.get(name) != here.get(name)]
