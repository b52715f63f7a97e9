"""Pack one shard: write the outcomes of its videos to files, rename these to their final names, leave a receipt."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from ipdata.errors import BuildError
from ipdata.steps.extract import Failed, Outcome, VideoTask, differing_fields
from ipdata.steps.output import Output
from ipdata.steps.plan import ShardPlan
from ipdata.steps.receipt import Content, Receipt, published_content
from ipdata.steps.replaced import Copied
from shards.atomic import publish
from shards.manifest import FileInfo, ShardInfo
from shards.schema import Sample
from shards.writer import write_shard


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """The work on one shard: the videos to extract, and what can be kept or copied."""

    output: Output
    plan: ShardPlan
    columns: tuple[str, ...]
    videos: tuple[VideoTask, ...]
    kept: Receipt | None  # of files that are intact; samples that no task makes are taken from them
    copies: tuple[Copied, ...] = ()  # samples of other shards, which this one takes over
    published: frozenset[str]  # keys that the output held before this build, whether they can be kept or not
    drop_failed: bool  # leave out a published sample if its video can no longer be extracted
    strict: bool  # do not publish the shard if a video failed
    gone: frozenset[str] = frozenset()  # published keys whose sources the driver found gone or forbidden
    other_tools: str = ""  # how the tools here differ from those of what is kept, and the cure; for errors

    def loses(self, failed: Failed) -> bool:
        """Tell whether a failure would cost a published sample that may not be dropped for it."""
        failure = failed.failure
        if failure.key not in self.published:
            return False
        sure = failure.key in self.gone if failure.code == "unreadable" else failure.is_of_the_video
        return not (self.drop_failed and sure)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A shard was published; or it was left as it was, because samples would be lost or strict forbids it."""

    shard: str
    would_lose: tuple[Failed, ...]  # failures of videos whose samples are published and may not be dropped


def pack(task: ShardTask, outcomes: Sequence[Outcome]) -> Packed:
    """Merge new outcomes with kept samples; write, sync and rename the files; leave the receipt.

    Raises: BuildError if the output cannot be written. The build stops and can be resumed.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    would_lose = tuple(outcome for outcome in failures if task.loses(outcome))
    if would_lose or (failures and task.strict):
        return Packed(shard=task.plan.shard, would_lose=would_lose)
    try:
        _pack(task, outcomes, failures)
    except OSError as error:
        where = f"{task.output.directory}, shard {task.plan.shard}"
        raise BuildError(f"{where} cannot be written: {error}; fix that and run the same command again") from None
    return Packed(shard=task.plan.shard, would_lose=())


def _pack(task: ShardTask, outcomes: Sequence[Outcome], failures: Sequence[Failed]) -> None:
    content = _merge(task, outcomes)
    samples = [content[key][0] for key in task.plan.videos if key in content]
    if task.kept is not None and _nothing_new(task, task.kept, samples, outcomes):
        info = task.kept.info  # only videos that had failed before were tried, and they failed again
    else:
        info = _write_files(task, samples, content)
    receipt = Receipt(
        plan_sha256=task.plan.sha256,
        columns=list(task.columns),
        sources={sample.key: sample.source_sha256 for sample in samples},
        info=info,
        failed=[outcome.failure for outcome in failures],
    )
    task.output.publish(f".build/receipts/{task.plan.shard}.json", receipt.to_json())


def _nothing_new(task: ShardTask, kept: Receipt, samples: Sequence[Sample], outcomes: Sequence[Outcome]) -> bool:
    """True if the published files are already what would be written."""
    same = kept.columns == list(task.columns) and set(kept.sources) == {sample.key for sample in samples}
    return same and all(isinstance(outcome, Failed) for outcome in outcomes)


def _merge(task: ShardTask, outcomes: Sequence[Outcome]) -> Content:
    """Samples with every column, new or kept. A video that failed in a new column loses its old columns too."""
    whole = {video.key for video in task.videos if video.columns == task.columns}
    content = {key: entry for key, entry in _published(task).items() if key not in whole}
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            content.pop(outcome.failure.key, None)
            continue
        key, made = outcome.sample.key, {"width": outcome.sample.width, "height": outcome.sample.height}
        if key not in task.plan.videos or made != task.videos[0].recipe.size:
            raise BuildError(f"{key}: the outcome is not of this build; this is a bug, please report it")
        sample, payloads = content.get(key, (outcome.sample, {}))
        _check_same(task, sample, outcome.sample)
        content[key] = (sample, {**payloads, **outcome.payloads})
    partial = [key for key, (_, payloads) in content.items() if set(payloads) != set(task.columns)]
    if partial:
        raise BuildError(f"shard {task.plan.shard}: {partial[:3]} lack columns; this is a bug, please report it")
    return content


def _check_same(task: ShardTask, there: Sample, here: Sample) -> None:
    """Raises: BuildError if a column would be added to a published sample from another source or bitstream.

    What a decoder reports as damaged may differ from release to release, so it is not compared.
    """
    fields = [name for name in differing_fields(there, here) if name != "source_frames_damaged"]
    if not fields:
        return
    cure = task.other_tools or "the tools are the same; build into another --out"
    if not task.other_tools and "video_sha256" in fields:
        why = "the tools are the same, so its source does not decode to the same pictures each time"
        cure = f"{why}; build all columns at once into another --out"
    problem = f"its new record differs from the published one in {', '.join(fields)}"
    raise BuildError(f"{there.key} ({there.name}): {problem}; {cure}")


def _published(task: ShardTask) -> Content:
    """Records and payloads of the published files that can be kept or copied."""
    content = published_content(task.output.directory, task.kept) if task.kept else {}
    for copied in task.copies:
        content |= copied.content(task.plan)
    return content


def _write_files(task: ShardTask, samples: Sequence[Sample], content: Content) -> ShardInfo | None:
    """Write the shard's files and rename them to their final names. The manifest is removed before the first rename."""
    if not samples:
        task.output.remove_manifest()
        return None
    columns = {column: [content[sample.key][1][column] for sample in samples] for column in task.columns}
    temporary = task.output.temporary_dir / f"{task.plan.shard}.{os.getpid()}.{os.urandom(4).hex()}"
    temporary.mkdir()  # its parent goes with the build: a worker that wakes up later must not change the set any more
    try:
        files: dict[str, FileInfo] = write_shard(temporary, task.plan.shard, samples, columns)
        task.output.remove_manifest()
        for relative in files:
            publish(temporary / relative, task.output.directory / relative)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ShardInfo(
        shard=task.plan.shard,
        samples=len(samples),
        frames=sum(sample.frames for sample in samples),
        subsets=task.plan.subsets,
        files=files,
    )
