"""Plots confusion matrices: with numbers for few classes; for many with the worst confusions beside."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipmodel.evaluation.figures import GREY, readable, save, styled
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.report import in_percent

MAX_NUMBERED = 20  # classes; more numbers than 20 x 20 cannot be read
WORST = 10  # confusions that are listed beside a matrix without numbers
CELL_INCHES = 0.3  # of a matrix with numbers
MANY_CELL_INCHES, MANY_SIDE_INCHES = 0.066, 4.2  # of a matrix without; and the least length of its side
COLOUR_MAP = "Blues"  # from white to dark in one hue: it stays in order in a grey print and for every eye
LINE_INCHES = 0.38  # of the list: two lines of text and a gap
LABEL = 34  # characters of a class name

Confusion = tuple[int, int, int]  # true class, predicted class, number of videos


def plot_confusion(table: ScoreTable, title: str, out: Path) -> None:
    """Confusion matrix: rows are true classes, columns predicted ones; colours are fractions of the row's videos.

    out: ends in .png; SVG and PDF are written beside it. Raises: OSError.
    """
    counts_KK = table.confusion()
    names = [readable(name) for name in table.classes or map(str, range(len(counts_KK)))]
    names = [name if len(name) <= LABEL else f"{name[: LABEL - 1]}…" for name in names]
    with styled():
        figure = (_numbered if len(names) <= MAX_NUMBERED else _coloured)(counts_KK, names)
        figure.suptitle(f"{readable(title)}: {_accuracy(table)}", fontsize=9)
        save(figure, out)


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


def _accuracy(table: ScoreTable) -> str:
    if not table.names:
        return "no videos"
    videos = len(table.names)
    interval = in_percent(wilson_interval(round(table.top1 * videos), videos))
    return f"{100 * table.top1:.1f} % of {videos} videos (95 % interval {interval} %)"


def _numbered(counts_KK: NDArray[np.int64], names: list[str]) -> Figure:
    side = max(1.8, CELL_INCHES * len(names))
    figure, axes = plt.subplots(figsize=(side + 2.2, side + 1.6), layout="constrained")
    shares_KK = _shares(counts_KK)
    _draw(figure, axes, shares_KK, gamma=1.0)
    for true, taken in zip(*counts_KK.nonzero(), strict=True):
        ink = "white" if shares_KK[true, taken] > 0.55 else "black"
        axes.text(taken, true, str(counts_KK[true, taken]), color=ink, ha="center", va="center", fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    return figure


def _coloured(counts_KK: NDArray[np.int64], names: list[str]) -> Figure:
    """A matrix without numbers, whose rows are named and whose columns have the rows' numbers; and a list beside it."""
    side = max(MANY_SIDE_INCHES, MANY_CELL_INCHES * len(names))
    figure, (axes, beside) = plt.subplots(
        1, 2, figsize=(side + 4.8, side + 0.9), layout="constrained", width_ratios=(side + 1.6, 3.2)
    )
    _draw(figure, axes, _shares(counts_KK), gamma=0.5)  # the root shows confusions of a few percent
    size = min(7.0, 66 * side / len(names))
    axes.set_yticks(range(len(names)), [f"{name}  {n}" for n, name in enumerate(names)], fontsize=size)
    axes.set_xticks(range(0, len(names), 5))
    _list_worst(beside, counts_KK, names, line=LINE_INCHES / side)
    return figure


def _draw(figure: Figure, axes: Axes, shares_KK: NDArray[np.float64], *, gamma: float) -> None:
    drawn = axes.imshow(shares_KK, norm=PowerNorm(gamma, vmin=0, vmax=1), cmap=COLOUR_MAP, interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=2, width=0.4)
    bar = figure.colorbar(drawn, ax=axes, label="fraction of the true class", shrink=0.5, aspect=30, pad=0.02)
    bar.set_ticks([0, 0.05, 0.25, 0.5, 1] if gamma < 1 else [0, 0.5, 1])


def _list_worst(axes: Axes, counts_KK: NDArray[np.int64], names: list[str], *, line: float) -> None:
    """One below the other: the true class, what it was taken for, and how often. line: height, of that of the axes."""
    axes.axis("off")
    axes.text(0, 1, "most frequent confusions", transform=axes.transAxes, va="top", fontsize=9, fontweight="bold")
    told = "videos of the first class taken for the second"
    axes.text(0, 1 - 0.45 * line, told, transform=axes.transAxes, va="top", color=GREY, fontsize=7)
    for n, (true, taken, count) in enumerate(worst_confusions(counts_KK)):
        y = 1 - line * (n + 0.9)
        videos = int(counts_KK[true].sum())
        axes.text(0, y, f"{count} of {videos}", transform=axes.transAxes, va="top", fontsize=8, fontweight="bold")
        words = f"{true} {names[true]}\nas {taken} {names[taken]}"
        axes.text(0.24, y, words, transform=axes.transAxes, va="top", fontsize=7.5)


def _shares(counts_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, K) fractions of each row's videos."""
    return np.asarray(counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1), np.float64)
