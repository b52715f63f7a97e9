"""The list of the most frequent confusions, which stands beside a confusion matrix without numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipmodel.evaluation.figures import GREY, fitting
from ipmodel.evaluation.fonts import width_inches

WORST = 10  # confusions that are listed
HEAD, TOLD = "most frequent confusions", "videos of the first class taken for the second"
HEAD_POINTS, TOLD_POINTS, COUNT_POINTS, NAME_POINTS = 9.0, 7.0, 8.0, 7.5
HEAD_INCHES, LINE_INCHES = 0.42, 0.38  # heights: of the two lines above, and of a confusion, with a gap
LIST_INCHES = HEAD_INCHES + WORST * LINE_INCHES
NAME_INCHES = 2.4  # the greatest width of a class; longer names end with an ellipsis
GAP_INCHES = 0.12  # between the two columns

Confusion = tuple[int, int, int]  # true class, predicted class, number of videos


def worst_confusions(counts_KK: NDArray[np.int64], wanted: int = WORST) -> list[Confusion]:
    """The confusions with most videos; of equally many, those that are a larger part of their class come first."""
    videos_K = counts_KK.sum(axis=1)
    wrong = [
        (true, taken, int(counts_KK[true, taken]))
        for true, taken in zip(*counts_KK.nonzero(), strict=True)
        if true != taken
    ]
    ordered = sorted(wrong, key=lambda one: (-one[2], videos_K[one[0]]))
    return [(int(true), int(taken), count) for true, taken, count in ordered[:wanted]]


class WorstList:
    """The list, laid out in inches, so that its columns cannot overlap."""

    def __init__(self, counts_KK: NDArray[np.int64], names: Sequence[str]) -> None:
        videos_K = counts_KK.sum(axis=1)
        worst = worst_confusions(counts_KK)
        self._counts = [f"{count} of {videos_K[true]}" for true, _, count in worst]
        self._classes = [
            (_class(f"{true} {names[true]}"), _class(f"as {taken} {names[taken]}")) for true, taken, _ in worst
        ]
        widest = max((width_inches(count, COUNT_POINTS, bold=True) for count in self._counts), default=0.0)
        self._names_x = widest + GAP_INCHES
        heads = (width_inches(HEAD, HEAD_POINTS, bold=True), width_inches(TOLD, TOLD_POINTS))
        self.width = max(self._names_x + NAME_INCHES, *heads)

    def draw(self, figure: Figure, *, left: float, top: float) -> None:
        """Draw it into a figure, at so many inches from its left and its lower edge."""
        axes = inch_axes(figure, left, top - LIST_INCHES, self.width, LIST_INCHES)
        axes.axis("off")
        axes.set(xlim=(0, self.width), ylim=(0, LIST_INCHES))
        axes.text(0, LIST_INCHES, HEAD, va="top", fontsize=HEAD_POINTS, fontweight="bold")
        axes.text(0, LIST_INCHES - 0.17, TOLD, va="top", color=GREY, fontsize=TOLD_POINTS)
        for n, (count, (true, taken)) in enumerate(zip(self._counts, self._classes, strict=True)):
            y = LIST_INCHES - HEAD_INCHES - n * LINE_INCHES
            axes.text(0, y, count, va="top", fontsize=COUNT_POINTS, fontweight="bold")
            axes.text(self._names_x, y, true, va="top", fontsize=NAME_POINTS)
            axes.text(self._names_x, y - LINE_INCHES * 0.4, taken, va="top", fontsize=NAME_POINTS)


def inch_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place of the figure that is given in inches."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def _class(text: str) -> str:
    return fitting(text, NAME_INCHES, NAME_POINTS)
