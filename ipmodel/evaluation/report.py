"""Results of an evaluation, as JSON and as a table in the form of the paper's Tables 1 and 2."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ipmodel.evaluation.fuse import ScoreTable, fuse, only
from ipmodel.evaluation.interval import wilson_interval
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


def measures_of(classes: int) -> tuple[str, ...]:
    """The measures that say something of so many classes: with five or fewer, a top-5 is always right."""
    return MEASURES if classes > TOP5 else MEASURES[:1]


def figures_of(table: ScoreTable, subset: Sequence[str]) -> Figures:
    """Accuracies with 95 % intervals, also for each class, and the confusion matrix: rows are true classes.

    subset: names of all videos that should be tested. Accuracies are fractions of the videos that have scores;
    "excluded" names the others.
    """
    confusion = table.confusion()
    videos, correct = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    tested = {name: number for number, name in enumerate(table.classes) if videos[number]}
    return {
        "top1": table.top1,
        "top1_interval_95": list(wilson_interval(sum(correct), len(table.names))),
        "top5": table.top(min(TOP5, table.logits.shape[1])),
        "videos": len(table.names),
        "excluded": sorted(set(subset) - set(table.names)),
        "per_class": {name: correct[number] / videos[number] for name, number in tested.items()},
        "per_class_interval_95": {
            name: list(wilson_interval(correct[number], videos[number])) for name, number in tested.items()
        },
        "per_class_videos": {name: videos[number] for name, number in tested.items()},
        "confusion": confusion.tolist(),
    }


def means_of(figures: dict[str, dict[str, Figures]]) -> dict[str, dict[str, float]]:
    """Accuracies of each stream and fusion, averaged over the splits."""
    return {
        name: {measure: float(np.mean([split[name][measure] for split in figures.values()])) for measure in MEASURES}
        for name in next(iter(figures.values()))
    }


def mean_interval(shares: Sequence[float], tables: Sequence[ScoreTable]) -> tuple[float, float]:
    """The 95 % interval of the mean of some accuracies, as fractions.

    A video that was tested several times, in several splits or with several seeds, counts once. So the interval is
    Wilson's for as many videos as there are different ones.
    """
    videos = len({name for table in tables for name in table.names})
    return wilson_interval(min(float(np.mean(shares)) * videos, videos), videos)


def coverage_of(manifest: Manifest) -> dict[str, int]:
    """How many of the dataset's videos the set holds. The accuracies say nothing about the others."""
    failed, missing = len(manifest.failed), len(manifest.missing)
    listed = manifest.samples + failed + missing
    return {"listed": listed, "in_set": manifest.samples, "failed": failed, "missing": missing}


def coverage_line(coverage: dict[str, int], dataset: str) -> str:
    without = f"{coverage['failed']} failed, {coverage['missing']} missing"
    return f"the set holds {coverage['in_set']} of {coverage['listed']} videos of {dataset} ({without})"


def table_of(
    figures: dict[str, dict[str, Figures]], measure: str, intervals: Mapping[str, tuple[float, float]] | None = None
) -> str:
    """A line for each stream and fusion: accuracy on each split, mean over splits, number of videos.

    figures: by split, then by name of the stream or fusion. measure: "top1" or "top5". intervals: of the means, by
    name; fractions.
    """
    means = means_of(figures)
    title = f"{measure.replace('top', 'top-')}, %"
    width = max(len(name) for name in [title, *means])
    heads = [f"{title:{width}}", *(f"{split:>10}" for split in figures), "      mean"]
    lines = ["  ".join([*heads, *(["95 % interval"] if intervals else []), "videos"])]
    for name, mean in means.items():
        shares = [split[name][measure] for split in figures.values()]
        cells = [f"{100 * share:10.2f}" for share in [*shares, mean[measure]]]
        if intervals:
            cells.append(f"{in_percent(intervals[name]):>13}")
        lines.append("  ".join([f"{name:{width}}", *cells, _videos([split[name] for split in figures.values()])]))
    return "\n".join(lines)


def in_percent(interval: tuple[float, float]) -> str:
    """An interval of fractions in percent, such as "71.2 to 83.4"."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _videos(figures: Sequence[Figures]) -> str:
    """Number of tested videos, such as "6", or "6 of 8" where some could not be scored."""
    tested, excluded = sum(found["videos"] for found in figures), sum(len(found["excluded"]) for found in figures)
    return f"{tested:6}" + (f" of {tested + excluded}" if excluded else "")
