"""What an evaluation says, as JSON and as a table in the form of the paper's Tables 1 and 2."""

from typing import Any

import numpy as np

from ipmodel.fuse import ScoreTable, fuse, only, plain

# What is reported beside each stream alone, by stream name: the paper's I+P, I+OF, and I+P without distillation.
FUSIONS = (("i", "p"), ("i", "of"), ("i", "p_plain"))
TOP5 = 5


def with_fusions(streams: dict[str, ScoreTable]) -> dict[str, ScoreTable]:
    """The streams, and each fusion of those that are there: raw logits, 1:1, over the videos that both can see."""
    fused = {}
    for pair in FUSIONS:
        if set(pair) <= streams.keys():
            tables = [streams[name] for name in pair]
            common = set.intersection(*({plain(name) for name in table.names} for table in tables))
            fused["+".join(pair)] = fuse([only(table, common) for table in tables])
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


def table_of(figures: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A line for each stream and fusion; figures by split, then by name. The mean is over splits."""
    splits = list(figures)
    names = list(figures[splits[0]])
    widths = max(len(name) for name in names)
    head = [f"{'top-1, %':{widths}}", *(f"{split:>10}" for split in splits), "      mean", "videos"]
    lines = ["  ".join(head)]
    for name in names:
        shares = [figures[split][name]["top1"] for split in splits]
        videos = sum(figures[split][name]["videos"] for split in splits)
        cells = [f"{100 * share:10.2f}" for share in [*shares, float(np.mean(shares))]]
        lines.append("  ".join([f"{name:{widths}}", *cells, f"{videos:6}"]))
    return "\n".join(lines)
