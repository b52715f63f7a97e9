"""Results of an evaluation, as JSON and as a table in the form of the paper's Tables 1 and 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipmodel.evaluation.fuse import ScoreTable, fuse, only
from shards.manifest import Manifest

Figures = dict[str, Any]  # of one stream or fusion on one split

TOP5 = 5
MEASURES = ("top1", "top5")


def with_fusions(streams: dict[str, ScoreTable], fusions: dict[str, dict[str, float]]) -> dict[str, ScoreTable]:
    """The streams, and weighted sums of their raw logits for the videos that all streams of the fusion can score."""
    fused = {}
    for fusion, weights in fusions.items():
        tables = [streams[name] for name in weights]
        common = set.intersection(*(set(table.names) for table in tables))
        fused[fusion] = fuse([only(table, common) for table in tables], list(weights.values()))
    return {**streams, **fused}


def figures_of(table: ScoreTable, subset: Sequence[str]) -> Figures:
    """Accuracies, also for each class, and the confusion matrix: rows are true classes, columns predicted ones.

    subset: names of all videos that should be tested. Accuracies are fractions of the videos that have scores;
    "excluded" names the others.
    """
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
        "excluded": sorted(set(subset) - set(table.names)),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def means_of(figures: dict[str, dict[str, Figures]]) -> dict[str, dict[str, float]]:
    """Accuracies of each stream and fusion, averaged over the splits."""
    return {
        name: {measure: float(np.mean([split[name][measure] for split in figures.values()])) for measure in MEASURES}
        for name in next(iter(figures.values()))
    }


def coverage_of(manifest: Manifest) -> dict[str, int]:
    """How many of the dataset's videos the set holds. The accuracies say nothing about the others."""
    failed, missing = len(manifest.failed), len(manifest.missing)
    listed = manifest.samples + failed + missing
    return {"listed": listed, "in_set": manifest.samples, "failed": failed, "missing": missing}


def coverage_line(coverage: dict[str, int], dataset: str) -> str:
    without = f"{coverage['failed']} failed, {coverage['missing']} missing"
    return f"the set holds {coverage['in_set']} of {coverage['listed']} videos of {dataset} ({without})"


def table_of(figures: dict[str, dict[str, Figures]], measure: str) -> str:
    """A line for each stream and fusion: accuracy on each split, mean over splits, number of videos.

    figures: by split, then by name of the stream or fusion. measure: "top1" or "top5".
    """
    means = means_of(figures)
    title = f"{measure.replace('top', 'top-')}, %"
    width = max(len(name) for name in [title, *means])
    lines = ["  ".join([f"{title:{width}}", *(f"{split:>10}" for split in figures), "      mean", "videos"])]
    for name, mean in means.items():
        shares = [split[name][measure] for split in figures.values()]
        cells = [f"{100 * share:10.2f}" for share in [*shares, mean[measure]]]
        lines.append("  ".join([f"{name:{width}}", *cells, _videos([split[name] for split in figures.values()])]))
    return "\n".join(lines)


def _videos(figures: Sequence[Figures]) -> str:
    """Number of tested videos, such as "6", or "6 of 8" where some could not be scored."""
    tested, excluded = sum(found["videos"] for found in figures), sum(len(found["excluded"]) for found in figures)
    return f"{tested:6}" + (f" of {tested + excluded}" if excluded else "")
