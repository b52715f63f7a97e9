"""What an evaluation says of its scores."""

import numpy as np
import pytest

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.report import figures_of, mean_interval, means_of, measures_of, table_of, with_fusions

CLASSES = ("x", "y", "z")


def stream(logits: list[list[float]], names: tuple[str, ...] = ("a", "b", "c")) -> ScoreTable:
    labels = np.array([ord(name[0]) - ord("a") for name in names], np.int64)
    return ScoreTable(list(names), labels, np.array(logits, np.float64), CLASSES)


I_STREAM = stream([[2, 0, 0], [0, 0, 1], [0, 3, 0]])  # right, wrong, wrong
P_STREAM = stream([[0, 1, 0], [0, 5, 0], [0, 1, 1]])  # wrong, right, a tie that counts as wrong


def test_fusions_of_the_streams_that_are_there() -> None:
    tables = with_fusions({"i": I_STREAM, "p": P_STREAM}, {"i+p": {"i": 1, "p": 1}, "mostly i": {"i": 9, "p": 1}})
    assert list(tables) == ["i", "p", "i+p", "mostly i"]
    assert [round(tables[name].top1, 3) for name in tables] == [0.333, 0.333, 0.667, 0.333]


def test_fusions_are_over_videos_that_both_streams_can_see() -> None:
    """A video of one frame has no P-frames."""
    tables = with_fusions({"i": I_STREAM, "p": stream([[0, 5, 0], [0, 1, 1]], ("b", "c"))}, {"i+p": {"p": 1, "i": 1}})
    assert tables["i+p"].names == ["b", "c"] and tables["i+p"].top1 == 0.5
    subset = ["a", "b", "c"]
    fused, i_stream = (figures_of(tables[name], subset) for name in ("i+p", "i"))
    assert (fused["videos"], fused["excluded"]) == (2, ["a"]) and (i_stream["videos"], i_stream["excluded"]) == (3, [])
    assert table_of({"1": {"i": i_stream, "i+p": fused}}, "top1").splitlines()[2].endswith("  2 of 3")


def test_figures() -> None:
    figures = figures_of(I_STREAM, I_STREAM.names)
    assert figures["top1"] == pytest.approx(1 / 3) and figures["top5"] == 1
    assert figures["top1_interval_95"] == pytest.approx([0.0615, 0.7923], abs=1e-4)
    assert figures["per_class"] == {"x": 1.0, "y": 0.0, "z": 0.0}
    assert figures["per_class_videos"] == {"x": 1, "y": 1, "z": 1}
    assert figures["per_class_interval_95"]["x"] == pytest.approx([0.2065, 1], abs=1e-4)
    assert figures["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_the_table_has_splits_and_their_mean() -> None:
    right, wrong = stream(np.eye(3).tolist()), stream(np.roll(np.eye(3), 1, axis=1).tolist())
    figures = {"1": {"i": figures_of(right, right.names)}, "2": {"i": figures_of(wrong, wrong.names)}}
    assert means_of(figures) == {"i": {"top1": 0.5, "top5": 1.0}}
    lines = table_of(figures, "top1").splitlines()
    assert lines[1].split() == ["i", "100.00", "0.00", "50.00", "6"]
    lines = table_of(figures, "top1", {"i": (0.25, 0.75)}).splitlines()
    assert lines[0].endswith("mean  95 % interval  videos")
    assert lines[1].split() == ["i", "100.00", "0.00", "50.00", "25.0", "to", "75.0", "6"]


def test_the_interval_of_a_mean_counts_each_video_once() -> None:
    right, wrong = stream(np.eye(3).tolist()), stream(np.roll(np.eye(3), 1, axis=1).tolist())
    twice = mean_interval([1.0, 0.0, 0.0], [right, wrong, wrong])
    assert twice == wilson_interval(1, 3)  # as many videos as a, b and c, though each was tested three times
    others = stream(np.eye(3).tolist(), ("ab", "bb", "cb"))
    assert mean_interval([1.0, 0.0], [right, others]) == wilson_interval(3, 6)


def test_a_top_5_of_five_classes_says_nothing() -> None:
    assert measures_of(5) == ("top1",)
    assert measures_of(6) == ("top1", "top5")
