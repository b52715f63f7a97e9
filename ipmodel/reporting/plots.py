"""The paper's Figures 4 and 5 with our points, and the gains of distillation by class, as SVG."""

import io
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ipmodel.evaluation.figures import COLOURS, GREY, MARKERS, PAGE_INCHES, readable, styled
from ipmodel.evaluation.fonts import use_fallbacks, without_glyph_warnings
from ipmodel.paper import HMDB, KINETICS, TABLE1, TABLE1_METHODS, TABLE5, UCF
from ipmodel.recipe import Phase
from ipmodel.reporting.entries import Entry, cost_of
from ipmodel.reporting.gains import Gain
from ipmodel.reporting.labels import Point, label

SPEED = "videos/s"
IP_TSN = {"i", "p"}
MAX_BARS = 20  # classes; of more, those that gain and lose most are drawn
PAPER_STYLE: Any = {"facecolor": "none", "edgecolor": GREY, "s": 26, "linewidth": 0.8}
SIZE_PX = 224  # of the paper's crops
PANEL_INCHES = 2.6  # the height of a panel; each has the whole width


def figure4(entries: Sequence[Entry], speeds: dict[str, float]) -> Figure:
    """Accuracy against videos/s: a panel for each dataset. speeds: ours, by the methods' names in Table 1."""
    roles = {"I-stream": {"i"}, "P-stream": {"p"}, "IP TSN": IP_TSN, "OF": {"of"}, "I + OF": {"i", "of"}}
    paper = {
        dataset: [
            Point(name=name, x=float(speed), top1=float(top1))
            for name, speed, top1 in zip(TABLE1_METHODS, TABLE1[SPEED], TABLE1[dataset], strict=True)
            if top1 != "-"
        ]
        for dataset in (HMDB, UCF, KINETICS)
    }
    ours = {
        dataset: [
            _point(entry, _called(entry, name, entries), speeds[name])
            for entry in entries
            for name, own in roles.items()
            if entry.dataset == dataset and set(entry.roles) == own and name in speeds
        ]
        for dataset in _datasets(entries)
    }
    return _panels(paper, ours, x="videos/s")


def figure5(entries: Sequence[Entry]) -> Figure:
    """Accuracy of IP TSN against multiply-adds. Those of the paper's rows of Table 5 are computed here."""
    paper = [
        Point(name=f"{row[0][7:]}, {row[1]}*{row[2]}", x=_paper_cost(*row), top1=float(figures[3]))
        for row, figures in TABLE5.items()
        if row[0].startswith("ResNet")
    ]
    ours = {
        dataset: [
            _point(entry, _called(entry, entry.name, entries), entry.cost)
            for entry in entries
            if entry.dataset == dataset and set(entry.roles) == IP_TSN
        ]
        for dataset in _datasets(entries)
    }
    return _panels({HMDB: paper}, ours, x="G multiply-adds")


def plot_gain(gain: Gain) -> bytes:
    """Bars: how many points of top-1 each class gains by distillation."""
    pairs = sorted(gain.per_class.items(), key=lambda item: -item[1].difference)
    if len(pairs) > MAX_BARS:
        pairs = [*pairs[: MAX_BARS // 2], *pairs[-MAX_BARS // 2 :]]
    with styled():
        figure, axes = plt.subplots(figsize=(PAGE_INCHES, 0.19 * len(pairs) + 0.8), layout="constrained")
        points = [100 * pair.difference for _, pair in pairs]
        colours = [COLOURS[0] if value >= 0 else COLOURS[1] for value in points]
        axes.barh(range(len(pairs)), points, color=colours, height=0.7)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_yticks(range(len(pairs)), [f"{readable(name)} ({pair.videos})" for name, pair in pairs])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("points of top-1 that P gains by distillation (in brackets: tests of the class)")
        return as_svg(figure)


def _datasets(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.dataset for entry in entries))


def _called(entry: Entry, name: str, entries: Sequence[Entry]) -> str:
    """The name, with the variant where the dataset has several."""
    variants = {other.variant.name for other in entries if other.dataset == entry.dataset}
    return f"{name}, {entry.variant.name}" if len(variants) > 1 else name


def _point(entry: Entry, name: str, x: float) -> Point:
    low, high = entry.result.interval
    return Point(name=name, x=x, top1=100 * entry.result.mean, interval=(100 * low, 100 * high))


def _paper_cost(network: str, segments: int, crops: int) -> float:
    """G multiply-adds of a row of Table 5."""
    depth: Literal[18, 152] = 152 if network == "ResNet-152" else 18
    i = Phase(modality="i", depth=depth, segments=segments, test_crops=10 if crops == 10 else 1, epochs=1, batch=1)
    p = Phase(modality="mr", last_2d_stage="conv3", segments=segments, epochs=1, batch=1)
    return cost_of(i, SIZE_PX) + cost_of(p, SIZE_PX)


def _panels(paper: dict[str, list[Point]], ours: dict[str, list[Point]], *, x: str) -> Figure:
    """A panel for each dataset that has points: the paper's are hollow, ours are filled. The x axis is logarithmic."""
    names = [name for name in dict.fromkeys([*paper, *ours]) if paper.get(name) or ours.get(name)]
    with styled():
        rows = max(1, len(names))
        size = (PAGE_INCHES, PANEL_INCHES * rows)
        figure, grid = plt.subplots(rows, 1, figsize=size, squeeze=False, layout="constrained")
        for axes, name in zip(grid.ravel(), names, strict=False):
            _draw(axes, paper.get(name, []), ours.get(name, []))
            axes.set_title(readable(name), loc="left")
            axes.set_xlabel(x)
            axes.set_ylabel("top-1, %")
        for axes in grid.ravel()[len(names) :]:
            axes.axis("off")
        figure.draw_without_rendering()  # now the panels have their places, and labels can get theirs
        figure.set_layout_engine("none")
        for axes, name in zip(grid.ravel(), names, strict=False):
            label(axes, [*paper.get(name, []), *ours.get(name, [])])
        return figure


def _draw(axes: Axes, paper: Sequence[Point], ours: Sequence[Point]) -> None:
    for point in paper:
        axes.scatter(point.x, point.top1, **PAPER_STYLE)
    for number, point in enumerate(ours):
        assert point.interval is not None
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.vlines(point.x, *point.interval, color=colour, linewidth=1.0)
        axes.scatter(point.x, point.top1, color=colour, marker=marker, s=26, zorder=3)
    axes.set_xscale("log")
    axes.margins(0.15, 0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def as_svg(figure: Figure) -> bytes:
    """The figure's file, without a date; closes the figure."""
    out = io.BytesIO()
    use_fallbacks(figure)
    with styled(), without_glyph_warnings():
        figure.savefig(out, format="svg", metadata={"Date": None})
    plt.close(figure)
    return out.getvalue()
