"""What a stream or fusion took for what: a line for each video whose class was not found."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.paired import right

HEAD = ("stream", "video", "key", "class", "taken_for", "probability", "probability_of_class", "rank_of_class")


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A video that was taken for another class."""

    name: str
    key: str  # "" where the scores have no keys
    true_class: str
    taken_for: str
    probability: float  # of the class that it was taken for, as `ipmodel predict` gives it
    true_probability: float
    true_rank: int  # 2 if its class has the second highest score


def mistakes_of(table: ScoreTable) -> list[Mistake]:
    """All mistakes, those first that were made with the highest probability."""
    probabilities_NK = table.probabilities
    order_NK = np.argsort(-table.logits, axis=1, kind="stable")  # of equal scores, the lower class id first
    names = table.classes or tuple(map(str, range(table.logits.shape[1])))
    found = []
    for row in np.flatnonzero(~right(table)).tolist():
        label, best = int(table.labels[row]), int(order_NK[row, 0])
        found.append(
            Mistake(
                name=table.names[row],
                key=table.keys[row] if table.keys else "",
                true_class=names[label],
                taken_for=names[best],
                probability=float(probabilities_NK[row, best]),
                true_probability=float(probabilities_NK[row, label]),
                true_rank=int(np.flatnonzero(order_NK[row] == label)[0]) + 1,
            )
        )
    return sorted(found, key=lambda mistake: -mistake.probability)


def mistakes_csv(tables: Mapping[str, ScoreTable]) -> bytes:
    """The mistakes of each stream and fusion, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for stream, table in tables.items():
        for one in mistakes_of(table):
            chances = (f"{one.probability:.4f}", f"{one.true_probability:.4f}", one.true_rank)
            writer.writerow([stream, one.name, one.key, one.true_class, one.taken_for, *chances])
    return text.getvalue().encode("utf-8", "backslashreplace")


def by_confusion(mistakes: list[Mistake]) -> list[list[Mistake]]:
    """Mistakes with equal true and taken-for classes together, the largest group first."""
    groups: dict[tuple[str, str], list[Mistake]] = defaultdict(list)
    for one in mistakes:
        groups[one.true_class, one.taken_for].append(one)
    return sorted(groups.values(), key=len, reverse=True)
