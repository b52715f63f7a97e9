"""The list of mistakes: all of them, in an order that helps, with names that CSV can carry."""

import csv
import io

import numpy as np
import pytest

from ipmodel.evaluation.fuse import ScoreTable, only
from ipmodel.evaluation.mistakes import HEAD, by_confusion, mistakes_csv, mistakes_of
from ipmodel.evaluation.report import with_fusions
from ipmodel.prediction.answers import Opinion

CLASSES = ("kick", "punch", 'wave, "both" hands')
TABLE = ScoreTable(
    ["kick/a.avi", "kick/b.avi", "punch/c.avi", "wave/d.avi"],
    np.array([0, 0, 1, 2]),
    np.array([[3, 0, 0], [0, 1, 2], [0, 0, 5], [1, 1, 1.0]]),
    CLASSES,
    ["k-a", "k-b", "p-c", "w-d"],
)


def test_mistakes_come_by_probability_with_rank_and_class() -> None:
    found = mistakes_of(TABLE)
    assert [one.key for one in found] == ["p-c", "k-b", "w-d"]
    assert (found[0].true_class, found[0].taken_for, found[0].true_rank) == ("punch", CLASSES[2], 3)
    assert found[0].probability == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    assert found[1].true_probability == pytest.approx(1 / (1 + np.e + np.e**2))
    assert (found[2].taken_for, found[2].true_rank) == ("kick", 3)  # of equal scores, the lower class id counts


def test_a_fusion_has_the_probabilities_of_a_prediction() -> None:
    """Those of the weighted mean of its streams' logits; the table keeps their sum."""
    weights = {"i": 2.0, "p": 0.5}
    fused = with_fusions({"i": TABLE, "p": TABLE}, {"both": weights})["both"]
    assert np.array_equal(fused.logits, 2.5 * TABLE.logits)
    for row, one in ((2, "p-c"), (1, "k-b")):
        said = Opinion(classes=CLASSES, logits=fused.logits[row], weight=2.5).probabilities
        (found,) = [mistake for mistake in mistakes_of(only(fused, set(TABLE.names))) if mistake.key == one]
        assert found.probability == said[2] == pytest.approx(mistakes_of(TABLE)[2 - row].probability)


def test_the_file_reads_back() -> None:
    rows = list(csv.reader(io.StringIO(mistakes_csv({"i": TABLE, "p": TABLE}).decode())))
    assert tuple(rows[0]) == HEAD and len(rows) == 1 + 2 * 3
    assert rows[1] == ["i", "punch/c.avi", "p-c", "punch", CLASSES[2], "0.9867", "0.0066", "3"]


def test_the_largest_confusion_comes_first() -> None:
    more = ScoreTable(["a", "b", "c"], np.array([0, 1, 1]), np.eye(3)[[1, 2, 2]], CLASSES)
    groups = by_confusion(mistakes_of(more))
    assert [(group[0].true_class, group[0].taken_for, len(group)) for group in groups] == [
        ("punch", CLASSES[2], 2),
        ("kick", "punch", 1),
    ]
