"""What an evaluation says, as JSON and as a table in the form of the paper's Tables 1 and 2."""

from typing import Any

import numpy as np

from ipmodel.fuse import ScoreTable, fuse, only
from shards.manifest import Manifest

TOP5 = 5


def with_fusions(streams: dict[str, ScoreTable], fusions: dict[str, dict[str, float]]) -> dict[str, ScoreTable]:
    """The streams, and weighted sums of their raw logits, over the videos that all of them can see."""
    fused = {}
    for fusion, weights in fusions.items():
        tables = [streams[name] for name in weights]
        common = set.intersection(*(set(table.names) for table in tables))
        fused[fusion] = fuse([only(table, common) for table in tables], list(weights.values()))
    return {**streams, **fused}


def figures_of(table: ScoreTable) -> dict[str, Any]:
    """Accuracies as shares, per class by name, and the confusion matrix (rows: true classes)."""
    confusion = table.confusion()
    videos = confusion.sum(axis=1)
    per_class = {
        name: float(confusion[number, number] / videos[number])
        for number, name in enumerate(table.classes)
        if videos[number]
    }
    return {
        "top1": table.top1,
        "top5": table.top(min(TOP5, table.logits.shape[1])),
        "videos": len(table.names),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def coverage_of(manifest: Manifest) -> str:
    """How many of the dataset's videos the set holds; the rest is in no figure."""
    listed = manifest.samples + len(manifest.failed) + len(manifest.missing)
    without = f"{len(manifest.failed)} failed, {len(manifest.missing)} missing"
    return f"the set holds {manifest.samples} of {listed} videos of {manifest.dataset['name']} ({without})"


def table_of(figures: dict[str, dict[str, dict[str, Any]]], measure: str) -> str:
    """A line for each stream and fusion, "top1" or "top5"; figures by split, then by name; the mean is over splits."""
    splits = list(figures)
    names = list(figures[splits[0]])
    widths = max(len(name) for name in names)
    title = f"{measure.replace('top', 'top-')}, %"
    widths = max(widths, len(title))
    head = [f"{title:{widths}}", *(f"{split:>10}" for split in splits), "      mean", "videos"]
    lines = ["  ".join(head)]
    for name in names:
        shares = [figures[split][name][measure] for split in splits]
        videos = sum(figures[split][name]["videos"] for split in splits)
        cells = [f"{100 * share:10.2f}" for share in [*shares, float(np.mean(shares))]]
        lines.append("  ".join([f"{name:{widths}}", *cells, f"{videos:6}"]))
    return "\n".join(lines)
