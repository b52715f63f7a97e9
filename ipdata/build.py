"""`ipdata build`: list the videos, plan, extract what is not done, publish each shard, and the manifest last."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ipdata.columns.registry import column_build_of, packages_of
from ipdata.datasets import DATASETS, dataset_of
from ipdata.datasets.leaks import leaks_of, refuse_leaks
from ipdata.errors import BuildError, StrictError
from ipdata.executors import Placement, executor_of
from ipdata.log import LOG as LOG_FILE
from ipdata.progress import Unwatched
from ipdata.publish import manifest_before, publish_set
from ipdata.recipe import BuildRecipe
from ipdata.report import failure_line
from ipdata.reporting.document import reported
from ipdata.run import noting, run_tasks
from ipdata.steps import identity
from ipdata.steps.extract import Failed, VideoTask
from ipdata.steps.known import KnownSources
from ipdata.steps.listing import check_sizes, listing_of
from ipdata.steps.output import Output, check_nothing_lost, check_ours
from ipdata.steps.pack import ShardTask
from ipdata.steps.plan import Plan, ShardPlan, make_plan
from ipdata.steps.receipt import Receipt, intact, stored_videos, work_left
from ipdata.steps.replaced import Replaced, set_aside, without_copied
from ipdata.steps.scratch import remove_abandoned
from ipdata.steps.source import UnreadableError
from ipdata.steps.started import Started
from ipdata.video.stored import VIDEO, Stored
from ipdata.video.tools import tools_here
from shards.manifest import Manifest
from shards.store.urls import shown

SHOWN_LEAKS = 20
UNWATCHED = Unwatched()

LOG = logging.getLogger(__name__)


MAX_MISSING = 0.01
MAX_SOURCE_BYTES = 16 * 10**9
SHOWN_MISSING = 20  # names in the error; `ipdata plan` has the number


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to build, and where. `placement` and `strict` change no byte of the set."""

    dataset: str
    source: Path | str  # directory or URL of the videos
    splits: Path | str | None  # the official lists; None: beside the videos
    draw: Path | str | None  # file with the YouTube ids to take, for kinetics_n50
    out: Path  # directory of the set
    url: str | None = field(default=None, repr=False)  # that ipdata.upload sends it to; None: it stays there
    recipe: BuildRecipe
    columns: tuple[str, ...]
    placement: Placement = field(default_factory=Placement)
    strict: bool = False
    drop_failed: bool = False  # leave out published samples whose videos can no longer be extracted
    max_missing: float = MAX_MISSING  # share of the listed videos that may be missing
    allow_missing: bool = False  # build what is there, whatever is missing
    max_source_bytes: int = MAX_SOURCE_BYTES  # of a source at a URL, which a worker fetches whole
    ffmpeg: str | None = None  # path of the executable; None: see video.transcode.executable


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a build planned, published, and could not build."""

    plan: Plan
    manifest: Manifest
    failures: list[Failed] = field(default_factory=list)


def plan_of(request: Request) -> Plan:
    """List the dataset and plan its shards. Reads names and lists, but no video. Raises BuildError, ShardError."""
    dataset = dataset_of(request.dataset)
    options = request.recipe.datasets.get(dataset.name)
    listing = listing_of(dataset, request.source, request.splits, request.draw, options)
    plan = make_plan(listing, request.recipe)
    check_sizes(plan.videos.values(), request.max_source_bytes)
    if request.strict and plan.listing.missing:
        missing = plan.listing.missing
        cure = "add them, or leave --strict out"
        raise StrictError(f"--strict: {len(missing)} listed videos are missing, such as {missing[0]}; {cure}")
    return plan


def check_missing(request: Request, plan: Plan) -> None:
    """Raises: BuildError if more of the listed videos are missing than the request allows."""
    listing = plan.listing
    listed = len(listing.videos) + len(listing.missing)
    if request.allow_missing or len(listing.missing) <= request.max_missing * listed:
        return
    share = f"{100 * len(listing.missing) / listed:.3g} %; --max-missing is {100 * request.max_missing:g} %"
    names = list(listing.missing[:SHOWN_MISSING])
    if len(listing.missing) > SHOWN_MISSING:
        names.append(f"and {len(listing.missing) - SHOWN_MISSING} more")
    listed_names = "\n  ".join(names)
    cure = f"`ipdata datasets` says what {request.dataset} is made of), or build what is there with --allow-missing."
    raise BuildError(
        f"{len(listing.missing)} of {listed} listed videos are missing ({share}):\n  {listed_names}\n"
        f"Add them to {shown(request.source)} ({cure}"
    )


def checked_tools(request: Request) -> dict[str, str]:
    """The versions of the tools on this machine. Raises: BuildError if it lacks what a column needs."""
    tools = tools_here(request.ffmpeg, packages=packages_of(request.columns))
    for column in request.columns:
        if column in DATASETS:
            raise BuildError(f"--columns: {column} is also a dataset, and a recipe has one table of a name; rename it")
        column_build_of(column).check(request.recipe.columns.get(column), tools)
    return tools


def build(
    request: Request, progress: Unwatched = UNWATCHED, *, shard_done: Callable[[str], None] = lambda _: None
) -> Result:
    """Build or finish a shard set; return what was built and what failed.

    shard_done: is given the number of each shard whose work has ended.

    Raises: what `shard_done` raises; BuildError for every refusal; StrictError if --strict stopped it.
    """
    check_ours(request.out)
    output = Output(request.out)
    executor = executor_of(request.placement, scratch=output.temporary_dir / "dask")
    tools = checked_tools(request)
    plan = plan_of(request)
    check_missing(request, plan)
    _check_leaks(plan, strict=request.strict)
    remove_abandoned()
    with output.locked():
        columns = identity.columns_of(output, plan, request.columns, tools)
        published = output.published_keys()
        check_nothing_lost(output, plan, published)
        kept, known = identity.other_tools(output, plan, columns, tools), KnownSources(output)
        done = _done(output, plan)
        set_aside(output, done)
        tasks = list(_shard_tasks(request, output, plan, tuple(columns), tools, published, kept, known, done))
        touched = {column for task in tasks for video in task.videos for column in video.columns}
        identity.check_touched(output, plan, columns, touched, tools)
        identity.record(output, plan, columns)
        _say_work(plan, tasks)
        _note_beginning(output, plan, tuple(columns), tasks)
        before = manifest_before(output)
        with reported(output):
            failures = run_tasks(
                executor,
                output,
                tasks,
                progress,
                on_failure=_stop if request.strict else None,
                noted=noting(tasks, known, shard_done),
            )
            output.forget_replaced()
            manifest = publish_set(output, plan, columns, failures, before=before)
    remove_abandoned()  # again: a process that had just been killed may have held its lock for a moment
    return Result(plan=plan, manifest=manifest, failures=failures)


def _say_work(plan: Plan, tasks: list[ShardTask]) -> None:
    extracted = sum(len(task.videos) for task in tasks)
    copied = sum(len(copied.keys) for task in tasks for copied in task.copies)
    more = f", {copied} to copy from the shards that they were in" if copied else ""
    LOG.info("%d videos in %d shards, %d to extract%s", len(plan.videos), len(plan.shards), extracted, more)


def _note_beginning(output: Output, plan: Plan, columns: tuple[str, ...], tasks: list[ShardTask]) -> None:
    """Write what this build has to do, for `ipdata status`."""
    log = output.build_dir / LOG_FILE
    log_bytes = log.stat().st_size if log.exists() else 0
    Started.of(plan, columns, tasks, at=time.time(), log_bytes=log_bytes).write(output)


def _check_leaks(plan: Plan, *, strict: bool) -> None:
    """Warns of each video that is tested and, under another name, trained on. Raises: StrictError with --strict."""
    leaks = leaks_of(plan.videos.values())
    if strict:
        refuse_leaks(leaks)
    for leak in leaks[:SHOWN_LEAKS]:
        LOG.warning("%s", leak)
    if len(leaks) > SHOWN_LEAKS:
        LOG.warning("and %d more such pairs; `ipdata plan` counts them", len(leaks) - SHOWN_LEAKS)


def _done(output: Output, plan: Plan) -> dict[str, Receipt]:
    """The receipts, by shard, that hold: they are of the plan's shards, and the files are as they state."""
    receipts = {shard.shard: (shard, output.receipt(shard.shard)) for shard in plan.shards}
    return {
        number: receipt
        for number, (shard, receipt) in receipts.items()
        if receipt is not None and receipt.plan_sha256 == shard.sha256 and intact(output.directory, receipt)
    }


def _shard_tasks(
    request: Request,
    output: Output,
    plan: Plan,
    columns: tuple[str, ...],
    tools: dict[str, str],
    published: set[str],
    other_tools: str,
    known: KnownSources,
    done: Mapping[str, Receipt],
) -> Iterator[ShardTask]:
    """Yield a task for each shard with work left. Raises BuildError if a published sample's source cannot be read."""
    replaced = Replaced(output)
    for shard in plan.shards:
        receipt = done.get(shard.shard)
        sources, gone = _published_sources(output, shard, published, known, drop_failed=request.drop_failed)
        copies = () if receipt else replaced.copies(shard, sources)
        work = without_copied(work_left(shard, receipt, columns, sources), copies, columns)
        if work or copies:
            stored = stored_videos(output.directory, receipt) if receipt else {}
            for copied in copies:
                stored |= copied.stored_videos(shard, columns)
            yield ShardTask(
                output=output,
                plan=shard,
                columns=columns,
                videos=tuple(_video_tasks(request, output, shard, work, tools, stored)),
                kept=receipt,
                copies=copies,
                published=gone.union(sources),
                drop_failed=request.drop_failed,
                strict=request.strict,
                gone=gone,
                other_tools=other_tools,
            )


def _video_tasks(
    request: Request,
    output: Output,
    shard: ShardPlan,
    work: Mapping[str, tuple[str, ...]],
    tools: dict[str, str],
    stored: Mapping[str, Stored],
) -> Iterator[VideoTask]:
    """Yield a task for each video with work left. Columns are added from the bitstream that the set has, if any.

    work: key -> columns to make. stored: key -> bitstream, of samples that are kept.
    """
    format, payload_dir = output.format, output.payload_dir(shard.shard)
    for key, columns in work.items():
        video = shard.videos[key]
        adds = key in stored and VIDEO not in columns  # if video is among them, the whole sample is made again
        yield VideoTask(
            key=key,
            video=replace(video, source=stored[key]) if adds else video,
            recipe=request.recipe,
            columns=columns,
            tools=tools,
            format=format,
            ffmpeg=request.ffmpeg,
            payload_dir=payload_dir,
        )


def _published_sources(
    output: Output, shard: ShardPlan, published: set[str], known: KnownSources, *, drop_failed: bool
) -> tuple[dict[str, str], frozenset[str]]:
    """For a shard's published samples: key -> sha256 of the source, and the keys of those that may be dropped.

    Raises: BuildError if a source cannot be read, unless it is gone or forbidden and its sample may be dropped.
    """
    found = known.hashes({key: video.source for key, video in shard.videos.items() if key in published})
    unreadable = {key: error for key, error in found.items() if isinstance(error, UnreadableError)}
    for key, error in unreadable.items():
        has = f"{output.directory}: has a sample of {shard.videos[key].name}, which cannot be read"
        if not error.lasting:
            cure = "a fault of a disk or a network drops no sample; mend it, and run the same command again"
            raise BuildError(f"{has} now: {error.detail}; {cure}")
        if not drop_failed:
            raise BuildError(f"{has} any more; make it readable again, or leave it out with --drop-failed")
    hashes = {key: sha256 for key, sha256 in found.items() if isinstance(sha256, str)}
    return hashes, frozenset(unreadable)


def _stop(failed: Failed) -> None:
    raise StrictError(f"--strict: {failure_line(failed)}")
