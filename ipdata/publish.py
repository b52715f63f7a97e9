"""The end of a build: make the manifest from the plan and the receipts alone, and write it last."""

from collections.abc import Sequence

from ipdata.errors import BuildError
from ipdata.report import report_of
from ipdata.steps.extract import Failed
from ipdata.steps.output import Output, remove_stale
from ipdata.steps.plan import Plan
from ipdata.steps.receipt import Receipt
from shards.layout import CARD, MANIFEST
from shards.manifest import Manifest
from shards.schema import FORMAT, SUBSETS
from shards.sharing.card import render


def publish_set(
    output: Output, plan: Plan, columns: tuple[str, ...], tools: dict[str, str], failures: Sequence[Failed]
) -> Manifest:
    """Remove files that the plan no longer has; write the card, the manifest and the report; return the manifest.

    Raises: BuildError if no video could be built.
    """
    manifest = manifest_of(output, plan, columns, tools)
    remove_stale(output, plan, columns)
    output.publish(CARD, render(manifest).encode())
    output.publish(MANIFEST, manifest.to_json())
    output.publish(".build/report.json", report_of(plan, manifest, failures))
    return manifest


def manifest_of(output: Output, plan: Plan, columns: tuple[str, ...], tools: dict[str, str]) -> Manifest:
    """Make the manifest from the plan and the receipts alone. Raises BuildError if no video could be built."""
    receipts = [output.receipt(shard.shard) for shard in plan.shards]
    infos = [receipt.info for receipt in receipts if receipt is not None and receipt.info is not None]
    failures = [failure for receipt in receipts if receipt is not None for failure in receipt.failed]
    if not infos:
        log = output.build_dir / "log.jsonl"
        raise BuildError(f"none of the {len(plan.videos)} videos could be built; {log} says why")
    return Manifest(
        format=FORMAT,
        dataset={"name": plan.listing.dataset, **plan.recipe.limits.given, **plan.listing.options},
        classes=list(plan.listing.classes),
        splits=_split_counts(plan, receipts),
        order=plan.order,
        columns={column: plan.recipe.column(column, tools) for column in columns},
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
