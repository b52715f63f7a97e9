"""What a build leaves in writing: the manifest, the report, the log, and a line for each failure."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ipdata.errors import BuildError
from ipdata.executors.base import VideoDone
from ipdata.steps.extract import Failed
from ipdata.steps.output import Output, Receipt
from ipdata.steps.plan import Plan
from ipdata.video.tools import tools_of
from shards import canonical
from shards.failures import CODES
from shards.manifest import Manifest
from shards.schema import FORMAT, SUBSETS


def log_line(event: VideoDone) -> dict[str, Any]:
    """What .build/log.jsonl keeps of a video: times and error texts, which have no place in the set."""
    line: dict[str, Any] = {"at": time.time(), "key": event.key, "frames": event.frames, "seconds": event.seconds}
    return line if event.failed is None else {**line, **asdict(event.failed.failure), "detail": event.failed.detail}


def describe(failed: Failed) -> str:
    """A failure in one line: which video, at which stage, and why."""
    failure = failed.failure
    lines = failed.detail.strip().splitlines() or ["no details"]
    line = lines[-1] if failed.detail.startswith("Traceback") else lines[0]  # ffmpeg names the cause first
    return f"{failure.name}: {failure.code} ({failure.stage}): {CODES[failure.code]}: {line}"


def manifest_of(output: Output, plan: Plan, columns: tuple[str, ...], tools: dict[str, str]) -> Manifest:
    """The manifest, from the plan and the receipts alone. Raises BuildError if not one video could be built."""
    receipts = [output.receipt(shard.shard) for shard in plan.shards]
    infos = [receipt.info for receipt in receipts if receipt is not None and receipt.info is not None]
    failures = [failure for receipt in receipts if receipt is not None for failure in receipt.failed]
    if not infos:
        log = output.build_dir / "log.jsonl"
        raise BuildError(f"not one of {len(plan.videos)} videos could be built; {log} says why")
    return Manifest(
        format=FORMAT,
        dataset={"name": plan.listing.dataset, **plan.recipe.limits.given, **plan.listing.options},
        classes=list(plan.listing.classes),
        splits=_split_counts(plan, receipts),
        order=plan.order,
        columns={column: plan.recipe.column(column, tools_of(column, plan.recipe, tools)) for column in columns},
        shards=infos,
        samples=sum(info.samples for info in infos),
        frames=sum(info.frames for info in infos),
        failed=sorted(failures, key=lambda failure: failure.key),
        missing=list(plan.listing.missing),
    )


def _split_counts(plan: Plan, receipts: Sequence[Receipt | None]) -> dict[str, dict[str, int]]:
    counts = {split: dict.fromkeys(SUBSETS, 0) for split in plan.listing.splits}
    for shard, receipt in zip(plan.shards, receipts, strict=True):
        for key in receipt.sources if receipt else ():
            for split, subset in shard.videos[key].subsets.items():
                counts[split][subset] += 1
    return counts


def report_of(plan: Plan, manifest: Manifest, failures: Sequence[Failed]) -> bytes:
    """All names, for .build/report.json; the terminal shows the first of each."""
    details = {failed.failure.key: failed.detail for failed in failures}
    return canonical.dumps(
        {
            "samples": manifest.samples,
            "failed": [{**asdict(failure), "detail": details.get(failure.key, "")} for failure in manifest.failed],
            "missing": plan.listing.missing,
            "unlisted": plan.listing.unlisted,
        }
    )
