"""The end of a build: make the manifest from the plan and the receipts alone, and write it last."""

from collections.abc import Mapping, Sequence
from typing import Any

from ipdata.errors import BuildError
from ipdata.report import report_of
from ipdata.steps.extract import Failed
from ipdata.steps.output import Output, remove_stale
from ipdata.steps.plan import Plan
from ipdata.steps.receipt import Receipt
from shards.errors import ShardError
from shards.failures import CODES
from shards.keyindex import KeyPlace, write_key_index
from shards.layout import MANIFEST
from shards.manifest import ColumnInfo, Manifest, key_index_files
from shards.schema import SUBSETS
from shards.sharing.card import write_card


def manifest_before(output: Output) -> Manifest | None:
    """The manifest that the output has before a build changes it; None if it has no sound one."""
    try:
        return Manifest.read(output.directory)
    except (ShardError, OSError):
        return None


def publish_set(
    output: Output,
    plan: Plan,
    columns: Mapping[str, ColumnInfo],
    failures: Sequence[Failed],
    *,
    before: Manifest | None = None,
) -> Manifest:
    """Remove files that the plan no longer has; write key index, card, manifest and report; return the manifest.

    before: the manifest that the output had before the build. What people wrote in the card stays.

    Raises: BuildError if no video could be built.
    """
    receipts = [output.receipt(shard.shard) for shard in plan.shards]
    keys = key_index_of(plan, receipts)
    manifest = manifest_of(output, plan, columns, receipts, keys)
    remove_stale(output, plan, tuple(columns), key_index=manifest.key_index)
    if manifest.key_index is not None:
        output.publish(manifest.key_index, keys)
    write_card(output.directory, manifest, temporary_dir=output.temporary_dir, before=before)
    output.publish(MANIFEST, manifest.to_json())
    output.publish(".build/report.json", report_of(plan, manifest, failures))
    return manifest


def manifest_of(
    output: Output,
    plan: Plan,
    columns: Mapping[str, ColumnInfo],
    receipts: Sequence[Receipt | None],
    keys: bytes,
) -> Manifest:
    """Make the manifest from the plan and its receipts alone. Raises BuildError if no video could be built."""
    format = output.format
    infos = [receipt.info for receipt in receipts if receipt is not None and receipt.info is not None]
    failures = [failure for receipt in receipts if receipt is not None for failure in receipt.failed]
    named: dict[str, Any] = {"files": key_index_files(keys), "parent": ""} if format > 1 else {}
    groups = {"has_groups": True} if format > 1 and any(video.group for video in plan.videos.values()) else {}
    if not infos:
        log = output.build_dir / "log.jsonl"
        why = f"; {failures[0].name}: {CODES[failures[0].code]}" if failures else ""
        raise BuildError(f"none of the {len(plan.videos)} videos could be built{why}; {log} says more")
    return Manifest(
        format=format,
        dataset={"name": plan.listing.dataset, **plan.recipe.limits.given, **plan.listing.options, **groups},
        classes=list(plan.listing.classes),
        splits=_split_counts(plan, receipts),
        order=plan.order,
        columns=dict(columns),
        shards=infos,
        samples=sum(info.samples for info in infos),
        frames=sum(info.frames for info in infos),
        failed=sorted(failures, key=lambda failure: failure.key),
        missing=list(plan.listing.missing),
        **named,
    )


def key_index_of(plan: Plan, receipts: Sequence[Receipt | None]) -> bytes:
    """The key index of the samples that were published."""
    return write_key_index(
        KeyPlace(key, shard.shard, shard.videos[key].class_id, shard.videos[key].subsets)
        for shard, receipt in zip(plan.shards, receipts, strict=True)
        for key in (receipt.sources if receipt else ())
    )


def _split_counts(plan: Plan, receipts: Sequence[Receipt | None]) -> dict[str, dict[str, int]]:
    counts = {split: dict.fromkeys(SUBSETS, 0) for split in plan.listing.splits}
    for shard, receipt in zip(plan.shards, receipts, strict=True):
        for key in receipt.sources if receipt else ():
            for split, subset in shard.videos[key].subsets.items():
                counts[split][subset] += 1
    return counts
