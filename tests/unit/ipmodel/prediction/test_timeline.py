"""The timeline is seen whatever the probabilities are, and its classes have colours that people tell apart."""

import re

from ipmodel.prediction.answers import Guess
from ipmodel.prediction.entries import Answer
from ipmodel.prediction.timeline import GREY, LEGEND, PALETTE, colours_of, timeline_of


def answer(number: int, best: str, probability: float, second: str = "other") -> Answer:
    tops = {"i": [Guess(best, probability), Guess(second, probability / 2)]}
    return Answer(number * 5.0, number * 5.0 + 5.0, "i", tops, "", [], {})


def test_the_highest_bar_fills_the_line_and_its_probability_is_said() -> None:
    answers = [answer(0, "run", 0.02), answer(1, "run", 0.04), answer(2, "jump", 0.01)]
    text = timeline_of(answers, colours_of(answers))
    assert re.findall(r"height:([0-9.]+)%", text) == ["50.0", "100.0", "25.0"]
    assert "the highest bar is a probability of 4.0 %" in text


def test_the_classes_that_are_longest_have_their_own_colours_and_further_ones_are_grey() -> None:
    names = ["last", *(f"class {n}" for n in range(LEGEND)), "class 3"]
    answers = [answer(n, name, 0.5) for n, name in enumerate(names)]
    colours = colours_of(answers)
    assert colours["class 3"] == PALETTE[0]  # it is the answer twice
    assert [colours[name] for name in ("last", "class 0", "class 1")] == list(PALETTE[1:4])
    assert colours[f"class {LEGEND - 1}"] == colours["never shown"] == GREY
    assert len(set(PALETTE)) == len(PALETTE) and GREY not in PALETTE
    assert "and 1 more class<" in timeline_of(answers, colours)


def test_the_best_classes_of_one_answer_have_colours_in_their_order() -> None:
    colours = colours_of([answer(0, "run", 0.5, "walk")])
    assert [colours["run"], colours["walk"], colours["jump"]] == [PALETTE[0], PALETTE[1], GREY]
