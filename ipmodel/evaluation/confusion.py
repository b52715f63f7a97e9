"""Plots confusion matrices: with numbers for few classes; for many with the worst confusions beside."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from ipmodel.evaluation.figures import fitting, save, styled
from ipmodel.evaluation.fonts import width_inches
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.report import in_percent
from ipmodel.evaluation.worst import LIST_INCHES, WorstList, inch_axes

MAX_NUMBERED = 20  # classes; more numbers than 20 x 20 cannot be read
CELL_INCHES, SIDE_INCHES = 0.3, 1.8  # of a matrix with numbers; and the least length of its side
MANY_CELL_INCHES, MANY_SIDE_INCHES = 0.066, LIST_INCHES  # of a matrix without
COLOUR_MAP = "Blues"  # from white to dark in one hue: it stays in order in a grey print and for every eye
LABEL_INCHES, LABEL_POINTS = 1.8, 7.0  # the greatest width of a class beside its row, and the greatest size
EDGE, AXIS, BAR = 0.15, 0.34, 0.65  # inches: free at the edges; for an axis's name and ticks; for the scale of colours
TITLE, TITLE_POINTS = 0.5, 9.0  # inches above the matrix, for two lines


def plot_confusion(table: ScoreTable, title: str, out: Path) -> None:
    """Confusion matrix: rows are true classes, columns predicted ones; colours are fractions of the row's videos.

    out: ends in .png; SVG and PDF are written beside it. Raises: OSError.
    """
    with styled():
        save(confusion_figure(table, title), out)


def confusion_figure(table: ScoreTable, title: str) -> Figure:
    """The plot, with a line above it that says the accuracy."""
    counts_KK = table.confusion()
    names = table.classes or tuple(map(str, range(len(counts_KK))))
    figure = (_numbered if len(names) <= MAX_NUMBERED else _coloured)(counts_KK, names)
    width, height = figure.get_size_inches()
    words = fitting(title, width - 2 * EDGE, TITLE_POINTS, bold=True)
    figure.text(0.5, 1 - EDGE / height, words, ha="center", va="top", fontsize=TITLE_POINTS, fontweight="bold")
    figure.text(0.5, 1 - (EDGE + 0.18) / height, _accuracy(table), ha="center", va="top", fontsize=8)
    return figure


def _accuracy(table: ScoreTable) -> str:
    if not table.names:
        return "no videos"
    videos = len(table.names)
    interval = in_percent(wilson_interval(round(table.top1 * videos), videos))
    return f"{100 * table.top1:.1f} % of {videos} videos (95 % interval {interval} %)"


def _numbered(counts_KK: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """A matrix with the number of videos in each cell, whose rows and columns are named."""
    side = max(SIDE_INCHES, CELL_INCHES * len(names))
    labels = [fitting(name, LABEL_INCHES, LABEL_POINTS) for name in names]
    names_width = _widest(labels, LABEL_POINTS)
    below = AXIS + names_width * 0.71 + 0.15  # names are turned by 45 degrees
    left = max(AXIS + names_width, below)  # they reach as far to the left as down
    figure, axes = _matrix(side, left=left, below=below)
    shares_KK = _shares(counts_KK)
    _draw(figure, axes, shares_KK, gamma=1.0)
    for true, taken in zip(*counts_KK.nonzero(), strict=True):
        ink = "white" if shares_KK[true, taken] > 0.55 else "black"
        axes.text(taken, true, str(counts_KK[true, taken]), color=ink, ha="center", va="center", fontsize=7)
    axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), labels)
    return figure


def _coloured(counts_KK: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """A matrix without numbers, whose rows are named and whose columns have the rows' numbers; and a list beside it."""
    side = max(MANY_SIDE_INCHES, MANY_CELL_INCHES * len(names))
    size = min(LABEL_POINTS, 66 * side / len(names))
    labels = [f"{fitting(name, LABEL_INCHES, size)}  {n}" for n, name in enumerate(names)]
    left, worst = AXIS + _widest(labels, size), WorstList(counts_KK, names)
    figure, axes = _matrix(side, left=left, below=AXIS + 0.1, right=worst.width + EDGE)
    _draw(figure, axes, _shares(counts_KK), gamma=0.5)  # the root shows confusions of a few percent
    axes.set_yticks(range(len(names)), labels, fontsize=size)
    axes.set_xticks(range(0, len(names), 5))
    width, height = figure.get_size_inches()
    worst.draw(figure, left=width - EDGE - worst.width, top=height - EDGE - TITLE)
    return figure


def _widest(labels: Sequence[str], points: float) -> float:
    return max(width_inches(label, points) for label in labels)


def _matrix(side: float, *, left: float, below: float, right: float = 0.0) -> tuple[Figure, Axes]:
    """A figure and the matrix's axes in it, whose sides are `side` inches, with so many inches free around them."""
    size = (EDGE + left + side + BAR + right + EDGE, EDGE + below + side + TITLE + EDGE)
    figure = Figure(figsize=size)
    return figure, inch_axes(figure, EDGE + left, EDGE + below, side, side)


def _draw(figure: Figure, axes: Axes, shares_KK: NDArray[np.float64], *, gamma: float) -> None:
    drawn = axes.imshow(shares_KK, norm=PowerNorm(gamma, vmin=0, vmax=1), cmap=COLOUR_MAP, interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=2, width=0.4)
    box, (width, height) = axes.get_position(), figure.get_size_inches()
    x, middle = EDGE / width, (box.y0 + box.y1) / 2
    figure.text(x, middle, "true class", rotation=90, ha="left", va="center", fontsize=8)
    figure.text((box.x0 + box.x1) / 2, EDGE / height, "predicted class", ha="center", va="bottom", fontsize=8)
    _scale(figure, drawn, left=box.x1 * width + 0.1, middle=middle * height, ticks_of_root=gamma < 1)


def _scale(figure: Figure, drawn: AxesImage, *, left: float, middle: float, ticks_of_root: bool) -> None:
    """The scale of colours, right of the matrix; left and middle in inches."""
    place = inch_axes(figure, left, middle - 0.8, 0.07, 1.6)
    bar = figure.colorbar(drawn, cax=place, label="fraction of the true class")
    bar.set_ticks([0, 0.05, 0.25, 0.5, 1] if ticks_of_root else [0, 0.5, 1])


def _shares(counts_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, K) fractions of each row's videos."""
    return np.asarray(counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1), np.float64)
