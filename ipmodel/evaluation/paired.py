"""Compares two streams or runs on the videos that both have scored: the difference, and McNemar's exact test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import ScoreTable, matched, only


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What two streams got right of the same videos."""

    videos: int
    only_first: int  # videos that the first alone has right
    only_second: int

    @property
    def difference(self) -> float:
        """The top-1 of the second minus that of the first, a fraction."""
        return (self.only_second - self.only_first) / self.videos

    @property
    def p_value(self) -> float:
        return mcnemar(self.only_first, self.only_second)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference, "mcnemar_p": self.p_value}


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test, from the numbers of videos that only one of two streams got right.

    It is how probable a split at least as uneven is if each such video falls to either stream with probability 1/2.

    Raises: ValueError if a number is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"numbers of videos cannot be negative, got {only_first} and {only_second}")
    total, fewer = only_first + only_second, min(only_first, only_second)
    term = tail = 1
    for number in range(1, fewer + 1):
        term = term * (total - number + 1) // number  # comb(total, number)
        tail += term
    return min(1.0, float(Fraction(2 * tail, 2**total)))


def pair_of(first: ScoreTable, second: ScoreTable) -> Pair:
    """Compare two tables on the videos that both hold. Raises: ModelError if there are none, or labels differ."""
    return _pair(*_common(first, second))


def pairs_per_class(first: ScoreTable, second: ScoreTable) -> dict[str, Pair]:
    """The comparison for each class that has videos; by its name, or its number where the tables have no names."""
    first, second = _common(first, second)
    names = first.classes or second.classes
    return {
        names[class_id] if names else str(class_id): _pair(*(_of_class(table, class_id) for table in (first, second)))
        for class_id in np.unique(first.labels).tolist()
    }


def added(pairs: Sequence[Pair]) -> Pair:
    """One comparison of several that have no video in common, such as the folds of a cross-validation."""
    return Pair(
        videos=sum(pair.videos for pair in pairs),
        only_first=sum(pair.only_first for pair in pairs),
        only_second=sum(pair.only_second for pair in pairs),
    )


def right(table: ScoreTable) -> NDArray[np.bool_]:
    """(N,) whether each video's class has the highest score."""
    return np.asarray(table.logits.argmax(axis=1) == table.labels)


def _common(first: ScoreTable, second: ScoreTable) -> tuple[ScoreTable, ScoreTable]:
    names = set(first.names) & set(second.names)
    if names:
        first, second = only(first, names), only(second, names)
    if not first.names:
        raise ModelError("the score tables to compare hold no videos")
    first, second = matched([first, second])
    return first, second


def _pair(first: ScoreTable, second: ScoreTable) -> Pair:
    a, b = right(first), right(second)
    return Pair(videos=len(a), only_first=int((a & ~b).sum()), only_second=int((b & ~a).sum()))


def _of_class(table: ScoreTable, class_id: int) -> ScoreTable:
    rows = np.flatnonzero(table.labels == class_id)
    names = [table.names[row] for row in rows]
    return ScoreTable(names, table.labels[rows], table.logits[rows], table.classes)
