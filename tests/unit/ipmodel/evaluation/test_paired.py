"""McNemar's exact test against known values, and which videos are compared."""

from math import comb

import numpy as np
import pytest

from ipmodel.errors import ModelError
from ipmodel.evaluation.comparisons import compared, p_text, pairs_table, telling_pairs
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.paired import Pair, added, mcnemar, pair_of, pairs_per_class
from ipmodel.recipe import Phase, TrainRecipe


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 0.0625),  # 2 / 2**5
        (6, 0, 0.03125),
        (1, 9, 0.021484375),  # 2 * (1 + 10) / 2**10
        (4, 4, 1.0),
        (2, 9, 0.06543),  # the example of R's package exact2x2
        (150, 86, 3.716e-05),  # the approval ratings of Agresti 1990, as exact2x2 gives them
    ],
)
def test_known_values(only_first: int, only_second: int, p_value: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, rel=1e-4)
    assert mcnemar(only_second, only_first) == mcnemar(only_first, only_second)


def test_large_numbers_stay_exact() -> None:
    total, fewer = 3000, 1450
    exact = 2 * sum(comb(total, k) for k in range(fewer + 1)) / 2**total
    assert mcnemar(fewer, total - fewer) == pytest.approx(exact, rel=1e-12)
    assert mcnemar(0, 2000) == 0.0  # smaller than any float, and no error
    with pytest.raises(ValueError, match="cannot be negative"):
        mcnemar(-1, 3)


def table(right: str, names: str = "", classes: tuple[str, ...] = ("x", "y")) -> ScoreTable:
    """Videos of the classes x and y in turn; "1" is right and "0" wrong."""
    names = names or "abcdefgh"[: len(right)]
    labels = np.array([(ord(name) - ord("a")) % 2 for name in names], np.int64)
    guesses = [label if good == "1" else 1 - label for label, good in zip(labels, right, strict=True)]
    return ScoreTable(list(names), labels, np.eye(2)[guesses], classes)


def test_only_videos_that_both_have_are_compared() -> None:
    pair = pair_of(table("1100"), table("0111"))
    assert (pair.videos, pair.only_first, pair.only_second, pair.difference) == (4, 1, 2, 0.25)
    pair = pair_of(table("1100"), table("1110", names="dcba"))  # other rows; right are d, c, b
    assert (pair.only_first, pair.only_second) == (1, 2)
    pair = pair_of(table("1100"), table("01", names="cb"))
    assert (pair.videos, pair.only_first, pair.only_second) == (2, 0, 0)
    with pytest.raises(ModelError, match="must hold the same videos"):
        pair_of(table("1"), table("1", names="c"))
    with pytest.raises(ModelError, match="hold no videos"):
        pair_of(table(""), table(""))


def test_classes_are_compared_by_themselves() -> None:
    pairs = pairs_per_class(table("1100"), table("0111"))  # x: a, c; y: b, d
    assert {name: (pair.videos, pair.only_first, pair.only_second) for name, pair in pairs.items()} == {
        "x": (2, 1, 1),
        "y": (2, 0, 1),
    }
    assert list(pairs_per_class(table("10", classes=()), table("01", classes=()))) == ["0", "1"]


def test_splits_are_added_only_where_no_video_is_in_two() -> None:
    apart = {"split-1": (table("10", "ab"), table("11", "ab")), "split-2": (table("10", "cd"), table("11", "cd"))}
    assert compared(apart) == [("all splits", Pair(videos=4, only_first=0, only_second=2))]
    over = {**apart, "split-2": (table("10", "bc"), table("11", "bc"))}
    assert [label for label, _ in compared(over)] == ["split-1", "split-2"]
    assert added([Pair(videos=3, only_first=1, only_second=0)] * 2) == Pair(videos=6, only_first=2, only_second=0)


def test_the_table_says_who_is_better_and_how_surely() -> None:
    splits = {"split-1": {"p": table("11110000"), "p_plain": table("01111111")}}
    lines = pairs_table([("p", "p_plain")], splits).splitlines()
    assert lines[1].split() == ["p_plain", "against", "p", "+37.50", "4,", "1", "0.38"]


@pytest.mark.parametrize(("p_value", "text"), [(1.0, "1.00"), (0.376, "0.38"), (0.0412, "0.041"), (1e-9, "< 0.0001")])
def test_p_values_have_the_digits_that_they_deserve(p_value: float, text: str) -> None:
    assert p_text(p_value) == text


def test_pairs_that_answer_a_question() -> None:
    phases = {name: Phase(modality=kind, epochs=1, batch=1) for name, kind in (("a", "i"), ("b", "mr"), ("c", "mr"))}
    recipe = TrainRecipe(
        phases=phases,
        streams={"i": "a", "p": "b", "plain": "c"},
        fusions={"i+p": {"i": 1, "p": 1}, "i+plain": {"i": 1, "plain": 1}},
    )
    assert telling_pairs(recipe) == [
        ("p", "plain"),
        ("i", "i+p"),
        ("p", "i+p"),
        ("i", "i+plain"),
        ("plain", "i+plain"),
        ("i+p", "i+plain"),
    ]
