"""`ipdata build`: list, plan, extract what is not done, publish shard by shard, and the manifest last."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ipdata.datasets import dataset_of
from ipdata.errors import BuildError, StrictError, VideoError
from ipdata.executors.base import Event, run_here
from ipdata.progress import Unwatched
from ipdata.recipe import BuildRecipe
from ipdata.report import describe, log_line, manifest_of, report_of
from ipdata.steps.extract import Failed, Job, source_sha256
from ipdata.steps.output import (
    Output,
    check_identity,
    check_nothing_lost,
    check_ours,
    intact,
    remove_stale,
    work_left,
)
from ipdata.steps.pack import Packed, ShardTask
from ipdata.steps.plan import Plan, make_plan
from ipdata.video.synthesis import Synthesis
from ipdata.video.tools import tools_here
from shards.manifest import Manifest
from shards.sharing.card import render

HASHING_THREADS = 4
UNWATCHED = Unwatched()
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a build is asked to do, and where; only `recipe` and the videos decide the set's bytes."""

    dataset: str
    source: Path
    splits: Path | None
    draw: Path | None
    out: Path
    recipe: BuildRecipe
    columns: tuple[str, ...]
    scheduler: str | None = None  # an address, "none" for this process, None for a local cluster
    workers: int | None = None
    timeout_s: float = 1800.0  # a video
    strict: bool = False
    drop_failed: bool = False  # leave published samples out whose videos cannot be extracted any more
    ffmpeg: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    plan: Plan
    manifest: Manifest
    failures: list[Failed] = field(default_factory=list)


def check_gpu_packages(request: Request, tools: dict[str, str]) -> None:
    """Where flow is made on GPUs, the driver needs their packages too: their versions belong to the set."""
    wanted = request.recipe.flow.backend == "cuda" and "flow" in request.columns
    if wanted and tools["numba-cuda"] == "none" and not os.environ.get("NUMBA_ENABLE_CUDASIM"):
        cure = "install it here and on the workers: `pip install '.[build,cuda]'`"
        raise BuildError(f"flow backend cuda: the package numba-cuda is not installed; {cure}")


def plan_of(request: Request) -> Plan:
    """List the dataset and plan its shards; reads names and lists, no video. Raises BuildError, ShardError."""
    dataset = dataset_of(request.dataset)
    listing = dataset.list_videos(request.source, request.splits, request.draw, request.recipe)
    plan = make_plan(listing, request.recipe)
    if request.strict and plan.listing.missing:
        missing = plan.listing.missing
        raise StrictError(f"--strict: {len(missing)} listed videos are missing, such as {missing[0]}")
    return plan


def build(request: Request, progress: Unwatched = UNWATCHED) -> Result:
    """Build or finish a shard set; returns what was built and what failed.

    Raises: BuildError for every refusal; StrictError where --strict stopped it.
    """
    check_ours(request.out)
    tools = tools_here(request.ffmpeg)
    check_gpu_packages(request, tools)
    plan = plan_of(request)
    output = Output(request.out)
    with output.locked():
        columns = check_identity(output, plan, request.columns, tools)
        published = output.published_keys()
        check_nothing_lost(output, plan, published)
        tasks = list(_tasks(request, output, plan, columns, tools, published))
        videos = len(plan.videos)
        todo = sum(len(task.jobs) for task in tasks)
        LOG.info("%d videos in %d shards, %d to extract", videos, len(plan.shards), todo)
        progress.begin(todo)
        failures = _run(request, output, tasks, progress)
        manifest = manifest_of(output, plan, columns, tools)
        remove_stale(output, plan, columns)
        output.publish("README.md", render(manifest).encode())
        output.publish("manifest.json", manifest.to_json())
        output.publish(".build/report.json", report_of(plan, manifest, failures))
    return Result(plan=plan, manifest=manifest, failures=failures)


def _tasks(
    request: Request,
    output: Output,
    plan: Plan,
    columns: tuple[str, ...],
    tools: dict[str, str],
    published: set[str],
) -> Iterator[ShardTask]:
    """The shards with something left to do. Raises BuildError if a published sample's video cannot be read any more."""
    for shard in plan.shards:
        receipt = output.receipt(shard.shard)
        if receipt is not None and (receipt.plan_sha256 != shard.sha256 or not intact(output, receipt)):
            receipt = None
        known = {key: video.source for key, video in shard.videos.items() if key in published}
        sources = _source_hashes(known)
        unreadable = [key for key in known if key not in sources]
        if unreadable:
            name = shard.videos[unreadable[0]].name
            raise BuildError(f"{output.directory} has {name}, which cannot be read any more; make it readable again")
        work = work_left(shard, receipt, columns, sources)
        if work:
            jobs = tuple(
                Job(
                    key=key,
                    video=shard.videos[key],
                    recipe=request.recipe,
                    columns=missing,
                    tools=tools,
                    ffmpeg=request.ffmpeg,
                )
                for key, missing in work.items()
            )
            yield ShardTask(
                output=output,
                plan=shard,
                columns=columns,
                jobs=jobs,
                kept=receipt,
                published=frozenset(known),
                drop_failed=request.drop_failed,
                strict=request.strict,
            )


def _source_hashes(sources: dict[str, Path | Synthesis]) -> dict[str, str]:
    """sha256 of each source that can be read."""

    def attempt(source: Path | Synthesis) -> str | None:
        try:
            return source_sha256(source)
        except VideoError:
            return None

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        hashes = pool.map(attempt, sources.values())
    return {key: sha256 for key, sha256 in zip(sources, hashes, strict=True) if sha256 is not None}


@contextmanager
def _events(request: Request, output: Output, tasks: Sequence[ShardTask]) -> Iterator[Iterable[Event]]:
    """The tasks running, wherever the request wants them."""
    if not tasks or request.scheduler == "none":
        yield run_here(tasks)
        return
    from ipdata.executors import dask as cluster  # Dask takes a second to import

    gpu = any(cluster.needs_gpu(job) for task in tasks for job in task.jobs)
    scratch = output.temporary_dir / "dask"
    connection = cluster.connect(request.scheduler, workers=request.workers, gpu=gpu, scratch=scratch)
    with connection as (client, interrupts):
        LOG.info("Dask dashboard: %s", client.dashboard_link)
        yield cluster.run_on(client, tasks, interrupts, timeout_s=request.timeout_s)


def _run(request: Request, output: Output, tasks: Sequence[ShardTask], progress: Unwatched) -> list[Failed]:
    """Run tasks to their end; each video is told to progress and gets a line in the log."""
    failures: list[Failed] = []
    would_lose: list[Failed] = []
    with (output.build_dir / "log.jsonl").open("a") as log, _events(request, output, tasks) as events:
        for event in events:
            if isinstance(event, Packed):
                would_lose += event.would_lose
                continue
            progress.update(event)
            log.write(json.dumps(log_line(event)) + "\n")
            log.flush()
            if event.failed is not None:
                failures.append(event.failed)
                if request.strict:
                    raise StrictError(f"--strict: {describe(event.failed)}")
    if would_lose:
        listed = "\n  ".join(describe(failed) for failed in would_lose)
        raise BuildError(
            f"{output.directory} has samples whose videos cannot be extracted any more:\n  {listed}\n"
            "their shards were left as they were. Mend the videos, or leave them out of the set with --drop-failed"
        )
    return sorted(failures, key=lambda failed: failed.failure.key)
